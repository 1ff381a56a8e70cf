"""The figures of the front page and of the card are those of the files that they come from."""
import json, re

import pytest

from house import ROOT
from mario_dqn.run.files import shipped_agent
from mario_dqn.show.report import results_table

README, NOTES = (path.read_text(encoding='utf-8') for path in (ROOT / 'README.md', shipped_agent().notes))
RESULTS, MACHINE = (json.loads(path.read_text()) for path in (shipped_agent().results, shipped_agent().machine))
CONDITIONS = RESULTS['players'][0]['conditions']
HALF_HOURS, THEIRS = (json.loads((ROOT / 'experiments' / name).read_text()) for name in ('half_hour.json', 'side_by_side.json'))
EARLY, LATE = HALF_HOURS[::2], HALF_HOURS[1::2]


@pytest.mark.parametrize('line', results_table(RESULTS).splitlines())
def test_the_front_page_has_the_table_of_the_agent_that_ships(line): assert line in README

def games(condition): return f"{condition['cleared']} of {condition['episodes']}"

def test_the_front_page_tells_how_the_agent_was_trained():
    assert f"`{MACHINE['command']}`, which takes half an hour alone on two cores" in README and LATE[0]['minutes'] == 30.3
    judged = [line.split(',') for line in shipped_agent().evaluations.read_text().splitlines()]
    best = max(int(step) for step, *_, best in judged[1:] if best == '1')
    assert len(judged) == 1 + 8 and (judged[-1][0], judged[0][-1], best) == ('400000', 'best', 350_000)      # its end, and the best

def test_the_agent_that_ships_is_the_best_of_three_and_its_own_row_again():
    "It was trained a second time, on another machine, and rounded."
    assert [(run['seed'], run['steps']) for run in HALF_HOURS] == [(seed, steps) for seed in range(3) for steps in (200_000, 400_000)]
    assert [run['conditions'][0]['cleared'] for run in LATE] == [93, 89, 75]
    for kept, first in zip(CONDITIONS, LATE[0]['conditions'], strict=True):
        assert {key: kept[key] for key in first} | dict(score_mean=0) == first | dict(score_mean=0)
        assert abs(kept['score_mean'] - first['score_mean']) < 0.1                     # what rounding changed

@pytest.mark.parametrize('early,late', zip(EARLY, LATE), ids=lambda run: f"seed{run['seed']}")
def test_the_front_page_and_the_notes_have_a_row_for_each_seed(early, late):
    assert ' | '.join(map(games, (*late['conditions'][:3], early['conditions'][0]))) in README
    assert ' | '.join(map(games, (*early['conditions'][:2], *late['conditions'][:3]))) in NOTES

def test_the_front_page_has_the_half_hours_of_both_with_the_same_seeds():
    theirs = [row for row in THEIRS if row['side'] == 'theirs']
    ours = [run | run['conditions'][0] for run in LATE[:len(theirs)]]
    for rows in (ours, theirs):
        assert [row['seed'] for row in rows] == list(range(len(rows))) != []
        assert ' | '.join(', '.join(f'{row[key]:,.0f}' for row in rows) for key in ('cleared', 'x_mean')) in README

def test_the_front_page_compares_the_games_that_no_choice_was_made_by():
    steps, rate = MACHINE['steps'], re.search(r'it reached the flag in (\d+)\.', NOTES)[1]
    assert f'| this project | DQN, {steps:,} | {rate} of 300 | sticky actions |' in README
    further = json.loads((ROOT / 'experiments/further.json').read_text()) # of evaluate --sticky 0.25 --seed 777 --episodes 300 --json
    assert (further['seed'], further['sticky'], games(further)) == (777, 0.25, f'{rate} of 300')
    assert f"{further['clear_rate']:.0%} ({further['clear_low']:.0%}–{further['clear_high']:.0%})".replace('%', '') in NOTES.replace(' %', '')

def test_the_front_page_is_short():
    prose = [line for line in README.split('\n') if line and line[0] not in '|#>!' and not line.startswith('    ')]
    text = re.sub(r'```.*?```', '', '\n'.join(prose), flags=re.S)
    assert len(text.split()) <= 400, len(text.split())

def test_the_notes_have_the_costs_and_the_card_the_notes():
    bench = json.loads((ROOT / 'save' / 'bench.json').read_text())
    for figure in (f"| {bench['steps_per_second']:.0f} |", f"| {100 * bench['overlap']:.0f} % |", f"| {bench['vs_keras_loop']:.1f} × |",
                   f"| {MACHINE['peak_memory_bytes'] / 1e9:.2f} GB, {MACHINE['predicted_memory_bytes'] / 1e9:.2f} GB predicted |"): assert figure in NOTES, figure
    assert NOTES in shipped_agent().card.read_text(encoding='utf-8')
