"""Several levels in one run: what is drawn, what is kept of each, and that it goes on exactly."""
import collections, csv, json, signal

import gymnasium
import numpy as np
import pytest

from mario_dqn.cli import main
from mario_dqn.env import MarioEnv, action_bytes, make_env
from mario_dqn.evaluation import Condition, find_baselines, keep_baselines, play_episodes, protocol
from mario_dqn.games import GameVector
from mario_dqn.run.files import RunFolder
from mario_dqn.run.process import GameProcess
from mario_dqn.run.train import Interrupted, go_on, train
from mario_dqn.runner import Callback
from mario_dqn.settings import Config, ConfigError, EnvConfig, LEVELS, with_values
from mario_dqn.show.player import record_episode, with_level

from house import ROOT, experiment

import mario_dqn.run.state  # noqa: F401 (tells games what they have to remember)

THREE = ('1-1', '1-4', '3-1')

def quiet(sentence): pass

def rows(path):
    with open(path, newline='') as file: return list(csv.DictReader(file))

class StopAt(Callback):
    def __init__(self, step): self.step = step
    def after_step(self, runner, result, epsilon):
        if runner.step == self.step: runner.stop(signal.SIGINT)

@pytest.fixture(scope='module')
def several(short):
    return with_values(short, {'env.levels': THREE, 'env.level_draw': 'need', 'env.frame_skip': 4, 'env.stuck_limit': 5, 'run.middle_starts': 0.5, 'run.eval_interval': 400,
                               'agent.learning_starts': 64, 'run.checkpoint_interval': 150})

@pytest.fixture(scope='module')
def whole(several, tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp('several') / 'whole')
    train(several, folder.path, say=quiet)
    return several, folder

def test_a_run_on_several_levels_goes_on_exactly(whole, tmp_path):
    config, alone = whole
    with pytest.raises(Interrupted): train(config, tmp_path / 'run', callbacks=[StopAt(252)], say=quiet)
    said = []
    go_on(tmp_path / 'run', say=said.append)
    assert not any('bit for bit' in sentence for sentence in said), said
    again = RunFolder(tmp_path / 'run')
    for path, other in [*zip(alone.tables, again.tables), (alone.best, again.best), (alone.last, again.last)]:
        if path != alone.timing: assert path.read_bytes() == other.read_bytes(), path.name

def test_each_level_has_its_rows(whole):
    _, folder = whole
    episodes, levels, judged = rows(folder.episodes), rows(folder.levels), rows(folder.level_evaluations)
    played = collections.Counter(row['level'] for row in episodes)
    assert set(played) == set(THREE) and {row['start'] for row in episodes} == {'level', 'middle'}
    last = {row['level']: row for row in levels[-3:]}
    assert {level: int(row['episodes']) for level, row in last.items()} == {
        level: sum(row['level'] == level and int(row['step']) <= 400 for row in episodes) for level in THREE}
    assert [row['level'] for row in judged] == list(THREE)
    together, = rows(folder.evaluations)
    assert int(together['episodes']) == 3 and float(together['x_mean']) == pytest.approx(np.mean([float(row['x_mean']) for row in judged]), rel=1e-5)


def test_starts_from_the_middle_stay_on_their_level():
    games = GameVector(EnvConfig(levels=THREE, sticky=0.0, stuck_limit=8), games=3, seed=1, middle_starts=0.9, workers=1)
    games.reset()
    begun = set()
    for _ in range(150):
        games.step(np.array([1, 0, 1]))
        begun |= {(game.config.level, game.start) for game in games.games}
        assert all(game.env.unwrapped.at_home for game in games.games)                    # a snapshot of another level would end the episode
    assert {level for level, start in begun if start == 'middle'} == set(THREE)
    areas = [{snapshot.area for snapshot in pool.snapshots.values()} for pool in games.starts.values()]
    assert all(areas) and len(set.union(*areas)) == sum(map(len, areas))                  # no area belongs to two of these levels
    assert all(pool.failures for pool in games.starts.values())
    games.close()


