"""Builds the emulator so that it draws line by line, which is some four times as fast, and shows that its games stay the same.

Usage: python experiments/emulator.py build FOLDER      fetches the source of nes-py, changes it, and builds it into FOLDER
       python experiments/emulator.py compare FOLDER    plays the same frames with the usual emulator and with that of FOLDER

Nothing needs it, and nothing is installed: with `PYTHONPATH=FOLDER` before it a command plays with that emulator, without it as usual. To
build it takes the network, git and a C++ compiler. The change is in experiments/emulator.patch. nes-py draws each of the 89,342 dots of a
picture as the processor comes to it. But what a dot shows can change only where the processor uses a register of the picture unit. So dots
wait until it does, until the interrupt below the picture, or until the end of the frame. Then they are drawn together, a tile of eight at a
time. And while the processor jumps in place until that interrupt, the cycles are counted without the jumps.

`compare` plays all 32 levels and 16 of the Lost Levels: the tapes of experiments/clear_tapes.json in which nobody cheats, buttons at random,
and 200 frames from a snapshot of each. All pictures, the memory of the game, rewards and infos have to be the same, or it ends with status 1.
"""
import argparse, hashlib, importlib.metadata, json, os, shlex, shutil, subprocess, sys, tempfile, time, venv
from pathlib import Path

VERSION = '9.0.1'                             # of nes-py, for which the patch is made
ROOT = Path(__file__).resolve().parents[1]
PATCH = Path(__file__).with_suffix('.patch')
TAPES = Path(__file__).with_name('clear_tapes.json')
BUTTONS = [0x80, 0x81, 0x82, 0x83, 0x81, 0x83, 0x40, 0x20, 0x08, 0x04, 0x02, 0x00]  # of the random tapes; right, with A, B or both, more often


def build(folder): # where the package is to lie
    "Fetch the source, change it, and build it into a folder, with tools in an environment of its own."
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        # a repository around the folder would make git look for the files there
        alone = os.environ | {'GIT_CEILING_DIRECTORIES': str(work), 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}
        def call(*command, cwd=None): subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=cwd, env=alone)
        venv.create(work / 'tools', with_pip=True)
        pip = [work / 'tools' / ('Scripts' if os.name == 'nt' else 'bin') / 'python', '-m', 'pip']
        call(*pip, 'download', '--quiet', f'nes-py=={VERSION}', '--no-binary', 'nes-py', '--no-deps', '--dest', work / 'archive')
        archive, = (work / 'archive').iterdir()
        shutil.unpack_archive(archive, work / 'source', filter='data')
        source, = (work / 'source').iterdir()
        call('git', 'apply', PATCH, cwd=source)
        call(*pip, 'install', '--quiet', '--no-deps', '--upgrade', '--target', folder, source)

def random_tape(rng, length=2000): # `numpy.random.Generator`; frames
    "Buttons at random, each held for up to 40 frames."
    tape = bytearray()
    while len(tape) < length: tape += bytes([rng.choice(BUTTONS)]) * int(rng.integers(1, 41))
    return bytes(tape[:length])

def play(level): # world and stage
    "The sum of all that is seen in some games of a level, the frames, and the seconds that the emulator took."
    import numpy as np
    from mario_dqn.env import MarioEnv
    tapes = json.loads(TAPES.read_text()).get(level, {})
    # of each agent step one byte, for four frames
    tapes = [bytes(np.repeat(np.frombuffer(bytes.fromhex(tape), np.uint8), 4)) for name, tape in sorted(tapes.items()) if name != 'cheating']
    tapes.append(random_tape(np.random.default_rng(list(level.encode()))))
    game, seen, frames, seconds = MarioEnv(level), hashlib.sha256(), 0, 0.0
    def advance(byte):
        nonlocal frames, seconds
        began = time.process_time()
        picture, reward, terminated, truncated, info = game.step(byte)
        seconds += time.process_time() - began
        frames += 1
        seen.update(picture.tobytes())
        seen.update(bytes(game.ram))
        seen.update(repr((reward, terminated, truncated, sorted(info.items()))).encode())
        return terminated or truncated
    for tape in tapes:
        game.reset()
        snapshot = None
        for place, byte in enumerate(tape):
            if place == 200: snapshot = game.dump_state()
            if advance(byte): break
        if snapshot is None: continue
        game.reset()
        game.load_state(snapshot)
        for byte in tape[200:400]:
            if advance(byte): break
    game.close()
    return dict(sum=seen.hexdigest(), frames=frames, seconds=seconds)

def play_with(path, levels): # where Python looks first, a folder
    "The file of the emulator in a process of its own, and what `play` gives there for some levels."
    command = [sys.executable, __file__, 'play', *levels]
    others = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    paths = [str(path), *(other for other in others if other and not (Path(other) / 'nes_py').exists())]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | {'PYTHONPATH': os.pathsep.join(paths)})
    return json.loads(said.stdout)

def compare(folder, levels): # where the changed emulator lies
    "Play with both, and say how fast each is; returns the levels that differ."
    told = [play_with(path, levels) for path in (ROOT, folder)]
    if len({file for file, _ in told}) == 1: sys.exit(f'Both times the emulator was {told[0][0]}.')
    for file, games in told:
        frames, seconds = (sum(game[key] for game in games.values()) for key in ('frames', 'seconds'))
        print(f'{frames / seconds:7,.0f} frames a second by one core, {file}')
    (_, usual), (_, changed) = told
    return [level for level in levels if usual[level]['sum'] != changed[level]['sum']]

def main():
    from mario_dqn.settings import LEVELS, LOST_LEVELS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest='part', required=True)
    parts.add_parser('build', help='build it into a folder').add_argument('folder', type=Path)
    both = parts.add_parser('compare', help='play with both emulators')
    both.add_argument('folder', type=Path)
    both.add_argument('--levels', nargs='+', choices=LEVELS + LOST_LEVELS, default=list(LEVELS + LOST_LEVELS), metavar='LEVEL')
    parts.add_parser('play', help='what compare calls, once for each emulator').add_argument('levels', nargs='+')
    arguments = parser.parse_args()
    if arguments.part == 'play':
        import nes_py
        return print(json.dumps([nes_py.__file__, {level: play(level) for level in arguments.levels}]))
    folder, installed = arguments.folder.resolve(), importlib.metadata.version('nes-py')
    if os.pathsep in str(folder): parser.error(f'There must be no {os.pathsep} in the path {folder}.')
    if arguments.part == 'build' and installed != VERSION:
        sys.exit(f'nes-py {installed} is installed, but the patch is made for {VERSION}.')
    if arguments.part == 'compare' and not (folder / 'nes_py').is_dir():
        parser.error(f'There is no nes_py in {folder}; `build` puts it there.')
    try: different = build(folder) if arguments.part == 'build' else compare(folder, arguments.levels)
    except FileNotFoundError as error: sys.exit(f'{error.filename} was not found, and is needed.')
    except subprocess.CalledProcessError as error:
        sys.exit(f'This failed, and said why above: {shlex.join(map(str, error.cmd))}')
    if arguments.part == 'build':
        print(f'The emulator is in {folder}. A command plays with it after PYTHONPATH={shlex.quote(str(folder))}')
    elif different: sys.exit(f'The games differ on {", ".join(different)}.')
    else: print(f'All games on {len(arguments.levels)} levels are the same.')


if __name__ == '__main__': main()
