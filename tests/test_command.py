"""The command line: paths as people write them, output that nobody reads, a window that cannot be opened, and what can be asked for."""
import json, os, shlex, shutil, subprocess, sys
from pathlib import Path

import pytest

from mario_dqn.cli import main, resume_words
from mario_dqn.config import RunFolder, load_config

from house import ROOT
SHORT = ['--preset', 'tiny', '--steps', '200', '--run.no-record', '--run.final_episodes', '1', '--run.eval_interval', '200', '--agent.precision', 'float32']
SHELL = shlex.quote(sys.executable) + ' -c "import sys; from mario_dqn.cli import main; sys.exit(main())"'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "A finished run, in a folder whose name has a space and an apostrophe."
    folder = RunFolder(tmp_path_factory.mktemp('runs') / "o'neil's run")
    assert main(['train', *SHORT, '--out', str(folder.path)]) == 0
    return folder


# paths and commands

def test_a_tilde_behind_an_equals_sign_is_the_home(command, tmp_path):
    done = command('train', *SHORT, '--out=~/tilde', HOME=str(tmp_path))
    assert done.returncode == 0 and (tmp_path / 'tilde' / 'results.json').exists() and not (tmp_path / '~').exists(), done.stderr

def test_a_command_that_is_printed_can_be_pasted(run):
    folder = RunFolder("save/it's (mine) & yours")
    assert shlex.split(resume_words(folder)) == ['mario_dqn', 'resume', '--path', str(folder.path)]
    machine = json.loads(run.machine.read_text())
    assert shlex.split(machine['command']) == ['mario_dqn', 'train', *SHORT, '--out', str(run.path)]

def test_the_card_names_the_folder_where_the_run_lies(run):
    card = run.card.read_text()
    assert f'mario_dqn infer --path {shlex.quote(str(run.path.resolve()))} ' in card and 'save/' not in card
    assert machine_command(run) in card

def machine_command(run): return json.loads(run.machine.read_text())['command']

@pytest.mark.skipif(not shutil.which('make'), reason='make is not installed')
def test_make_works_in_a_folder_with_an_apostrophe(tmp_path):
    place = tmp_path / "o'neil's $HOME (copy)"
    (place / '.ci').mkdir(parents=True)
    for name in ('Makefile', 'settings.ini', 'setup.py', 'constraints.txt', '.ci/install', '.ci/find_python'): shutil.copy(ROOT / name, place / name)
    fake = place / '.venv' / 'bin' / 'python'
    fake.parent.mkdir(parents=True)
    fake.write_text('#!/bin/sh\n[ "$1" = -c ] || echo "ran: $@"\n')
    fake.chmod(0o755)
    (place / '.venv' / '.ready').write_text(f'{place}\n')
    later = (place / 'constraints.txt').stat().st_mtime + 10
    os.utime(place / '.venv' / '.ready', (later, later))
    outside = {name: value for name, value in os.environ.items() if not name.startswith('MAKE')}          # the tests may be run by make
    done = subprocess.run(['make', 'play', 'ARGS=--out "a b"'], cwd=place, capture_output=True, text=True, env=outside)
    assert done.returncode == 0 and done.stdout == 'ran: -m mario_dqn infer --out a b\n', done.stdout + done.stderr
    (place / '.venv' / '.ready').write_text('/somewhere/else\n')                     # a checkout that was moved is set up anew
    done = subprocess.run(['make', 'play', f'PYTHON={place}/no python'], cwd=place, capture_output=True, text=True, env=outside)
    assert done.returncode != 0 and 'Python 3.13 is needed and was not found' in done.stderr and 'syntax' not in done.stderr.lower(), done.stderr


# output

