"""A run: what it may take, who watches it, whose folder it writes in, and what it makes of what was altered."""
import contextlib, json, os, signal, sys, threading, types

import numpy as np
import pytest

from mario_dqn.run import train as training
from mario_dqn.run.checkpoint import build_agent, load_agent, newest_checkpoint, sha256, sorted_text
from mario_dqn.settings import Config, ConfigError, TrainingError, preset, to_toml, with_values
from mario_dqn.run.files import RunFolder, import_keras
from mario_dqn.network import graphics_name
from mario_dqn.runner import Callback
from mario_dqn.run.room import available_memory, disk_space, free_disk, replay_size, shortage
from mario_dqn.run.callbacks import FaultLimit, Recordings, Selection
from mario_dqn.run.train import Interrupted, build_runner, go_on, machine_facts, new_folder, stage, tidy, train
from mario_dqn.games import GameFault
from mario_dqn.run.process import GameProcess
from test_run import StopAt


def quiet(sentence): pass

class Remember(Callback):
    "Keeps the events of a run."
    def __init__(self): self.events = []
    def start(self, runner): self.events.append('start')
    def end(self, runner, outcome): self.events.append(outcome)


# memory and disk

MACHINE = {'proc/meminfo': 'MemTotal:       16000000 kB\nMemFree:  100 kB\nMemAvailable:    8000000 kB\n'}
VERSION_2 = MACHINE | {'proc/self/cgroup': '0::/a/b\n', 'cgroup/a/b/memory.max': 'max\n', 'cgroup/a/b/memory.current': '10\n',
                       'cgroup/a/memory.max': '2000\n', 'cgroup/a/memory.current': '1500\n', 'cgroup/a/memory.stat': 'anon 7\ninactive_file 300\n'}
VERSION_1 = MACHINE | {'proc/self/cgroup': '5:cpu,cpuacct:/x\n4:memory:/docker/1\n', 'cgroup/memory/memory.limit_in_bytes': '5000',
                       'cgroup/memory/memory.usage_in_bytes': '1000', 'cgroup/memory/memory.stat': 'total_inactive_file 50'}

@pytest.mark.parametrize('files, memory', [
    ({'other': ''}, None), (MACHINE, 8_192_000_000), (VERSION_2, 800), (VERSION_2 | {'cgroup/a/memory.max': 'max'}, 8_192_000_000),
    (VERSION_2 | {'cgroup/a/memory.current': '9999'}, 0), (VERSION_1, 4050),
], ids=['not-told', 'machine', 'limit-of-the-group-around', 'no-limit', 'beyond-the-limit', 'first-version'])
def test_the_memory_that_is_left_is_that_of_the_machine_or_of_its_group(tmp_path, files, memory):
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert available_memory(f'{tmp_path}/proc', f'{tmp_path}/cgroup') == memory

def test_the_memory_of_this_machine_is_told():
    here = available_memory()
    assert here is None or 1e6 < here < 1e14

LARGE = with_values(Config(), {'agent.replay_capacity': 1_000_000, 'env.size': 84, 'run.games': 8})

@pytest.mark.parametrize('memory, disk', [(4e9, None), (None, 4e9), (4e9, 3e9), (2e9, 9e9)])
def test_the_replay_memory_that_is_named_fits_and_a_thousand_more_do_not(memory, disk):
    text = shortage(LARGE, memory, disk)
    named = int(text.rpartition(' is ')[2].rstrip('.').replace(',', ''))
    assert shortage(with_values(LARGE, {'agent.replay_capacity': named}), memory, disk) is None
    assert shortage(with_values(LARGE, {'agent.replay_capacity': named + 1000}), memory, disk) is not None
    assert ('of memory' in text) == (memory is not None) and 100_000 < named < 1_000_000

def test_where_none_would_fit_that_is_said(): assert shortage(LARGE, 0.1e9, None).endswith('none that these settings allow would fit.')

def test_the_disk_holds_the_replay_memory_three_times_at_most(tmp_path):
    assert 2.9 < (disk_space(with_values(LARGE, {'run.checkpoint_interval': 10**8})) - 0.05e9) / replay_size(LARGE) < 3.1
    assert 1e6 < free_disk(RunFolder(tmp_path / 'not' / 'yet')) < 1e18 and free_disk(RunFolder('x' * 300)) > 0

def test_a_run_that_does_not_fit_leaves_nothing(tmp_path):
    enormous, empty = with_values(preset('tiny'), {'agent.replay_capacity': 10_000_000, 'env.size': 240}), new_folder(tmp_path / 'empty')
    if (available_memory() or 1e18) > 5e11: pytest.skip('this machine would have the memory, or does not tell')
    with pytest.raises(ConfigError, match='of memory, but'): train(enormous, empty)
    assert os.listdir(empty) == []


