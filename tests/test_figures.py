"""The figures of the front page and of the card are those of the files that they come from."""
import json, re

import pytest

from house import ROOT
from mario_dqn.run.files import shipped_agent
from mario_dqn.show.report import results_table

README, NOTES = (path.read_text(encoding='utf-8') for path in (ROOT / 'README.md', shipped_agent().notes))
RESULTS, MACHINE = (json.loads(path.read_text()) for path in (shipped_agent().results, shipped_agent().machine))
CONDITIONS = RESULTS['players'][0]['conditions']
HALF_HOURS, LONGER = (json.loads((ROOT / 'experiments' / name).read_text()) for name in ('half_hour_64.json', 'two_actions_results.json'))


@pytest.mark.parametrize('line', results_table(RESULTS).splitlines())
def test_the_front_page_has_the_table_of_the_agent_that_ships(line): assert line in README

def test_the_front_page_tells_how_the_agent_was_trained():
    assert f"two processor cores in {MACHINE['seconds'] / 60:.1f} minutes, by `{MACHINE['command']}`" in README
    judged = [line.split(',') for line in shipped_agent().evaluations.read_text().splitlines()]
    assert len(judged) == 1 + 7 and (judged[-1][0], judged[0][-1], judged[-1][-1]) == ('350000', 'best', '1')      # its end, and the best
    assert [condition['cleared'] for condition in CONDITIONS[:2]] == [90, 31] == [condition['cleared'] for condition in HALF_HOURS[2]['conditions'][:2]]

def test_the_front_page_has_what_other_seeds_and_a_longer_training_reached():
    assert [run['seed'] for run in HALF_HOURS] == [0, 1, 2] and max(run['minutes'] for run in HALF_HOURS) < 30
    longer, = (run for run in LONGER if run['step'] == 450_000)
    for run in (*HALF_HOURS, longer): assert ' | '.join(f"{c['cleared']} of {c['episodes']}" for c in run['conditions'][:3]) in README

def test_the_front_page_compares_the_games_that_no_choice_was_made_by():
    steps, rate = MACHINE['steps'], re.search(r'it reached the flag in (\d+)\.', NOTES)[1]
    assert f'| this project | DQN, {steps:,} | {rate} of 300 | sticky actions |' in README

def test_the_front_page_is_short():
    prose = [line for line in README.split('\n') if line and line[0] not in '|#>!' and not line.startswith('    ')]
    text = re.sub(r'```.*?```', '', '\n'.join(prose), flags=re.S)
    assert len(text.split()) <= 400, len(text.split())

@pytest.mark.parametrize('run', HALF_HOURS, ids=lambda run: f"seed{run['seed']}")
def test_the_notes_have_a_row_for_each_seed(run):
    assert f"{run['minutes']} | " + ' | '.join(f"{c['cleared']} of {c['episodes']}" for c in run['conditions'][:3]) + ' |' in NOTES

def test_the_notes_have_the_costs_and_the_card_the_notes():
    bench = json.loads((ROOT / 'save' / 'bench.json').read_text())
    for figure in (f"| {bench['steps_per_second']:.0f} |", f"| {100 * bench['overlap']:.0f} % |", f"| {bench['vs_keras_loop']:.1f} × |",
                   f"| {MACHINE['peak_memory_bytes'] / 1e9:.2f} GB, {MACHINE['predicted_memory_bytes'] / 1e9:.2f} GB predicted |"): assert figure in NOTES, figure
    assert NOTES in shipped_agent().card.read_text(encoding='utf-8')
