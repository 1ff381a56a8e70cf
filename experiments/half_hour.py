"""Trains an agent for each seed for about half an hour with the default settings, and puts what they reach into one small file.

Usage: python experiments/half_hour.py SEED … [--steps N …] [--out FOLDER] [--beside]

For each seed this is `mario_dqn train --seed SEED --steps N` into FOLDER/seedSEED (default: save/half_hour/), with the final evaluation.
Of several numbers of steps the run has the first, is measured, and goes on to the next, as `mario_dqn resume --steps` does. A run
that is finished there and has its row is left alone. experiments/half_hour.json takes what the runs' own files tell, and new rows replace
old ones.
The minutes are those of the training with its selection games, without the final evaluations. Two cores and nothing beside them, or
they say little; with --beside the rows have none.
"""
import argparse, csv, json, subprocess, sys
from pathlib import Path

from mario_dqn.settings import Config
from mario_dqn.run.files import RunFolder, write_atomic

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / 'experiments/half_hour.json'
CONDITION = ('name', 'episodes', 'cleared', 'clear_low', 'clear_high', 'score_mean', 'x_mean', 'paths')


def numbers(path):
    "The rows of a file of a run, without empty cells, such as a loss before the first update."
    with open(path, newline='') as file: return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]

def told(seed, folder, beside):
    "What the files of a finished run tell; without minutes if something else ran beside it."
    machine = json.loads(folder.machine.read_text())
    # the last step has a row in timing.csv only if the interval of its rows divides it
    seconds = {machine['steps']: machine['seconds']} | {row['step']: row['seconds'] for row in numbers(folder.timing)}
    def minutes(seconds): return None if beside else round(seconds / 60, 1)
    agent = next(player for player in json.loads(folder.results.read_text())['players'] if player['name'] == 'agent')
    return dict(
        seed=seed, processor=machine['processor'], steps=machine['steps'], updates=int(numbers(folder.metrics)[-1]['updates']),
        minutes=minutes(machine['seconds']),
        evaluations=[dict(step=int(row['step']), minutes=minutes(seconds[row['step']]), episodes=int(row['episodes']), score_mean=round(row['score_mean'], 1),
                          clear_rate=row['clear_rate'], best=int(row['best'])) for row in numbers(folder.evaluations)],
        conditions=[{key: condition[key] for key in CONDITION} for condition in agent['conditions']])


def rows():
    "What the table has, by seed and steps."
    return {(run['seed'], run['steps']): run for run in json.loads(TABLE.read_text())} if TABLE.exists() else {}

def measured(folder):
    "The steps of a finished run, 0 for any other."
    return json.loads(folder.machine.read_text())['steps'] if folder.results.exists() else 0

def brought(seed, steps, folder, beside):
    "Train to a number of steps, from the beginning or from where the run stands, and tell what that brought."
    words = ('resume', '--path') if folder.config.exists() else ('train', '--seed', str(seed), '--run.keep_checkpoint', '--out')
    if measured(folder) != steps:
        subprocess.run([sys.executable, '-m', 'mario_dqn', *words, str(folder.path), '--steps', str(steps)], check=True)
    return told(seed, folder, beside)


def main():
    parser = argparse.ArgumentParser(description='See the first lines of this file.')
    parser.add_argument('seeds', type=int, nargs='+')
    parser.add_argument('--steps', type=int, nargs='+', default=[Config().run.steps])
    parser.add_argument('--out', type=Path, default=ROOT / 'save/half_hour')
    parser.add_argument('--beside', action='store_true')
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        folder = RunFolder(arguments.out / f'seed{seed}')
        for steps in sorted(arguments.steps):
            done = measured(folder)
            if done > steps or done == steps and (seed, steps) in rows(): continue  # its row was written when the run was there
            run = brought(seed, steps, folder, arguments.beside)
            runs = rows() | {(seed, steps): run}  # read anew, since another seed may have been trained beside this one
            write_atomic(TABLE, json.dumps([runs[key] for key in sorted(runs)], indent=1) + '\n')


if __name__ == '__main__': main()
