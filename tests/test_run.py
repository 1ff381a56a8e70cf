"""A whole run: what must not end it, what it must not go on with, what it writes down, and what it can be given."""
import csv, json, signal, sys

import gymnasium
import numpy as np
import pytest

from mario_dqn import evaluation
from mario_dqn.run.checkpoint import load_agent, newest_checkpoint, save_weights
from mario_dqn.run.measure import measure
from mario_dqn.settings import ConfigError, preset, to_toml, with_values
from mario_dqn.run.files import RunFolder, load_config
from mario_dqn.env import make_env
from mario_dqn.show.live import LiveTraining
from mario_dqn.network import keras
from mario_dqn.runner import Callback, Metrics
from mario_dqn.run.train import Interrupted, build_runner, go_on, stage, train
from mario_dqn.run.callbacks import CsvLog
from test_games import corridor


class StopAt(Callback):
    "Asks the runner to stop at a step, as Ctrl-C does."
    def __init__(self, at): self.at = at
    def after_step(self, runner, result, epsilon):
        if runner.step + runner.config.run.games == self.at: runner.stop(signal.SIGINT)

def broken_off(config, path, at=200, **options):
    "A run that was interrupted at a step."
    with pytest.raises(Interrupted): train(config, path, callbacks=[StopAt(at)], say=lambda sentence: None, **options)
    return RunFolder(path)

def rows(path):
    with open(path, newline='') as file: return list(csv.DictReader(file))

def quiet(sentence): pass


# going on

@pytest.mark.parametrize('values', [
    {'env.level': '1-2'}, {'agent.n_step': 5}, {'run.seed': 3}, {'env.reward': 'library'}, {'env.sticky': 0.5}, {'agent.batch_size': 16},
    {'agent.discount': 0.8}, {'run.games': 4}, {'agent.hidden': 16}, {'run.eval_sticky': 0.0}, {'agent.precision': 'bfloat16'}])
def test_a_run_does_not_go_on_with_other_settings(interrupted, values):
    folder = interrupted
    kept = folder.config.read_text()
    try:
        folder.config.write_text(to_toml(with_values(load_config(folder.config), values)))
        before = folder.metrics.read_bytes()
        said = []
        with pytest.raises(ConfigError) as told: go_on(folder, say=said.append)
        assert all(key in str(told.value) for key in values)
        assert folder.metrics.read_bytes() == before and not said  # that it goes on is not said before it is sure
    finally: folder.config.write_text(kept)

@pytest.fixture(scope='module')
def interrupted(short, tmp_path_factory): return broken_off(short, tmp_path_factory.mktemp('interrupted') / 'run')

def test_what_may_change_may_change(short, tmp_path):
    folder = broken_off(short, tmp_path / 'run')
    changed = {'run.steps': 500, 'run.threads': 2, 'run.game_threads': 2, 'run.games_on': 'process', 'run.metrics_interval': 50, 'run.eval_interval': 250, 'run.checkpoint_interval': 100}
    folder.config.write_text(to_toml(with_values(load_config(folder.config), changed)))
    runner, outcome = go_on(folder, say=quiet)
    assert outcome == 'finished' and runner.step == 500 and [int(row['step']) for row in rows(folder.metrics)][-3:] == [400, 450, 500]

def test_a_kept_checkpoint_makes_a_finished_run_longer_exactly(short, tmp_path):
    kept = with_values(short, {'run.keep_checkpoint': True, 'run.checkpoint_interval': 100, 'agent.dueling': True, 'agent.layer_norm': True})
    train(kept, tmp_path / 'run', say=quiet)
    folder = RunFolder(tmp_path / 'run')
    assert stage(folder) == 'measuring' and newest_checkpoint(folder.checkpoints)[0].step == 400
    with pytest.raises(ConfigError, match='has taken 400 steps already'): go_on(folder, steps=400, say=quiet)
    runner, _ = go_on(folder, steps=600, say=quiet)
    train(with_values(kept, {'run.steps': 600}), tmp_path / 'whole', say=quiet)
    assert runner.step == 600 and load_config(folder.config).run.steps == 600
    for name in ('metrics', 'episodes', 'evaluations', 'last', 'best'): assert getattr(folder, name).read_bytes() == getattr(RunFolder(tmp_path / 'whole'), name).read_bytes(), name

