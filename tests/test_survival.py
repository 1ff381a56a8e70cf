"""Runs that survive: killed, asked to stop, stopped between any two writes, on a full disk, with damaged files."""
import contextlib, json, os, signal, subprocess, sys, time
from pathlib import Path

import numpy as np
import pytest

from mario_dqn.run.checkpoint import load_weights, newest_checkpoint, save_weights
from mario_dqn.settings import ConfigError, preset, to_toml, with_values
from mario_dqn.run.files import RunFolder, import_keras, write_atomic
from survival import SavedCheckpoint, SavedWeights, every_moment, quickly, settings_of_run

POSIX = pytest.mark.skipif(os.name != 'posix', reason='signals of POSIX')


# killed

KILLER = '''
import json, math, os, random, signal, sys, time, traceback
from mario_dqn.run.files import RunFolder, load_config
from mario_dqn.run.train import go_on, new_folder, stage, train

def newest(path):
    "The step of the newest checkpoint, or -1."
    return max([int(p.name[5:]) for p in RunFolder(path).checkpoints.glob('step_*')], default=-1)

def attempt(config, path, seconds, progress=0, most=math.inf):
    """Begin the run or go on with it in a new process, and kill that after some seconds, counted from when its checkpoints are so many steps further,
    or when they are `most` steps further; returns whether it came to its end before."""
    before = newest(path)
    process = os.fork()
    if process == 0:
        code = 1
        try:
            folder = RunFolder(path)
            def say(sentence): print(sentence, file=sys.stderr)
            if stage(folder) == 'none': train(config, new_folder(path), say=say)
            else: go_on(folder, say=say)
            code = 0
        except BaseException: traceback.print_exc()
        finally: os._exit(code)
    begun = time.perf_counter()
    while True:
        if progress and newest(path) < before + progress: begun = time.perf_counter()
        elif time.perf_counter() - begun >= seconds or newest(path) >= before + most: break
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            if status: sys.exit(f'the run failed with status {status}')
            return True
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False

source, alone, killed, kills, seed = sys.argv[1:]
config, chance, kills = load_config(source), random.Random(int(seed)), int(kills)
begun = time.perf_counter()
attempt(config, alone, 1e9)
whole, steps = time.perf_counter() - begun, []
for number in range(kills):
    at_start = number % 3 == 0
    seconds, progress = chance.uniform(0, whole / kills * (2 if at_start else 0.25)), 0 if at_start else 20 * chance.randint(1, 3)
    if attempt(config, killed, seconds, progress, progress + 20):  # the machine may have become faster since the run was left alone
        sys.exit('the run was over before it could be killed')
    steps.append(newest(killed))
attempt(config, killed, 1e9)
print(json.dumps(steps))
'''

def epsilons(folder):
    "The curve of ε as TensorBoard shows it."
    import_keras()                                                                          # which TensorBoard imports with its start-up messages
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(folder.tensorboard)).Reload()
    return [(event.step, event.value) for event in events.Scalars('training/epsilon')]

