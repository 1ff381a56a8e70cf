"""The agent: three backends, no setting of the process that it inherits, no silent cast, weights by place, a precision that does not waver."""
import importlib.util, json, os, subprocess, sys
from copy import replace

import numpy as np
import pytest

from mario_dqn.agent import Agent
import mario_dqn.run.checkpoint  # noqa: F401 (tells an agent what it has to remember)
from mario_dqn.settings import AgentConfig
from mario_dqn.network import frames_last, keras
from mario_dqn.replay import Batch

SMALL = dict(filters=(8, 16), kernels=(8, 4), strides=(4, 4), hidden=32, batch_size=16, learning_starts=16, precision='float32')
NO_TORCH = pytest.mark.skipif(importlib.util.find_spec('torch') is None, reason='PyTorch is not installed')
BACKENDS = ['tensorflow', 'jax', pytest.param('torch', marks=NO_TORCH)]
OTHERS_RARELY = ['tensorflow', pytest.param('jax', marks=pytest.mark.full), pytest.param('torch', marks=[pytest.mark.full, NO_TORCH])]

LEARN = '''
import sys, hashlib, numpy as np, keras
exec(sys.argv[1])
from mario_dqn.agent import Agent
import mario_dqn.run.checkpoint
from mario_dqn.run.checkpoint import load_agent
from mario_dqn.settings import AgentConfig
from mario_dqn.run.files import set_threads, shipped_agent
from mario_dqn.replay import Batch
set_threads(1)
rng, answers = np.random.default_rng(0), []
for precision, half in (('float32', 50_000), ('bfloat16', 0)):
    agent = Agent(AgentConfig(filters=(8, 16), kernels=(8, 4), strides=(4, 4), hidden=32, batch_size=16, learning_starts=16, precision=precision,
                              learning_rate_half=half), (4, 36, 36), 3)
    frames = rng.integers(0, 256, (2, 16, 4, 36, 36), np.uint8)
    batch = Batch(frames[0], rng.integers(3, size=16), rng.normal(size=16).astype('f4'), frames[1], np.full(16, 0.5, 'f4'), np.ones(16, 'f4'), np.arange(16))
    for _ in range(12): result = agent.update(batch)
    assert np.isfinite(result.loss) and result.beyond == 0.0
    for array in agent.arrays().values(): answers.append(array.tobytes())
    rng = np.random.default_rng(0)
shipped, _ = load_agent(shipped_agent())
answers.append(shipped.q_values(rng.integers(0, 256, (8, 4, 68, 68), np.uint8)).tobytes())
print(hashlib.sha256(b''.join(answers)).hexdigest())
'''


HOSTILE = "keras.config.set_dtype_policy('mixed_bfloat16'); keras.config.set_image_data_format('channels_first'); keras.config.set_floatx('float16')"

@pytest.mark.parametrize('backend', OTHERS_RARELY)
def test_settings_of_the_process_are_not_inherited(python, backend):
    done = [python(LEARN, setting, KERAS_BACKEND=backend) for setting in ('pass', HOSTILE)]
    assert done[0].returncode == done[1].returncode == 0, done[0].stderr[-2000:] + done[1].stderr[-2000:]
    assert done[0].stdout.split()[-1] == done[1].stdout.split()[-1]


def test_the_process_keeps_its_own_settings(python):
    code = '''
import keras
keras.config.set_dtype_policy('mixed_float16'); keras.config.set_image_data_format('channels_first')
seen, kept = [], keras.config.set_dtype_policy
keras.config.set_dtype_policy = lambda *policy: (seen.append(policy), kept(*policy))
from mario_dqn.agent import Agent; from mario_dqn.settings import AgentConfig
Agent(AgentConfig(precision='bfloat16'), (4, 68, 68), 2)
print(keras.config.dtype_policy().name, keras.config.image_data_format(), seen)'''
    assert python(code).stdout.split('\n')[0] == 'mixed_float16 channels_first []'


