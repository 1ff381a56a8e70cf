"""Shows whether an agent plays the same games on two machines, or with two backends of Keras.

Usage: python .ci/same_games.py RUN play FILE      on the one: plays, and writes the games into FILE
       python .ci/same_games.py RUN compare FILE   on the other: plays the same games, and says where they part

RUN is the folder of a run; its best weights play 20 games without chance, which differ in their start delays of 0 to 19 frames.
KERAS_BACKEND chooses the backend, as for every command. Two machines add up numbers in different orders, so values differ in their
last bits, and where two actions are worth the same to within these bits a game may take another turn. Such a turn is accepted where
the machine that played first held the two actions to be less than 0.001 apart; anything else ends with status 1.
"""
import argparse, sys
from pathlib import Path

import numpy as np

from mario_dqn.checkpoint import load_agent
from mario_dqn.config import RunFolder
from mario_dqn.evaluate import Condition, play_episodes

GAMES, CLOSE = 20, 1e-3
PARTS = ('actions', 'positions', 'q_values', 'tape')


def played(folder): # `RunFolder`
    "The games of the best weights, and the name of the backend."
    from mario_dqn.agent import keras
    agent, config = load_agent(folder)
    games = play_episodes(agent.average_values, config.env, Condition('noops', f'start delays of 0 to {GAMES - 1} frames', GAMES, noops='all'))
    assert [game.noops for game in games] == list(range(GAMES))
    return games, keras.backend.backend()

def write(path, games, backend):
    "All games in one file: their arrays one after the other, and where each ends."
    arrays = {part: [np.frombuffer(game.tape, np.uint8) if part == 'tape' else getattr(game, part) for game in games] for part in PARTS}
    np.savez_compressed(path, backend=backend, lengths=[game.length for game in games], frames=[game.frames for game in games],
                        cleared=[game.cleared for game in games], **{part: np.concatenate(parts) for part, parts in arrays.items()})

def read(path):
    "The games of a file, each as a dictionary, and the name of the backend."
    with np.load(path) as stored:
        ends = {part: np.cumsum(stored['frames' if part == 'tape' else 'lengths'])[:-1] for part in PARTS}
        parts = {part: np.split(stored[part], ends[part]) for part in PARTS}
        games = [dict(zip(PARTS, game)) | dict(cleared=bool(cleared)) for game, cleared in zip(zip(*(parts[part] for part in PARTS)), stored['cleared'])]
        return games, str(stored['backend'])


def compare(before, now): # a game of `read`; an `Episode`
    "The largest difference of two values while the games are the same, and None, or the step at which they part and how close the actions were."
    shorter = min(len(before['actions']), now.length)
    turns = np.flatnonzero(before['actions'][:shorter] != now.actions[:shorter])
    same = int(turns[0]) + 1 if len(turns) else shorter                             # the values at the turn still are of the same picture
    largest = float(np.abs(before['q_values'][:same] - now.q_values[:same]).max())
    if not len(turns):
        assert before['tape'].tobytes() == now.tape and before['cleared'] == now.cleared, 'the same actions led to another game'
        return largest, None
    values = before['q_values'][same - 1]
    return largest, (same - 1, float(values[before['actions'][same - 1]] - values[now.actions[same - 1]]))


def main():
    options = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    options.add_argument('run', type=Path, help='folder of the run')
    options.add_argument('what', choices=('play', 'compare'))
    options.add_argument('file', type=Path, help='where the games are, or are to be; its name ends in .npz')
    arguments = options.parse_args()
    games, backend = played(RunFolder(arguments.run))
    print(f'{sum(game.cleared for game in games)} of {GAMES} games cleared, with {backend}')
    if arguments.what == 'play': return write(arguments.file, games, backend)
    before, other = read(arguments.file)
    results = [compare(one, two) for one, two in zip(before, games, strict=True)]
    for delay, (_, turn) in enumerate(results):
        if turn: print(f'delay {delay}: the games part at step {turn[0]}, where {other} held the two actions to be {turn[1]:.1e} apart')
    print(f'{sum(turn is None for _, turn in results)} of {GAMES} games are the same, button by button, with {other} and with {backend}; '
          f'values differ by {max(largest for largest, _ in results):.1e} at most')
    return any(turn and turn[1] >= CLOSE for _, turn in results)


if __name__ == '__main__': sys.exit(main())
