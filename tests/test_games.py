"""Games: snapshots, levels that are left, games that nobody closes or that hang, and the process that plays them."""
import gc, json, os, signal, subprocess, sys, threading, time, types

import gymnasium
import numpy as np
import psutil
import pytest

from mario_dqn.settings import ConfigError, EnvConfig, TrainingError, preset
from mario_dqn.env import MarioEnv, make_env
from mario_dqn.evaluation import Condition, play_episodes
from mario_dqn.runner import Runner
from mario_dqn.run.train import build_runner, train
from mario_dqn.games import GameFault, GameVector, StartPool, TrainingGame, place_of
from mario_dqn.run.process import GameProcess, ServingProcess, portable

FIELD = EnvConfig(size=42, actions='right_only')
WORLD, STAGE, MODE = 0x075f, 0x075c, 0x0770  # places in the console's memory


def is_alive(pid):
    "Whether a process runs, and is not merely waited for."
    try: return open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0] != 'Z'
    except OSError: return False

def comes_true(question, seconds=10):
    "Ask until the answer is yes, for some seconds."
    until = time.monotonic() + seconds
    while not question() and time.monotonic() < until: time.sleep(0.05)
    return question()


# what ends in another level

def test_a_level_left_by_a_warp_zone_is_truncated_and_its_flag_is_none():
    env = make_env(EnvConfig(level='1-2', sticky=0.0))
    env.reset(seed=0, options={'noops': 0})
    for _ in range(5): *_, terminated, truncated, info = env.step(1)
    assert not (terminated or truncated)
    ram = env.unwrapped.ram
    ram[WORLD], ram[STAGE], ram[MODE] = 2, 0, 2                    # what a warp pipe writes, and the end of that level
    _, _, terminated, truncated, info = env.step(0)
    assert (terminated, truncated, info['flag_get']) == (False, True, False)

def test_such_an_episode_is_not_cleared_in_training_nor_in_an_evaluation():
    class Warp(gymnasium.Wrapper):
        "Takes a warp pipe at the tenth step."
        def reset(self, **options): self.steps = 0; return self.env.reset(**options)
        def step(self, action):
            self.steps += 1
            if self.steps == 10: self.unwrapped.ram[WORLD], self.unwrapped.ram[STAGE], self.unwrapped.ram[MODE] = 3, 0, 2
            return self.env.step(action)
    def warping(config): return Warp(make_env(config))
    episode, = play_episodes([1], EnvConfig(level='1-2'), Condition('one', 'one', 1), make=warping)
    assert not episode.cleared and not episode.terminated and episode.length == 10
    game = TrainingGame(EnvConfig(level='1-2'), 0, 0, 0.5, warping)
    pools = {'1-2': StartPool()}
    game.begin_next(pools)
    for _ in range(10): step = game.play(1, pools)
    assert step.record.cleared is False and step.record.terminated is False and step.truncated and step.snapshot is None


# calls in the wrong order

@pytest.mark.parametrize('call', [
    lambda: MarioEnv().step(0), lambda: make_env(EnvConfig()).step(0), lambda: GameVector(FIELD, 1).step_async([0]), lambda: GameVector(FIELD, 1).step([0]),
    lambda: GameProcess(FIELD, 1).step_async([0]), lambda: build_runner(preset('tiny')).one_step()])
def test_a_step_before_the_beginning_says_so(call):
    with pytest.raises((RuntimeError, gymnasium.error.ResetNeeded), match='(re)?set|begin'): call()

@pytest.mark.parametrize('call, words', [
    (lambda: train('tiny', 'x'), 'must be a Config'), (lambda: Runner('tiny', None, None), 'must be a Config'), (lambda: build_runner(None), 'must be a Config')])
def test_public_calls_say_what_they_want(call, words):
    with pytest.raises(TypeError, match=words): call()

@pytest.mark.parametrize('actions', [[0], [0, 5], [0, -1], [0.0, 1.0], 'no', None])
@pytest.mark.parametrize('kind', [GameVector, GameProcess])
def test_wrong_actions_are_no_fault_of_a_game(kind, actions):
    games = kind(FIELD, 2)
    try:
        games.reset()
        with pytest.raises(ValueError, match='2 whole numbers from 0 to 4'): games.step_async(actions)
        games.step_async([0, 1])
        assert games.step_wait().faults == []
    finally: games.close()


