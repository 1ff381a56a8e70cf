"""Searches for each level a tape of buttons that clears it, and so tells whether a set of actions is enough.

Usage: python experiments/clear_tapes.py [LEVEL …] [--actions NAME] [--seeds N …] [--minutes M]

Levels are named as for `mario_dqn train --level`; all of them, if none is. The search is Go-Explore without a network (Ecoffet et al. 2021,
"first return, then explore"): it keeps a snapshot of each cell that it has reached, goes back to one that was seldom tried, often one of
the newest or farthest, and plays on at random. A cell is 32 pixels wide and 16 high, of one area; it also has Mario's size, whether the
number of coins is odd, which tells of a hidden block that was found, and the counters with which the game notices the right way through a
maze, which no agent is told. What is found goes to experiments/clear_tapes.json: for each level and set of actions the byte of the joypad
of each agent step, of four frames, as hexadecimal text. A level that has one is left out. `tests/test_levels.py` plays them.
"""
import argparse, json, math, random, time
from pathlib import Path

from nes_py.wrappers import JoypadSpace

from mario_dqn.env import ACTIONS, MarioEnv, snapshot_of
from mario_dqn.run.files import write_atomic
from mario_dqn.settings import expand_levels

FOUND = Path(__file__).with_name('clear_tapes.json')
CANDIDATES = ACTIONS | dict(down=[*ACTIONS['run'], ['down']], left=[*ACTIONS['run'], ['left', 'B'], ['down']],
                            wait=[*ACTIONS['run'], ['left', 'B'], ['down'], []])
FRAMES = 4                                    # of an agent step
MAZE, SIZE = (0x06d9, 0x06da), 0x0756         # places in the memory of the console


class Cell:
    "A place that was reached, how it was reached, and how often the search went on from there."
    def __init__(self, snapshot, actions): self.snapshot, self.actions, self.tries = snapshot, actions, 0


def cell_of(game, info):
    ram = game.ram
    return info['area'], info['x_pos'] // 32, info['y_pos'] // 16, *(ram[place] for place in MAZE), ram[SIZE] > 0, info['coins'] % 2

def farthest(order, count):
    "The cells with the largest x in the area of the newest one."
    area = order[-1][0]
    return sorted((name for name in order if name[0] == area), key=lambda name: name[1])[-count:]

def choose(cells, order, rng):
    "A cell that was seldom tried: one of the newest, one of those farthest in the area of the newest, or any."
    names = rng.choice([order[-12:], farthest(order, 40), order])
    return cells[rng.choices(names, [1 / (1 + cells[name].tries) for name in names])[0]]

def bursts(count, rng):
    "Actions held for a random time; the first two, which lead to the right, four times as often as another in two tries of three."
    right = rng.choice([4, 4, 1])
    while True: yield rng.choices(range(count), [right, right] + [1] * (count - 2))[0], min(20, 1 + int(rng.expovariate(1 / 5)))

def play(game, action): # four frames; returns whether the episode is over, and the info
    for _ in range(FRAMES):
        *_, terminated, truncated, info = game.step(action)
        if terminated or truncated: return True, info
    return info['is_dying'], info

def search(level, actions, seed, minutes):
    "The bytes of the agent steps that clear the level, or None, and how many cells were reached."
    rng, game, end = random.Random(seed), MarioEnv(level), time.monotonic() + 60 * minutes
    joypad = [sum(JoypadSpace._button_map[button] for button in buttons if button != 'NOOP') for buttons in CANDIDATES[actions]]
    _, info = game.reset()
    cells = {cell_of(game, info): Cell(snapshot_of(game, b''), [])}
    order = list(cells)
    while time.monotonic() < end:
        cell = choose(cells, order, rng)
        cell.tries += 1
        game.reset(options={'snapshot': cell.snapshot})
        game.look, done, over, patience = False, list(cell.actions), False, rng.choice([10, 25, 60])
        for action, length in bursts(len(joypad), rng):
            for _ in range(length):
                done.append(joypad[action])
                over, info = play(game, joypad[action])
                if over: break
                name = cell_of(game, info)
                if name not in cells: order.append(name)
                elif len(done) >= len(cells[name].actions) - 2: continue
                tries = cells[name].tries if name in cells else 0
                cells[name] = Cell(snapshot_of(game, b''), list(done))
                cells[name].tries = tries
            if over or len(done) > len(cell.actions) + patience: break
        if over and info['flag_get']: return bytes(done), len(cells)
    return None, len(cells)


def read(): return json.loads(FOUND.read_text()) if FOUND.exists() else {}

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('levels', nargs='*', default=['all'])
    parser.add_argument('--actions', choices=list(CANDIDATES), default='run')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--minutes', type=float, default=2.0, help='for each level and seed')
    arguments = parser.parse_args()
    for level in expand_levels(arguments.levels, 'LEVEL'):
        for seed in arguments.seeds:
            if arguments.actions in read().get(level, {}): continue
            begun = time.monotonic()
            tape, cells = search(level, arguments.actions, seed, arguments.minutes)
            print(f'{level}, {arguments.actions}, seed {seed}: {"cleared" if tape else "not cleared"}, {cells} cells, {time.monotonic() - begun:.0f} s', flush=True)
            if tape is None: continue
            found = read()                    # another search may have written meanwhile
            found.setdefault(level, {})[arguments.actions] = tape.hex()
            write_atomic(FOUND, json.dumps(dict(sorted(found.items())), indent=1) + '\n')


if __name__ == '__main__': main()
