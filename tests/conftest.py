"""What several tests use: a process of its own for what changes a whole process, and a run that is over in seconds."""
import os, subprocess, sys

import pytest

from mario_dqn.config import preset, with_values


@pytest.fixture
def python(tmp_path):
    "Runs code in a process of its own, in an empty folder; returns what `subprocess.run` does."
    def run(code, *arguments, cwd=tmp_path, **variables):
        surroundings = {name: value for name, value in os.environ.items() if name not in ('KERAS_BACKEND', 'OMP_NUM_THREADS')}
        return subprocess.run([sys.executable, '-c', code, *map(str, arguments)], cwd=cwd, env=surroundings | variables,
                              capture_output=True, text=True, timeout=300)
    return run


@pytest.fixture
def command(python):
    "Runs a command of mario_dqn in a process of its own."
    def run(*words, **options):
        return python('import sys; from mario_dqn.cli import main; sys.exit(main())', *words, **options)
    return run


@pytest.fixture(scope='session')
def short():
    "The settings of a run that is over in seconds."
    return with_values(preset('tiny'), {'run.steps': 400, 'run.eval_interval': 200, 'run.record': False, 'agent.precision': 'float32'})
