"""Tables, plots, lists and cards: of runs that have hardly begun, of runs that were damaged, and of what is no run."""
import shutil

import numpy as np
import pytest

from mario_dqn.settings import ConfigError, preset, to_toml, with_values
from mario_dqn.run.files import RunFolder, shipped_agent
from mario_dqn.show.report import COLUMNS, model_card, png, read_rows, results_plot, runs_table, write_report


# tables

@pytest.mark.parametrize('text, message', [
    (b'', 'line 1: the column names are missing'), (b'step,sco', 'line 1: the column names are missing'), (b'\n1\n', 'line 2: 1 fields'),
    (b'step,score\n1,2\n\n2,3\n', 'line 3: 0 fields'), (b'step,score\n1,2,3\n', 'line 2: 3 fields'), (b'step,score\n1,fast\n', "line 2: score is 'fast', but must be a number"),
    (b'step,score\n1,\x00\n', 'line 2: score is'), (b'step,step\n1,2\n', 'stands there twice'), (b'score\n1\n', 'the column step is missing'),
    (b'step,score\n1,"2\n3\n', 'not valid CSV'), (b'step\n' + b'1' * 200_000 + b'\n', 'line 2: 200,001 characters'),
    (b'step\n"' + b'1' * 9_000 + b'\n' * 140_000, 'not valid CSV'), (b'\xff\xfe\n', 'not UTF-8'),
], ids=['empty', 'cut', 'no-names', 'no-fields', 'more-fields', 'word', 'zero-byte', 'name-twice', 'no-step', 'open-quote', 'long-line', 'long-field', 'bytes'])
def test_a_table_that_cannot_be_read_is_refused_with_the_line(tmp_path, text, message):
    path = tmp_path / 'small.csv'
    path.write_bytes(text)
    with pytest.raises(ConfigError) as error: read_rows(path, needed=['step'])
    assert message in str(error.value) and str(error.value).startswith(str(path))

def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match='No such file'): read_rows(tmp_path / 'nothing.csv')
    with pytest.raises(ConfigError, match='cannot be read'): read_rows(tmp_path)

def test_a_table_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / 'small.csv'
    path.write_bytes(b'step,score\r\n1,nan\r\n2,-inf\r\n3,\r\n')
    np.testing.assert_array_equal(read_rows(path)['score'], np.array([np.nan, -np.inf, np.nan]), strict=True)
    path.write_bytes(b'step,start\n')
    assert read_rows(path)['step'].shape == (0,) and read_rows(path)['start'].dtype.kind == 'U'
    path.write_bytes(b'step,start\n1,level\n2,le\x00\x00')
    assert len(read_rows(path)['step']) == 1


# plots

NAMES = ('config.toml', 'episodes.csv', 'metrics.csv', 'timing.csv', 'evaluations.csv', 'results.json', 'machine.json')

@pytest.fixture
def copy(tmp_path):
    "Makes a copy of the run that ships, with some files left out or replaced."
    def make(name, drop=(), **changes):
        target = RunFolder(tmp_path / name)
        target.path.mkdir()
        for file in NAMES:
            if file not in drop: shutil.copy(shipped_agent().path / file, target.path / file)
        for attribute, text in changes.items(): getattr(target, attribute).write_text(text)
        return target
    return make

def header(file): return ','.join(COLUMNS[file]) + '\n'
def points(figure): return sum(len(line.get_xdata()) for line in figure.axes[0].lines)
def words(figure, axis): return [text.get_text() for text in figure.axes[axis].texts]

def test_a_run_that_has_hardly_begun_is_plotted(copy):
    first = copy('first', drop=['evaluations.csv', 'timing.csv'], episodes=header('episodes.csv'))
    figure = results_plot(first)
    assert len(figure.axes) == 4 and words(figure, 0) == ['no finished episode yet'] and points(figure) == 0
    practice = copy('practice', episodes=header('episodes.csv') + '100,0,0,middle,1,2,0,1,5,0.1,0,\n')
    assert words(results_plot(practice), 0)[0] == 'no finished episode yet'
    early = copy('early', evaluations=header('evaluations.csv'), timing='')
    assert points(results_plot(early)) == 2 * np.sum(read_rows(shipped_agent().episodes)['start'] == 'level')
    for run in (first, early, [first, early, shipped_agent()]): assert png(results_plot(run))[:4] == b'\x89PNG'

def test_a_table_that_was_cut_short_and_strange_numbers_are_plotted(copy):
    lines = shipped_agent().episodes.read_text().splitlines(keepends=True)
    cut = copy('cut', episodes=''.join(lines[:50]) + lines[50][:9])
    strange = copy('strange', episodes=header('episodes.csv') + '100,0,0,level,nan,inf,0,1,5,0.1,0,\n200,0,1,level,-inf,,1,1,,0.1,,\n,0,2,level,1,2,1,1,5,0.1,0,0:0-2\n',
                   timing=header('timing.csv') + '100,nan,nan\n')
    for run in (cut, strange): assert png(results_plot(run))[:4] == b'\x89PNG'

