"""Trains with the defaults and with one thing changed at a time, three seeds each, and collects how well the agents played on the way.

Usage: python experiments/ingredients.py [--seeds N …] [--steps N] [--variants NAME …] [--out FOLDER] [--side_by_side N]
       python experiments/ingredients.py --areas

Every run is a whole training with one thread for the network and one for the games; two of them go on side by side, since only steps count
here. Every 25,000 agent steps the weights play 40 games with sticky actions, on the seeds for selection. After each run its rows go to
experiments/ingredients.csv; rows of other variants and seeds stay. A run whose rows are in the table is not repeated, one that was broken
off goes on, so the script can be stopped and started again. `--areas` prints a line for each run of the table, with the area under its
clear rate and the clear rate of the last two evaluations, and the difference to the run that it is to be compared with, of the same seed:
`half the samples` for what was tried on top of it, `default` for what was left out of the present defaults, and `everything` for the rest.
The last group computes in float32. The others compute in bfloat16 where the machine has instructions for it, which differs in more than
last bits; so each row has its precision, and a line says where the two differ. Two variants take away what belongs together: the histogram
and the normalisation, and the slow target that plays with its slow steps.

Some variants are more than a setting: the functions below put them in the place of parts of the agent, in the process of one run only.
"""
import argparse, csv, io, os, signal, subprocess, sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / 'experiments/ingredients.csv'
EVERY = 25_000  # agent steps between the evaluations
COLUMNS = ['variant', 'seed', 'precision', 'step', 'episodes', 'clear_rate', 'score_mean', 'x_mean', 'training_clear_100']
ALL = {'agent.batch_size': 64, 'agent.samples_per_step': 16.0}
HALF = {'agent.batch_size': 32, 'agent.samples_per_step': 8.0}  # as many updates, each of half as many transitions
CHANGES = {
    'no double': {'agent.double': False},
    'munchausen': {'agent.munchausen': 0.9},
    'faster decay': {'agent.learning_rate_half': 25_000},
    'slower decay': {'agent.learning_rate_half': 200_000},
    'munchausen, faster decay': {'agent.munchausen': 0.9, 'agent.learning_rate_half': 25_000},
    'dropout': {},
    'shifts': {},
    'discount 0.95': {'agent.discount': 0.95, 'agent.value_high': 24.0, 'agent.value_bins': 77},
    'no middle starts': {'run.middle_starts': 0.0},
    'late middle starts': {'run.games_on': 'threads'},
    'no priorities': {'agent.priority_exponent': 0.0},
    'one step': {'agent.n_step': 1},
    'five steps': {'agent.n_step': 5},
    'more updates': {'agent.samples_per_step': 12.0},  # three in the place of two for eight steps
    'no histogram': {'agent.value_bins': 0, 'agent.layer_norm': False},
    'no average acts': {'agent.target_acts': False, 'agent.target_mix': 1.0, 'agent.target_period': 2000},
    'no penalty': {'agent.death_penalty': 0.0},
    'float32': {'agent.precision': 'float32'},
} # what is changed; those of `PATCHES` change code, too
DEFAULT = CHANGES['float32']  # on every machine the same, and most have no other
INGREDIENTS = ('no middle starts', 'no average acts', 'no histogram', 'no priorities', 'no penalty', 'no double', 'one step')
VARIANTS = ({'everything': ALL, 'no double': ALL | CHANGES['no double'], 'half the samples': HALF}
            | {f'half, {name}': HALF | values for name, values in CHANGES.items()}
            | {'default': DEFAULT} | {f'default, {name}': DEFAULT | CHANGES[name] for name in INGREDIENTS})
COMPARED = {'half, ': 'half the samples', 'default, ': 'default'}  # beginnings of names, and what those runs are compared with


def dropout(rate=0.1):
    "Dropout on the hidden layers of both streams, in the pass that learns and in no other; TensorFlow only, whose chance has no state in Keras."
    import keras, tensorflow
    from mario_dqn import agent
    class ReLU(keras.layers.ReLU):
        learning = False
        def call(self, x):
            found = super().call(x)
            if not ReLU.learning: return found
            kept = tensorflow.random.uniform(tensorflow.shape(found)) >= rate
            return found * keras.ops.cast(kept, found.dtype) / (1 - rate)
    usual = agent.Learner.call
    def call(self, batch):
        ReLU.learning = True
        try: return usual(self, batch)
        finally: ReLU.learning = False
    keras.layers.ReLU, agent.Learner.call = ReLU, call
    tensorflow.random.set_seed(0)


def late_middle_starts(step=100_000):
    "Starts from the middle only from a step on; before, every episode begins at the level's start."
    from mario_dqn import runner
    usual = runner.Runner.one_step
    def one_step(self):
        share = self.config.run.middle_starts if self.step >= step else 0.0
        for game in self.games.games: game.middle_starts = share
        usual(self)
    runner.Runner.one_step = one_step