def test_nobody_has_to_read_to_the_end(tmp_path, run):
    done = subprocess.run(f'{SHELL} list | true; echo ${{PIPESTATUS[0]}}', shell=True, executable='/bin/bash', capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ('0\n', '')

def test_a_run_whose_output_nobody_reads_is_measured(tmp_path):
    out = tmp_path / 'piped'
    words = shlex.join(['train', *SHORT, '--out', str(out)])
    done = subprocess.run(f'{SHELL} {words} | head -1', shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.count('\n') == 1 and (out / 'results.json').exists() and 'BrokenPipe' not in done.stderr, done.stderr

@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='the system has no /dev/full')
def test_output_that_is_lost_is_told(tmp_path):
    done = subprocess.run(f'{SHELL} list > /dev/full', shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr == 'mario_dqn: standard output cannot be written: No space left on device.\n'


# windows and films

@pytest.mark.skipif(sys.platform != 'linux', reason='displays have these names on Linux')
@pytest.mark.parametrize('variables', [dict(DISPLAY=':77'), dict(DISPLAY='nonsense'), dict(DISPLAY=':77', QT_QPA_PLATFORM='nothing')])
def test_a_window_that_cannot_be_opened_is_told(command, run, variables):
    done = command('infer', '--path', run.path, '--show', '--no-record', **variables)
    assert done.returncode == 2 and done.stdout == '' and done.stderr.startswith('mario_dqn: --show needs a display, and a window cannot be opened ('), done.stderr
    assert done.stderr.count('\n') == 1 and len(done.stderr) > 90                    # the library's last words are in it

def test_three_games_are_told_of_without_an_encoder(command, run, tmp_path):
    done = command('infer', '--path', run.path, '--episodes', 3, '--out', tmp_path / 'films', IMAGEIO_FFMPEG_EXE='/nonexistent')
    assert done.returncode == 0 and done.stdout.count('Episode') == 3 and done.stdout.count('Videos cannot be written here') == 1, done.stdout + done.stderr


# what can be asked for

def test_a_start_from_weights_explores_less_and_says_so(command, run, tmp_path):
    done = command('train', '--path', run.path, *SHORT, '--out', tmp_path / 'second')
    assert done.returncode == 0 and 'explores from ε = 0.1 on' in done.stdout, done.stderr
    assert load_config(tmp_path / 'second' / 'config.toml').agent.epsilon_start == 0.1
    card = (tmp_path / 'second' / 'README.md').read_text()
    assert 'from the weights of an earlier run on' in card and json.loads((tmp_path / 'second' / 'machine.json').read_text())['origin'] == str(run.path)

def test_settings_come_from_a_file(command, tmp_path):
    (tmp_path / 'mine.toml').write_text('agent.discount = 0.8\nenv.stuck_limit = 10\n[run]\nsteps = 200\nrecord = false\nfinal_episodes = 1\nbaselines = false\neval_interval = 200\neval_episodes = 1')
    done = command('train', '--config', 'mine.toml', '--seed', 3, '--out', 'out')
    assert done.returncode == 0, done.stderr
    config = load_config(tmp_path / 'out' / 'config.toml')
    assert (config.agent.discount, config.run.seed, config.env.stuck_limit) == (0.8, 3, 10)
    assert command('train', '--config', 'mine.toml', '--preset', 'tiny', '--out', 'new').returncode == 2
    (tmp_path / 'wrong.toml').write_text('agent.gamma = 0.8')
    done = command('train', '--config', 'wrong.toml', '--out', 'new')
    assert done.returncode == 2 and 'wrong.toml: agent.gamma is not a setting' in done.stderr and not (tmp_path / 'new').exists()

def test_films_and_plots_go_where_they_are_asked_to(command, run, tmp_path):
    done = command('infer', '--path', run.path, '--level', '1-2', '--out', tmp_path / 'films')
    film = tmp_path / 'films' / f"{run.path.name}-1-2-0.mp4"
    assert done.returncode == 0 and film.stat().st_size > 1000 and str(film) in done.stdout, done.stderr
    done = command('plot', '--path', run.path, '--out', tmp_path / 'plots' / 'mine.png')
    assert done.returncode == 0 and (tmp_path / 'plots' / 'mine.png').read_bytes()[:4] == b'\x89PNG', done.stderr
    assert command('plot', '--path', run.path, '--out', tmp_path).returncode == 2

def test_a_finished_run_is_not_made_longer_without_what_it_needs(command, run):
    done = command('resume', '--path', run.path, '--steps', 400)
    assert done.returncode == 2 and f'mario_dqn train --path {shlex.quote(str(run.path))}' in done.stderr and done.stderr.count('\n') == 1
    assert 'unless --steps asks for more' in command('resume', '--path', run.path).stderr

def test_a_finished_run_that_kept_it_becomes_longer(command, tmp_path):
    assert command('train', *SHORT, '--run.keep_checkpoint', '--out', 'kept').returncode == 0
    done = command('resume', '--path', 'kept', '--steps', 400)
    assert done.returncode == 0 and 'Going on from step 200 of 400' in done.stdout, done.stderr
    machine = json.loads((tmp_path / 'kept' / 'machine.json').read_text())
    assert (machine['steps'], machine['outcome']) == (400, 'finished') and (tmp_path / 'kept' / 'results.json').exists()

def test_settings_with_parts_of_a_run_in_python_are_refused(command, tmp_path):
    (tmp_path / 'mine.toml').write_text('run.own_parts = "layers=mine"')
    done = command('train', '--config', 'mine.toml', '--out', 'out')
    assert done.returncode == 2 and 'only Python can hand over' in done.stderr and not (tmp_path / 'out').exists()

def test_long_work_shows_a_bar_with_the_time_left_on_a_terminal(run):
    fcntl, pty, struct, termios = (pytest.importorskip(name) for name in ('fcntl', 'pty', 'struct', 'termios'))
    for words, what in ((['evaluate', '--path', str(run.path), '--episodes', '3', '--sticky', '0.25'], b'Measuring'),
                        (['infer', '--path', str(run.path), '--episodes', '3', '--no-record'], b'Playing')):
        seen = b''
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))       # a terminal has a size
        process = subprocess.Popen([sys.executable, '-m', 'mario_dqn', *words], stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        while True:
            try: part = os.read(ours, 10_000)
            except OSError: break
            if not part: break
            seen += part
        os.close(ours)
        assert process.wait() == 0 and what in seen and b'/3 [' in seen, seen
