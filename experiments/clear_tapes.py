"""Searches for each level a tape of buttons that clears it, and so tells whether a set of actions is enough.

Usage: python experiments/clear_tapes.py [LEVEL …] [--actions NAME] [--seeds N …] [--minutes M]

Levels are named as for `mario_dqn train --level`; all of them, if none is. The search is Go-Explore without a network (Ecoffet et al. 2021,
"first return, then explore"): it keeps a snapshot of each cell that it has reached, goes back to one that was seldom tried, often one of
the newest or farthest, and plays on at random. A cell is 32 pixels wide and 16 high, of one area; it also has Mario's size, whether the
number of coins is odd, which tells of a hidden block that was found, and the counters with which the game notices the right way through a
maze, which no agent is told. What is found goes to experiments/clear_tapes.json: for each level and set of actions the byte of the joypad
of each agent step, of four frames, as hexadecimal text. A level that has one is left out. `tests/test_levels.py` plays them.

The set `cheating` has the buttons of `every_level`, but plays a game in which nothing harms Mario and A lifts him. Its tapes say nothing
of what an agent can do; they play every level to its end, for a test of how it ends there, and tell the other searches which cells are
the farthest.
"""
import argparse, json, math, random, time
from pathlib import Path

from nes_py.wrappers import JoypadSpace

from mario_dqn.env import ACTIONS, MarioEnv, snapshot_of
from mario_dqn.run.files import write_atomic
from mario_dqn.settings import expand_levels

FOUND = Path(__file__).with_name('clear_tapes.json')
CANDIDATES = ACTIONS | dict(down=[*ACTIONS['run'], ['down']], wait=[*ACTIONS['every_level'], []], cheating=ACTIONS['every_level'])
FRAMES = 4                                    # of an agent step
MAZE, SIZE = (0x06d9, 0x06da), 0x0756         # places in the memory of the console


class CheatingEnv(MarioEnv):
    "A game in which nothing harms Mario, A lifts him, no pit is deep, and time does not run out."
    def step(self, action):
        ram = self.ram
        ram[0x079e], ram[0x07f8] = 8, 3       # just hurt, which protects him for a moment; hundreds of the clock
        height = 256 * ram[0x00b5] + ram[0x00ce] - 256
        if ram[0x000e] != 8: pass             # he enters a pipe, or slides down the pole
        elif height < 0: self.lift(1, 16)
        elif height >= 200 and ram[0x001d]: self.lift(-4, 192)
        elif action & JoypadSpace._button_map['A']: self.lift(-3, height)
        return super().step(action)

    def lift(self, speed, height): # in pixels a frame, downwards; in pixels from the top
        ram = self.ram
        ram[0x00b5], ram[0x00ce], ram[0x001d] = 1, height, 1
        ram[0x009f], ram[0x0433] = speed % 256, 0

def env_of(actions): # a key of `CANDIDATES`
    return CheatingEnv if actions == 'cheating' else MarioEnv


class Cell:
    "A place that was reached, how it was reached, and how often the search went on from there."
    def __init__(self, snapshot, actions): self.snapshot, self.actions, self.tries = snapshot, actions, 0


def cell_of(game, info):
    ram = game.ram
    return info['area'], info['x_pos'] // 32, info['y_pos'] // 16, *(ram[place] for place in MAZE), ram[SIZE] > 0, info['coins'] % 2

def place(name): # of a cell
    "Its area, its x and what the maze has counted."
    return name[0], name[1], name[3], name[4]

def route(level):
    "The places on the way of the cheating tape, each with the number of the step that was there last; empty if there is no tape."
    game = CheatingEnv(level)
    _, info = game.reset()
    ranks = {}
    for step, byte in enumerate(bytes.fromhex(read().get(level, {}).get('cheating', ''))):
        ranks[place(cell_of(game, info))] = step
        _, info = play(game, byte)
    return ranks

def farthest(order, ranks, count):
    "The cells that lie last on the route; without one, those with the largest x in the area of the newest one."
    area = order[-1][0]
    return sorted(order, key=lambda name: (ranks.get(place(name), -1), name[0] == area, name[1]))[-count:]

def choose(cells, order, ranks, rng):
    "A cell that was seldom tried: one of the newest, one of those that are farthest, or any."
    names = rng.choice([order[-12:], farthest(order, ranks, 40), order])
    return cells[rng.choices(names, [1 / (1 + cells[name].tries) for name in names])[0]]

def bursts(joypad, rng):
    "Bytes held for a random time; those with right four times as often as another in two tries of three."
    weight = rng.choice([4, 4, 1])
    weights = [weight if byte & JoypadSpace._button_map['right'] else 1 for byte in joypad]
    while True: yield rng.choices(joypad, weights)[0], min(20, 1 + int(rng.expovariate(1 / 5)))

def play(game, action): # four frames; returns whether the episode is over, and the info
    for _ in range(FRAMES):
        *_, terminated, truncated, info = game.step(action)
        if terminated or truncated: return True, info
    return info['is_dying'], info

def search(level, actions, seed, minutes):
    "The bytes of the agent steps that clear the level, or None, and how many cells were reached."
    rng, game, end = random.Random(seed), env_of(actions)(level), time.monotonic() + 60 * minutes
    joypad = [sum(JoypadSpace._button_map[button] for button in buttons if button != 'NOOP') for buttons in CANDIDATES[actions]]
    _, info = game.reset()
    cells = {cell_of(game, info): Cell(snapshot_of(game, b''), [])}
    order, ranks = list(cells), route(level) if actions != 'cheating' else {}
    while time.monotonic() < end:
        cell = choose(cells, order, ranks, rng)
        cell.tries += 1
        game.reset(options={'snapshot': cell.snapshot})
        game.look, done, over, patience = False, list(cell.actions), False, rng.choice([10, 25, 60])
        for byte, length in bursts(joypad, rng):
            for _ in range(length):
                done.append(byte)
                over, info = play(game, byte)
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
