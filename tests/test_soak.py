"""A run that goes on and on takes no more memory, files or threads (in the long form only)."""
import subprocess, sys, time

import numpy as np
import pytest

from house import ROOT, run
from mario_dqn.run.files import RunFolder
from mario_dqn.show.report import read_rows

@pytest.mark.full
@pytest.mark.skipif(sys.platform != 'linux', reason='/proc tells what a process holds')
def test_a_long_run_takes_no_more_with_time(tmp_path):
    folder, table = RunFolder(tmp_path / 'run'), tmp_path / 'soak.csv'
    words = ['train', '--preset', 'tiny', '--steps', '1000000000', '--run.no-record', '--out', folder.path]
    training = subprocess.Popen([sys.executable, '-m', 'mario_dqn', *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while training.poll() is None and not (folder.timing.exists() and read_rows(folder.timing)['step'].max(initial=0) > 4_000): time.sleep(1)  # the memory holds 2,000
        run(sys.executable, ROOT / 'experiments/soak.py', '--process', training.pid, '--run', folder.path, '--minutes', 5, '--out', table)
    finally:
        training.terminate()
        training.wait()
    seconds, step, resident, files, threads = np.loadtxt(table, delimiter=',', skiprows=1).T
    print(f'{step[0]:,.0f} to {step[-1]:,.0f}: {np.polyfit(step / 1000, resident / 1e6, 1)[0]:.3f} MB for 1,000 steps, {resident[0] / 1e6:.0f} to {resident[-1] / 1e6:.0f} MB, files {files}, threads {threads}')
    assert seconds[-1] > 250 and step[-1] > step[0] + 5_000
    quarter = len(seconds) // 4
    assert np.median(resident[-quarter:]) < 1.03 * np.median(resident[:quarter])
    assert np.median(files[:quarter]) == np.median(files[-quarter:]) and np.median(threads[:quarter]) == np.median(threads[-quarter:])
