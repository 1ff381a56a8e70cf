"""Trains an agent for each seed for about half an hour with the default settings, and puts what they reach into one small file.

Usage: python experiments/half_hour.py SEED … [--steps N] [--out FOLDER]

For each seed this is `mario_dqn train --seed SEED --steps N` into FOLDER/seedSEED (default: save/half_hour/), with the final evaluation;
a run that is finished there is not made again. experiments/half_hour.json takes what the runs' own files tell, and the rows of a seed
replace those that it had. Two cores and nothing beside them, or the minutes say little.
"""
import argparse, csv, json, subprocess, sys
from pathlib import Path

from mario_dqn.settings import Config
from mario_dqn.run.files import RunFolder, write_atomic

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / 'experiments/half_hour.json'
CONDITION = ('name', 'episodes', 'cleared', 'clear_low', 'clear_high', 'score_mean', 'x_mean', 'paths')


def numbers(path):
    "The rows of a file of a run."
    with open(path, newline='') as file: return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]

def told(seed, folder):
    "What the files of a finished run tell."
    machine = json.loads(folder.machine.read_text())
    # the last step has a row in timing.csv only if the interval of its rows divides it
    seconds = {machine['steps']: machine['seconds']} | {row['step']: row['seconds'] for row in numbers(folder.timing)}
    agent = next(player for player in json.loads(folder.results.read_text())['players'] if player['name'] == 'agent')
    return dict(
        seed=seed, processor=machine['processor'], steps=machine['steps'], minutes=round(machine['seconds'] / 60, 1),
        evaluations=[dict(step=int(row['step']), minutes=round(seconds[row['step']] / 60, 1), episodes=int(row['episodes']), score_mean=round(row['score_mean'], 1),
                          clear_rate=row['clear_rate'], best=int(row['best'])) for row in numbers(folder.evaluations)],
        conditions=[{key: condition[key] for key in CONDITION} for condition in agent['conditions']])


def main():
    parser = argparse.ArgumentParser(description='See the first lines of this file.')
    parser.add_argument('seeds', type=int, nargs='+')
    parser.add_argument('--steps', type=int, default=Config().run.steps)
    parser.add_argument('--out', type=Path, default=ROOT / 'save/half_hour')
    arguments = parser.parse_args()
    runs = {run['seed']: run for run in json.loads(TABLE.read_text())} if TABLE.exists() else {}
    for seed in arguments.seeds:
        folder = RunFolder(arguments.out / f'seed{seed}')
        if not folder.results.exists():
            subprocess.run([sys.executable, '-m', 'mario_dqn', 'train', '--seed', str(seed), '--steps', str(arguments.steps), '--out', str(folder.path)], check=True)
        runs[seed] = told(seed, folder)
        write_atomic(TABLE, json.dumps([runs[seed] for seed in sorted(runs)], indent=1) + '\n')


if __name__ == '__main__': main()