@pytest.mark.parametrize('backend', BACKENDS)
def test_an_update_works_with_every_backend(python, backend):
    code = f'''
import itertools, numpy as np
from mario_dqn.agent import Agent; from mario_dqn.settings import AgentConfig; from mario_dqn.replay import Batch
frames = np.random.default_rng(0).integers(0, 256, (2, 16, 4, 36, 36), np.uint8)
batch = Batch(frames[0], np.zeros(16, int), np.ones(16, 'f4'), frames[1], np.zeros(16, 'f4'), np.ones(16, 'f4'), np.arange(16))
for bins, double, munchausen in ((51, True, 0.0), (0, False, 0.9)):
    values = dict(value_bins=bins, double=double, dueling=double, munchausen=munchausen)
    agent = Agent(AgentConfig(**{SMALL!r} | values), (4, 36, 36), 3)
    errors = [np.abs(agent.update(batch).td_error).mean() for _ in range(60)]
    assert errors[-1] < errors[0] / 2, errors
    agent.load(agent.weights())'''
    done = python(code, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr[-2000:]


CONTINUE = '''
import sys, json, pathlib, numpy as np
from mario_dqn.run.checkpoint import newest_checkpoint
from mario_dqn.settings import preset, with_values
from mario_dqn.runner import Callback
from mario_dqn.run.train import Interrupted, go_on, train
import signal
class Stop(Callback):
    def after_step(self, runner, result, epsilon):
        if runner.step == 296: runner.stop(signal.SIGINT)
config = with_values(preset('tiny'), {'run.steps': 400, 'run.eval_interval': 400, 'run.eval_episodes': 1, 'run.record': False, 'run.games_on': 'threads',
                                      'agent.precision': 'float32', 'agent.value_bins': 0, 'agent.dueling': False})
try: train(config, sys.argv[1], callbacks=[Stop()]) if sys.argv[2] == 'begin' else go_on(sys.argv[1])
except Interrupted: pass
'''


@pytest.mark.full
@pytest.mark.parametrize('first, second', [('jax', 'tensorflow'), ('tensorflow', 'jax')])
def test_a_run_goes_on_with_another_backend(python, tmp_path, first, second):
    begun = python(CONTINUE, tmp_path / 'run', 'begin', KERAS_BACKEND=first)
    assert begun.returncode == 0, begun.stderr[-2000:]
    done = python(CONTINUE, tmp_path / 'run', 'go on', KERAS_BACKEND=second)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f'backend was {first} and is {second}.' in done.stdout
    machine = json.loads((tmp_path / 'run' / 'machine.json').read_text())
    assert (machine['outcome'], machine['steps'], machine['backend']) == ('finished', 400, second)


def test_counters_of_another_width_are_taken_and_other_kinds_refused():
    agent = Agent(AgentConfig(**SMALL), (4, 36, 36), 3)
    arrays = agent.arrays()
    counter = next(name for name, array in arrays.items() if array.dtype.kind == 'i')
    for dtype in ('int32', 'int64'): agent.restore(arrays | {counter: np.asarray(7, dtype)})
    assert agent.arrays()[counter] == 7
    with pytest.raises(ValueError, match=f'{counter} is float32'): agent.restore(arrays | {counter: np.float32(7)})


@pytest.mark.parametrize('observations', [
    np.zeros((1, 4, 36, 36), np.float32), np.zeros((1, 4, 36, 36)), np.zeros((1, 4, 36, 36), np.int64), np.zeros((1, 4, 36, 36), bool),
    np.zeros((4, 36, 36), np.uint8), np.zeros((1, 36, 36, 4), np.uint8), np.zeros((1, 3, 36, 36), np.uint8), np.zeros((1, 4, 35, 36), np.uint8), [[0]], None])
def test_anything_but_bytes_of_the_right_shape_is_refused(observations):
    agent = Agent(AgentConfig(**SMALL), (4, 36, 36), 3)
    calls = [lambda: agent.q_values(observations), lambda: agent.average_values(observations), lambda: agent.act(observations, 0.0, np.random.default_rng(0)),
             lambda: agent.update(Batch(observations, np.zeros(16, int), np.zeros(16, 'f4'), observations, np.zeros(16, 'f4'), np.ones(16, 'f4'), np.arange(16)))]
    for call in calls:
        with pytest.raises(ValueError, match='The observations'): call()


@pytest.mark.parametrize('actions', [np.zeros(15, int), np.zeros(16), np.full(16, 3), np.full(16, -1)])
def test_actions_of_a_batch_are_actions(actions):
    agent, pictures = Agent(AgentConfig(**SMALL), (4, 36, 36), 3), np.zeros((16, 4, 36, 36), np.uint8)
    batch = Batch(pictures, actions, np.zeros(16, 'f4'), pictures, np.zeros(16, 'f4'), np.ones(16, 'f4'), np.arange(16))
    with pytest.raises(ValueError, match='16 whole numbers from 0 to 2'): agent.update(batch)


@pytest.mark.parametrize('change', [lambda w: w.astype('float64'), lambda w: w.astype('int32'), lambda w: w[..., None]])
def test_weights_of_another_kind_are_refused(change):
    agent = Agent(AgentConfig(**SMALL), (4, 36, 36), 3)
    weights = agent.weights()
    with pytest.raises(ValueError, match='network: 0 '): agent.load(weights | {'0': change(weights['0'])})


def nameless(frames, actions, config, seed):
    x = keras.layers.Conv2D(4, 8, 4, activation='relu')(frames)
    return keras.layers.Dense(actions)(keras.layers.Dense(8, activation='relu')(keras.layers.Flatten()(x)))


def test_own_layers_without_names_load_into_each_other():
    config = AgentConfig(**SMALL | dict(value_bins=0))
    one, two = (Agent(config, (4, 36, 36), 3, seed, nameless) for seed in (1, 2))
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 36, 36), np.uint8)
    assert (one.q_values(frames) != two.q_values(frames)).any()
    two.load(one.weights())
    np.testing.assert_array_equal(one.q_values(frames), two.q_values(frames), strict=True)