def test_a_run_becomes_longer_with_the_checkpoint_that_it_kept_whatever_its_settings_say_now(short, tmp_path):
    folder, seen = RunFolder(tmp_path / 'run'), []
    train(with_values(short, {'run.keep_checkpoint': True}), folder.path, say=quiet)
    folder.config.write_text(to_toml(with_values(load_config(folder.config), {'run.keep_checkpoint': False, 'run.steps': 500})))
    class Look(Callback):
        order = 7                                                                           # after the settings were written
        def start(self, runner): seen.append(stage(folder))
    runner, _ = go_on(folder, steps=500, callbacks=[Look()], say=quiet)
    assert runner.step == 500 and seen == ['training'] and not folder.checkpoints.exists()

def test_what_is_refused_changes_nothing_of_a_finished_run(short, tmp_path):
    folder = RunFolder(tmp_path / 'run')
    train(with_values(short, {'run.keep_checkpoint': True}), folder.path, say=quiet)
    measure(folder, quiet)
    whole = folder.config.read_text()
    folder.config.write_text(to_toml(with_values(load_config(folder.config), {'agent.n_step': 5})))
    edited = folder.config.read_text()
    with pytest.raises(ConfigError, match='agent.n_step was 3 and is 5'): go_on(folder, steps=600, say=quiet)
    assert folder.config.read_text() == edited and stage(folder) == 'finished' and folder.greedy.exists()
    folder.config.write_text(whole)

def test_a_table_that_was_cut_leaves_a_finished_run_as_it_was(short, tmp_path):
    folder = RunFolder(tmp_path / 'run')
    train(with_values(short, {'run.keep_checkpoint': True}), folder.path, say=quiet)
    before, whole = folder.machine.read_bytes(), folder.metrics.read_bytes()
    folder.metrics.write_bytes(whole[:-9])
    with pytest.raises(ConfigError, match='is shorter than it was'): go_on(folder, steps=600, say=quiet)
    assert stage(folder) == 'measuring' and folder.machine.read_bytes() == before and load_config(folder.config).run.steps == 400

def test_a_runner_that_takes_more_steps_later_writes_its_tables_on(short, tmp_path):
    folder = RunFolder(tmp_path)
    runner = build_runner(short, [Metrics(), CsvLog(folder)])
    for steps in (200, 400): runner.fit(steps)
    runner.games.close()
    assert [int(row['step']) for row in rows(folder.metrics)] == [100, 200, 300, 400]

def test_callbacks_that_are_refused_leave_no_run(short, tmp_path):
    for wrong in ([Counter(), Counter()], [StopAt(1)] * 2):
        with pytest.raises(ConfigError, match='have the name'): train(short, tmp_path / 'run', callbacks=wrong, say=quiet)
    train(with_values(short, {'run.steps': 100}), tmp_path / 'run', say=quiet)

def test_an_agent_with_settings_that_no_new_run_may_have_is_loaded(short, tmp_path):
    folder = RunFolder(tmp_path / 'run')
    train(with_values(short, {'run.steps': 200}), folder.path, say=quiet)
    agent, _ = load_agent(folder.path)
    folder.config.write_text(folder.config.read_text().replace('discount = 0.9 ', 'discount = 0.99'))
    save_weights(folder.best, agent.weights(), load_config(folder.config, saved=True))
    again, config = load_agent(folder.path)
    assert config.agent.discount == 0.99
    for one, two in zip(agent.weights().values(), again.weights().values()): np.testing.assert_array_equal(one, two, strict=True)

def test_observations_that_are_no_rolling_stack_are_refused(short, tmp_path):
    class Inverted(gymnasium.ObservationWrapper):
        def observation(self, observation): return np.concatenate([255 - observation[:1], observation[1:]])
    with pytest.raises(ValueError, match='newest last'): train(short, tmp_path / 'run', make_env=lambda config: Inverted(make_env(config)), say=quiet)

def test_without_it_a_start_from_the_weights_is_offered(short, tmp_path):
    train(short, tmp_path / 'my run', say=quiet)
    with pytest.raises(ConfigError) as told: go_on(tmp_path / 'my run', steps=600, say=quiet)
    assert f"mario_dqn train --path '{tmp_path / 'my run'}'" in str(told.value) and 'GB' in str(told.value)
    assert load_config(RunFolder(tmp_path / 'my run').config).run.steps == 400


# callbacks

class Counter(Callback):
    def __init__(self): self.count = 0
    def interval(self, runner, row): self.count += 1
    def state(self): return self.count
    def resume(self, runner, state): self.count = state