@POSIX
@pytest.mark.parametrize('kills', [10, pytest.param(50, marks=pytest.mark.full)])
def test_a_run_that_is_killed_leaves_the_same_files_as_one_left_alone(tmp_path, promise, kills):
    config = with_values(preset('tiny'), {'run.steps': 48 * kills, 'run.checkpoint_interval': 20, 'run.eval_interval': 160, 'run.eval_episodes': 1, 'run.record': False,
                                          'run.games': 2, 'env.frame_skip': 2, 'env.stuck_limit': 10, 'agent.learning_starts': 64,
                                          'agent.dueling': False, 'agent.layer_norm': False})
    (tmp_path / 'config.toml').write_text(to_toml(config))
    alone, killed = RunFolder(tmp_path / 'alone'), RunFolder(tmp_path / 'killed')
    done = subprocess.run([sys.executable, '-c', KILLER, tmp_path / 'config.toml', alone, killed, str(kills), '0'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)
    assert len(steps) == kills and max(steps) > 100
    for name in ('metrics', 'episodes', 'evaluations', 'best', 'last'): assert getattr(alone, name).read_bytes() == getattr(killed, name).read_bytes(), name
    assert len(alone.episodes.read_text().splitlines()) > 4 and not killed.checkpoints.exists()
    assert not [path.name for path in killed.path.iterdir() if path.name.startswith('.')]   # no file that was only begun
    assert epsilons(alone) == epsilons(killed) and [step for step, _ in epsilons(alone)] == list(range(100, 48 * kills + 1, 100))
    promise('run killed at a random moment, then gone on with', 'equal', kills)


# asked to stop

INTERRUPTER = '''
import json, os, random, signal, sys, time
from mario_dqn.run.checkpoint import newest_checkpoint
from mario_dqn.cli import main
from mario_dqn.run.files import RunFolder
from mario_dqn.run.train import stage

def rows(folder): return [line.split(',') for line in folder.metrics.read_text().splitlines()[1:]] if folder.metrics.exists() else []

def learned(folder, number): # the rows of metrics.csv at the start
    "Whether there is a new row that tells of updates."
    return len(rows(folder)) > number and rows(folder)[-1][1] not in ('', '0')

def stopped(folder, number, words, seconds=None):
    "Send a signal so many seconds after the start, or after the first update; returns what is left then."
    before, process = len(rows(folder)), os.fork()
    if process == 0:
        os.dup2(2, 1)
        code = 1
        try: code = main(words)
        except SystemExit as exit: code = exit.code
        finally: os._exit(code)
    if seconds is not None: time.sleep(seconds)
    while seconds is None and not learned(folder, before):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended: sys.exit(f'the command ended before the signal, with the exit code {os.waitstatus_to_exitcode(status)}')
        time.sleep(0.002)
    os.kill(process, number)
    sent = time.time()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    found, damaged = newest_checkpoint(folder.checkpoints)
    files = [path.name for path in folder.path.glob('.*')] if folder.path.exists() else []
    return dict(code=code, files=files, stage=stage(folder), damaged=damaged, checkpoint=found and found.step,
                metrics=int(rows(folder)[-1][0]) if rows(folder) else 0, machine=folder.machine.exists() and json.loads(folder.machine.read_text())['steps'],
                seconds=found and found.path.stat().st_mtime - sent)

signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells let what they start in the background ignore it
folder, number, chance = RunFolder(sys.argv[1]), int(sys.argv[2]), random.Random(sys.argv[2])
settings = ['--preset', 'tiny', '--steps', '100000', '--agent.learning_starts', '64', '--run.metrics_interval', '4', '--run.no-record']
results = []
for i in range(2):
    early = RunFolder(f'{folder.path}-early-{i}')
    results.append(dict(moment='start') | stopped(early, number, ['train', *settings, '--out', str(early.path)], chance.uniform(0.05, 1.5)))
results.append(dict(moment='first update') | stopped(folder, number, ['train', *settings, '--out', str(folder.path)]))
results.append(dict(moment='resumed') | stopped(folder, number, ['resume', '--path', str(folder.path)]))
print(json.dumps(results))
'''

@POSIX
@pytest.mark.parametrize('number', [pytest.param(2, marks=pytest.mark.full), 15], ids=['SIGINT', 'SIGTERM'])
def test_a_run_that_is_asked_to_stop_saves_the_step_of_the_signal(tmp_path, promise, number):
    done = subprocess.run([sys.executable, '-c', INTERRUPTER, tmp_path / 'run', str(number)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and 'Traceback' not in done.stderr, done.stderr
    stops = json.loads(done.stdout)
    for stop in stops:
        assert stop['code'] == 128 + number and stop['files'] == [] and stop['damaged'] == [], stop
        if stop['moment'] != 'start': assert stop['checkpoint'] == stop['metrics'] == stop['machine'] and stop['stage'] == 'training', stop
        if stop['seconds'] is not None: assert stop['seconds'] < 60, stop
    promise('SIGINT or SIGTERM, at the start and after updates', 'exit code 130 or 143', len(stops))

@pytest.mark.skipif(sys.platform != 'linux', reason='/proc tells what a process has loaded')
@pytest.mark.parametrize('number, moment', [(2, 'while TensorFlow is imported'), (15, 'in its folder')])
def test_a_start_is_called_off(tmp_path, number, moment):
    folder = tmp_path / 'run'
    words = ['train', '--preset', 'tiny', '--steps', '100000', '--out', folder]
    # some shells let what they start in the background ignore it
    def hear(): signal.signal(signal.SIGINT, signal.SIG_DFL)
    started = subprocess.Popen([sys.executable, '-m', 'mario_dqn', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear)
    def has_come(): return folder.exists() if number == 15 else 'tensorflow' in Path(f'/proc/{started.pid}/maps').read_text()
    while started.poll() is None and not has_come(): time.sleep(0.02)
    started.send_signal(number)
    try: out, err = started.communicate(timeout=100)
    finally: started.kill()
    assert started.returncode == 128 + number and 'Traceback' not in err, (out, err)
    assert not [path for path in folder.rglob('*') if path.name.startswith('.') and path.name != '.lock']

LOOP = '''
from mario_dqn.settings import preset, with_values
from mario_dqn.run.train import train
for seed in range(3):
    train(with_values(preset('tiny'), {'run.seed': seed, 'run.steps': 100_000, 'run.record': False}), f'{FOLDER}-{seed}')
'''

@POSIX
def test_the_stop_button_of_a_notebook_saves_and_ends_the_loop(tmp_path, promise):
    from jupyter_client.manager import start_new_kernel
    folder = RunFolder(tmp_path / 'kernel-0')
    manager, client = start_new_kernel(stderr=subprocess.DEVNULL)
    try:
        number = client.execute(f'FOLDER = {str(tmp_path / "kernel")!r}\n{LOOP}')
        for _ in range(600):
            if folder.metrics.exists() or not manager.is_alive(): break
            time.sleep(0.2)
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=60)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    newest, damaged = newest_checkpoint(folder.checkpoints)
    assert reply['parent_header']['msg_id'] == number and (reply['content']['status'], reply['content']['ename']) == ('error', 'Interrupted'), reply['content']
    assert [path.name for path in tmp_path.iterdir()] == ['kernel-0']                       # the two that would have followed did not begin
    assert newest.step >= 100 and not damaged
    promise('the stop button of a notebook, in a loop over runs', 'saved, and the loop ended')


# stopped between any two writes, and a full disk

@pytest.mark.parametrize('full, tried', [(False, 'process stopped after every operation of a save'), (True, 'disk full at every operation of a save')], ids=['stopped', 'full'])
@pytest.mark.parametrize('number', [0, 2])
@pytest.mark.parametrize('kind, what', [(SavedCheckpoint, 'checkpoint'), (SavedWeights, 'weights')], ids=['checkpoint', 'weights'])
def test_every_moment_of_a_save_leaves_the_old_state_or_the_new_one(tmp_path, promise, kind, what, number, full, tried):
    found, _ = every_moment(kind, number, tmp_path, full)
    assert found['old'] >= 5 and (full or found['new'] >= 1), found
    for state, times in found.items(): promise(f'{what}: {tried}', state, times)

class Obvious(SavedWeights):
    "The obvious way to save weights: into the file that is there."
    load = SavedWeights.load

    def save(folder, number):
        kept = folder.path / 'kept'
        kept.mkdir(exist_ok=True)
        SavedWeights.save(RunFolder(kept), number)
        data = (kept / 'best.npz').read_bytes()
        with open(folder.best, 'wb') as file:
            for start in range(0, len(data), 200): file.write(data[start:start + 200]), file.flush()

def test_the_obvious_way_to_save_does_not_pass(tmp_path):
    with pytest.raises(ConfigError, match='best.npz cannot be used'): every_moment(Obvious, 0, tmp_path, False)


@contextlib.contextmanager
def as_nobody(folder):
    "A folder, writable by nobody; and a process that has no right to write everywhere, if it had it."
    kept, root = os.stat(folder).st_mode, hasattr(os, 'geteuid') and os.geteuid() == 0
    os.chmod(folder, 0o555)
    if root: os.seteuid(65534)
    try: yield
    finally:
        if root: os.seteuid(0)
        os.chmod(folder, kept)

@pytest.fixture
def open_folder(tmp_path_factory):
    "A folder into which others may look, all the way down to it."
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)

@POSIX
@pytest.mark.parametrize('kind, places', [(SavedCheckpoint, ('checkpoints', 'path')), (SavedWeights, ('path',))], ids=['checkpoint', 'weights'])
def test_a_folder_without_permission_is_a_matter_of_one_sentence(open_folder, promise, kind, places):
    folder = RunFolder(open_folder / kind.__name__)
    folder.path.mkdir()
    for number in (1, 2): quickly(kind.save, folder, number)
    for place in places:
        with as_nobody(getattr(folder, place)), pytest.raises(ConfigError, match='cannot be written: Permission denied') as error: kind.save(folder, 3)
        assert '\n' not in str(error.value)
        promise('a folder that cannot be written: no permission, below a file, below a system folder', 'refused')
    assert kind.load(folder) == (2, [])

@pytest.mark.parametrize('kind', [SavedCheckpoint, SavedWeights], ids=['checkpoint', 'weights'])
@pytest.mark.parametrize('nowhere', ['file/run', pytest.param('/proc/run', marks=pytest.mark.skipif(sys.platform != 'linux', reason='/proc is needed'))])
def test_a_place_that_cannot_be_is_a_matter_of_one_sentence(tmp_path, promise, kind, nowhere):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match='cannot be') as error: kind.save(RunFolder(tmp_path / nowhere), 1)
    assert '\n' not in str(error.value)
    promise('a folder that cannot be written: no permission, below a file, below a system folder', 'refused')


# damaged files

FLIPS = 67  # bits
WAYS = [*(f'cut-{i}' for i in range(6)), *(f'bit-{i}' for i in range(FLIPS)), 'empty', 'gone', 'another-run', 'the-same-run']

def damaged(whole, way, others, seed):
    "What lies in the place of a file after it was damaged in one way; None is nothing."
    name, _, number = way.partition('-')
    if name == 'cut': return whole[:(1, len(whole) // 4, len(whole) // 2, len(whole) * 3 // 4, len(whole) - 2, len(whole) - 1)[int(number)]]
    if name == 'bit':
        rng, flipped = np.random.default_rng((seed, int(number))), bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        return bytes(flipped)
    return {'empty': b'', 'gone': None, 'another-run': others[0], 'the-same-run': others[1]}[way]

@contextlib.contextmanager
def put(path, data):
    "Bytes or nothing in the place of a file, while the block runs."
    whole = path.read_bytes()
    path.unlink()
    if data is not None: path.write_bytes(data)
    try: yield
    finally: path.write_bytes(whole)

@pytest.fixture(scope='module')
def two_runs(tmp_path_factory):
    "Two runs with three checkpoints each; for each file of the newest one, its path, and what may be put in its place."
    root = tmp_path_factory.mktemp('checkpoints')
    folder, other = RunFolder(root / 'run'), RunFolder(root / 'other')
    for run, where in enumerate((folder, other)):
        for number in (1, 2, 3): quickly(SavedCheckpoint.save, where, number, run)
    new, old, foreign = folder.checkpoints / 'step_0000000003', folder.checkpoints / 'step_0000000002', other.checkpoints / 'step_0000000003'
    own, elsewhere = (json.loads((place / 'manifest.json').read_text())['segments'] for place in (new, foreign))
    def segment(entries, name, run=folder): return run.checkpoints / 'frames' / (entries[name]['sha256'] + '.npz')
    files = {name: (new / name, foreign / name, old / name) for name in ('manifest.json', 'state.json', 'arrays.npz', 'parity.bin')}
    files |= {f'segment-{i}': (segment(own, f'0-{i}'), segment(elsewhere, f'0-{i}', other), segment(own, '0-1')) for i in (0, 2)}  # one of its own, and one that the one before needs too
    return folder, files, [segment(own, f'0-{i}') for i in (1, 2)]

@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('file', ['manifest.json', 'state.json', 'arrays.npz', 'parity.bin', 'segment-0', 'segment-2'])
def test_a_damaged_file_of_a_checkpoint_ends_no_run(two_runs, promise, file, way):
    folder, files, _ = two_runs
    path, *others = files[file]
    data = damaged(path.read_bytes(), way, [other.read_bytes() for other in others], 0)
    assert data != path.read_bytes()
    with put(path, data): number, said = SavedCheckpoint.load(folder)
    is_needed = file in ('manifest.json', 'state.json', 'arrays.npz')
    assert number == (2 if is_needed else 3)
    if file == 'parity.bin': assert said == []                                              # nobody has asked for it
    else: assert len(said) == 1 and '\n' not in said[0] and 'step_0000000003 is damaged: ' in said[0], said
    assert SavedCheckpoint.load(folder) == (3, [])
    if is_needed: promise('checkpoint: its manifest, its state or its arrays damaged', 'older', lost='what came after the older one, and is computed again')
    else: promise('checkpoint: a segment damaged, its own or one that the one before needs too, or the parity', 'new')

def test_two_damaged_segments_are_too_many(two_runs):
    folder, _, (one, two) = two_runs
    with put(one, None), put(two, None), pytest.raises(ConfigError, match='No checkpoint of this run can be used.'): SavedCheckpoint.load(folder)

@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    "Best and last weights of two runs; for each file its path, and what may be put in its place."
    root = tmp_path_factory.mktemp('weights')
    folder, other = RunFolder(root / 'run'), RunFolder(root / 'other')
    for run, where in enumerate((folder, other)):
        where.path.mkdir()
        for number, name in ((1, 'last'), (2, 'best')): quickly(save_weights, getattr(where, name), SavedWeights.sample(number, run), settings_of_run(run))
    quickly(SavedWeights.save, folder, 3)
    contents = {name: getattr(other, name).read_bytes() for name in ('best', 'last')}
    return folder, dict(best=(contents['best'], folder.last.read_bytes()), last=(contents['last'], folder.best.read_bytes()))

@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('file', ['best', 'last'])
def test_a_damaged_file_of_weights_is_refused_and_the_other_is_read(weights, promise, file, way):
    folder, others = weights
    path = getattr(folder, file)
    with put(path, damaged(path.read_bytes(), way, others[file], 1)):
        for name, number in (('best', 3), ('last', 1)):
            try: loaded = SavedWeights.load(folder, getattr(folder, name)) if getattr(folder, name).exists() else load_weights(getattr(folder, name), settings_of_run(0))
            except ConfigError as error:
                assert '\n' not in str(error) and file == name
                promise('weights: each of 2 files damaged, and both weights read', 'refused', lost='only what was damaged')
            else:
                assert file != name and loaded == (number, [])
                promise('weights: each of 2 files damaged, and both weights read', 'whole', lost='only what was damaged')
    assert SavedWeights.load(folder) == (3, []) and SavedWeights.load(folder, folder.last) == (1, [])
