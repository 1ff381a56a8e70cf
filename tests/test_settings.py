"""Settings and conditions: what cannot be is refused where it is made, in words; what is equal in value is taken."""
import json, os
from copy import replace
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
from hypothesis import given, settings, strategies as some

from mario_dqn.settings import AgentConfig, Config, ConfigError, EnvConfig, KEYS, RunConfig, from_toml, limit, preset, excerpt, to_toml, with_values
from mario_dqn.run.files import load_config
from mario_dqn.env import FrameSkip, JoypadActions, MarioEnv, RandomStart, SmallGray, StuckLimit, make_env
from mario_dqn.evaluation import Condition, play_episodes
from mario_dqn.games import GameVector, Workers
from mario_dqn.run.process import GameProcess


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
    (lambda: SmallGray(MarioEnv(), 32, 0), 'env.size is 0'),
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


# what cannot be, whether it comes from a program or from a file

BAD = {
    'env.level': ('one of 1-1, 1-2', ['9-1', '1-5', '', 11, ['1-1']]),
    'env.actions': ('one of right_only, simple, complex, run, every_level', ['right', 'RIGHT_ONLY', 5]),
    'env.frame_skip': ('a whole number from 1 to 16', [0, 17, -4, 4.0, '4', True]),
    'env.crop_top': ('a whole number from 0 to 120', [-1, 121, 3.5]),
    'env.size': ('a whole number from 36 to 240', [35, 241, 10**30, 84.5, [84, 84]]),
    'env.stack': ('a whole number from 1 to 16', [0, 17, 'four']),
    'env.sticky': ('a number from 0.0 to 0.99', [-0.01, 1.0, 'often', False]),
    'env.noop_max': ('a whole number from 0 to 200', [-1, 201]),
    'env.show_buttons': ('true or false', [0, 1, 'true', 1.0]),
    'env.stuck_limit': ('a whole number from 0 to 10000', [-1, 10_001]),
    'agent.filters': ('a list of whole numbers, 1 to 8 of them, each from 1 to 1024', [[], [0], [32, 1025], [32.0], 32, '32', [True], [1] * 9, [[32]], {'a': 1}]),
    'agent.kernels': ('each from 1 to 240', [[8, 4, 0], [241], 'small']),
    'agent.strides': ('each from 1 to 240', [[-1], ['2', '2', '2']]),
    'agent.hidden': ('a whole number from 1 to 4096', [0, 4097, 256.5]),
    'agent.precision': ('one of auto, float32, bfloat16', ['float16', 32]),
    'agent.double': ('true or false', ['no', 0.0]),
    'agent.discount': ('a number from 0.0 to 0.9999', [-0.1, 1.0, float('nan'), float('inf'), '0,9', '0.9', [0.9]]),
    'agent.learning_rate': ('a number from 1e-08 to 1.0', [0, -1e-3, 1.5, 'fast']),
    'agent.batch_size': ('a whole number from 1 to 4096', [0, 4097, 64.0]),
    'agent.samples_per_step': ('a number from 0.01 to 1024.0', [0, 1e9, float('-inf')]),
    'agent.replay_capacity': ('a whole number from 100 to 10000000', [99, 10**7 + 1, '1e6']),
    'agent.priority_exponent': ('a number from 0.0 to 1.0', [-1, 1.01]),
    'run.seed': ('a whole number from 0 to 2147483647', [-1, 2**31, 0.5]),
    'run.steps': ('a whole number from 1 to 1000000000', [0, 10**9 + 1, 1e6, '1e6', True]),
    'run.games': ('a whole number from 1 to 256', [0, 257]),
    'run.middle_starts': ('a number from 0.0 to 0.95', [1, -0.5]),
    'run.record': ('true or false', ['on', 2]),
    'run.own_parts': ('text of one line', ['two\nlines', 'x' * 201, 3]),
}
CASES = [pytest.param(key, value, words, id=f'{key}-{number}') for key, (words, values) in BAD.items() for number, value in enumerate(values)]

def as_toml(value):
    "A value as TOML."
    if isinstance(value, dict): return '{' + ', '.join(f'{key} = {as_toml(part)}' for key, part in value.items()) + '}'
    return json.dumps(value).replace('NaN', 'nan').replace('Infinity', 'inf')

