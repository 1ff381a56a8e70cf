"""The tables of what runs reach, on their levels and in half an hour: what a run gives, and that none is lost."""
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
    "The agent that ships, as if it had been trained with other settings, with weights that are not rounded."
    folder = RunFolder(tmp_path / '-'.join(values))
    shutil.copytree(shipped_agent().path, folder.path)
    settings = {key.replace('_', '.', 1): value for key, value in values.items()}
    config = with_values(load_config(folder.config, saved=True), settings, saved=True)
    save_weights(folder.best, load_weights(shipped_agent().best, load_config(shipped_agent().config, saved=True)), config)
    folder.config.write_text(to_toml(config))
    return folder.path

@pytest.fixture
def exact(tmp_path):
    "The run of the agent that ships, before its weights were rounded."
    return another(tmp_path, run_threads=2) # which tells no runs apart


def test_a_run_gives_the_row_of_its_level(collect):
    (line,), (row,) = collect(shipped_agent().path)
    assert line.startswith('1-1       93 of 100 (86% to 97%), 31 of 31 delays, greedy 1, x 3081   actions run, reward classic, batch_size 32')
    assert (row['level'], row['trained_on'], row['seed'], row['minutes'], row['clear_low']) == ('1-1', '1-1', '0', '58.4', '0.863')

def test_other_settings_are_another_row_and_the_same_ones_are_not(collect, exact, tmp_path):
    collect(exact)
    lines, rows = collect(another(tmp_path, agent_hidden=128), another(tmp_path, run_seed=3), exact)
    assert [('hidden 128' in row['settings'], row['seed']) for row in rows] == [(False, '0'), (False, '3'), (True, '0')]
    assert len(lines) == 4 and lines[-1].startswith('1-1: 93.0% (') and 'hidden 128' in lines[-1]
    assert collect()[0] == lines                                                            # the table alone says the same

def test_what_does_not_shape_the_learning_is_the_same_run(collect, exact, tmp_path):
    assert len(collect(exact, another(tmp_path, run_game_threads=2))[1]) == 1

def test_runs_in_another_precision_are_compared_as_if_of_the_same_settings(collect, exact, tmp_path):
    lines, rows = collect(exact, another(tmp_path, agent_precision='float32'), another(tmp_path, agent_hidden=128))
    assert [row['precision'] for row in rows] == ['bfloat16', 'float32', 'bfloat16'] and rows[0]['settings'] == rows[1]['settings']
    assert lines[1].endswith(', seed 0, float32') and len(lines) == 3 + 1                    # two settings, one comparison

def test_other_first_weights_and_rounded_ones_are_told_apart(collect, exact, tmp_path):
    "A run that began with the weights of another is no training from scratch, and what ships is not quite the run."
    began = RunFolder(another(tmp_path, run_game_threads=2))
    began.machine.write_text(json.dumps(json.loads(began.machine.read_text()) | dict(origin='save/1-2')))
    lines, rows = collect(shipped_agent().path, exact, began.path)
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
    assert '93 of 100 (– to –), ' in line and row['clear_low'] == row['clear_high'] == ''

def test_a_folder_without_a_finished_run_is_refused_and_an_empty_table_says_so(collect, tmp_path, capsys):
    with pytest.raises(SystemExit): collect(shipped_agent().path, tmp_path / 'nothing')
    assert 'nothing is not a finished run.' in capsys.readouterr().err and not (tmp_path / 'levels.csv').exists()
    lines, rows = collect()
    assert rows == [] and lines == [f'There are no runs in {tmp_path / "levels.csv"} yet.']


@pytest.fixture
def half_hour(tmp_path, monkeypatch):
    "Calls experiments/half_hour.py with a table of its own, on the agent that ships as a run of seed 0; returns the rows."
    module = experiment('half_hour')
    monkeypatch.setattr(module, 'TABLE', tmp_path / 'half_hour.json')
    shutil.copytree(shipped_agent().path, tmp_path / 'runs/seed0')
    def call(*words):
        monkeypatch.setattr(sys, 'argv', ['half_hour.py', '0', '--steps', '400000', '--out', str(tmp_path / 'runs'), *words])
        module.main()
        return json.loads(module.TABLE.read_text())
    return call

def test_a_half_hour_has_minutes_only_if_nothing_ran_beside_it(half_hour):
    (row,) = half_hour('--beside')
    assert (row['seed'], row['steps'], row['updates'], row['minutes']) == (0, 400_000, 98_996, None)
    assert [(e['step'], e['minutes']) for e in row['evaluations']] == [(step, None) for step in range(50_000, 400_001, 50_000)]
    assert half_hour() == [row]                                                             # which a second call does not change

def test_half_hours_of_one_table_lose_no_rows(half_hour, tmp_path):
    other = dict(seed=1, steps=200_000)
    (tmp_path / 'half_hour.json').write_text(json.dumps([other]))
    row, kept = half_hour()
    assert kept == other and row['minutes'] == 58.4 and row['conditions'][0]['cleared'] == 93
