"""Shows whether an agent plays the same games on two machines, or with two backends of Keras.

Usage: python experiments/same_games.py RUN play FOLDER      on the one: plays, and writes a file for each game
       python experiments/same_games.py RUN compare FOLDER   on the other: plays the same games, and says where they part

RUN is the folder of a run; its best weights play 20 games without chance, which differ in their start delays of 0 to 19 frames.
KERAS_BACKEND chooses the backend, as for every command. Two machines add up numbers in different orders, so values differ in their
last bits, and where two actions are worth the same to within these bits a game may take another turn. Such a turn is accepted where
the machine that played first held the two actions to be less than 0.001 apart; anything else ends with status 1.
"""
import argparse, sys
from pathlib import Path

import numpy as np

from mario_dqn.run.checkpoint import load_agent
from mario_dqn.settings import ConfigError
from mario_dqn.evaluation import Condition, first_difference, load_episode, play_episodes, save_episode

DELAYS = Condition('noops', 'start delays', episodes=20, noops='all')
CLOSE = 1e-3


def values_apart(before, now, turn): # two episodes from the same start; what `first_difference` says of them
    "The largest difference of two values of the same picture."
    same = min(before.length, now.length) if turn is None else min(turn[0] + 1, before.length, now.length)  # where they turn, they still see the same
    return float(np.abs(before.q_values[:same] - now.q_values[:same]).max())

def compare(before, now): # the episodes of the one machine, and of the other
    "Say where the games part; returns whether that is more than the last bits explain."
    turns = [first_difference(*pair) for pair in zip(before, now, strict=True)]
    for delay, turn in enumerate(turns):
        if turn: print(f'delay {delay}: the games part at step {turn[0]}, where the first machine held the two actions to be {turn[1]:.1e} apart')
    most = max(map(values_apart, before, now, turns))
    print(f'{turns.count(None)} of {len(turns)} games are the same, step by step; values differ by {most:.1e} at most')
    return any(turn and turn[1] >= CLOSE for turn in turns)


def main():
    options = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    options.add_argument('run', help='folder of the run')
    options.add_argument('what', choices=('play', 'compare'))
    options.add_argument('folder', type=Path, help='where the games are, or are to be')
    arguments = options.parse_args()
    files = [arguments.folder / f'delay_{number:02d}.json' for number in range(DELAYS.episodes)]
    try:
        agent, config = load_agent(arguments.run)
        before = [load_episode(file) for file in files] if arguments.what == 'compare' else None
    except ConfigError as error: sys.exit(str(error))
    games = play_episodes(agent.average_values, config.env, DELAYS)
    print(f'{sum(game.cleared for game in games)} of {len(games)} games cleared')
    if before: return compare(before, games)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for file, game in zip(files, games): save_episode(file, game)
    print(f'The games are in {arguments.folder}')


if __name__ == '__main__': sys.exit(main())
