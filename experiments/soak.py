"""Trains for a while and watches the processes: resident size, open files, threads and speed should stay as they are.

Usage: python experiments/soak.py [--minutes 20] [--warm-up 17] [--out experiments/soak.csv]
       python experiments/soak.py --process NUMBER --run FOLDER     watches a run that is going on already
The warm-up lasts until the replay memory is full, so that every step does the same work. Linux only.
"""
import argparse, contextlib, csv, os, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np

COLUMNS = ('seconds', 'step', 'resident_bytes', 'open_files', 'threads')

def sample(process, # its number
           run): # the run's folder, `Path`
    "Agent steps so far, and resident size in bytes, open files and threads of a process and the one that plays its games."
    both = [Path('/proc', number) for number in (str(process), *Path(f'/proc/{process}/task/{process}/children').read_text().split())]
    status = [dict(line.split(':', 1) for line in (one / 'status').read_text().splitlines()) for one in both]
    lines = (run / 'timing.csv').read_text().splitlines() if (run / 'timing.csv').exists() else []
    step = int(lines[-1].split(',')[0]) if len(lines) > 1 else 0
    return (step, 1024 * sum(int(one['VmRSS'].split()[0]) for one in status), sum(len(os.listdir(one / 'fd')) for one in both),
            sum(int(one['Threads']) for one in status))

def watch(process, run, minutes, interval=10): # seconds between two samples
    "Rows of `COLUMNS` for so many minutes, or until the process ends."
    rows, begun = [], time.time()
    with contextlib.suppress(OSError, KeyError):  # what /proc tells of a process that has ended
        while (passed := time.time() - begun) < 60 * minutes:
            rows.append((round(passed, 1), *sample(process, run)))
            time.sleep(interval)
    return rows

def summary(rows): # of `watch`
    "What changed between the first and the last quarter, as lines of text."
    table = np.array(rows, float)
    quarter = max(2, len(table) // 4)
    first, last = table[:quarter], table[-quarter:]
    speed = [(part[-1, 1] - part[0, 1]) / (part[-1, 0] - part[0, 0]) for part in (first, last)]
    lines = [f'{len(rows)} samples in {table[-1, 0] / 60:.1f} minutes, step {table[0, 1]:,.0f} to {table[-1, 1]:,.0f}']
    for name, column, unit in (('resident size [MB]', 2, 1e6), ('open files', 3, 1), ('threads', 4, 1)):
        slope = np.polyfit(table[:, 0] / 3600, table[:, column] / unit, 1)[0]
        lines.append(f'{name:20} first quarter {first[:, column].mean() / unit:8.1f}   last quarter {last[:, column].mean() / unit:8.1f}   slope {slope:+.2f} an hour')
    return lines + [f'agent steps/s        first quarter {speed[0]:8.1f}   last quarter {speed[1]:8.1f}   {speed[1] / speed[0] - 1:+.1%}']

def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('--minutes', type=float, default=20)
    options.add_argument('--warm-up', type=float, default=17, help='minutes before the first sample')
    options.add_argument('--out', type=Path, default=Path(__file__).with_name('soak.csv'))
    options.add_argument('--process', type=int)
    options.add_argument('--run', type=Path)
    args = options.parse_args()
    if (args.process is None) != (args.run is None): options.error('--process and --run belong together.')
    if args.process: rows = watch(args.process, args.run, args.minutes)
    else:
        with tempfile.TemporaryDirectory() as place:
            run = Path(place) / 'soak'
            training = subprocess.Popen([sys.executable, '-m', 'mario_dqn', 'train', '--steps', '1000000000', '--out', str(run)], stdout=subprocess.DEVNULL)
            try:
                time.sleep(60 * args.warm_up)
                rows = watch(training.pid, run, args.minutes)
            finally:
                training.terminate()
                training.wait()
    if len(rows) < 8: sys.exit(f'{len(rows)} samples are too few: the process ended too early, or --minutes is too small.')
    if rows[-1][0] < 60 * args.minutes - 30: print(f'The process ended after {rows[-1][0] / 60:.1f} of {args.minutes:g} minutes.')
    with args.out.open('w', newline='') as file: csv.writer(file).writerows([COLUMNS, *rows])
    print('\n'.join(summary(rows)))

if __name__ == '__main__': main()