@pytest.mark.full
def test_the_precision_is_the_same_under_load(python):
    code = 'from mario_dqn.network import precision_choice; print(precision_choice())'
    alone = python(code)
    assert alone.returncode == 0 and "'" in alone.stdout, alone.stderr
    busy = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(2 * (os.cpu_count() or 1))]
    try: answers = {python(code).stdout for _ in range(2)}
    finally:
        for process in busy: process.kill()
        for process in busy: process.wait()
    assert answers == {alone.stdout}


@pytest.mark.parametrize('backend', OTHERS_RARELY)
def test_importing_the_package_sets_nothing_and_a_run_sets_its_threads(python, backend):
    code = '''
import os
before = dict(os.environ)
import mario_dqn.cli, mario_dqn.run.train, mario_dqn.show.player
print(sorted(name for name in os.environ if 'THREAD' in name and before.get(name) != os.environ[name]))
from mario_dqn.settings import preset, with_values
from mario_dqn.run.files import set_threads, threads_in_force
from mario_dqn.run.checkpoint import build_agent
build_agent(with_values(preset('tiny'), {'run.threads': 3, 'agent.precision': 'float32'}))
print(threads_in_force())'''
    done = python(code, KERAS_BACKEND=backend)
    assert done.stdout.split('\n')[:2] == ['[]', '3'], done.stdout + done.stderr[-2000:]


# an update, by hand

PLAIN = AgentConfig(filters=(8, 16), kernels=(8, 4), strides=(4, 4), hidden=32, batch_size=16, learning_rate=2e-3, precision='float32', target_acts=False, value_bins=0,
                    layer_norm=False)

def random_batch(rng, size=16):
    "Transitions without meaning."
    frames = rng.integers(0, 256, (2, size, 4, 84, 84), np.uint8)
    return Batch(frames[0], rng.integers(5, size=size), rng.normal(size=size).astype('float32'), frames[1], np.zeros(size, 'float32'), np.ones(size, 'float32'), np.arange(size))