def shifts(most=3):
    "What is learned from is moved by up to so many pixels in both directions, its border repeated, as in DrQ (Kostrikov et al. 2020)."
    import numpy as np
    from mario_dqn import agent
    rng, usual = np.random.default_rng(0), agent.Agent.update
    def moved(observations): # uint8 [B, stack, size, size]
        size = observations.shape[-1]
        padded = np.pad(observations, ((0, 0), (0, 0), (most, most), (most, most)), 'edge')
        starts = rng.integers(2 * most + 1, size=(len(observations), 2))
        return np.stack([each[:, y:y + size, x:x + size] for each, (y, x) in zip(padded, starts)])
    def update(self, batch):
        return usual(self, batch._replace(observation=moved(batch.observation), next_observation=moved(batch.next_observation)))
    agent.Agent.update = update


PATCHES = {'half, dropout': dropout, 'half, shifts': shifts, 'half, late middle starts': late_middle_starts}


def rows(path):
    with open(path, newline='') as file: return list(csv.DictReader(file))

def table():
    "The rows of each run in the table, by variant and seed."
    found = {}
    for row in rows(TABLE) if TABLE.exists() else []: found.setdefault((row['variant'], int(row['seed'])), []).append(row)
    return found

def write(found):
    from mario_dqn.run.files import write_atomic
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator='\n')
    writer.writeheader()
    for name, seed in sorted(found, key=lambda run: (list(VARIANTS).index(run[0]), run[1])): writer.writerows(found[name, seed])
    write_atomic(TABLE, text.getvalue())

def collect(name, seed, folder):
    "The rows of one finished run."
    from mario_dqn.run.files import RunFolder, load_config
    precision = load_config(RunFolder(folder).config, saved=True).agent.precision
    training = {row['step']: row['clear_100'] for row in rows(folder / 'metrics.csv')}
    for row in rows(folder / 'evaluations.csv'):
        yield dict(variant=name, seed=seed, precision=precision, training_clear_100=training[row['step']]) | {key: row[key] for key in COLUMNS[3:-1]}


def one(name, seed, steps, folder):
    "Do one run in this process, or go on with it."
    from mario_dqn.run.files import RunFolder, stage
    from mario_dqn.run.train import go_on, train
    from mario_dqn.settings import Config, with_values
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if name in PATCHES: PATCHES[name]()
    values = {'run.seed': seed, 'run.steps': steps, 'run.eval_interval': EVERY, 'run.eval_episodes': 40, 'run.threads': 1,
              'run.game_threads': 1, 'run.record': False, **VARIANTS[name]}
    if not RunFolder(folder).config.exists(): train(with_values(Config(), values), folder)
    elif stage(RunFolder(folder)) == 'training': go_on(folder)


def begin(name, seed, steps, folder):
    "Do one run in a process of its own."
    folder.parent.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, __file__, '--one', name, '--seeds', str(seed), '--steps', str(steps), '--out', str(folder)]
    with open(f'{folder}.log', 'a') as log: subprocess.run(line, stdout=log, stderr=log, check=True)


def areas():
    "A line for each run, with the differences to the one that it is compared with."
    found = table()
    def measured(run): # area under the clear rate, and clear rate of the last two evaluations, in %
        rates = [100 * float(row['clear_rate']) for row in found[run]]
        return sum(rates) / len(rates), sum(rates[-2:]) / 2
    for name in VARIANTS:
        seeds = [seed for variant, seed in found if variant == name]
        for seed in seeds:
            area, last = measured((name, seed))
            other = next((group for key, group in COMPARED.items() if name.startswith(key)), 'everything'), seed
            usual = measured(other) if other in found else (float('nan'),) * 2
            precision = {found[run][0]['precision'] for run in ((name, seed), other) if run in found}
            print(f'{name:30} seed {seed}  area {area:5.1f} ({area - usual[0]:+5.1f})  last two {last:5.1f} ({last - usual[1]:+5.1f})'
                  + '  of two precisions' * (len(precision) > 1))


def told(call, name, seed, folder):
    "Write down what a run has brought, once it has ended."
    if call.exception(): return print(f'{name}, seed {seed} failed: {call.exception()}; see {folder}.log', flush=True)
    write(table() | {(name, seed): list(collect(name, seed, folder))})
    print(f'{name}, seed {seed}: {folder}', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--steps', type=int, default=200_000)
    parser.add_argument('--out', type=Path, default=ROOT / 'save/ingredients')
    parser.add_argument('--variants', nargs='*', default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument('--side_by_side', type=int, default=2)
    parser.add_argument('--areas', action='store_true')
    parser.add_argument('--one', choices=list(VARIANTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.areas: return areas()
    if arguments.one: return one(arguments.one, arguments.seeds[0], arguments.steps, arguments.out)
    if arguments.steps % EVERY or arguments.steps <= 0: parser.error(f'--steps is {arguments.steps}, but must be a multiple of {EVERY:,}.')
    def todo(name, seed): return len(table().get((name, seed), ())) * EVERY < arguments.steps
    runs = {(name, seed): arguments.out / f'{name.replace(",", "").replace(" ", "-")}-seed{seed}-steps{arguments.steps}' for name in arguments.variants for seed in arguments.seeds if todo(name, seed)}
    with ThreadPoolExecutor(arguments.side_by_side) as pool:
        calls = {pool.submit(begin, name, seed, arguments.steps, folder): (name, seed, folder) for (name, seed), folder in runs.items()}
        try:
            for call in as_completed(calls): told(call, *calls[call])
        except BaseException:
            pool.shutdown(cancel_futures=True)  # those that have not begun
            raise
    print(f'The table is {TABLE}')


if __name__ == '__main__': main()