# snapshots

@pytest.mark.full
def test_a_snapshot_outlives_its_console(python):
    code = '''
import gc
from mario_dqn.env import MarioEnv, snapshot_of
for closed in (True, False):
    game = MarioEnv(); game.reset()
    for _ in range(30): game.step(0x80)
    held, ahead = snapshot_of(game, b''), [game.step(0x80)[0].tobytes() for _ in range(30)]
    if closed: game.close()
    del game; gc.collect()
    others = [MarioEnv() for _ in range(12)]
    for other in others:
        other.reset(options={'snapshot': held})
        assert [other.step(0x80)[0].tobytes() for _ in range(30)] == ahead
print('whole')'''
    for _ in range(3): assert python(code).stdout == 'whole\n'


# what nobody closes

@pytest.mark.parametrize('make', [lambda: GameProcess(FIELD, 2), lambda: ServingProcess(), lambda: build_runner(preset('tiny'))])
def test_what_goes_out_of_scope_leaves_no_process(make):
    owner = make()
    games = getattr(owner, 'games', owner)
    pid = games.process.pid
    assert is_alive(pid)
    del owner, games
    gc.collect()
    assert comes_true(lambda: not is_alive(pid))

def test_threads_of_games_that_nobody_closes_end():
    games = GameVector(FIELD, 2, workers=3)
    games.reset()
    games.step([0, 1])
    threads = list(games.workers.threads)
    assert [thread.is_alive() for thread in threads] == [True] * 3
    del games
    gc.collect()
    assert comes_true(lambda: not any(thread.is_alive() for thread in threads))

def test_a_refused_process_of_games_leaves_none():
    children = {child.pid for child in psutil.Process().children()}
    def nothing(config): raise OSError('no console')
    kept = []
    for make in (lambda: GameProcess(FIELD, 0), lambda: GameProcess(FIELD, 1, make=nothing), lambda: GameProcess(FIELD, 1, make=lambda config, lock=threading.Lock(): make_env(config))):
        try: make()
        except Exception as error: kept.append(error)
    assert len(kept) == 3 and {child.pid for child in psutil.Process().children()} == children

@pytest.mark.parametrize('kind', [GameVector, GameProcess])
def test_calls_after_the_end_and_within_a_step_say_so(kind):
    games = kind(FIELD, 2)
    games.reset()
    games.step_async([0, 1])
    with pytest.raises(RuntimeError, match='step_wait must come before reset'): games.reset()
    games.step_wait()
    games.close()
    with pytest.raises((RuntimeError, TrainingError)): games.step_async([0, 1])

class Endless(gymnasium.Wrapper):
    "Plays frame after frame and does not come back."
    def step(self, action):
        while True: self.unwrapped.step(0)

def test_a_game_that_hangs_does_not_go_on_computing():
    games = GameVector(FIELD, 2, workers=2, timeout=0.5)
    games.games[1].env = Endless(games.games[1].env)
    games.reset()
    threads = list(games.workers.threads)
    games.step_async([1, 1])
    assert [fault.kind for fault in games.step_wait().faults] == ['hung']
    assert comes_true(lambda: sum(thread.is_alive() for thread in threads) == 1, 3)
    games.close()

def test_a_game_of_an_evaluation_that_hangs_does_not_go_on_computing():
    made = []
    def make(config):
        made.append(make_env(config))
        return Endless(made[-1]) if len(made) == 1 else made[-1]
    before = threading.active_count()
    faults = []
    episode, = play_episodes([1], FIELD, Condition('one', 'one', 1), threads=1, timeout=0.5, fault=faults.append, make=make)
    assert [fault.kind for fault in faults] == ['hung'] and episode.length > 5
    assert comes_true(lambda: threading.active_count() == before, 3)


# the process of the games

