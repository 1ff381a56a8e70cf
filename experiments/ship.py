"""Puts the agent of a finished run into save/LEVEL, as the one that ships for its level.

Usage: python experiments/ship.py RUN

What ships is small, for there may be one for each of 32 levels: the settings, the tables of the training, the best weights in half precision,
what they reach under the protocol, the card, and one short film. The weights that ship are not quite those of the run, so all that is said of
them is measured with them: the whole protocol is played anew, by the rounded weights. The clear rate of the run's own weights under sticky
actions stands beside it in the end; where the rounded ones are clearly worse (their interval lies below), nothing ships.
"""
import argparse, json, shutil, tempfile
from pathlib import Path

from mario_dqn.evaluation import load_episode
from mario_dqn.run.checkpoint import load_weights, save_weights
from mario_dqn.run.files import RunFolder, load_config, stage, write_atomic
from mario_dqn.run.measure import measure
from mario_dqn.settings import to_toml, with_values
from mario_dqn.show.film import frames_of, write_video

ROOT = Path(__file__).resolve().parents[1]
KEPT = 'metrics', 'evaluations', 'episodes', 'timing', 'machine'


def sticky(folder):
    "The games with sticky actions of the trained agent."
    agent = next(player for player in json.loads(folder.results.read_text())['players'] if player['name'] == 'agent')
    return next(condition for condition in agent['conditions'] if condition['name'] == 'sticky')

def pack(run, target):
    "Write what ships of a run into an empty folder, and measure it."
    config = load_config(run.config, saved=True)
    shutil.copy(run.config, target.config)
    for name in KEPT: shutil.copy(getattr(run, name), getattr(target, name))
    save_weights(target.best, load_weights(run.best, config), config, half=True)
    quiet = with_values(config, {'run.record': False}, saved=True)
    write_atomic(target.config, to_toml(quiet))                             # films are made below
    measure(target)
    write_atomic(target.config, to_toml(config))
    target.recordings.mkdir()
    pictures = (picture for number, picture in enumerate(frames_of(load_episode(target.greedy))) if number % 2 == 0)
    write_video(target.recordings / 'final.mp4', pictures, fps=30, scale=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    run = RunFolder(parser.parse_args().run)
    level = load_config(run.config, saved=True).env.level_name
    if stage(run) != 'finished': parser.error(f'{run.path} is not finished.')
    with tempfile.TemporaryDirectory(dir=ROOT / 'save') as place:
        target = RunFolder(Path(place) / level)
        target.path.mkdir()
        pack(run, target)
        before, after = sticky(run), sticky(target)
        print(f'Level {level}, sticky actions: {before["cleared"]} of {before["episodes"]} games by the weights of the run, '
              f'{after["cleared"]} of {after["episodes"]} by those that ship')
        if after['clear_high'] < before['clear_rate']: raise SystemExit('Rounding has cost too much; nothing ships.')
        shutil.rmtree(ROOT / 'save' / level, ignore_errors=True)
        shutil.move(target.path, ROOT / 'save' / level)
    size = sum(path.stat().st_size for path in (ROOT / 'save' / level).rglob('*'))
    print(f'save/{level}: {size / 1e6:.1f} MB')


if __name__ == '__main__': main()