def test_two_callbacks_of_one_class_keep_two_states(short, tmp_path):
    one, two = Counter(), Counter()
    with pytest.raises(ConfigError, match="the name 'Counter'"): train(short, tmp_path / 'early', callbacks=[one, two], say=quiet)
    assert not RunFolder(tmp_path / 'early').metrics.exists()
    one.count, two.count, two.name = 100, 1000, 'the other'
    folder = RunFolder(tmp_path / 'run')
    with pytest.raises(Interrupted): train(short, folder.path, callbacks=[one, two, StopAt(200)], say=quiet)
    again, other = Counter(), Counter()
    other.name = 'the other'
    go_on(folder, callbacks=[again, other], say=quiet)
    assert (again.count, other.count) == (104, 1004)

def test_a_callback_may_have_any_name(short, tmp_path):
    own = {name: type(name, (Counter,), {})() for name in ('CsvLog', 'SaveWeights', 'FaultLog')}
    with pytest.raises(Interrupted): train(short, tmp_path / 'run', callbacks=[*own.values(), StopAt(200)], say=quiet)
    runner, outcome = go_on(tmp_path / 'run', callbacks=[type(name, (Counter,), {})() for name in own], say=quiet)
    assert outcome == 'finished' and all(runner.callbacks[name].count == 4 for name in own)

@pytest.mark.parametrize('event', ['start', 'interval', 'evaluation', 'state', 'end'])
def test_a_by_product_that_fails_is_left_out_and_told_of_once(short, tmp_path, event):
    class Film(Callback):
        name, byproduct = 'film', True
    def fail(*anything): raise OSError('the reel is empty')
    film, told = Film(), []
    setattr(film, event, fail)
    runner, outcome = train(short, tmp_path / 'run', callbacks=[film], say=told.append)
    assert outcome == 'finished' and [sentence for sentence in told if 'film' in sentence] == ['The film failed (the reel is empty); the run goes on without.']

def test_what_is_no_by_product_still_ends_a_run(short, tmp_path):
    class Needed(Callback):
        def interval(self, runner, row): raise OSError('the disk is full')
    with pytest.raises(OSError, match='disk is full'): train(short, tmp_path / 'run', callbacks=[Needed()], say=quiet)

@pytest.mark.parametrize('encoder', ['/nonexistent', '/bin/true'])
def test_a_run_without_an_encoder_says_so_once_and_ends_well(short, tmp_path, monkeypatch, encoder):
    monkeypatch.setenv('IMAGEIO_FFMPEG_EXE', encoder)
    told, folder = [], RunFolder(tmp_path / 'run')
    runner, outcome = train(with_values(short, {'run.record': True}), folder.path, callbacks=[LiveTraining(folder)], say=told.append)
    assert outcome == 'finished' and ['Videos cannot be written here' in sentence for sentence in told].count(True) == 1
    measure(folder, told.append)
    assert folder.results.exists() and folder.card.exists() and not list(folder.recordings.glob('*'))

