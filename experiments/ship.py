"""Puts the agent of a finished run into save/LEVEL, as the one that ships for its level.

Usage: python experiments/ship.py RUN [--film BYTES]

What ships is small, for there may be an agent for each of 32 levels: the settings, the tables of the training, the best weights in half
precision, what they reach under the protocol, the card, and one short film. Rounded weights are not quite those of the run, so all that is
said of them is measured with them: the whole protocol is played anew. Players that do not learn are the same for every agent; their rows
are those of the run. The film has at most 300,000 bytes; that of level 1-1, on the front page, was made with 1,500,000. Notes that a person wrote of the run come along, and a line about the rounding is added. Where the rounded weights
are clearly worse under sticky actions than those of the run (its rate lies above their interval), nothing ships. What lay in save/LEVEL
before goes to a folder beside it, which git does not see.
"""
import argparse, json, os, shutil, tempfile, time
from pathlib import Path

from mario_dqn.evaluation import load_episode
from mario_dqn.run.checkpoint import load_weights, save_weights
from mario_dqn.run.files import RunFolder, load_config, stage, write_atomic
from mario_dqn.run.measure import measure
from mario_dqn.settings import LEVELS, ConfigError, to_toml, with_values
from mario_dqn.show.film import frames_of, write_gif
from mario_dqn.show.report import write_report

SAVE = Path(__file__).resolve().parents[1] / 'save'
KEPT = 'metrics', 'evaluations', 'episodes', 'timing', 'machine'
ROUNDED = 'The weights that ship are rounded to half precision. Those of the run cleared '


def sticky(folder):
    "The games with sticky actions of the trained agent."
    agent = next(player for player in json.loads(folder.results.read_text())['players'] if player['name'] == 'agent')
    return next(condition for condition in agent['conditions'] if condition['name'] == 'sticky')

def clearly_worse(after, before): # conditions of sticky games; without chance there is no interval, and the rates are exact
    high = after['clear_rate'] if after['clear_high'] is None else after['clear_high']
    return high < before['clear_rate']

def trouble(run, level, place):
    "Why a run cannot ship, in a sentence, or None."
    if stage(run) != 'finished': return f'{run.path} is not a finished run.'
    if level not in LEVELS: return f'{run.path} is of {level}, but an agent ships for one level of the game.'
    if place.resolve() == run.path.resolve(): return f'{run.path} is where the agent is to go; move the run elsewhere first.'

def pack(run, config, target, largest_film):
    "Write the weights and tables that ship into an empty folder, and measure the weights."
    for name in KEPT: shutil.copy(getattr(run, name), getattr(target, name))
    save_weights(target.best, load_weights(run.best, config), config, half=True)
    quiet = {'run.record': False, 'run.baselines': False}  # the film is made below
    write_atomic(target.config, to_toml(with_values(config, quiet, saved=True)))
    measure(target)
    results, others = (json.loads(folder.results.read_text()) for folder in (target, run))
    results['players'] += [player for player in others['players'] if player['name'] != 'agent']
    write_atomic(target.results, json.dumps(results, indent=1) + '\n')
    write_atomic(target.config, to_toml(config))
    target.recordings.mkdir()
    write_gif(target.recordings / 'final.gif', frames_of(load_episode(target.greedy)), max_bytes=largest_film)

def note(run, target, before):
    "Take over what a person wrote of the run, and say what its weights reached."
    notes = run.notes.read_text() if run.notes.exists() else ''
    kept = [line for line in notes.splitlines() if not line.startswith(ROUNDED)]
    added = f'{ROUNDED}{before["cleared"]} of {before["episodes"]} games with sticky actions.'
    write_atomic(target.notes, '\n'.join([*kept, *([''] if kept else []), added]) + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--film', type=int, default=300_000, metavar='BYTES', help='largest size of the film (default 300000)')
    arguments = parser.parse_args()
    run = RunFolder(arguments.run)
    try: config = load_config(run.config, saved=True)
    except ConfigError as e: parser.error(str(e))
    level = config.env.level_name
    place = RunFolder(SAVE / level)
    if why := trouble(run, level, place.path): parser.error(why)
    with tempfile.TemporaryDirectory(dir=SAVE) as temporary:
        target = RunFolder(Path(temporary) / level)
        target.path.mkdir()
        pack(run, config, target, arguments.film)
        before, after = sticky(run), sticky(target)
        print(f'Level {level}, sticky actions: {before["cleared"]} of {before["episodes"]} games by the weights of the run, '
              f'{after["cleared"]} of {after["episodes"]} by those that ship')
        if clearly_worse(after, before): raise SystemExit('Rounding has cost too much; nothing ships.')
        note(run, target, before)
        if place.path.exists(): os.rename(place.path, SAVE / f'{level}-before-{time.time():.0f}')
        os.rename(target.path, place.path)
    write_report(place)  # the card names the folder and its files
    print(f'{place.path}: {sum(path.stat().st_size for path in place.path.rglob("*")) / 1e6:.1f} MB')


if __name__ == '__main__': main()