class Win(gymnasium.Wrapper):
    "Level 1-1 is won in the third step, the other one given up in the third."
    def reset(self, **options):
        self.steps = 0
        return self.env.reset(**options)

    def step(self, action):
        self.steps += 1
        observation, reward, *_, info = self.env.step(action)
        over, first = self.steps == 3, self.unwrapped._target_stage == 1
        return observation, reward, over and first, over and not first, info | dict(flag_get=over and first)

def winning(config): return Win(make_env(config))

def test_levels_that_are_won_are_drawn_less_by_need_and_a_restored_vector_knows_it():
    config = EnvConfig(levels=('1-1', '1-2'), level_draw='need', sticky=0.0, stuck_limit=4, noop_max=0)
    games = GameVector(config, games=2, seed=1, workers=1, make=winning)
    observation = games.reset()
    episodes = []
    for _ in range(120):
        result = games.step(np.array([0, 0]))
        observation, episodes = result.observation, episodes + result.episodes
    assert set(games.starts['1-1'].results) == {True} and set(games.starts['1-2'].results) == {False}
    played = collections.Counter(record.level for record in episodes)
    assert played['1-2'] > 3 * played['1-1'] > 0, played
    state = json.loads(json.dumps(games.state()))
    other = GameVector(config, games=2, seed=1, workers=1, make=winning)
    assert other.restore(state, observation)[1:] == ([], 0) and other.state() == state
    games.close(), other.close()

def test_a_process_plays_several_levels_as_threads_do():
    config, seen = EnvConfig(levels=THREE, sticky=0.0, stuck_limit=5), []
    for kind in (GameVector, GameProcess):
        games = kind(config, games=2, seed=3, middle_starts=0.5, workers=1)
        steps = [games.reset()] + [games.step(np.array([0, 1])) for _ in range(60)]
        seen.append((np.stack([steps[0], *(step.observation for step in steps[1:])]), [step.episodes for step in steps[1:]], games.state()))
        games.close()
    (one, episodes, state), (two, again, other) = seen
    np.testing.assert_array_equal(one, two, strict=True)
    assert episodes == again and state == other and len({record.level for step in episodes for record in step}) > 1

def test_the_player_plays_the_level_of_the_episode():
    config = EnvConfig(levels=('1-1', '1-4'), sticky=0.0, stuck_limit=6)
    first, second = play_episodes([0], config, Condition('one', 'one', 1))
    assert (first.level, second.level) == ('1-1', '1-4') and first.tape != second.tape
    recording = record_episode(second, config)
    assert recording.episode.level == '1-4' and recording.episode.positions.tolist() == second.positions.tolist()
    assert with_level(config, '8-1', 0.0).all_levels == ('8-1',) and with_level(config, None, 0.0).at().level == '1-1'

CLEAR_TAPES = experiment('clear_tapes')
TAPES = json.loads((ROOT / 'experiments/clear_tapes.json').read_text())

QUICK = ('1-1', 'run'), ('1-4', 'run'), ('4-2', 'cheating'), ('lost-1-1', 'cheating')

@pytest.mark.parametrize('level, actions', [pytest.param(level, actions, marks=[] if (level, actions) in QUICK else pytest.mark.full)
                                            for level, tapes in TAPES.items() for actions in tapes])
def test_a_tape_that_a_search_has_found_clears_the_level(level, actions):
    game, over = CLEAR_TAPES.env_of(actions)(level), False
    game.reset()
    for byte in bytes.fromhex(TAPES[level][actions]):
        for _ in range(4):
            assert not over
            *_, terminated, truncated, info = game.step(byte)
            over = terminated or truncated
            if over: break
    assert (terminated, truncated, info['flag_get']) == (True, False, True) and game.at_home

