"""Several levels in one run: what is drawn, what is kept of each, and that it goes on exactly."""
import collections, csv, json, signal

import numpy as np
import pytest

from mario_dqn.cli import main
from mario_dqn.games import GameVector
from mario_dqn.run.files import RunFolder
from mario_dqn.run.train import Interrupted, go_on, train
from mario_dqn.runner import Callback
from mario_dqn.settings import EnvConfig, LEVELS, with_values

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
    assert main(['list']) == 0


@pytest.mark.parametrize('words, levels', [(['all'], LEVELS), (['world-2'], ('2-1', '2-2', '2-3', '2-4')), (['4-4', '1-1', '4-4'], ('4-4', '1-1'))])
def test_levels_are_named_one_by_one_by_world_or_all_at_once(words, levels):
    from mario_dqn.cli import parse
    options, _ = parse(['train', '--level', *words, '--seed', '3'])
    assert options.env.levels == tuple(levels) and options.run.seed == 3
