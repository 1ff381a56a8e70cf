"""A run of this code and one of the code before the chapters moved are the same run (in the long form only, and only while they move)."""
import subprocess, sys

import numpy as np
import pytest

from house import ROOT, run

BEFORE = '953c78d566'  # the last commit before the move
TRAIN = '''
import sys
from importlib import import_module
from pathlib import Path
import mario_dqn
home = import_module('mario_dqn.' + ('settings' if Path(mario_dqn.__file__).with_name('settings.py').exists() else 'config'))
name, folder = sys.argv[1:]
values = {'run.threads': 1, 'run.record': False, 'agent.precision': 'float32'} | ({'run.steps': 20_000, 'run.eval_episodes': 8} if name == 'default' else {})
mario_dqn.train(home.with_values(home.preset(name), values), folder)'''

@pytest.fixture(scope='module')
def before(tmp_path_factory):
    "A checkout of the code before the move."
    place = tmp_path_factory.mktemp('before') / 'checkout'
    run('git', 'worktree', 'add', '--detach', place, BEFORE)
    yield place
    subprocess.run(['git', 'worktree', 'remove', '--force', place], cwd=ROOT, check=True)

@pytest.mark.full
@pytest.mark.parametrize('name', ['tiny', 'default'])
def test_a_run_is_the_one_that_it_was_before_the_move(before, name, tmp_path):
    for place in (before, ROOT): run(sys.executable, '-c', TRAIN, name, tmp_path / ('now' if place == ROOT else 'then'), cwd=place, PYTHONPATH=str(place))
    for table in ('metrics.csv', 'episodes.csv', 'evaluations.csv'):
        assert (tmp_path / 'then' / table).read_bytes() == (tmp_path / 'now' / table).read_bytes(), table
    assert (tmp_path / 'now' / 'episodes.csv').read_text().count('\n') > 5
    for weights in ('best.npz', 'last.npz'):
        with np.load(tmp_path / 'then' / weights) as then, np.load(tmp_path / 'now' / weights) as now:
            for key in then.files: np.testing.assert_array_equal(then[key], now[key], strict=True)
