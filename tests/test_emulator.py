"""The emulator that draws line by line (experiments/emulator.py): built, and compared with the usual one."""
import re, shutil, subprocess, sys

import pytest

from mario_dqn.env import MarioEnv

from house import ROOT, experiment, run

SCRIPT = ROOT / 'experiments/emulator.py'


@pytest.fixture
def fakes(monkeypatch):
    "The script with an emulator for each folder that is told here: its file, and the sum of its games on 1-4."
    module, emulators = experiment('emulator'), {}
    def play_with(path, levels):
        file, last = emulators.get(path, ('usual.py', '11'))
        return file, {level: dict(sum=last if level == '1-4' else '11', frames=10, seconds=2.0) for level in levels}
    monkeypatch.setattr(module, 'play_with', play_with)
    return module, emulators

@pytest.mark.full
@pytest.mark.skipif(not shutil.which('c++'), reason='there is no C++ compiler')
def test_it_plays_the_same_games_faster(tmp_path):
    folder = tmp_path / 'a folder'
    run(sys.executable, SCRIPT, 'build', folder)
    usual, changed, said = run(sys.executable, SCRIPT, 'compare', folder, '--levels', '1-2', '8-4', 'lost-1-1').splitlines()
    assert said == 'All games on 3 levels are the same.'
    before, now = (int(re.match(r' *([\d,]+) frames', line)[1].replace(',', '')) for line in (usual, changed))
    assert now > 2 * before

def test_a_picture_that_differs_is_noticed(fakes, tmp_path, capsys):
    module, emulators = fakes
    emulators[tmp_path] = ('changed.py', '00')
    assert module.compare(tmp_path, ['1-1', '1-4']) == ['1-4'] and module.compare(tmp_path, ['1-1']) == []
    assert capsys.readouterr().out.splitlines()[:2] == ['      5 frames a second by one core, usual.py', '      5 frames a second by one core, changed.py']

def test_the_same_emulator_twice_is_no_comparison(fakes, tmp_path):
    with pytest.raises(SystemExit, match='Both times the emulator was usual.py'): fakes[0].compare(tmp_path, ['1-1'])

@pytest.mark.parametrize('place', ['picture', 'reward', 'info', 'memory'])
def test_a_difference_in_one_frame_is_another_sum(place, monkeypatch, tmp_path):
    module, usual, frames = experiment('emulator'), MarioEnv.step, []
    monkeypatch.setattr(module, 'random_tape', lambda rng: bytes([0x81] * 60))
    monkeypatch.setattr(module, 'TAPES', tmp_path / 'tapes.json')
    module.TAPES.write_text('{}')
    first, again = module.play('1-1'), module.play('1-1')
    def step(self, action):
        picture, reward, terminated, truncated, info = usual(self, action)
        frames.append(action)
        if len(frames) == 30:
            if place == 'picture': picture[200, 100, 2] ^= 1
            if place == 'reward': reward += 1
            if place == 'info': info = info | {'coins': info['coins'] + 1}
            if place == 'memory': self.ram[0x07ff] ^= 1
        return picture, reward, terminated, truncated, info
    monkeypatch.setattr(MarioEnv, 'step', step)
    other = module.play('1-1')
    assert first['sum'] == again['sum'] != other['sum'] and first['frames'] == other['frames'] == len(frames) == 60

def test_another_version_is_not_patched(monkeypatch, tmp_path):
    module = experiment('emulator')
    monkeypatch.setattr(module, 'VERSION', '1.2.3')
    monkeypatch.setattr(sys, 'argv', ['emulator.py', 'build', str(tmp_path)])
    with pytest.raises(SystemExit, match='nes-py .* is installed, but the patch is made for 1.2.3'): module.main()

def test_what_fails_is_answered_with_one_sentence(monkeypatch, tmp_path):
    "A folder without an emulator, a command that fails, and a program that is not there."
    module = experiment('emulator')
    def call(*words):
        monkeypatch.setattr(sys, 'argv', ['emulator.py', *map(str, words)])
        with pytest.raises(SystemExit) as stop: module.main()
        return stop.value.code
    def fail(error):
        def raising(folder): raise error
        return raising
    assert call('compare', tmp_path) == 2
    monkeypatch.setattr(module, 'build', fail(subprocess.CalledProcessError(1, ['git', 'apply', 'a patch'])))
    assert call('build', tmp_path) == "This failed, and said why above: git apply 'a patch'"
    monkeypatch.setattr(module, 'build', fail(FileNotFoundError(2, 'No such file or directory', 'git')))
    assert call('build', tmp_path) == 'git was not found, and is needed.'
