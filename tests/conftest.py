"""What several tests use: a process of its own for what changes a whole process, and a run that is over in seconds."""
import contextlib, fcntl, json, os, shutil, subprocess, sys, tempfile
from pathlib import Path

import pytest

os.environ.setdefault('KERAS_BACKEND', 'tensorflow')  # and not what a file in the home says

from house import traces
from mario_dqn.settings import preset, with_values

PROMISES = {}  # what was tried, in words: how often what was found, and what was lost


def pytest_addoption(parser):
    parser.addoption('--full', action='store_true', help='the long forms too: every kill, every backend on every chapter')
    parser.addoption('--promises', metavar='FILE', help='where to write what was tried, how often, and what was lost')


def pytest_configure(config):
    config.addinivalue_line('markers', 'alone: measures time, so that no other test may run meanwhile')
    config.addinivalue_line('markers', 'full: one of the long forms, which run with --full')
    if is_worker(config): return
    config.locks = tempfile.mkdtemp(prefix='mario_dqn-tests-')
    config.traces = traces()  # how the tree was before the first test


def is_worker(config): return hasattr(config, 'workerinput')


def pytest_configure_node(node): # of xdist: a worker that is about to start
    node.workerinput['locks'] = node.config.locks


def pytest_collection_modifyitems(config, items):
    "Notebooks come first, since they take longest, and of each group, or of all, what needs the machine for itself last."
    items.sort(key=lambda item: 2 if item.get_closest_marker('alone') else item.path.name != 'test_notebooks.py')
    for item in items:
        if item.get_closest_marker('alone') and not item.get_closest_marker('xdist_group'): item.add_marker(pytest.mark.xdist_group('alone'))
    if config.getoption('full'): return
    for item in items:
        if item.get_closest_marker('full'): item.add_marker(pytest.mark.skip(reason='a long form, for --full'))


@contextlib.contextmanager
def _lock(path, kind):
    with open(path, 'w') as file:
        fcntl.flock(file, kind)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    "Two workers share the machine; a test that measures time waits until the other one is between two tests, and lets it wait."
    folder = Path(item.config.workerinput['locks'] if is_worker(item.config) else item.config.locks)
    with contextlib.ExitStack() as held:
        with _lock(folder / 'turn', fcntl.LOCK_EX):  # who waits for the machine lets nobody pass meanwhile
            held.enter_context(_lock(folder / 'machine', fcntl.LOCK_EX if item.get_closest_marker('alone') else fcntl.LOCK_SH))
        return (yield)


def pytest_runtest_logreport(report): # of one test, from whichever worker
    "Count what the tests that passed have tried."
    if report.when != 'call' or not report.passed: return
    for name, value in report.user_properties:
        if name != 'promise': continue
        tried, found, times, lost = value
        kept = PROMISES.setdefault(tried, dict(found={}, lost=lost))
        kept['found'][found] = kept['found'].get(found, 0) + times


def pytest_sessionfinish(session):
    "Write the promises, and fail if the tests have left anything behind."
    config = session.config
    if is_worker(config): return
    path, left = config.getoption('promises'), sorted(set(traces()) ^ set(config.traces))
    if path: Path(path).write_text(json.dumps(PROMISES, indent=1, sort_keys=True, ensure_ascii=False) + '\n')
    if not left: return
    words = 'The tests changed the tree: ' + ', '.join(left)
    config.hook.pytest_runtest_logreport(report=pytest.TestReport('traces of the tests', ('tests', None, 'traces'), {}, 'failed', words, 'teardown'))  # counted as an error
    if session.exitstatus == pytest.ExitCode.OK: session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config):
    if not is_worker(config): shutil.rmtree(config.locks, ignore_errors=True)


@pytest.fixture
def promise(request):
    "Says what a test has tried, for the table of chapter 17; it counts if the test passes."
    def say(tried, found, times=1, lost='nothing'): request.node.user_properties.append(('promise', (tried, found, times, lost)))
    return say


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
    return with_values(preset('tiny'), {'run.steps': 400, 'run.eval_interval': 200, 'run.eval_episodes': 1, 'run.final_episodes': 1, 'run.record': False,
                                        'run.games': 2, 'run.games_on': 'threads', 'env.frame_skip': 1, 'env.stuck_limit': 10,
                                        'agent.precision': 'float32', 'agent.dueling': False, 'agent.layer_norm': False})