def test_every_level_can_be_cleared_with_the_actions_that_are_named_after_that():
    allowed = {actions: set(action_bytes(actions)) for actions in ('run', 'every_level')}
    for level in LEVELS:
        actions, tape = next((actions, TAPES[level][actions]) for actions in allowed if actions in TAPES[level])
        assert set(bytes.fromhex(tape)) <= allowed[actions] <= allowed['every_level']
    assert sum('run' in TAPES[level] for level in LEVELS) == 18                             # as chapter 2 says

def test_every_level_and_three_of_the_lost_ones_have_a_tape_to_their_end():
    cheated = {level for level, tapes in TAPES.items() if 'cheating' in tapes}
    assert cheated >= set(LEVELS) and len(cheated - set(LEVELS)) == 3

def test_the_way_of_the_cheating_player_ranks_cells_and_without_it_x_does():
    order = [(1, x, 0, 0, 0) for x in range(5)] + [(2, 3, 0, 0, 0), (2, 1, 0, 0, 0)]     # area, x, height, counters of the maze
    assert CLEAR_TAPES.farthest(order, {}, 2) == [(2, 1, 0, 0, 0), (2, 3, 0, 0, 0)]
    assert CLEAR_TAPES.farthest(order, {(1, 2, 0, 0): 5, (1, 4, 0, 0): 9}, 2) == [(1, 2, 0, 0, 0), (1, 4, 0, 0, 0)]

def test_another_level_takes_the_place_of_several():
    several = with_values(Config(), {'env.levels': ('2-1', '3-1')})
    assert several.env.level == '2-1' and with_values(several, {'env.level': '8-4'}).env == EnvConfig(level='8-4')
    with pytest.raises(ConfigError, match='one level at a time'): keep_baselines(several.env, [], 'nowhere.json')
    assert find_baselines(several.env, protocol()) is None


def test_a_run_on_several_levels_is_measured_level_by_level(tmp_path, capsys):
    words = ['--preset', 'tiny', '--steps', '100', '--run.games', '2', '--run.no-record', '--run.final_episodes', '2', '--run.eval_episodes', '1', '--run.games-on', 'threads',
             '--env.stuck_limit', '5']
    assert main(['train', *words, '--level', '1-2', '3-1', '--out', str(tmp_path / 'run')]) == 0
    said = capsys.readouterr()
    results, card = json.loads((tmp_path / 'run/results.json').read_text()), (tmp_path / 'run/README.md').read_text()
    assert results['level'] == '1-2+3-1' and [part['level'] for part in results['levels']] == ['1-2', '3-1']
    assert [c['episodes'] for c in results['players'][0]['conditions']] == [4, 4, 4, 2]
    for text in (said.out, card): assert '| 3-1 | 0 %' in text and '| all of them | 0 %' in text
    assert 'It plays the levels 1-2, 3-1' in card and '(levels.png)' in card and (tmp_path / 'run/levels.png').stat().st_size > 5_000
    assert main(['evaluate', '--path', str(tmp_path / 'run'), '--level', 'world-8', '--episodes', '1', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['level'] == 'world-8' and [part['level'] for part in found['levels']] == ['8-1', '8-2', '8-3', '8-4'] and found['episodes'] == 4
    assert main(['infer', '--path', str(tmp_path / 'run'), '--no-record']) == 0
    assert [line[:25] for line in capsys.readouterr().out.splitlines()] == ['Level 1-2, episode 0: sco', 'Level 3-1, episode 0: sco']
    assert main(['list']) == 0 and '1-1' in capsys.readouterr().out


@pytest.mark.parametrize('words, levels', [(['all'], LEVELS), (['world-2'], ('2-1', '2-2', '2-3', '2-4')), (['4-4', '1-1', '4-4'], ('4-4', '1-1'))])
def test_levels_are_named_one_by_one_by_world_or_all_at_once(words, levels):
    from mario_dqn.cli import parse
    options, _ = parse(['train', '--level', *words, '--seed', '3'])
    assert options.env.levels == tuple(levels) and options.run.seed == 3
