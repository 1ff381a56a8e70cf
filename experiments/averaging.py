"""Does an average of weights play better than the weights of a moment? Trains once for each seed and asks at several moments.

Usage: python experiments/averaging.py SEED … [--out FOLDER]

Every run is 250,000 agent steps with the default settings, but for updates of 64 transitions, the default when the table was made; its
acting weights are kept every 1,000 steps. At each moment the weights of that step, and averages over the 5,000 and the 10,000 updates
before it, play the same games with sticky actions, on seeds for selection which no training uses. The runs lie in FOLDER (default:
save/averaging/); the rows of a seed replace those that it had in experiments/averaging.csv. Some twenty minutes of training and twelve
of games for each seed, on two cores of a recent server.
"""
import argparse, csv, io
from pathlib import Path

import numpy as np

from mario_dqn.agent import average_share
from mario_dqn.run.checkpoint import build_agent
from mario_dqn.settings import AgentConfig, Config, with_values
from mario_dqn.run.files import RunFolder, load_config, write_atomic
from mario_dqn.env import SELECTION
from mario_dqn.evaluation import Condition, evaluate
from mario_dqn.runner import Callback
from mario_dqn.run.train import new_folder, stage, train

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / 'experiments/averaging.csv'
STEPS, EVERY = 250_000, 1_000                        # agent steps; four of them bring an update
MOMENTS = {200_000: 60, 215_000: 40, 230_000: 40, 240_000: 40, 250_000: 60}  # agent steps, and how many games are played
LARGER = {'agent.batch_size': 64, 'agent.samples_per_step': 16.0}  # updates, as they were when the table was made
AVERAGES = (0, 5_000, 10_000)                        # updates; 0 for the weights of the moment
SEED = 1234                                          # of the games


class Keep(Callback):
    "Keeps the weights that act."
    def __init__(self, folder): self.folder = folder

    def interval(self, runner, row):
        self.folder.mkdir(exist_ok=True)
        np.savez(self.folder / f'{row["step"]:07d}.npz', **runner.agent.weights())


def averaged(files, updates):
    "The average over the last `updates` updates of the weights in the files, in their order; the last ones if it is 0."
    if not updates: return dict(np.load(files[-1]))
    config, mean = AgentConfig(target_period=EVERY // 4, average_updates=updates), None
    for count, file in enumerate(files, 1):
        now = {name: array.astype('float64') for name, array in np.load(file).items()}
        share = average_share(count, config)
        mean = now if mean is None else {name: mean[name] + share * (now[name] - mean[name]) for name in mean}
    return {name: array.astype('float32') for name, array in mean.items()}


def measure(seed, folder):
    "The rows of one seed."
    config, kept = load_config(folder.config), sorted((folder.path / 'kept').glob('*.npz'))
    agent, learning = build_agent(config), [file for file in kept if int(file.stem) > config.agent.learning_starts]
    for moment, games in MOMENTS.items():
        for updates in AVERAGES:
            agent.load(averaged([file for file in learning if int(file.stem) <= moment], updates))
            numbers, _ = evaluate(agent.q_values, config.env, Condition('selection', 'selection', games, SEED, sticky=0.25), purpose=SELECTION)
            row = dict(seed=seed, step=moment, average_updates=updates, games=games, cleared=numbers['cleared'], score_mean=round(numbers['score_mean'], 1))
            print(row, flush=True)
            yield row


def store(rows):
    "Write the rows of a seed into the table."
    others = []
    if TABLE.exists():
        with open(TABLE, newline='') as file: others = [row for row in csv.DictReader(file) if int(row['seed']) != rows[0]['seed']]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(sorted([*others, *rows], key=lambda row: int(row['seed'])))
    write_atomic(TABLE, text.getvalue())


def main():
    parser = argparse.ArgumentParser(description='See the first lines of this file.')
    parser.add_argument('seeds', type=int, nargs='+')
    parser.add_argument('--out', type=Path, default=ROOT / 'save/averaging')
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        folder = RunFolder(arguments.out / f'seed{seed}')
        if stage(folder) != 'measuring':
            config = with_values(Config(), {'run.seed': seed, 'run.steps': STEPS, 'run.eval_interval': STEPS, 'agent.average_updates': 0} | LARGER)
            train(config, new_folder(folder, force=folder.config.exists()), callbacks=[Keep(folder.path / 'kept')])
        store(list(measure(seed, folder)))


if __name__ == '__main__': main()
