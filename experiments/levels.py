"""Collects what trained runs reach on their levels, and compares settings by it.

Usage: python experiments/levels.py RUN …
       python experiments/levels.py

A RUN is the folder of a finished run, such as those in the folder of a sweep. Its rows go to experiments/levels.csv, one for each level that
it was trained on: how it was trained, and what its best weights reach under the protocol (100 games with sticky actions, 31 start delays, one
greedy game). Rows of other runs stay, those of a run that was trained the same way are replaced. Without a RUN the table is printed, and for
all settings that have runs on the same levels the mean clear rate over these levels.
"""
import argparse, csv, io, itertools, json
from pathlib import Path

from mario_dqn.run.files import RunFolder, load_config, stage, write_atomic
from mario_dqn.settings import LEVELS, LOST_LEVELS

TABLE = Path(__file__).with_name('levels.csv')
TRAINED = ['trained_on', 'actions', 'reward', 'samples', 'steps', 'seed']
REACHED = ['minutes', 'games', 'cleared', 'clear_low', 'clear_high', 'x_mean', 'starts', 'greedy']


def agent_of(results): # content of results.json, or of one of its levels
    "What the trained agent reached, by name of the condition."
    agent = next(player for player in results['players'] if player['name'] == 'agent')
    return {condition['name']: condition for condition in agent['conditions']}

def rows_of(run): # `RunFolder`
    "A row for each level of a finished run."
    config, machine, results = load_config(run.config, saved=True), json.loads(run.machine.read_text()), json.loads(run.results.read_text())
    trained = dict(trained_on=config.env.level_name, actions=config.env.actions, reward=config.env.reward, samples=config.agent.samples_per_step,
                   steps=config.run.steps, seed=config.run.seed)
    for part in results.get('levels', [results | dict(level=config.env.level)]):
        reached = agent_of(part)
        sticky = reached['sticky']
        yield trained | dict(level=part['level'], minutes=round(machine['seconds'] / 60, 1), games=sticky['episodes'], cleared=sticky['cleared'],
                             clear_low=round(sticky['clear_low'], 3), clear_high=round(sticky['clear_high'], 3), x_mean=round(sticky['x_mean']),
                             starts=reached['noops']['cleared'], greedy=reached['single']['cleared'])

def read():
    with TABLE.open(newline='') as file: return list(csv.DictReader(file))

def write(rows):
    "All rows, in the order of the levels."
    order, text = LEVELS + LOST_LEVELS, io.StringIO()
    writer = csv.DictWriter(text, ['level', *TRAINED, *REACHED], lineterminator='\n')
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: (order.index(row['level']), [str(row[name]) for name in TRAINED])))
    write_atomic(TABLE, text.getvalue())

def name_of(row):
    "How a run was trained, but for its levels and its seed."
    many = f', together with others ({row["trained_on"]})' if row['trained_on'] != row['level'] else ''
    return f'{row["actions"]}, {row["reward"]}, {float(row["samples"]):g} samples, {int(row["steps"]):,} steps{many}'

def compare(rows):
    "For each two settings a line with their mean clear rates on the levels that both were trained on."
    rates = {}
    for row in rows: rates.setdefault(name_of(row), {}).setdefault(row['level'], []).append(int(row['cleared']) / int(row['games']))
    for one, other in itertools.combinations(rates, 2):
        both = [level for level in LEVELS if level in rates[one] and level in rates[other]]
        if not both: continue
        mean = [sum(sum(rates[name][level]) / len(rates[name][level]) for level in both) / len(both) for name in (one, other)]
        yield f'{" ".join(both)}: {one} {mean[0]:.1%}; {other} {mean[1]:.1%}'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', type=Path, nargs='*')
    runs = [RunFolder(path) for path in parser.parse_args().runs]
    for run in runs:
        if stage(run) != 'finished': parser.error(f'{run.path} is not a finished run.')
    new = [{name: str(value) for name, value in row.items()} for run in runs for row in rows_of(run)]
    def key(row): return [row['level'], *(row[name] for name in TRAINED)]
    replaced = [key(row) for row in new]
    rows = [row for row in (read() if TABLE.exists() else []) if key(row) not in replaced] + new
    if runs: write(rows)
    for row in rows:
        print(f'{row["level"]:8} {row["cleared"]:>3} of {row["games"]} ({float(row["clear_low"]):.0%} to {float(row["clear_high"]):.0%}), '
              f'{row["starts"]:>2} of 31 delays, greedy {row["greedy"]}, x {row["x_mean"]:>4}   {name_of(row)}, seed {row["seed"]}')
    for line in compare(rows): print(line)


if __name__ == '__main__': main()