# which weights are kept, and on which machine

def test_the_best_weights_are_those_with_the_most_cleared_games_then_with_the_longer_way(short, monkeypatch):
    judged, best = iter([(0.325, 2293.7), (0.425, 2292.9), (0.425, 2280.0), (0.4, 2500.0)]), []
    class Told(Callback):
        def evaluation(self, runner, row, episodes): best.append(row['best'])
    monkeypatch.setattr('mario_dqn.run.callbacks.select', lambda values, config, **options: (dict(zip(('clear_rate', 'x_mean'), next(judged))) | dict(score_mean=0.0), {}, []))
    selection = Selection()
    runner = build_runner(short, [Told(), selection])
    for _ in range(4): selection.evaluate(runner)
    runner.games.close()
    assert best == [1, 1, 0, 0] and selection.best_rank == (0.425, 2292.9, 0.0)

def library(**parts): return types.SimpleNamespace(**parts)
def of_jax(platform): return library(devices=lambda: [library(platform=platform, device_kind='Example GPU')])
def of_torch(there): return library(cuda=library(is_available=lambda: there, get_device_name=lambda: 'Example GPU'))
def of_tensorflow(found):
    details = library(get_device_details=lambda device: dict(device_name='Example GPU') if device == 'one' else {})
    return library(config=library(list_physical_devices=lambda kind: found if kind == 'GPU' else ['a CPU'], experimental=details))

@pytest.mark.parametrize('backend, module, name', [
    ('jax', of_jax('gpu'), 'Example GPU'), ('jax', of_jax('cpu'), None), ('torch', of_torch(True), 'Example GPU'), ('torch', of_torch(False), None),
    ('tensorflow', of_tensorflow(['one', 'two']), 'Example GPU'), ('tensorflow', of_tensorflow(['nameless']), 'GPU'), ('tensorflow', of_tensorflow([]), None),
], ids=['jax-gpu', 'jax-cpu', 'torch-gpu', 'torch-cpu', 'tensorflow-two', 'tensorflow-nameless', 'tensorflow-cpu'])
def test_the_graphics_processor_is_named_as_each_library_names_it(monkeypatch, backend, module, name):
    monkeypatch.setitem(sys.modules, backend, module)                                       # stand-ins, since most machines that run this have none
    assert graphics_name(backend) == name

def test_the_facts_of_a_machine_have_its_graphics_processor(monkeypatch):
    facts = machine_facts()
    for name, module in (('jax', of_jax('gpu')), ('torch', of_torch(True)), ('tensorflow', of_tensorflow(['one']))): monkeypatch.setitem(sys.modules, name, module)
    assert machine_facts() == facts | dict(graphics='Example GPU')


# whose folder it is

@pytest.fixture
def folder(short, tmp_path):
    "The folder of a run that has not begun."
    folder = new_folder(tmp_path / 'run')
    folder.config.write_text(to_toml(short))
    return folder

@pytest.mark.parametrize('name', ['checkpoints', 'metrics', 'recordings'])
def test_where_a_link_leads_elsewhere_nothing_is_written_or_removed(folder, tmp_path, name):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    (elsewhere / 'only copy').write_text('of a thesis')
    getattr(folder, name).symlink_to(elsewhere / 'only copy' if name == 'metrics' else elsewhere)
    calls = [lambda: tidy(folder), lambda: new_folder(folder.path, force=True)] + ([] if name == 'metrics' else [lambda: go_on(folder, say=quiet)])
    for call in calls:
        with pytest.raises(ConfigError, match='symbolic link'): call()
    assert [path.read_text() for path in elsewhere.iterdir()] == ['of a thesis']

def test_a_file_of_the_machine_that_cannot_be_read_means_that_the_training_is_not_finished(folder):
    folder.machine.write_text('[' * 100_000)
    assert stage(folder) == 'training'

@pytest.mark.parametrize('state', [{'best score': np.zeros(3)}, {'levels': np.array(['1-1'])}, {'phase': np.zeros(2, complex)}, {'../x': np.zeros(1)}])
def test_arrays_that_a_checkpoint_could_not_give_back_are_refused_when_they_are_kept(state):
    with pytest.raises(ConfigError, match="'mine' has an array that could not be read"): training.split_state('mine', state)
    assert training.split_state('mine', {'fine/too': np.arange(3), 'plain': 1})[0] == {'plain': 1}

