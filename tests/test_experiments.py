"""The table of what runs reach on their levels: what a run gives, and that none is lost."""
import json, shutil, sys

import pytest

from house import experiment
from mario_dqn.run.checkpoint import load_weights, save_weights
from mario_dqn.run.files import RunFolder, load_config, shipped_agent
from mario_dqn.settings import to_toml, with_values


@pytest.fixture
def collect(tmp_path, monkeypatch, capsys):
    "Calls experiments/levels.py with a table of its own; returns its lines and the rows of the table."
    module = experiment('levels')
    monkeypatch.setattr(module, 'TABLE', tmp_path / 'levels.csv')
    def call(*folders):
        monkeypatch.setattr(sys, 'argv', ['levels.py', *map(str, folders)])
        module.main()
        return capsys.readouterr().out.splitlines(), list(module.read().values())
    return call

def another(tmp_path, **values):
    "The agent that ships, as if it had been trained with other settings."
    folder = RunFolder(tmp_path / '-'.join(values))
    shutil.copytree(shipped_agent().path, folder.path)
    settings = {key.replace('_', '.', 1): value for key, value in values.items()}
    folder.config.write_text(to_toml(with_values(load_config(folder.config, saved=True), settings, saved=True)))
    return folder.path


def test_a_run_gives_the_row_of_its_level(collect):
    (line,), (row,) = collect(shipped_agent().path)
    assert line.startswith('1-1       90 of 100 (83% to 94%), 31 of 31 delays, greedy 1, x 3070   actions run, reward classic, batch_size 64')
    assert (row['level'], row['trained_on'], row['seed'], row['minutes'], row['clear_low']) == ('1-1', '1-1', '2', '29.7', '0.826')

def test_other_settings_are_another_row_and_the_same_ones_are_not(collect, tmp_path):
    collect(shipped_agent().path)
    lines, rows = collect(another(tmp_path, agent_hidden=128), another(tmp_path, run_seed=3), shipped_agent().path)
    assert [('hidden 128' in row['settings'], row['seed']) for row in rows] == [(False, '2'), (False, '3'), (True, '2')]
    assert len(lines) == 4 and lines[-1].startswith('1-1: 90.0% (') and 'hidden 128' in lines[-1]
    assert collect()[0] == lines                                                            # the table alone says the same

def test_what_does_not_shape_the_learning_is_the_same_run(collect, tmp_path):
    assert len(collect(shipped_agent().path, another(tmp_path, run_threads=2))[1]) == 1

def test_runs_in_another_precision_are_compared_as_if_of_the_same_settings(collect, tmp_path):
    lines, rows = collect(shipped_agent().path, another(tmp_path, agent_precision='float32'), another(tmp_path, agent_hidden=128))
    assert [row['precision'] for row in rows] == ['bfloat16', 'float32', 'bfloat16'] and rows[0]['settings'] == rows[1]['settings']
    assert lines[1].endswith(', seed 2, float32') and len(lines) == 3 + 1                    # two settings, one comparison

def test_other_first_weights_and_rounded_ones_are_told_apart(collect, tmp_path):
    "A run that began with the weights of another is no training from scratch, and what ships is not quite the run."
    began, rounded = (RunFolder(another(tmp_path, **{key: 2})) for key in ('run_threads', 'run_game_threads'))   # which tells no runs apart
    began.machine.write_text(json.dumps(json.loads(began.machine.read_text()) | dict(origin='save/1-2')))
    config = load_config(rounded.config, saved=True)
    save_weights(rounded.best, load_weights(rounded.best, config), config, half=True)
    lines, rows = collect(shipped_agent().path, began.path, rounded.path)
    assert [(row['origin'], row['weights']) for row in rows] == [('', 'full'), ('', 'half'), ('1-2', 'full')]
    assert sum(', from 1-2, seed' in line for line in lines) == 1 and sum(', rounded, seed' in line for line in lines) == 1
    assert len(lines) == 3 + 1                                                              # rounding is no other training

def test_games_that_are_all_one_have_no_interval(collect, tmp_path):
    folder = RunFolder(another(tmp_path, run_seed=3))
    results = json.loads(folder.results.read_text())
    sticky, *_ = (condition for player in results['players'] if player['name'] == 'agent' for condition in player['conditions'])
    sticky |= dict(clear_low=None, clear_high=None)
    folder.results.write_text(json.dumps(results))
    (line,), (row,) = collect(folder.path)
    assert '90 of 100 (– to –), ' in line and row['clear_low'] == row['clear_high'] == ''

def test_a_folder_without_a_finished_run_is_refused_and_an_empty_table_says_so(collect, tmp_path, capsys):
    with pytest.raises(SystemExit): collect(shipped_agent().path, tmp_path / 'nothing')
    assert 'nothing is not a finished run.' in capsys.readouterr().err and not (tmp_path / 'levels.csv').exists()
    lines, rows = collect()
    assert rows == [] and lines == [f'There are no runs in {tmp_path / "levels.csv"} yet.']