BATCH = random_batch(np.random.default_rng(0))
ROWS = np.arange(16)

def test_the_error_that_comes_back_is_target_less_expectation_before_the_update():
    agent = Agent(PLAIN, (4, 84, 84), 5, seed=3)
    before = agent.q_values(BATCH.observation)[ROWS, BATCH.action]
    result = agent.update(BATCH)
    np.testing.assert_allclose(result.td_error, BATCH.reward - before, atol=1e-5)
    np.testing.assert_allclose(result.q_mean, before.mean(), atol=1e-5)
    assert result.td_error.dtype == np.float32 and result.td_error.shape == (16,)

def test_with_a_weight_of_0_nothing_is_learned():
    agent = Agent(PLAIN, (4, 84, 84), 5, seed=3)
    start = agent.online.get_weights()
    agent.update(BATCH._replace(weight=np.zeros(16, 'float32')))
    for array, before in zip(agent.online.get_weights(), start): np.testing.assert_array_equal(array, before)

def test_with_a_histogram_for_each_value_it_learns_a_batch_by_heart_too():
    agent = Agent(replace(PLAIN, value_bins=51, layer_norm=True), (4, 84, 84), 5)
    losses = [agent.update(BATCH).loss for _ in range(150)]
    assert 0 < losses[-1] < losses[0] / 2                                                 # above 0, as the bells have a width
    np.testing.assert_allclose(agent.q_values(BATCH.observation)[ROWS, BATCH.action], BATCH.reward, atol=0.1)

@pytest.mark.parametrize('bins', [0, 51])
def test_a_soft_promise_and_the_fine_of_an_action_come_from_the_target_network(bins):
    settings = replace(PLAIN, munchausen=0.9, temperature=0.2, value_bins=bins, target_period=1000)
    agent, rng = Agent(settings, (4, 84, 84), 5), np.random.default_rng(4)
    for _ in range(20): agent.update(random_batch(rng))                                   # the two networks part
    last = random_batch(rng)._replace(discount=rng.uniform(0.1, 1, 16).astype('float32'))
    now, following = (agent.target.predict_on_batch(frames_last(frames)) for frames in (last.observation, last.next_observation))
    def policy(q): return np.exp(q / 0.2) / np.exp(q / 0.2).sum(1, keepdims=True)
    fine = np.clip(0.2 * np.log(policy(now))[ROWS, last.action], -1, 0)
    worth = (policy(following) * (following - 0.2 * np.log(policy(following)))).sum(1)
    assert fine.min() < -0.3 and np.abs(worth - following.max(1)).max() > 0.05             # it is another target than without
    before = agent.online.predict_on_batch(frames_last(last.observation))[ROWS, last.action]
    np.testing.assert_allclose(agent.update(last).td_error, last.reward + 0.9 * fine + last.discount * worth - before, atol=1e-3)

@pytest.mark.parametrize('double', [True, False], ids=['double', 'single'])
@pytest.mark.parametrize('bins', [0, 51])
def test_one_network_chooses_the_next_action_and_one_says_what_it_is_worth(double, bins):
    agent, rng = Agent(replace(PLAIN, double=double, value_bins=bins, target_period=1000), (4, 84, 84), 5), np.random.default_rng(4)
    for _ in range(20): agent.update(random_batch(rng))                                   # the two networks part
    last = random_batch(rng)._replace(discount=rng.uniform(0.1, 1, 16).astype('float32'))
    online, target = (network.predict_on_batch(frames_last(last.next_observation)) for network in (agent.online, agent.target))
    assert (online.argmax(1) != target.argmax(1)).any()
    worth = target[ROWS, (online if double else target).argmax(1)]
    before = agent.online.predict_on_batch(frames_last(last.observation))[ROWS, last.action]
    np.testing.assert_allclose(agent.update(last).td_error, last.reward + last.discount * worth - before, atol=1e-3)