def test_a_run_with_rows_but_without_checkpoint_may_have_lost_what_says_that_it_was_finished(folder):
    folder.metrics.write_text('step\n')
    with pytest.raises(ConfigError, match='machine.json is missing or damaged'): go_on(folder, say=quiet)

def test_a_run_from_weights_that_ends_before_its_first_checkpoint_does_not_begin_anew_with_others(short, tmp_path, monkeypatch):
    def killed(*arguments): raise SystemExit
    monkeypatch.setattr(training.Checkpointing, 'start', killed)
    for name, weights in (('from weights', build_agent(short).weights()), ('anew', None)):
        with pytest.raises(SystemExit): train(short, tmp_path / name, weights, say=quiet)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match='the weights that it started from'): go_on(tmp_path / 'from weights', say=quiet)
    assert go_on(tmp_path / 'anew', say=quiet)[1] == 'finished'

def test_what_was_about_to_be_written_is_removed_and_nothing_else(tmp_path):
    swept = RunFolder(tmp_path)
    swept.recordings.mkdir()
    half = ['.config.toml.a1', '.best.npz.b_2', '.last.npz.c', '.machine.json.e', '.results.json.f', '.greedy.json.g', '.results.png.h', '.README.md.i',
            'recordings/.abc_1.mp4', 'recordings/.d.gif']
    whole = ['.gitignore', '.results.json', 'results.json', 'recordings/.keep', 'recordings/final.gif']
    for name in half + whole: (swept.path / name).touch()
    tidy(swept)
    assert sorted(str(path.relative_to(tmp_path)) for path in swept.path.rglob('*') if path.is_file()) == sorted(whole)

def test_recordings_of_steps_that_come_again_are_removed(tmp_path):
    swept = RunFolder(tmp_path)
    swept.recordings.mkdir()
    for name in ('step_9999999.mp4', 'step_10000000.mp4', 'step_old.mp4'): (swept.recordings / name).touch()
    Recordings(swept).resume(types.SimpleNamespace(step=9_999_999), None)
    assert sorted(path.name for path in swept.recordings.glob('step*')) == ['step_9999999.mp4', 'step_old.mp4']

def test_a_folder_in_use_is_neither_trained_in_nor_resumed_nor_cleared(folder, short):
    with RunFolder(folder.path).lock:
        for attempt in (lambda: go_on(RunFolder(folder.path)), lambda: train(short, RunFolder(folder.path)), lambda: new_folder(folder.path, force=True)):
            with pytest.raises(ConfigError, match='is in use already'): attempt()
    assert folder.config.exists()

def test_a_run_is_written_over_only_with_force_and_other_files_never(folder):
    with pytest.raises(ConfigError, match='already holds a run'): new_folder(folder.path)
    new_folder(folder.path, force=True)
    assert list(folder.path.iterdir()) == []
    (folder.path / 'thesis.txt').write_text('mine')
    with pytest.raises(ConfigError, match='holds other files'): new_folder(folder.path, force=True)
    with pytest.raises(ConfigError, match='is a file'): new_folder(folder.path / 'thesis.txt')
    with pytest.raises(ConfigError, match='cannot be written'): new_folder('/proc/mario')


# checkpoints that were altered, disks that are full, games that break, interrupts

def test_a_checkpoint_that_is_whole_and_was_altered_ends_in_one_sentence(short, tmp_path):
    strange = new_folder(tmp_path / 'strange')
    with pytest.raises(Interrupted, match='after step 104'): train(short, strange, callbacks=[StopAt(104)], say=quiet)
    checkpoint, _ = newest_checkpoint(strange.checkpoints)
    def alter(changes):
        data, path = json.dumps(checkpoint.state | changes).encode(), checkpoint.path / 'manifest.json'
        manifest = {name: value for name, value in json.loads(path.read_text()).items() if name != 'sha256'}
        manifest['files']['state.json'] = dict(size=len(data), sha256=sha256(data))
        (checkpoint.path / 'state.json').write_bytes(data)
        path.write_text(json.dumps(manifest | dict(sha256=sha256(sorted_text(manifest)))))
    threads = threading.active_count()
    metrics = checkpoint.state['callbacks'] | dict(metrics=dict(episodes=1, recent=[[1]]))
    for altered in (dict(callbacks={}), dict(about=dict(machine=3, command='')), dict(callbacks=metrics), dict(random=3)):
        alter(altered)
        with pytest.raises(ConfigError, match='does not fit the configuration of the run') as error: go_on(strange, say=quiet)
        assert str(checkpoint.path) in str(error.value) and '\n' not in str(error.value) and threading.active_count() == threads, altered
    alter({})
    with pytest.raises(Interrupted, match='after step 108'): go_on(strange, callbacks=[StopAt(108)], say=quiet)

