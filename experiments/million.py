"""Fills a compressed replay memory of a million transitions and measures its size, and what a batch costs beside an update.

Usage: python experiments/million.py

Frames of 16 games, played at random with two actions, are stored again and again until the memory has been written over by a tenth;
each of them is compressed anew, so the objects are as many and as large as in a training. Two minutes. Linux only, nothing else should run.
"""
import statistics, time

import numpy as np

from mario_dqn.run.checkpoint import build_agent
from mario_dqn.settings import Config
from mario_dqn.env import TRAINING, episode_seed, make_env
from mario_dqn.replay import Replay, replay_bytes
from mario_dqn.run.room import kernel_numbers

CAPACITY, EPISODES, REPEATS = 1_000_000, 16, 200


def resident():
    "The resident size of this process, in bytes."
    return 1024 * kernel_numbers('/proc/self/status')['VmRSS']


def played(config):
    "For each episode its frames, one before the first step and one after every step, and its actions."
    env, rng = make_env(config.env), np.random.default_rng(0)
    for number in range(EPISODES):
        observation, _ = env.reset(seed=episode_seed(TRAINING, 0, 0, number))
        frames, actions, over = [observation[-1].copy()], [], False
        while not over:
            actions.append(int(rng.random() < 0.5))
            observation, _, terminated, truncated, _ = env.step(actions[-1])
            frames.append(observation[-1].copy())
            over = terminated or truncated
        yield frames, actions
    env.close()


def fill(replay, config, episodes, rng):
    "Store episodes until the memory is full and a tenth of it written over; returns how many steps were stored."
    stored, games = 0, config.run.games
    while stored < 1.1 * CAPACITY:
        for game in range(games):
            frames, actions = episodes[rng.integers(len(episodes))]
            replay.begin(game, frames[0])
            for i, (frame, action) in enumerate(zip(frames[1:], actions)): replay.add(game, action, 0.0, frame, i == len(actions) - 1, False)
            stored += len(actions) + 1
    return stored


def milliseconds(call):
    "The median time of a call."
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


def main():
    config = Config()
    agent, rng, shape = build_agent(config), np.random.default_rng(0), (config.env.size,) * 2
    episodes, before = list(played(config)), resident()
    replay = Replay(CAPACITY, config.run.games, shape, config.env.stack, config.agent.n_step, config.agent.discount, config.agent.priority_exponent, True)
    begun = time.perf_counter()
    stored = fill(replay, config, episodes, rng)
    print(f'{stored:,} steps stored in {time.perf_counter() - begun:.0f} s; {len(replay):,} transitions can be sampled')
    print(f'resident: {(resident() - before) / 1e9:.2f} GB; predicted: {replay_bytes(CAPACITY, config.run.games, shape, True) / 1e9:.2f} GB')
    def sample(): return replay.sample(config.agent.batch_size, config.agent.importance_exponent, rng)
    batch = sample()
    drawn, learned = milliseconds(sample), milliseconds(lambda: agent.update(batch))
    print(f'a batch of {config.agent.batch_size}: {drawn:.2f} ms, an update: {learned:.2f} ms, share {drawn / learned:.2f}')


if __name__ == '__main__': main()
