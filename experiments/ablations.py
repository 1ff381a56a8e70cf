"""Trains with one ingredient off at a time, several seeds each, and collects the learning curves in one small table.

Usage: python experiments/ablations.py [--seeds N] [--steps N] [--out FOLDER] [--variants NAME …]

Every run is a plain `mario_dqn train` with one thread for the network and one for the games, two runs side by side; a run whose folder is
finished already is not repeated, so the script can be stopped and started again. The runs lie in FOLDER (default: save/ablations/); the
table is written to experiments/ablations.csv after each of them. It has a row for every 10,000 agent steps with the training episodes
that ended in them and had begun at the level's start, and in the last row of a run the 100 episodes with sticky actions that the weights
at its end played, on the seeds for selection. Rows of other variants and seeds stay in the table. Nothing else should run meanwhile.
"""
import argparse, csv, io, itertools, json, statistics, subprocess, sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from mario_dqn.run.files import write_atomic

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = {
    'everything': {},
    'starts from the middle': {'run.middle_starts': 0},
    'an average acts': {'agent.target_acts': False, 'agent.target_mix': 1, 'agent.target_period': 2000},
    'histogram and normalisation': {'agent.value_bins': 0, 'agent.layer_norm': False},
    'priorities': {'agent.priority_exponent': 0},
    'longer horizon': {'agent.discount': 0.9, 'agent.reward_scale': 1 / 15},
    'penalty at deaths': {'agent.death_penalty': 0},
} # what is switched off, and how
COMMON = {'env.actions': 'right_only', 'agent.discount': 0.95, 'agent.learning_rate': 2.5e-4, 'agent.average_updates': 0,
          'agent.batch_size': 64, 'agent.samples_per_step': 16.0}  # the defaults when the table was begun
EVERY = 10_000  # agent steps between the rows of a run in the table
COLUMNS = ['off', 'seed', 'step', 'seconds', 'training_episodes', 'training_score', 'episodes', 'clear_rate', 'score_mean']


def flags(key, value):
    "A setting as words of the command line."
    if isinstance(value, bool): return [f'--{key}' if value else f'--{key.replace(".", ".no-")}']
    return [f'--{key}', *(map(str, value) if isinstance(value, (list, tuple)) else [str(value)])]

def command(changes, seed, steps, folder):
    "The command line of one run on one core."
    alone = {'run.threads': 1, 'run.game_threads': 1, 'run.baselines': False, 'run.record': False, 'run.final_episodes': 1,
             'run.eval_interval': steps, 'run.eval_episodes': 100}
    settings = itertools.chain.from_iterable(flags(key, value) for key, value in (COMMON | alone | changes).items())
    return [sys.executable, '-m', 'mario_dqn', 'train', '--seed', str(seed), '--steps', str(steps), '--out', str(folder), *settings]


def finished(folder): return (folder / 'results.json').exists()


def run(changes, seed, steps, folder):
    "Do one run, or go on with it."
    if finished(folder): return
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = (folder / 'config.toml').exists()
    line = [sys.executable, '-m', 'mario_dqn', 'resume', '--path', str(folder)] if begun else command(changes, seed, steps, folder)
    with open(f'{folder}.log', 'a') as log: subprocess.run(line, stdout=log, stderr=log, check=True)


def rows(path):
    with open(path, newline='') as file: return list(csv.DictReader(file))


def curve(name, seed, folder):
    "The rows of one finished run for the table."
    seconds = {int(row['step']): row['seconds'] for row in rows(folder / 'timing.csv')}
    whole = [row for row in rows(folder / 'episodes.csv') if row['start'] == 'level']
    (last,) = rows(folder / 'evaluations.csv')
    for step in range(EVERY, int(last['step']) + 1, EVERY):
        scores = [float(row['score']) for row in whole if step - EVERY < int(row['step']) <= step]
        found = dict(off=name, seed=seed, step=step, seconds=seconds[step], training_episodes=len(scores), training_score=round(statistics.mean(scores), 1))
        yield found | ({key: last[key] for key in ('episodes', 'clear_rate', 'score_mean')} if step == int(last['step']) else {})


def write(table, runs):
    "All finished runs, in one file; what the file has of others is kept."
    done = {(name, str(seed)): list(curve(name, seed, folder)) for name, seed, folder in runs if finished(folder)}
    others = {}
    for row in rows(table) if table.exists() else []:
        if row['off'] in VARIANTS and list(row) == COLUMNS: others.setdefault((row['off'], row['seed']), []).append(row)
    every, text = others | done, io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval='', lineterminator='\n')
    writer.writeheader()
    for name, seed in sorted(every, key=lambda run: (int(run[1]), list(VARIANTS).index(run[0]))): writer.writerows(every[name, seed])
    write_atomic(table, text.getvalue())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=150_000)
    parser.add_argument('--out', type=Path, default=ROOT / 'save/ablations')
    parser.add_argument('--variants', nargs='*', default=list(VARIANTS), choices=list(VARIANTS))
    arguments = parser.parse_args()
    if arguments.steps < EVERY or arguments.steps % EVERY: parser.error(f'--steps is {arguments.steps}, but must be a multiple of {EVERY:,}, so that the table has a row of the end of a run.')
    runs = [(name, seed, arguments.out / f'{list(VARIANTS).index(name)}-seed{seed}-steps{arguments.steps}') for seed in range(arguments.seeds) for name in arguments.variants]
    table = ROOT / 'experiments/ablations.csv'
    def one(name, seed, folder):
        run(VARIANTS[name], seed, arguments.steps, folder)
        print(f'without {name}, seed {seed}: {folder}' if VARIANTS[name] else f'{name}, seed {seed}: {folder}', flush=True)
    with ThreadPoolExecutor(2) as pool:
        try:
            for done in as_completed([pool.submit(one, *each) for each in runs]):
                done.result()
                write(table, runs)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # those that have not begun
            raise
    print(f'The table is {table}')


if __name__ == '__main__': main()