def test_the_place_of_the_flag_is_shown_where_it_is_known(copy):
    assert 'flag' in words(results_plot(shipped_agent()), 1)
    elsewhere = copy('elsewhere', config=to_toml(with_values(preset('default'), {'env.level': '1-2'})))
    assert 'flag' in words(results_plot(elsewhere), 1)                                  # any level that was cleared has one
    assert words(results_plot([shipped_agent(), elsewhere]), 1) == []                   # two levels have two
    early = shipped_agent().episodes.read_text().splitlines()[:50]
    assert words(results_plot(copy('early', episodes='\n'.join(early) + '\n')), 1) == []  # nobody has reached it yet

def test_what_cannot_be_plotted_is_refused(copy, tmp_path):
    damaged = copy('damaged', episodes=header('episodes.csv') + '100,0,0\n')
    for call, message in ((lambda: results_plot([]), 'at least one folder'), (lambda: results_plot([damaged, damaged], labels=['a']), '1 labels, but 2 folders'),
                          (lambda: results_plot(tmp_path / 'nothing'), 'No such file'), (lambda: results_plot(damaged), 'episodes.csv, line 2: 3 fields, but there are 12 columns'),
                          (lambda: results_plot(copy('columns', episodes='step,start\n1,level\n')), 'the column game is missing')):
        with pytest.raises(ConfigError, match=message): call()


# the list of runs

def test_a_damaged_run_does_not_hide_the_others(tmp_path):
    assert runs_table(tmp_path) == f'There are no runs in {tmp_path} yet.'
    for name in ('a', 'b\nc', 'empty', 'new', 'odd', 'old'): (tmp_path / name).mkdir()
    (tmp_path / 'file').write_text('')
    (tmp_path / 'a' / 'config.toml').write_text('agent.discount = 7\n')
    (tmp_path / 'b\nc' / 'config.toml').write_bytes(b'\xff')
    for name in ('new', 'odd'): (tmp_path / name / 'config.toml').write_text(to_toml(preset('tiny')))
    (tmp_path / 'new' / 'timing.csv').write_text('')
    (tmp_path / 'odd' / 'results.json').write_text('{"players": [1]}')
    lines = runs_table(tmp_path).splitlines()
    assert len(lines) == 5 and lines[1].startswith('a    damaged: config.toml: agent.discount is 7, but must be')
    assert lines[2].startswith('b?c  damaged: config.toml cannot be read')
    assert lines[3].split() == ['new', '1-1', '–', '–', 'unfinished', '–'] and 'damaged: The results have no' in lines[4]

def test_a_folder_that_is_none_has_no_runs(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match='No such file'): runs_table(tmp_path / 'nothing')
    with pytest.raises(ConfigError, match='cannot be read as a folder'): runs_table(tmp_path / 'file')


# the card

def test_a_folder_without_files_has_a_card(tmp_path):
    bare = tmp_path / 'bare'
    bare.mkdir()
    text = model_card(bare)
    assert text.startswith('# bare: a Deep Q-Network') and 'It plays one level' in text and '## Results' not in text and '](results.png)' not in text
    assert [path.name for path in write_report(bare)] == ['README.md']
    (bare / 'notes.md').write_text('## Other seeds\n\nNone yet.\n')
    text = model_card(bare)
    assert '\n## Other seeds\n\nNone yet.\n\n## How to use it\n' in text and '| `notes.md` | what a person wrote about the run, a part of this card |' in text
    (bare / 'notes.md').write_bytes(b'\xff')
    with pytest.raises(ConfigError, match='notes.md cannot be read as notes: it is not UTF-8 text.'): model_card(bare)
    with pytest.raises(ConfigError, match='is not a folder'): model_card(tmp_path / 'nothing')

def test_a_card_has_what_there_is(copy):
    other = copy('other', drop=['machine.json', 'results.json'])
    assert [path.name for path in write_report(other)] == ['results.png', 'README.md'] and '## How it was trained' not in other.card.read_text()
    other.recordings.mkdir()
    (other.recordings / 'final.gif').write_bytes(b'GIF89a')
    assert '](recordings/final.gif)' in model_card(other) and '| `recordings/` | videos of evaluation episodes, 1 file | 6 bytes |' in model_card(other)

def test_a_card_of_strange_facts_is_one_all_the_same(copy):
    strange = copy('strange', machine='{"command": ["mario_dqn", "train"], "versions": 3, "seconds": NaN, "processor": "a|b"}')
    text = model_card(strange)
    assert '\nmario_dqn train\n' in text and '| processor | a\\|b |' in text and 'time, start' not in text

def test_a_card_of_damaged_files_is_refused(copy):
    with pytest.raises(ConfigError, match='machine.json is not valid JSON'): model_card(copy('machine', machine='{"steps": '))
    results = copy('results', results='{"players": {}}')
    for make in (model_card, write_report):
        with pytest.raises(ConfigError, match='no list of players'): make(results)