def test_what_others_print_or_lay_in_the_folder_does_not_end_the_process_of_the_games(python, tmp_path):
    (tmp_path / 'site').mkdir()
    (tmp_path / 'site' / 'sitecustomize.py').write_text('print("hello from the site")')
    for name in ('json', 'pickle', 'numpy', 'cv2'): (tmp_path / f'{name}.py').write_text('raise SystemExit("not the module that was meant")')
    code = '''
import sys; sys.path = [place for place in sys.path if place] + ['']      # as in a notebook, whose own modules are loaded already
import numpy, cv2, json, pickle
sys.path.insert(0, sys.path.pop())
from mario_dqn.settings import EnvConfig; from mario_dqn.run.process import GameProcess
games = GameProcess(EnvConfig(size=42), 2); games.reset(); games.step_async([0, 1]); print(games.step_wait().reward.shape); games.close()'''
    done = python(code, PYTHONSAFEPATH='1', PYTHONPATH=str(tmp_path / 'site'))
    assert done.returncode == 0 and done.stdout.split('\n')[-2] == '(2,)', done.stdout + done.stderr

class Locked(Exception):
    "Cannot be pickled."
    def __init__(self): super().__init__('the door is locked'); self.lock = threading.Lock()

class TwoWords(Exception):
    "Can be pickled, and not be read again."
    def __init__(self, one, two): super().__init__(f'{one} {two}')

@pytest.mark.parametrize('make, words', [(Locked, 'Locked: the door is locked'), (lambda: TwoWords('no', 'way'), 'TwoWords: no way')])
def test_an_error_that_cannot_travel_arrives_in_words(make, words):
    assert type(portable(make())) is RuntimeError and str(portable(make())) == words
    here = os.getpid()
    def broken(config):
        if os.getpid() != here: raise make()
        return make_env(config)
    games = GameProcess(FIELD, 1, make=broken)
    with pytest.raises(RuntimeError) as told: games.reset()
    assert str(told.value) == words

def test_an_error_that_can_travel_stays_itself():
    error = ConfigError('a sentence')
    assert portable(error) is error

@pytest.mark.parametrize('part', ['the header', 'the middle'])
def test_an_interrupt_in_the_middle_of_an_answer_ends_in_words(part):
    games = GameProcess(FIELD, 2)
    games.reset()
    games.step_async([0, 1])
    pipe = games.pipe
    def interrupted():
        os.read(pipe.fileno(), 2 if part == 'the header' else 4000)
        raise KeyboardInterrupt
    games.pipe = types.SimpleNamespace(poll=pipe.poll, recv_bytes=interrupted, send_bytes=pipe.send_bytes, close=pipe.close, closed=False)
    with pytest.raises(KeyboardInterrupt): games.step_wait()
    games.pipe = pipe
    with pytest.raises(TrainingError, match='interrupt came in the middle'): games.step_wait()
    games.close()

@pytest.mark.parametrize('moment', ['after the call was sent', 'while the answer is read'])
def test_an_interrupt_on_the_way_of_a_message_ends_in_words(moment, monkeypatch):
    games = GameProcess(FIELD, 2)
    games.reset()
    pipe = games.pipe
    def interrupted(*arguments):
        pipe.send_bytes(*arguments)
        raise KeyboardInterrupt
    def broken(data): raise KeyboardInterrupt
    if moment == 'after the call was sent':
        games.pipe = types.SimpleNamespace(poll=pipe.poll, recv_bytes=pipe.recv_bytes, send_bytes=interrupted, close=pipe.close, closed=False)
        with pytest.raises(KeyboardInterrupt): games.step_async([0, 1])
    else:
        games.step_async([0, 1])
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr('mario_dqn.run.process.pickle.loads', broken)
            games.step_wait()
    games.pipe = pipe
    with pytest.raises(TrainingError, match='interrupt came in the middle'): games.step_wait()
    games.close()

def test_an_interrupt_while_an_answer_is_awaited_loses_nothing():
    games, alone = GameProcess(FIELD, 2), GameVector(FIELD, 2)
    games.reset(), alone.reset()
    games.step_async([0, 1])
    def raises(*arguments): raise KeyboardInterrupt
    kept, games.pipe = games.pipe, types.SimpleNamespace(poll=raises)
    with pytest.raises(KeyboardInterrupt): games.step_wait()
    games.pipe = kept
    np.testing.assert_array_equal(games.step_wait().observation, alone.step([0, 1]).observation)
    games.close(), alone.close()


# environments of one's own

