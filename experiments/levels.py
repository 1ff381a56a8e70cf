"""Collects what trained runs reach on their levels, and compares settings by it.

Usage: python experiments/levels.py RUN …
       python experiments/levels.py

A RUN is the folder of a finished run, such as those in the folder of a sweep. Its rows go to experiments/levels.csv, one for each level
that it was trained on: how it was trained, and what its best weights reach under the protocol (100 games with sticky actions, 31 start
delays, one greedy game). `origin` is the run whose weights it began with, if it did not begin at random; `weights` is half for an agent
that was rounded to ship; `precision` is that of the arithmetic, which the processor decides unless a setting does; `minutes` are those of the
run, with all that the machine had to do besides. Rows of other runs stay; only those of a run that agrees in all of this are replaced.
Without a RUN the table is printed, and for each two settings that have runs on the same levels their mean clear rates over these levels,
in whatever precision; agents that were rounded to ship are no other runs, and left out of that.
"""
import argparse, csv, itertools, json
from pathlib import Path

import numpy as np

from mario_dqn.run.files import RunFolder, load_config, stage, write_atomic
from mario_dqn.run.sweep import rows_text
from mario_dqn.settings import KEYS, LEVELS, LOST_LEVELS, Config
from mario_dqn.show.report import players

TABLE = Path(__file__).with_name('levels.csv')
TRAINED = ['level', 'trained_on', 'settings', 'steps', 'seed', 'origin', 'precision', 'weights']  # what tells two rows apart
# always told, since defaults may change; the others only where they are not the defaults
TOLD = ['env.actions', 'env.reward', 'agent.batch_size', 'agent.samples_per_step', 'agent.munchausen']
# of columns of their own, or without a part in what is learned
SILENT = ['env.level', 'env.levels', 'agent.precision', 'run.seed', 'run.steps', 'run.threads', 'run.games_on', 'run.games_per_actor',
          'run.game_threads', 'run.game_timeout', 'run.metrics_interval', 'run.checkpoint_interval', 'run.baselines', 'run.record', 'run.keep_checkpoint']


def settings_of(config): # `Config`
    "How a run was trained, as text."
    def value(config, key):
        group, name = key.split('.')
        return getattr(getattr(config, group), name)
    others = [key for key in KEYS if key not in TOLD + SILENT and value(config, key) != value(Config(), key)]
    return ', '.join(f'{key.split(".")[1]} {value(config, key)}' for key in TOLD + others)

def rounded(run): # `RunFolder`
    "Whether its best weights are in half precision."
    with np.load(run.best) as arrays: return any(array.dtype == np.float16 for array in arrays.values())

def share(rate): # None where all games were one, so that there is no interval
    return '' if rate is None else round(rate, 3)

def rows_of(run): # `RunFolder`
    "A row for each level of a finished run."
    config, machine, results = load_config(run.config, saved=True), json.loads(run.machine.read_text()), json.loads(run.results.read_text())
    for part in results.get('levels', [results | dict(level=config.env.level)]):
        reached = players(part)['trained agent']
        sticky = reached['sticky']
        yield dict(level=part['level'], trained_on=config.env.level_name, settings=settings_of(config), steps=config.run.steps,
                   seed=config.run.seed, origin=Path(machine.get('origin') or '').name, precision=config.agent.precision,
                   weights='half' if rounded(run) else 'full', minutes=round(machine['seconds'] / 60, 1), games=sticky['episodes'], cleared=sticky['cleared'],
                   clear_low=share(sticky['clear_low']), clear_high=share(sticky['clear_high']), x_mean=round(sticky['x_mean']),
                   starts=reached['noops']['cleared'], delays=reached['noops']['episodes'], greedy=reached['single']['cleared'])

def read():
    "The rows of the table by what tells them apart."
    if not TABLE.exists(): return {}
    with TABLE.open(newline='') as file: return by_training(csv.DictReader(file))

def by_training(rows): return {tuple(row[name] for name in TRAINED): row for row in rows}

def in_order(row):
    order = LEVELS + LOST_LEVELS
    return order.index(row['level']), [row[name] for name in TRAINED]

def name_of(row):
    "How a run was trained, but for its levels and its seed."
    many = f', together with others ({row["trained_on"]})' if row['trained_on'] != row['level'] else ''
    began = f', from {row["origin"]}' if row['origin'] else ''
    return f'{row["settings"]}, {int(row["steps"]):,} steps{began}{many}' + ', rounded' * (row['weights'] == 'half')

def compare(rows):
    "For each two settings a line with their mean clear rates on the levels that both were trained on."
    rates = {}
    rows = [row for row in rows if row['weights'] == 'full']  # rounded ones are no other training
    for row in rows:
        rate = int(row['cleared']) / int(row['games'])
        rates.setdefault(name_of(row), {}).setdefault(row['level'], []).append(rate)
    for one, other in itertools.combinations(rates, 2):
        both = [level for level in LEVELS if level in rates[one] and level in rates[other]]
        if not both: continue
        mean = [sum(sum(rates[name][level]) / len(rates[name][level]) for level in both) / len(both) for name in (one, other)]
        yield f'{" ".join(both)}: {mean[0]:.1%} ({one}), {mean[1]:.1%} ({other})'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', type=Path, nargs='*')
    runs = [RunFolder(path) for path in parser.parse_args().runs]
    for run in runs:
        if stage(run) != 'finished': parser.error(f'{run.path} is not a finished run.')
    new = [{name: str(value) for name, value in row.items()} for run in runs for row in rows_of(run)]
    rows = sorted((read() | by_training(new)).values(), key=in_order)
    if new: write_atomic(TABLE, rows_text(rows))
    if not rows: print(f'There are no runs in {TABLE} yet.')
    for row in rows:
        interval = ' to '.join(f'{float(row[name]):.0%}' if row[name] else '–' for name in ('clear_low', 'clear_high'))
        print(f'{row["level"]:8} {row["cleared"]:>3} of {row["games"]} ({interval}), '
              f'{row["starts"]:>2} of {row["delays"]} delays, greedy {row["greedy"]}, x {row["x_mean"]:>4}   {name_of(row)}, seed {row["seed"]}, {row["precision"]}')
    for line in compare(rows): print(line)


if __name__ == '__main__': main()
