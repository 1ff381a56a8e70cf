"""The game: what ends it, what is remembered of it, and what it refuses."""
import gc, json, warnings

import gymnasium
import numpy as np
import pytest

from mario_dqn.settings import EnvConfig, LEVELS, LOST_LEVELS
from mario_dqn.env import FrameSkip, JoypadActions, JoypadTape, MarioEnv, NewGround, StuckLimit, make_env, replay_tape, snapshot_of, take_snapshot, tape
from mario_dqn.run.state import env_state, restore_env

from house import ROOT

PLAYING, CLEARED, WORLD, STAGE = 0x0770, 2, 0x075f, 0x075c  # places in the memory of the console


def test_another_level_truncates_the_episode_and_its_flag_is_none():
    game = MarioEnv('1-2')
    game.reset()
    *_, terminated, truncated, info = game.step(0)
    assert not (terminated or truncated) and (info['world'], info['stage']) == (1, 2)
    game.ram[WORLD], game.ram[STAGE], game.ram[PLAYING] = 2, 0, CLEARED                   # world 3-1, at its end
    _, reward, terminated, truncated, info = game.step(0)
    assert (terminated, truncated, info['flag_get'], info['clear']) == (False, True, False, False) and reward <= 0
    with pytest.raises(ValueError, match='done'): game.step(0)
    game.reset()
    game.ram[PLAYING] = CLEARED                                                             # the same at home
    _, reward, terminated, truncated, info = game.step(0)
    assert (terminated, truncated, info['flag_get']) == (True, False, True) and reward == 15

@pytest.mark.parametrize('error, words, call', [
    (gymnasium.error.ResetNeeded, 'before reset', lambda game: MarioEnv().step(0)), (gymnasium.error.ResetNeeded, 'before reset', lambda game: make_env(EnvConfig()).step(0)),
    (TypeError, 'float', lambda game: game.step(1.7)), (ValueError, 'after close', lambda game: (game.close(), game.step(0))), (ValueError, 'after close', lambda game: (game.close(), game.reset())),
], ids=['console-before', 'environment-before', 'fraction', 'step-after', 'reset-after'])
def test_a_step_out_of_place_says_so(error, words, call):
    game = MarioEnv()
    game.reset()
    with pytest.raises(error, match=words): call(game)

@pytest.mark.parametrize('action', [-1, 2])
def test_an_action_is_one_of_the_set(action):
    env = make_env(EnvConfig())
    env.reset()
    with pytest.raises(ValueError, match='from 0 to 1'): env.step(action)


def play(config, seed, steps=300):
    "A game at random: what was seen and where, its tape, and the last info."
    env, rng = make_env(config), np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    seen = [(observation, info['x_pos'])]
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(int(rng.integers(env.action_space.n)))
        seen.append((observation, info['x_pos']))
        if terminated or truncated: break
    kept = tape(env)
    env.close()
    env.close()
    return seen, kept, info

def test_the_same_seed_gives_the_same_game_no_observation_changes_later_and_the_tape_replays_it():
    sticky = EnvConfig(sticky=0.25, actions='complex')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        seen, kept, info = play(sticky, 1)
    again, kept_again, _ = play(sticky, 1)
    assert kept == kept_again and len(seen) == len(again)
    for (a, x), (b, y) in zip(seen, again):
        np.testing.assert_array_equal(a, b, strict=True)
        assert x == y
    assert play(sticky, 2)[1] != kept
    assert len({id(observation) for observation, _ in seen}) == len(seen) and not np.shares_memory(seen[5][0], seen[6][0])
    *_, (_, last) = replay_tape('1-1', kept)
    assert (last['x_pos'], last['time'], last['flag_get']) == (info['x_pos'], info['time'], info['flag_get'])

def test_the_environment_has_the_shape_that_was_asked_for():
    env = make_env(EnvConfig(size=42, stack=2, frame_skip=2, stuck_limit=0, reward='library', crop_top=0, actions='simple'))
    assert env.reset(seed=0)[0].shape == (2, 42, 42) and env.spec is not None


def started(snapshot):
    "A game at a snapshot, or at the start of the level."
    game = MarioEnv()
    game.reset(options={'snapshot': snapshot})
    return game

def test_a_snapshot_outlives_its_game_and_so_does_a_game_that_began_at_one():
    gone = started(None)
    for _ in range(20): gone.step(0x80)
    for closed in (False, True):
        held, copy = snapshot_of(gone, b''), started(snapshot_of(gone, b''))
        ahead = [gone.step(0x80)[0] for _ in range(20)]
        again = started(None)
        again.reset(options={'snapshot': held})
        again.reset()                                                                       # back at its own start, it needs the lender of that alone
        if closed: gone.close()
        gone = started(snapshot_of(copy, b''))                                              # the third in a row
        players = copy, started(held), started(snapshot_of(gone, b''))
        del held, copy
        gc.collect()
        taken = [bytearray(b'\xff' * size) for size in (256, 1000, 4000, 16_000, 40_000, 70_000) for _ in range(200)]  # takes the memory that was freed
        for player in players:
            for picture in ahead: np.testing.assert_array_equal(player.step(0x80)[0], picture, strict=True)
        assert again.needed == again.lender and len(gone.needed) >= 2 and taken
        fresh = started(None)
        for _ in range(30): np.testing.assert_array_equal(again.step(0x80)[0], fresh.step(0x80)[0], strict=True)


