"""What ships of a run: rounded weights that are measured anew, a film, and nothing lost of what lay there."""
import json, shutil, sys

import numpy as np
import pytest

from house import experiment
from mario_dqn.run.checkpoint import load_agent
from mario_dqn.run.files import RunFolder, load_config
from mario_dqn.run.measure import measure
from mario_dqn.run.train import train
from mario_dqn.settings import to_toml, with_values


@pytest.fixture(scope='module')
def run(short, tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp('runs') / 'run')
    train(with_values(short, {'env.level': '4-1'}), folder.path, say=lambda sentence: None)
    measure(folder, say=lambda sentence: None)
    return folder

@pytest.fixture
def ship(tmp_path, monkeypatch):
    "Calls the script on a run; what ships goes into its `save`, an empty folder."
    module = experiment('ship')
    monkeypatch.setattr(module, 'SAVE', tmp_path)
    def call(folder):
        monkeypatch.setattr(sys, 'argv', ['ship.py', str(folder.path)])
        module.main()
    call.save = tmp_path
    return call

def test_what_ships_is_small_measured_and_takes_notes_along(run, ship):
    earlier = RunFolder(ship.save / '4-1')
    earlier.path.mkdir()
    earlier.notes.write_text('Of the agent before.\n')
    run.notes.write_text('The third of three seeds.\n')
    ship(run)
    run.notes.unlink()
    agent, config = load_agent(earlier)
    exact, _ = load_agent(run)
    assert config.env.level == '4-1' and earlier.best.stat().st_size < 0.6 * run.best.stat().st_size
    for name, array in exact.weights().items(): np.testing.assert_array_equal(agent.weights()[name], array.astype(np.float16).astype(np.float32))
    assert not earlier.last.exists() and [film.name for film in earlier.recordings.iterdir()] == ['final.gif']
    results, = (player for player in json.loads(earlier.results.read_text())['players'] if player['name'] == 'agent')
    assert results['conditions'][0]['name'] == 'sticky' and earlier.greedy.exists()
    card = earlier.card.read_text()
    assert 'The third of three seeds.' in card and 'Of the agent before' not in card and 'rounded to half precision. Those of the run cleared 0 of 1 games' in card
    assert f'--path {earlier.path} ' in card and 'recordings/final.gif' in card
    before, = (path for path in ship.save.iterdir() if path.name.startswith('4-1-before-'))
    assert (before / 'notes.md').read_text() == 'Of the agent before.\n'

def test_what_cannot_ship_is_refused_and_nothing_is_touched(run, ship, tmp_path_factory, capsys):
    several = RunFolder(tmp_path_factory.mktemp('runs') / 'several')
    shutil.copytree(run.path, several.path)
    several.config.write_text(to_toml(with_values(load_config(run.config, saved=True), {'env.levels': ('4-1', '4-2')}, saved=True)))
    begun = RunFolder(tmp_path_factory.mktemp('runs') / 'begun')
    shutil.copytree(run.path, begun.path)
    begun.machine.unlink()
    nothing = RunFolder(ship.save / 'nothing')
    for folder, words in ((several, 'an agent ships for one level'), (begun, 'is not a finished run'), (nothing, 'No such file')):
        with pytest.raises(SystemExit): ship(folder)
        assert words in capsys.readouterr().err
    shutil.copytree(run.path, ship.save / '4-1')
    with pytest.raises(SystemExit): ship(RunFolder(ship.save / '4-1'))
    assert 'move the run elsewhere' in capsys.readouterr().err and [path.name for path in ship.save.iterdir()] == ['4-1']

def test_weights_that_rounding_has_made_clearly_worse_do_not_ship(run, ship, monkeypatch):
    better = run.results.read_text().replace('"clear_rate": 0.0', '"clear_rate": 0.99')
    monkeypatch.setattr(run.__class__, 'results', property(lambda folder: folder.path / ('better.json' if folder.path == run.path else 'results.json')))
    run.results.write_text(better)
    with pytest.raises(SystemExit, match='Rounding has cost too much'): ship(run)
    assert list(ship.save.iterdir()) == []