@pytest.mark.parametrize('key, value, words', CASES)
def test_a_bad_value_is_refused_from_a_program_and_from_a_file(promise, key, value, words):
    assert len(CASES) >= 90
    for attempt in (lambda: with_values(Config(), {key: value}), lambda: from_toml(f'{key} = {as_toml(value)}', 'config.toml')):
        with pytest.raises(ConfigError) as error: attempt()
        text = str(error.value)
        assert f'{key} is {excerpt(value)}, but must be ' in text and words in text and '\n' not in text
    promise('settings that cannot be, from a program and from a file', 'refused')

@pytest.mark.parametrize('value', ['x' * 10**6, [1] * 10**5, 16**5000, [16**5000], {i: i for i in range(1000)}, b'x' * 10**5, None, object()], ids=lambda value: type(value).__name__)
def test_a_value_of_any_kind_is_refused_in_few_words(value):
    with pytest.raises(ConfigError, match='agent.discount is ') as error: with_values(Config(), {'agent.discount': value})
    assert len(str(error.value)) < 300

@pytest.mark.parametrize('values, words', [
    ({'agent.learning_starts': 31}, 'at least agent.batch_size, 32'), ({'agent.value_bins': 2}, '0 or at least 3'), ({'agent.value_low': 14.0}, 'below agent.value_high, 14.0'),
    ({'agent.kernels': (69, 1, 1)}, 'must fit the 68 pixels'), ({'agent.strides': (1, 1)}, 'need one for each'), ({'agent.replay_capacity': 8_000}, 'at most 3872'),
    ({'agent.replay_capacity': 128, 'agent.learning_starts': 64}, 'at most 1 '), ({'agent.replay_capacity': 120, 'agent.learning_starts': 64}, 'at least 128 for 8 games'),
    ({'agent.filters': (1024,) * 3, 'agent.kernels': (16, 16, 16), 'agent.strides': (1, 1, 1)}, 'at most 50,000,000 are allowed'),
    ({'env.size': 240, 'agent.strides': (1, 1, 1)}, 'make a network of'), ({'env.size': 36, 'agent.kernels': (8, 8, 8)}, 'must fit the'),
])
def test_values_that_do_not_fit_each_other_are_refused(values, words):
    with pytest.raises(ConfigError) as error: with_values(Config(), values)
    assert words in str(error.value) and any(key in str(error.value) for key in values)

@pytest.mark.parametrize('make, words', [
    (lambda: EnvConfig(sise=3), 'env.sise is not a setting; did you mean env.size?'),
    (lambda: Config(envv=EnvConfig()), 'envv is not a setting; did you mean env?'),
    (lambda: with_values(Config(), {'agent.discuont': 0.5}), 'did you mean agent.discount?'),
    (lambda: with_values(Config(), {'x' * 10**5: 1}), 'is not a setting'),
    (lambda: with_values(Config(), {7: 1}), '7 is not a setting'),
    (lambda: Config(env={'level': '9-9'}), "env.level is '9-9'"),
    (lambda: Config(env=3), 'env is 3, but must be an EnvConfig'),
    (lambda: EnvConfig(level='1-2').model_copy().__replace__(level='9-9'), "env.level is '9-9'"),
    (lambda: Condition('x', 'x'), 'condition.episodes is missing'),
])
def test_an_unknown_name_and_a_wrong_group_are_refused(make, words):
    with pytest.raises(ConfigError) as error: make()
    assert words in str(error.value) and len(str(error.value)) < 2500

@pytest.mark.parametrize('make', [lambda: EnvConfig('1-1', level='1-2'), lambda: EnvConfig(*['1-1'] * 14)], ids=['twice', 'too-many'])
def test_values_in_their_order_are_not_given_twice(make):
    with pytest.raises(TypeError, match='twice, or too many'): make()

def test_nobody_can_change_settings_that_were_checked():
    with pytest.raises(ValueError): EnvConfig().level = '9-9'
    with pytest.raises(ValueError): Config().agent.discount = 2.0


# files

@pytest.mark.parametrize('text, words', [
    ('', 'holds no settings'), ('agent = 3', 'agent is 3, but must be a group of settings'), ('agent = [', 'is not valid TOML'), ('run = {seed = 1, seed = 2}', 'is not valid TOML'),
    ('[run]\nseed = 1\n[run]\nsteps = 2', 'is not valid TOML'), ('run = ' + '[' * 5000, 'is not valid TOML'), ('run.steps = ' + '9' * 5000, 'is not valid TOML'),
    ('run.steps = 0x' + 'f' * 5000, '<int, too long to be shown>'), ('run.seed = 2001-01-01', 'run.seed is datetime.date(2001, 1, 1)'), ('\ufeffrun.seed = 1', 'is not valid TOML'),
    ('agent: {discount: 0.9}', 'is not valid TOML'), (''.join(f'k{i} = {{}}\n' for i in range(12_000)), 'k0 is not a setting'),
    ('agent.filters = ' + '[' * 18 + ']' * 18, 'agent.filters is [[[['),
], ids=lambda value: value[:40])
def test_a_text_that_holds_no_settings_is_refused(text, words):
    with pytest.raises(ConfigError) as error: from_toml(text)
    assert words in str(error.value) and len(str(error.value)) < 1000

