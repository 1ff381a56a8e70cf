"""Settings and conditions: what cannot be is refused where it is made, in words; what is equal in value is taken."""
from dataclasses import replace

import numpy as np
import pytest

from mario_dqn.config import AgentConfig, Config, ConfigError, EnvConfig, RunConfig, preset, with_values
from mario_dqn.env import FrameSkip, JoypadActions, MarioEnv, RandomStart, SmallGray, StuckLimit, make_env
from mario_dqn.evaluate import Condition, play_episodes
from mario_dqn.vector import GameProcess, GameVector, Workers


@pytest.mark.parametrize('part, values, words', [
    (EnvConfig, dict(reward='Classic'), "env.reward is 'Classic'"),
    (EnvConfig, dict(stuck_limit=-1), 'env.stuck_limit is -1'),
    (EnvConfig, dict(size=10**9), 'env.size is 1000000000'),
    (AgentConfig, dict(precision='float16'), "agent.precision is 'float16'"),
    (AgentConfig, dict(learning_rate=-0.001), 'agent.learning_rate is -0.001'),
    (AgentConfig, dict(filters=(8, 8)), 'need one for each convolution'),
    (AgentConfig, dict(value_low=3.0, value_high=2.0), 'must be below agent.value_high'),
    (AgentConfig, dict(discount=np.float64('nan')), 'agent.discount is'),
    (RunConfig, dict(games=0), 'run.games is 0'),
    (RunConfig, dict(seed=np.int64(-1)), 'run.seed is'),
    (RunConfig, dict(record=1), 'run.record is 1'),
    (Condition, dict(name='x', label='x', episodes=1, epsilon=2.0), 'condition.epsilon is 2.0'),
    (Condition, dict(name='x', label='x', episodes=1, sticky=-0.1), 'condition.sticky is -0.1'),
    (Condition, dict(name='x', label='x', episodes=0), 'condition.episodes is 0'),
    (Condition, dict(name='x', label='x', episodes=1, noops='some'), 'condition.noops'),
])
def test_a_part_refuses_what_it_cannot_be(part, values, words):
    with pytest.raises(ConfigError, match=words.replace('(', r'\(')): part(**values)


@pytest.mark.parametrize('make, words', [
    (lambda: FrameSkip(MarioEnv(), 0), 'env.frame_skip is 0'),
    (lambda: StuckLimit(MarioEnv(), -1), 'env.stuck_limit is -1'),
    (lambda: RandomStart(MarioEnv(), 1000), 'env.noop_max is 1000'),
    (lambda: SmallGray(MarioEnv(), -1), 'env.crop_top is -1'),
    (lambda: JoypadActions(MarioEnv(), 'fly'), "env.actions is 'fly'"),
    (lambda: replace(EnvConfig(), sticky=1.0), 'env.sticky is 1.0'),
    (lambda: GameVector(EnvConfig(), 0), 'run.games is 0'),
    (lambda: GameVector(EnvConfig(), 1, timeout=0), 'run.game_timeout is 0'),
    (lambda: GameProcess(EnvConfig(), 0), 'run.games is 0'),
    (lambda: GameVector(EnvConfig(), 1, workers=0), '0 threads can do no calls'),
    (lambda: Workers(0), '0 threads can do no calls'),
    (lambda: play_episodes([0], EnvConfig(), Condition('x', 'x', 1), games=0), '0 games can play nothing'),
    (lambda: play_episodes([7], EnvConfig(), Condition('x', 'x', 1)), 'whole numbers from 0 to 1'),
    (lambda: play_episodes('right', EnvConfig(), Condition('x', 'x', 1)), 'must be a function'),
    (lambda: make_env('1-1'), 'must be an EnvConfig'),
    (lambda: Config(agent=EnvConfig()), 'agent is EnvConfig'),
])
def test_whatever_uses_a_value_checks_it(make, words):
    with pytest.raises((ConfigError, ValueError, TypeError)) as error: make()
    assert words in str(error.value)


@pytest.mark.parametrize('key, given, kept', [
    ('agent.batch_size', np.int64(32), 32), ('agent.batch_size', np.uint8(32), 32), ('agent.discount', np.float64(0.5), 0.5),
    ('agent.discount', np.float32(0.5), 0.5), ('agent.discount', np.int32(0), 0.0), ('agent.double', np.bool_(False), False),
    ('env.level', np.str_('1-2'), '1-2'), ('agent.filters', np.array([8, 8, 8]), (8, 8, 8)), ('agent.filters', (np.int64(8),) * 3, (8, 8, 8)),
])
def test_a_number_of_numpy_is_a_number(key, given, kept):
    group, _, name = key.partition('.')
    value = getattr(getattr(with_values(Config(), {key: given}), group), name)
    assert value == kept and type(value) is type(kept)


@pytest.mark.parametrize('key, given', [('agent.double', np.int64(1)), ('run.games', np.bool_(True)), ('run.games', np.float64(4.0)),
                                        ('agent.discount', np.array([0.9])), ('env.size', np.array([[68]]))])
def test_another_kind_stays_another_kind(key, given):
    with pytest.raises(ConfigError, match=key): with_values(Config(), {key: given})


@pytest.mark.parametrize('values, words', [
    ({'agent.discount': 0.98}, 'at least 20'), ({'agent.discount': 0.99}, 'at least 40'), ({'agent.reward_scale': 1.0}, 'at least 120'),
    ({'agent.flag_bonus': 1000.0}, 'at least 34'), ({'env.frame_skip': 16}, 'at least 16'), ({'agent.death_penalty': 500.0}, 'at most -18'),
])
def test_values_beyond_the_histogram_are_refused_with_the_bin_that_would_do(values, words):
    with pytest.raises(ConfigError) as error: with_values(Config(), values)
    assert words in str(error.value)
    bin, number = ('agent.value_high', words.split()[-1]) if 'least' in words else ('agent.value_low', words.split()[-1])
    more = {'agent.value_low': -100.0} if 'agent.reward_scale' in values else {}
    with_values(Config(), values | more | {bin: float(number)})                    # what is named does
    with_values(Config(), values | {'agent.value_bins': 0})                        # and a plain number has no bins


def test_presets_and_their_neighbours_fit():
    for name in ('default', 'tiny', 'gpu'): preset(name)
    for discount in (0.0, 0.95, 0.97): with_values(Config(), {'agent.discount': discount})