class Corridor(gymnasium.Env):
    "A small world that is no Mario: a white square that moves; at the right end the game is over, and after 40 steps."
    observation_space, action_space = gymnasium.spaces.Box(0, 255, (36, 36), np.uint8), gymnasium.spaces.Discrete(3)
    def picture(self):
        frame = np.zeros((36, 36), np.uint8)
        frame[10:20, 2 * self.place:2 * self.place + 4] = 255
        return frame
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(3)), 0
        return self.picture(), {}
    def step(self, action):
        self.place, self.steps = max(0, self.place + int(action) - 1), self.steps + 1
        return self.picture(), float(action) - 1.0, self.place >= 5, self.steps >= 40, {}

def corridor(config): return gymnasium.wrappers.FrameStackObservation(Corridor(), 2, padding_type='reset')

@pytest.mark.parametrize('kind', [GameVector, GameProcess])
def test_an_environment_that_is_no_mario_is_played(kind):
    games = kind(FIELD, 2, middle_starts=0.5, make=corridor)
    assert (games.observation_shape, games.action_count) == ((2, 36, 36), 3)
    games.reset()
    records = []
    for _ in range(30):
        games.step_async([2, 1])
        records += games.step_wait().episodes
    state = json.loads(json.dumps(games.state()))
    games.close()
    assert len(records) >= 2 and all(record.score == record.length and record.terminated and record.x == 0 for record in records)
    again = kind(FIELD, 2, middle_starts=0.5, make=corridor)
    _, begun, lost = again.restore(state, np.zeros((2, 2, 36, 36), np.uint8))
    assert (begun, lost) == ([0, 1], 0)                            # they cannot be replayed, and begin anew
    again.close()


# games that break

class Broken(gymnasium.Wrapper):
    "A game that does something else in one of its steps."
    def __init__(self, env, at, fault): # number of the step; a function of what the step gives
        super().__init__(env)
        self.left, self.fault = at, fault

    def step(self, action):
        self.left -= 1
        return self.env.step(action) if self.left else self.fault(*self.env.step(action))

class NoBeginning(gymnasium.Wrapper):
    "A game whose first resets fail."
    def __init__(self, env, failures): # a list, of which each failure takes one
        super().__init__(env)
        self.failures = failures

    def reset(self, **kwargs):
        if self.failures:
            self.failures.pop()
            raise OSError('no console')
        return self.env.reset(**kwargs)

def fail(*step): raise OSError('the cable was pulled')
def cut(observation, reward, terminated, truncated, info): return observation, reward, terminated, True, info

def with_failing_starts(times):
    "Two games, the second of which breaks in its first step, and then fails to begin anew so many times."
    games, failures = GameVector(FIELD, games=2, timeout=30.0), ['no'] * times
    make = games.new_game
    def broken(*arguments):
        game = make(*arguments)
        game.env = NoBeginning(game.env, failures)
        return game
    games.reset()
    games.games[1].env, games.new_game = Broken(games.games[1].env, 1, fail), broken
    games.step_async([3, 3])
    return games

def test_a_game_that_begins_at_the_third_attempt_plays_on():
    games = with_failing_starts(2)
    assert [fault.game for fault in games.step_wait().faults] == [1] and games.games[1].episode == 1
    games.close()

def test_a_game_that_fails_to_begin_three_times_ends_the_run():
    games = with_failing_starts(3)
    with pytest.raises(TrainingError, match='did so three times'): games.step_wait()
    games.close()

def test_an_episode_that_ended_is_kept_when_the_next_one_cannot_begin():
    games = GameVector(FIELD, games=2)
    games.reset()
    games.games[1].env = NoBeginning(Broken(games.games[1].env, 5, cut), ['no'])
    for _ in range(5):
        games.step_async([3, 3])
        result = games.step_wait()
    assert result.faults == [GameFault(1, 1, 'raised', 'OSError: no console')]
    assert [(record.game, record.episode, record.length, record.terminated) for record in result.episodes] == [(1, 0, 5, False)]
    assert result.truncated.tolist() == [False, True] and result.reward[1] > 0 and list(games.starts['1-1'].failures) == [place_of(37, result.episodes[0].x)]
    at_its_end, at_a_start = result.next_observation[1], result.observation[1]
    assert (at_its_end != at_its_end[0]).any() and (at_a_start == at_a_start[0]).all()
    assert [(game.episode, game.length) for game in games.games] == [(0, 5), (2, 0)]
    games.close()