def test_a_file_is_read_as_far_as_it_is_one(tmp_path):
    path = tmp_path / 'config.toml'
    path.write_bytes(b'run.seed = 7\r\n')
    assert load_config(path).run.seed == 7
    for data, words in ((b'# ' + b'x' * 99_999, 'larger than 100,000 bytes'), (b'\xff\xfe', 'not UTF-8')):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=words): load_config(path)
    with pytest.raises(ConfigError, match='Is a directory'): load_config(tmp_path)
    with pytest.raises(ConfigError, match='No such file'): load_config(tmp_path / 'none')

@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='there are no pipes with names')
def test_a_file_that_never_ends_is_refused(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', '/dev/zero'):
        with pytest.raises(ConfigError, match='no ordinary file'): load_config(path)

@pytest.mark.parametrize('name', ['config.toml', 'config.yaml'])
def test_settings_of_an_earlier_version_are_refused_with_one_sentence(tmp_path, name):
    (tmp_path / 'config.yaml').write_text('run:\n  seed: 7\n')
    with pytest.raises(ConfigError) as error: load_config(tmp_path / name)
    assert str(error.value) == f'{tmp_path / "config.yaml"} is of an earlier version, which wrote YAML; this version reads TOML only.'


# whatever a machine thinks of: the result is a valid configuration that comes back unchanged from its text, or a `ConfigError` that names the key

plain = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20) | some.binary(max_size=8) | some.dates() | some.integers(300, 6000).map(lambda digits: 10**digits)
anything = some.recursive(plain, lambda part: some.lists(part, max_size=10) | some.dictionaries(some.text(max_size=5), part, max_size=3) | some.tuples(part), max_leaves=6)
examples = settings(max_examples=500, deadline=None, database=None, derandomize=True)

def near(key): # the full name of a setting
    "Values of its own type, in its range or a little beyond."
    group, _, name = key.partition('.')
    field = Config.model_fields[group].annotation.model_fields[name]
    kind = field.annotation
    if get_origin(kind) is Literal: return some.sampled_from(get_args(kind))
    if kind is bool: return some.booleans()
    if kind is str: return some.text(max_size=300)
    many = get_origin(kind) is tuple
    if kind == tuple[str, ...]: return some.lists(some.sampled_from(['1-1', '2-4', 'world-3', 'all', '9-9', '']), max_size=4)
    metadata = get_args(kind)[0].__metadata__[0].metadata if many else field.metadata
    low, high = limit(metadata, 'ge'), limit(metadata, 'le')
    if kind is float: return some.floats(low - 0.1 * abs(low), high * 1.1)
    number = some.integers(low - 1, high + 1) | some.integers(low, min(high, low + 100))
    return some.lists(number, min_size=3, max_size=3) if many else number

def test_whatever_is_put_in_is_taken_or_refused():
    outcomes = dict(accepted=0, refused=0)

    @examples
    @given(some.sampled_from(KEYS).flatmap(lambda key: some.tuples(some.just(key), anything | near(key))))
    def put_in(pair):
        key, value = pair
        try: config = with_values(Config(), {key: value})
        except ConfigError as error:
            outcomes['refused'] += 1
            assert key in str(error) and len(str(error)) < 1000
        else:
            outcomes['accepted'] += 1
            assert from_toml(to_toml(config)) == config

    put_in()
    assert min(outcomes.values()) > 50

WORDS = [*'[]{}:,-=.&*!|>%@`"\'# \n\t', ' = ', '\n', '"""', "'''", 'agent', 'discount', 'run', 'steps', '0x', '1e3', 'inf', '2001-01-01', 'true', 'é', '\0', '\ufeff']

@examples
@given(some.lists(some.sampled_from(WORDS) | some.text(max_size=3), max_size=20).map(''.join))
def test_whatever_is_written_is_taken_or_refused(text):
    try: assert isinstance(from_toml(text), Config)
    except ConfigError as error: assert len(str(error)) < 3000