def test_no_tensorboard_no_plot_and_no_card_end_no_run(short, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorboard.summary.writer.event_file_writer', None)
    told, folder = [], RunFolder(tmp_path / 'run')
    train(short, folder.path, say=told.append)
    assert any(sentence.startswith('The TensorBoard log failed') for sentence in told)
    monkeypatch.setattr('mario_dqn.show.report.write_report', lambda folder: 1 / 0)
    measure(folder, told.append)
    assert folder.results.exists() and 'Plot and card could not be made: division by zero' in told


# interrupts

def test_an_interrupt_ends_a_loop_over_runs(short, tmp_path):
    with pytest.raises(KeyboardInterrupt, match='after step 200') as told:
        for seed in range(3): train(with_values(short, {'run.seed': seed}), tmp_path / str(seed), callbacks=[StopAt(200)], say=quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['0'] and told.value.runner.step == 200
    folder = RunFolder(tmp_path / '0')
    assert json.loads(folder.machine.read_text())['outcome'] == 'interrupted' and folder.last.exists() and newest_checkpoint(folder.checkpoints)[0].step == 200


# what is written down

def test_machine_json_has_the_threads_that_were_in_force(python, tmp_path):
    code = '''
import json, sys
from mario_dqn.settings import preset, with_values
from mario_dqn.run.files import RunFolder, set_threads
from mario_dqn.network import keras
from mario_dqn.run.train import train
set_threads(1); keras.ops.ones((3, 3)) @ keras.ops.ones((3, 3))          # it has begun to compute
train(with_values(preset('tiny'), {'run.threads': 4, 'run.steps': 100, 'run.record': False}), sys.argv[1])
print(json.loads(RunFolder(sys.argv[1]).machine.read_text())['threads'])'''
    done = python(code, tmp_path / 'run')
    assert done.stdout.split('\n')[-2] == '1' and 'run.threads is 4, but tensorflow has begun with 1' in done.stdout, done.stdout + done.stderr

def test_the_share_of_targets_beyond_the_bins_is_a_column_and_is_told(short, tmp_path):
    narrow = with_values(short, {'agent.value_high': 4.0, 'agent.value_low': -2.0, 'agent.learning_starts': 64})
    class Rich(gymnasium.RewardWrapper):
        def reward(self, reward): return 20 * reward
    told = []
    train(narrow, tmp_path / 'run', make_env=lambda config: Rich(make_env(config)), say=told.append)
    shares = [float(row['beyond_bins'] or 0) for row in rows(tmp_path / 'run' / 'metrics.csv')]
    assert max(shares) > 0.05 and [sentence for sentence in told if 'lie beyond the bins' in sentence]
    train(with_values(short, {'agent.value_bins': 0}), tmp_path / 'plain', say=quiet)
    assert {row['beyond_bins'] for row in rows(tmp_path / 'plain' / 'metrics.csv')} == {''}


# parts of one's own

def own_layers(frames, actions, config, seed):
    x = keras.layers.Conv2D(4, 8, 4, activation='relu', kernel_initializer=keras.initializers.HeUniform(seed=seed))(frames)
    x = keras.layers.Dense(actions * config.value_bins, kernel_initializer=keras.initializers.HeUniform(seed=seed + 1))(keras.layers.Flatten()(x))
    return keras.layers.Reshape((actions, config.value_bins), dtype='float32')(x)

class Brighter(gymnasium.ObservationWrapper):
    "Adds 20 to every pixel."
    def observation(self, observation): return np.minimum(observation, 235) + np.uint8(20)

def bright(config): return Brighter(make_env(config))

def test_own_network_and_own_wrapper_in_a_whole_run(short, tmp_path):
    parts, told, short = dict(layers=own_layers, make_env=bright), [], with_values(short, {'run.games_on': 'process'})     # to which they travel
    whole, stopped = RunFolder(tmp_path / 'whole'), RunFolder(tmp_path / 'stopped')
    train(short, whole.path, say=quiet, **parts)
    broken_off(short, stopped.path, 200, **parts)
    for other in ({}, dict(layers=own_layers), dict(make_env=bright)):
        with pytest.raises(ConfigError, match='functions of its own'): go_on(stopped, say=quiet, **other)
    go_on(stopped, say=quiet, **parts)
    for name in ('metrics', 'episodes', 'evaluations', 'last', 'best'): assert getattr(whole, name).read_bytes() == getattr(stopped, name).read_bytes(), name
    with pytest.raises(ConfigError, match='layers=own_layers'): load_agent(whole)
    agent, config = load_agent(whole, **parts)
    assert agent.online.count_params() < 100_000 and config.run.own_parts == 'layers=own_layers, make_env=bright'
    measure(whole, told.append, **parts)
    assert json.loads(whole.results.read_text())['players'][0]['name'] == 'agent' and whole.card.exists()

def test_an_environment_that_is_no_mario_is_learned_in_a_whole_run(short, tmp_path):
    config = with_values(short, {'run.steps': 800, 'run.eval_interval': 400, 'env.sticky': 0.0, 'agent.epsilon_steps': 300, 'agent.learning_starts': 64})
    runner, outcome = train(config, tmp_path / 'run', make_env=corridor, say=quiet)
    assert outcome == 'finished' and runner.agent.updates > 0
    episodes = rows(tmp_path / 'run' / 'episodes.csv')
    assert len(episodes) >= 10 and {row['start'] for row in episodes} == {'level'} and '1' in {row['terminated'] for row in episodes}


# players that do not learn

def test_kept_rows_of_players_that_do_not_learn_are_what_would_be_measured():
    config = preset('default')
    kept = evaluation.find_baselines(config.env, evaluation.protocol(config.run.final_episodes))
    assert [row['name'] for row in kept] == ['random', 'right', 'tape']
    fresh = evaluation.run_protocol([evaluation.Player('right', 'always right and run', [0])], config.env, evaluation.protocol()[3:])['players'][0]['conditions'][0]
    assert kept[1]['conditions'][3] == json.loads(json.dumps(fresh))