class Tired(gymnasium.Wrapper):
    "Counts its steps, and says that this is to be remembered."
    remembered = ('steps',)

    def reset(self, **kwargs):
        self.steps = 0
        return self.env.reset(**kwargs)

    def step(self, action):
        self.steps += 1
        return self.env.step(action)

def test_two_wrappers_of_one_class_keep_two_states_and_ones_own_says_what_it_remembers():
    inner, outer = (Tired(StuckLimit(StuckLimit(make_env(EnvConfig()), 20), 10)) for _ in range(2))
    observation, _ = inner.reset(seed=1)
    for _ in range(7): observation, *_ = inner.step(0)
    inner.env.waited, inner.env.env.waited = 3, 4
    assert restore_env(outer, take_snapshot(inner), json.loads(json.dumps(env_state(inner))), observation)
    assert (outer.steps, outer.env.waited, outer.env.env.waited) == (7, 3, 4)


def test_the_picture_of_a_death_within_a_step_is_kept(): # the frames of a step that nobody looks at are not copied
    env = FrameSkip(JoypadActions(JoypadTape(MarioEnv()), 'right_only'), 7)
    env.reset()
    while not (step := env.step(1))[2]: pass                                            # walks into the first enemy
    screen, kept = env.unwrapped.screen, step[0].copy()
    np.testing.assert_array_equal(step[0], screen)
    assert not np.shares_memory(step[0], screen) and len(tape(env)) % 7                 # so it died before the seventh frame
    env.reset()
    np.testing.assert_array_equal(step[0], kept)
    picture, *_ = env.unwrapped.step(0)
    assert not np.shares_memory(picture, env.unwrapped.screen)                          # whoever plays frame by frame sees copies


def test_a_game_goes_on_with_the_ground_that_it_knew():
    one, two = (make_env(EnvConfig(reward='ground', sticky=0.0, actions='simple')) for _ in range(2))
    one.reset(seed=0)
    for action in [3] * 12 + [6] * 6: observation, *_ = one.step(action)                # right, and some way back
    state = json.loads(json.dumps(env_state(one)))
    assert restore_env(two, take_snapshot(one), state, observation)
    rewards = []
    for action in [3] * 9:
        (_, reward, *_, info), (_, other, *_, found) = one.step(action), two.step(action)
        rewards.append(reward)
        assert reward == other and info == found
    assert max(rewards[:3]) <= 0 < max(rewards)                                         # what was left is worth nothing, and then new ground


def test_levels_begin_in_areas_of_their_own():
    begun = {}
    for level in ('1-1', '1-2', '2-2', '8-4'):
        game = MarioEnv(level)
        begun[level] = game.reset()[1]['area']
        game.close()
    env = make_env(EnvConfig(sticky=0.0, noop_max=0))
    _, info = env.reset(seed=0)
    assert (info['area'], info['distance'], info['x_pos']) == (37, 40, 40)
    assert begun['1-1'] == 37 and len(set(begun.values())) == 4                         # underground, under water, a castle

def test_an_area_that_is_new_counts_one_pixel_and_what_was_gained_before_stays():
    buttons = json.loads((ROOT / 'experiments/clear_tapes.json').read_text())['2-2']['run']
    env = NewGround(MarioEnv('2-2'))
    _, before = env.reset()
    changes, over = [], False
    for byte in np.repeat(list(bytes.fromhex(buttons)), 4).tolist():
        if over: break
        *_, over, _, after = env.step(byte)
        assert after['distance'] >= before['distance']
        if after['area'] != before['area']: changes.append((before['x_pos'], after['x_pos'], after['distance'] - before['distance']))
        before = after
    env.close()
    assert over and changes == [(3011, 2872, 1)] and before['distance'] == 3301          # out of the water, to the flag of the first level at 3,161


@pytest.mark.parametrize('level', [level if level in ('1-1', '2-2', '8-4', 'lost-3-3') else pytest.param(level, marks=pytest.mark.full) for level in LEVELS + LOST_LEVELS])
def test_a_delayed_start_kills_nobody(level):
    env = make_env(EnvConfig(level=level, sticky=0.0))
    env.reset(seed=0, options={'noops': 30})
    game = env.unwrapped
    for _ in range(30): *_, terminated, truncated, info = game.step(0)                 # as long again
    assert not (terminated or truncated or info['is_dying'] or info['is_dead']) and info['time'] > 290
    assert f"{info['world']}-{info['stage']}" == level.removeprefix('lost-')


@pytest.mark.parametrize('level', ['1-1', '2-2', '4-4', 'lost-1-1'])
def test_time_that_runs_out_is_a_death(level):
    game = MarioEnv(level)
    game.reset()
    for place, digit in zip((0x07f8, 0x07f9, 0x07fa), (0, 0, 1)): game.ram[place] = digit   # one tick is left
    for _ in range(200):
        *_, terminated, truncated, info = game.step(0)
        if terminated or truncated: break
    assert (terminated, truncated, info['flag_get'], info['time']) == (True, False, False, 0)


def test_a_step_that_fails_leaves_a_console_that_copies_its_screen():
    env = FrameSkip(JoypadActions(MarioEnv(), 'right_only'), 4)
    env.reset()
    with pytest.raises(ValueError, match='action is 99'): env.step(99)
    picture, *_ = env.unwrapped.step(0)
    assert not np.shares_memory(picture, env.unwrapped.screen)

@pytest.mark.parametrize('reward', ['classic', 'ground', 'library'])
def test_a_step_before_the_first_reset_says_so(reward):
    with pytest.raises(gymnasium.error.ResetNeeded): make_env(EnvConfig(reward=reward, sticky=0.0)).step(0)