@pytest.mark.parametrize('kind', [GameVector, GameProcess])
def test_a_second_step_within_a_step_is_refused_and_closing_within_one_is_not(kind):
    games = kind(FIELD, 2)
    games.reset()
    games.step_async([3, 3])
    with pytest.raises(RuntimeError, match='called twice'): games.step_async([3, 3])
    games.close()


# the process of the games

def test_calls_in_the_wrong_order_are_refused():
    games = GameProcess(FIELD, 2)
    with pytest.raises(RuntimeError, match='step_async'): games.step_wait()
    assert games.reset().shape == (2, *games.observation_shape) and games.action_count == 5
    with pytest.raises(ValueError, match='2 whole numbers'): games.step_async([3, 3, 3])
    games.close()
    games.close()
    assert games.process.returncode == 0 and (games.peak is None or 5e7 < games.peak < 2e8)
    for kind in (GameProcess, GameVector):
        with pytest.raises(RuntimeError, match='reset must come'): kind(EnvConfig(), 2).step_async([0, 0])

@pytest.mark.skipif(os.name != 'posix', reason='signals of POSIX')
def test_signals_that_are_not_for_it_do_nothing():
    games = GameProcess(FIELD, 2)
    games.reset()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): games.process.send_signal(number)
    games.step_async([3, 3])
    assert games.step_wait().reward.shape == (2,)
    games.close()

@pytest.mark.skipif(os.name != 'posix', reason='signals of POSIX')
@pytest.mark.parametrize('number, words', [(signal.SIGKILL, 'The process that plays the games'), (signal.SIGSEGV, r'was ended by signal 11\.$')])
def test_a_process_that_was_killed_is_told_of(number, words):
    games = GameProcess(FIELD, 2)
    games.reset()
    games.process.send_signal(number)
    games.process.wait()
    with pytest.raises(TrainingError, match=words): games.reset()
    games.close()

def test_an_error_of_a_call_comes_through():
    def nothing(config): raise OSError('there is no console')
    with pytest.raises(OSError, match='no console'): GameProcess(EnvConfig(), 2, make=nothing)

WAITING = '''
import sys, time
from mario_dqn.games import Workers, wait_for
workers = Workers(1)
calls = [workers.submit(time.sleep, float(sys.argv[1]))]
print('waiting', flush=True)
print(len(wait_for(workers, calls, float(sys.argv[2]))), flush=True)'''

@pytest.fixture
def waiting():
    "Starts a process whose call takes so many seconds, and hangs after so many."
    def start(*seconds):
        process = subprocess.Popen([sys.executable, '-c', WAITING, *map(str, seconds)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == 'waiting\n'
        return process
    return start

def test_the_process_ends_at_once_while_a_call_hangs(waiting):
    process = waiting(3600, 0.2)
    assert process.communicate(timeout=120)[0] == '1\n' and process.returncode == 0

@pytest.mark.skipif(os.name != 'posix', reason='signals of POSIX')
def test_a_process_that_was_suspended_takes_nothing_for_hung(waiting):
    process = waiting(4, 6)
    process.send_signal(signal.SIGSTOP)
    time.sleep(9)
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=120)[0] == '0\n'

PLAYING = '''
import sys, time
from mario_dqn.settings import EnvConfig
from mario_dqn.run.process import GameProcess
games = GameProcess(EnvConfig(actions='right_only', size=42), 2)
games.reset()
print(games.process.pid, flush=True)
if sys.argv[1] == 'between': time.sleep(3600)
while True: games.step_async([3, 3]); games.step_wait()'''

@pytest.mark.skipif(os.name != 'posix', reason='signals of POSIX')
@pytest.mark.parametrize('moment', ['between', 'within'])
def test_nothing_is_left_of_the_process_of_the_games_when_the_other_one_is_killed(moment):
    process = subprocess.Popen([sys.executable, '-c', PLAYING, moment], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    assert is_alive(pid)
    process.kill()
    process.wait()
    assert comes_true(lambda: not is_alive(pid), 20) and process.stderr.read() == ''