def test_a_full_disk_is_told_to_every_callback_and_everything_is_closed(short, tmp_path):
    class FullDisk(Callback):
        def interval(self, runner, row): raise OSError(28, 'No space left on device', 'metrics.csv')
        def end(self, runner, outcome): raise OSError('no space either')
    memory, threads = Remember(), threading.active_count()
    with pytest.raises(OSError, match='No space left'): train(short, tmp_path / 'full', callbacks=[FullDisk(), memory], say=quiet)
    assert memory.events == ['start', 'failed'] and threading.active_count() == threads

def test_games_that_break_all_the_time_end_the_run_and_a_few_in_a_long_one_do_not(short):
    runner, limit = build_runner(short), FaultLimit()
    def broke(): # one game of a step
        runner.faults += 1
        limit.after_step(runner, types.SimpleNamespace(faults=[GameFault(0, 3, 'raised', 'OSError: no cable')]), None)
    for _ in range(100): broke()
    with pytest.raises(TrainingError, match='101 games broke, the last one because of: OSError: no cable'): broke()
    runner.step = 102_001
    broke()
    runner.games.close()

def test_an_interrupt_that_a_library_swallows_calls_the_run_off_all_the_same(short, tmp_path, monkeypatch):
    def deaf(*arguments, build=build_agent):
        with contextlib.suppress(KeyboardInterrupt): signal.raise_signal(signal.SIGINT)
        return build(*arguments)
    closed, close, folder, memory = [], GameProcess.close, RunFolder(tmp_path / 'called off'), Remember()
    monkeypatch.setattr(GameProcess, 'close', lambda games: (closed.append(games), close(games))[1])
    monkeypatch.setattr(training, 'build_agent', deaf)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt): train(with_values(short, {'run.games_on': 'process'}), folder.path, callbacks=[memory], say=quiet)
    finally: signal.signal(signal.SIGINT, usual)
    assert memory.events == ['failed'] and len(closed) == 1 and not folder.metrics.exists()

def test_an_interrupt_in_the_middle_of_a_step_saves_the_weights(short, tmp_path):
    class Interrupt(Callback):
        def interval(self, runner, row):
            if row['step'] >= 300: raise KeyboardInterrupt
    with pytest.raises(Interrupted) as told: train(short, tmp_path / 'run', callbacks=[Interrupt()], say=quiet)
    runner = told.value.runner
    assert runner.step == 300 and runner.agent.updates >= 10                                # the average has followed
    saved, _ = load_agent(tmp_path / 'run', 'last')
    for name, array in runner.agent.weights().items(): np.testing.assert_array_equal(array, saved.weights()[name])

def test_an_interrupt_after_the_last_step_calls_off_what_would_follow_and_the_training_is_whole(short, tmp_path):
    class Late(Callback):
        def end(self, runner, outcome): signal.raise_signal(signal.SIGINT)
    with pytest.raises(Interrupted, match='That was its last step'): train(short, tmp_path / 'run', callbacks=[Late()], say=quiet)
    folder = RunFolder(tmp_path / 'run')
    assert stage(folder) == 'measuring' and folder.best.exists() and not folder.checkpoints.exists()
    with pytest.raises(ConfigError, match='is trained already'): go_on(folder, say=quiet)
    with pytest.raises(ConfigError, match='already holds a run'): train(short, folder, say=quiet)


# what a run leaves

def test_tensorboard_shows_what_the_tables_have_and_another_seed_is_another_run(short, tmp_path):
    import_keras()                                                                          # which TensorBoard imports with its start-up messages
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    folder, other = RunFolder(tmp_path / 'a'), RunFolder(tmp_path / 'b')
    train(with_values(short, {'run.record': True}), folder.path, say=quiet)
    train(with_values(short, {'run.seed': 1}), other.path, say=quiet)
    assert other.episodes.read_bytes() != folder.episodes.read_bytes() and len(list(folder.recordings.glob('*.mp4'))) >= 1
    assert len(list(folder.tensorboard.iterdir())) == 1
    drawn = EventAccumulator(str(folder.tensorboard)).Reload().Scalars('evaluation/score_mean')
    lines = [line.split(',') for line in folder.evaluations.read_text().splitlines()]
    column = lines[0].index('score_mean')
    assert [event.step for event in drawn] == [200, 400]
    np.testing.assert_allclose([(event.step, event.value) for event in drawn], [(int(line[0]), float(line[column])) for line in lines[1:]], rtol=1e-6)
