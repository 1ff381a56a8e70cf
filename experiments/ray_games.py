"""How fast games are played by threads, by a process and by actors of Ray, alone and beside the learner, and how many bytes of observations travel in a step; writes ray_games.csv.

Nothing else should run meanwhile. Eight games with the default settings; alone with random actions, the best of several slices of a few seconds.
"""
import argparse, csv, time
from pathlib import Path

import numpy as np

from mario_dqn.games import GameVector
from mario_dqn.run.cluster import RayGames, join_cluster, leave_cluster, shrink_step
from mario_dqn.run.process import GameProcess
from mario_dqn.run.files import set_threads
from mario_dqn.run.train import build_runner
from mario_dqn.settings import Config, with_values

def pace(games, seconds, slices):
    "Agent steps a second of the best slice, and the last two steps."
    rng, found = np.random.default_rng(0), []
    before, step = None, None
    observation = games.reset()
    for _ in range(slices):
        begun, steps = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            before = observation if step is None else step.observation
            step = games.step(rng.integers(0, games.action_count, games.count))
            steps += games.count
        found.append(steps / (time.perf_counter() - begun))
    games.close()
    return max(found), before, step

def training_pace(config, seconds, slices):
    "Agent steps a second of a training that learns, the best slice."
    runner, found = build_runner(config, say=lambda sentence: None), []
    runner.begin()
    while runner.agent.updates < 20: runner.one_step()
    for _ in range(slices):
        begun, first = time.perf_counter(), runner.step
        while time.perf_counter() - begun < seconds: runner.one_step()
        found.append((runner.step - first) / (time.perf_counter() - begun))
    runner.games.close()
    return max(found)

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=3.0)
    parser.add_argument('--slices', type=int, default=5)
    args = parser.parse_args()
    config = Config()
    ways = [('threads', ''), ('process', ''), ('ray', 1), ('ray', 2), ('ray', 4)]
    set_threads(config.run.threads)
    join_cluster(cpus=8)
    rows = []
    for kind, actors in ways:
        arguments = config.env, 8, 0, 0.0, 1
        games = {'threads': GameVector, 'process': GameProcess}[kind](*arguments) if kind != 'ray' else RayGames(*arguments, games_per_actor=8 // actors)
        speed, before, step = pace(games, args.seconds, args.slices)
        small = shrink_step(step, before)
        travel = {'threads': 0, 'process': step.observation.nbytes + step.next_observation.nbytes,
                  'ray': small.frames.nbytes + sum(frame.nbytes for frame in small.begun.values())}[kind]
        learning = with_values(config, {'run.games_on': kind, 'run.games_per_actor': 8 // (actors or 1), 'agent.learning_starts': 200})
        rows.append(dict(kind=kind, actors=actors, steps_per_second=round(speed, 1), bytes=travel,
                         training=round(training_pace(learning, args.seconds, args.slices), 1)))
        print(rows[-1], flush=True)
    leave_cluster()
    with open(Path(__file__).with_suffix('.csv'), 'w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

if __name__ == '__main__': main()
