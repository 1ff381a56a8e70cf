"""The command line: paths as people write them, output that nobody reads, a window that cannot be opened, and what can be asked for."""
import json, os, shlex, shutil, subprocess, sys, types
from pathlib import Path

import pytest

from mario_dqn.cli import main, parse, resume_words
from mario_dqn.settings import AgentConfig, Config, EnvConfig, RunConfig, preset, span, to_toml, with_values
from mario_dqn.run.files import RunFolder, load_config

from house import ROOT
SHORT = ['--preset', 'tiny', '--steps', '200', '--run.games', '2', '--run.no-record', '--run.final_episodes', '1', '--run.eval_interval', '200', '--run.eval_episodes', '1',
         '--run.games-on', 'threads', '--agent.precision', 'float32', '--env.stuck_limit', '10', '--env.frame_skip', '2']
SHELL = shlex.quote(sys.executable) + ' -c "import sys; from mario_dqn.cli import main; sys.exit(main())"'


pytestmark = pytest.mark.xdist_group('command')                                     # so that this run is made once


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "A finished run, in a folder whose name has a space and an apostrophe."
    folder = RunFolder(tmp_path_factory.mktemp('runs') / "o'neil's run")
    assert main(['train', *SHORT, '--out', str(folder.path)]) == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    "Runs a command in this process, in an empty folder; returns what `subprocess.run` does."
    monkeypatch.chdir(tmp_path)
    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return types.SimpleNamespace(returncode=code, **dict(zip(('stdout', 'stderr'), capsys.readouterr())))
    return call


# paths and commands

def test_a_tilde_behind_an_equals_sign_is_the_home(here, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    done = here('train', *SHORT, '--out=~/tilde')
    assert done.returncode == 0 and (tmp_path / 'tilde' / 'results.json').exists() and not (tmp_path / '~').exists(), done.stderr

def test_a_tilde_is_the_home_in_a_list_too(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert parse(['plot', '--path', '~/a', 'b'])[0].path == (tmp_path / 'a', Path('b'))

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

def test_a_start_from_weights_explores_less_and_says_so(here, run, tmp_path):
    done = here('train', '--path', run.path, *SHORT, '--out', tmp_path / 'second')
    assert done.returncode == 0 and 'explores from ε = 0.1 on' in done.stdout, done.stderr
    assert load_config(tmp_path / 'second' / 'config.toml').agent.epsilon_start == 0.1
    card = (tmp_path / 'second' / 'README.md').read_text()
    assert 'from the weights of an earlier run on' in card and json.loads((tmp_path / 'second' / 'machine.json').read_text())['origin'] == str(run.path)

def test_settings_come_from_a_file(here, tmp_path):
    (tmp_path / 'mine.toml').write_text('agent.discount = 0.8\nenv.stuck_limit = 10\n[run]\nsteps = 200\nrecord = false\nfinal_episodes = 1\nbaselines = false\neval_interval = 200\neval_episodes = 1')
    done = here('train', '--config', 'mine.toml', '--seed', 3, '--out', 'out')
    assert done.returncode == 0, done.stderr
    config = load_config(tmp_path / 'out' / 'config.toml')
    assert (config.agent.discount, config.run.seed, config.env.stuck_limit) == (0.8, 3, 10)
    assert here('train', '--config', 'mine.toml', '--preset', 'tiny', '--out', 'new').returncode == 2
    (tmp_path / 'wrong.toml').write_text('agent.gamma = 0.8')
    done = here('train', '--config', 'wrong.toml', '--out', 'new')
    assert done.returncode == 2 and 'wrong.toml: agent.gamma is not a setting' in done.stderr and not (tmp_path / 'new').exists()

def test_films_and_plots_go_where_they_are_asked_to(here, run, tmp_path):
    done = here('infer', '--path', run.path, '--level', '1-2', '--out', tmp_path / 'films')
    film = tmp_path / 'films' / f"{run.path.name}-1-2-0.mp4"
    assert done.returncode == 0 and film.stat().st_size > 1000 and str(film) in done.stdout, done.stderr
    done = here('plot', '--path', run.path, '--out', tmp_path / 'plots' / 'mine.png')
    assert done.returncode == 0 and (tmp_path / 'plots' / 'mine.png').read_bytes()[:4] == b'\x89PNG', done.stderr
    assert here('plot', '--path', run.path, '--out', tmp_path).returncode == 2

def test_a_finished_run_is_not_made_longer_without_what_it_needs(here, run):
    done = here('resume', '--path', run.path, '--steps', 400)
    assert done.returncode == 2 and f'mario_dqn train --path {shlex.quote(str(run.path))}' in done.stderr and done.stderr.count('\n') == 1
    assert 'unless --steps asks for more' in here('resume', '--path', run.path).stderr

@pytest.mark.full
def test_a_finished_run_that_kept_it_becomes_longer(here, tmp_path):
    assert here('train', *SHORT, '--run.keep_checkpoint', '--out', 'kept').returncode == 0
    done = here('resume', '--path', 'kept', '--steps', 400)
    assert done.returncode == 0 and 'Going on from step 200 of 400' in done.stdout, done.stderr
    machine = json.loads((tmp_path / 'kept' / 'machine.json').read_text())
    assert (machine['steps'], machine['outcome']) == (400, 'finished') and (tmp_path / 'kept' / 'results.json').exists()

def test_a_trained_run_is_measured_only_with_the_settings_that_it_was_trained_with(here, run, tmp_path):
    folder = RunFolder(shutil.copytree(run.path, tmp_path / 'copy'))
    folder.results.unlink()
    config, machine = folder.config.read_text(), folder.machine.read_text()
    folder.config.write_text(to_toml(with_values(load_config(folder.config), {'agent.n_step': 5})))
    assert 'agent.n_step was 3 and is 5' in here('resume', '--path', folder.path).stderr
    folder.config.write_text(config)
    folder.machine.write_text(json.dumps(json.loads(machine) | dict(settings=[1])))
    assert 'machine.json does not fit' in here('resume', '--path', folder.path).stderr and not folder.results.exists()

def test_a_run_whose_weights_are_the_start_is_not_written_over(here, run):
    done = here('train', *SHORT, '--path', run.path, '--out', run.path, '--force')
    assert done.returncode == 2 and 'holds the weights to start from' in done.stderr and run.best.exists()

def test_a_sweep_has_the_levels_and_the_seed_of_its_file(tmp_path):
    (tmp_path / 'two.toml').write_text(to_toml(with_values(Config(), {'env.levels': ('1-2', '2-1'), 'run.seed': 7})))
    options, _ = parse(['sweep', '--config', str(tmp_path / 'two.toml')])
    assert (options.levels, options.seeds) == (('1-2', '2-1'), (7,))
    options, _ = parse(['sweep', '--config', str(tmp_path / 'two.toml'), '--levels', '3-1'])
    assert (options.levels, options.seeds) == (('3-1',), (7,))

@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='there are no pipes with names')
def test_a_benchmark_that_could_not_end_does_not_begin(here, tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    assert 'a device or a pipe' in here('bench', '--out', 'pipe').stderr
    done = here('bench', '--agent.replay_capacity', 600, '--agent.learning_starts', 64, '--out', 'bench.json')
    assert done.returncode == 2 and 'must be at most' in done.stderr and not (tmp_path / 'bench.json').exists()

def test_settings_with_parts_of_a_run_in_python_are_refused(here, tmp_path):
    (tmp_path / 'mine.toml').write_text('run.own_parts = "layers=mine"')
    done = here('train', '--config', 'mine.toml', '--out', 'out')
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


# in this process, with another folder in the place of save/

@pytest.fixture
def called(run, monkeypatch, capsys):
    "Runs a command; returns exit code, standard output and standard error."
    monkeypatch.setattr('mario_dqn.cli.save_root', lambda: run.path.parent)
    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err
    return call

def test_an_evaluation_is_the_same_again_and_another_with_another_seed(called, run):
    words = ['evaluate', '--path', run.path, '--episodes', 3, '--sticky', 0.25, '--json']
    one, two, other = (json.loads(called(*words, *seed)[1]) for seed in ((), (), ('--seed', 1)))
    assert one == two != other

def test_an_agent_is_measured_on_another_level(called, run):
    code, out, err = called('evaluate', '--path', run.path, '--episodes', 2, '--level', '1-2')
    assert code == 0 and err == '' and f'agent of {run.path.name}' in out

def test_games_are_played_without_a_video(called, run):
    code, out, err = called('infer', '--path', run.path, '--no-record', '--episodes', 2)
    assert code == 0 and err == '' and out.count('Episode') == 2 and 'mp4' not in out

def test_the_plot_of_a_run_is_the_same_again(called, run):
    before = run.plot.read_bytes()
    code, out, err = called('plot', '--path', run.path)
    assert code == 0 and err == '' and run.plot.read_bytes() == before

@pytest.fixture
def other(run):
    "Another run beside it, which was not measured."
    other = RunFolder(run.path.parent / 'a second run')
    shutil.copytree(run.path, other.path)
    other.config.write_text(to_toml(with_values(load_config(run.config), {'env.level': '1-2'})))
    other.results.unlink()
    yield other
    shutil.rmtree(other.path)

def test_several_runs_are_plotted_into_one_picture(called, run, other):
    path = run.path.parent / 'plot.png'
    pictures = []
    for runs in ([run.path, other.path], [run.path, run.path]):
        code, out, err = called('plot', '--path', *runs)
        assert code == 0 and out == f'{path}\n' and err == '' and path.read_bytes()[:4] == b'\x89PNG'
        pictures.append(path.read_bytes())
        path.unlink()
    assert pictures[0] != pictures[1]

def test_the_list_has_the_runs_that_lie_below_save(called, run, other):
    code, out, err = called('list')
    lines = out.splitlines()
    assert code == 0 and err == '' and len(lines) == 3 and lines[1].startswith(f'{other.path.name} ') and lines[2].startswith(f'{run.path.name} ')
    assert ' 1-2 ' in lines[1] and '–' in lines[1] and ' 1-1 ' in lines[2] and '200' in lines[2]

def test_the_protocol_has_four_conditions(called, run):
    code, out, err = called('evaluate', '--path', run.path, '--protocol', '--episodes', 1, '--json')
    numbers = json.loads(out)
    assert code == 0 and numbers['name'] == 'sticky' and [c['episodes'] for c in numbers['players'][0]['conditions']] == [1, 1, 1, 1]

def test_a_condition_of_ones_own_is_named_after_what_is_in_it(called, run):
    code, out, err = called('evaluate', '--path', run.path, '--episodes', 2, '--epsilon', 0.5, '--noops', 3, '--json')
    numbers = json.loads(out)
    assert code == 0 and (numbers['epsilon'], numbers['noops'], numbers['sticky'], numbers['label']) == (0.5, 3, 0.0, 'ε = 0.5, 3 frames of delay')

def test_a_video_goes_to_save_play(called, run):
    code, out, err = called('infer', '--path', run.path)
    film = run.path.parent / 'play' / f'{run.path.name}-0.mp4'
    assert code == 0 and out.splitlines()[1] == f'  {film}' and film.stat().st_size > 1000
    shutil.rmtree(film.parent)

def test_a_video_of_a_folder_that_is_called_like_its_level_names_it_once(called, run, tmp_path):
    shutil.copytree(run.path, tmp_path / '1-1')
    code, out, err = called('infer', '--path', tmp_path / '1-1', '--level', '1-1', '1-2', '--out', tmp_path)
    assert code == 0 and sorted(path.name for path in tmp_path.glob('*.mp4')) == ['1-1-0.mp4', '1-1-1-2-0.mp4'], err

def test_a_video_that_cannot_be_made_is_told_and_is_no_success(called, run, tmp_path):
    (tmp_path / f'{run.path.name}-0.mp4').mkdir()                                             # where the film is to stand
    code, out, err = called('infer', '--path', run.path, '--out', tmp_path)
    lines = out.splitlines()
    assert code == 2 and lines[0].startswith('Episode 0: score ') and lines[1].startswith(f'The video {tmp_path}/{run.path.name}-0.mp4 could not be made: ')
    assert err == '' and len(lines) == 2

def test_ctrl_c_before_the_command_line_is_there_is_answered_as_later(monkeypatch, capsys):
    from mario_dqn.__main__ import main as begin
    class Loading(types.ModuleType):
        def __getattr__(self, name): raise KeyboardInterrupt
    monkeypatch.setitem(sys.modules, 'mario_dqn.cli', Loading('mario_dqn.cli'))
    assert begin() == 130 and capsys.readouterr().err == 'mario_dqn: interrupted.\n'

def test_without_chance_one_game_is_enough(called, run):
    def games(*words): return json.loads(called('evaluate', '--path', run.path, '--json', *words)[1])['episodes']
    assert games() == games('--noops', 5) == 1 and games('--episodes', 2) == 2

def test_before_each_table_is_an_empty_line(called, run):
    for words in (['--protocol'], ['--level', '1-1', '1-2']):
        lines = called('evaluate', '--path', run.path, '--episodes', 1, *words)[1].splitlines()
        rules = [number for number, line in enumerate(lines) if line.startswith('|---')]      # below the names of the columns
        assert rules[0] == 1 and len(rules) == 2 and lines[rules[1] - 2] == '' != lines[rules[1] - 3]

@pytest.mark.skipif(sys.platform != 'linux', reason='displays have these names on Linux')
def test_a_window_needs_a_display(called, run, monkeypatch):
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'): monkeypatch.delenv(name, raising=False)
    code, out, err = called('infer', '--path', run.path, '--show')
    assert (code, out, err) == (2, '', 'mario_dqn: --show needs a display, and there is none here; the video can be watched instead.\n')

def test_damaged_weights_are_told_of_in_one_line(called, run):
    whole = run.best.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    run.best.write_bytes(bytes(damaged))
    try: code, out, err = called('evaluate', '--path', run.path)
    finally: run.best.write_bytes(whole)
    assert code == 2 and 'best.npz cannot be used: it is damaged' in err and err.count('\n') == 1 and out == ''


@pytest.mark.full
def test_bench_measures_and_stores_what_it_measured(here, tmp_path):
    done = here('bench', '--preset', 'tiny', '--seconds', 0.01, '--threads', 2, '--json', '--out', 'measured/bench.json')
    numbers = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr.count('\n') == 1 and done.stderr.startswith('Measuring')
    assert {'overlap', 'vs_keras_loop', 'steps_per_second', 'table'} <= numbers.keys() and json.loads((tmp_path / 'measured' / 'bench.json').read_text()) == numbers


# flags

@pytest.mark.parametrize('command, options', [
    ('train', '--preset --config --path --out --force --level --seed --steps --threads --agent.discount'), ('resume', '--path --steps'),
    ('infer', '--path --level --episodes --seed --show --record --no_record --out'), ('evaluate', '--path --level --episodes --sticky --epsilon --noops --protocol --json'),
    ('plot', '--path --out'), ('list', '--verbose'), ('bench', '--seconds --threads --json --out'), ('baselines', '--level --episodes --out')], ids=lambda value: value.split()[0])
def test_the_help_of_a_command_shows_its_options(capsys, command, options):
    with pytest.raises(SystemExit) as end: main([command, '--help'])
    text = capsys.readouterr().out
    assert end.value.code == 0 and [option for option in [*options.split(), '--verbose', '--help'] if option not in text] == []

def test_every_setting_is_a_flag_with_its_meaning_and_its_range(capsys):
    with pytest.raises(SystemExit): main(['train', '--help'])
    text = ' '.join(capsys.readouterr().out.replace('│', ' ').split())
    for group in (EnvConfig, AgentConfig, RunConfig):
        for name, field in group.model_fields.items():
            if name in ('own_parts', 'level'): continue                                    # the second one is a short form of levels
            flag = f'--{group.group}.{name}'
            assert f'{flag} {span(field)}'.strip() in text and field.description.split(';')[0] in text, flag

@pytest.mark.parametrize('words, config', [
    (['--agent.discount', '0.95'], {'agent.discount': 0.95}), (['--agent.filters', '8', '32'], {'agent.filters': (8, 32)}),
    (['--level', '1-2', '--seed', '3', '--steps', '900', '--threads', '2'], {'env.level': '1-2', 'run.seed': 3, 'run.steps': 900, 'run.threads': 2}),
    (['--env.no-show-buttons', '--agent.no_double'], {'env.show_buttons': False, 'agent.double': False}), (['--agent.learning-rate=1e-4'], {'agent.learning_rate': 1e-4}),
    (['--agent.discount=0', '--run.record'], {'agent.discount': 0.0, 'run.record': True}),
], ids=['number', 'list', 'short', 'switches', 'hyphens', 'equals'])
def test_flags_change_settings_on_top_of_a_preset(words, config):
    options, _ = parse(['train', '--preset', 'tiny', *words])
    assert Config(options.env, options.agent, options.run) == with_values(preset('tiny'), config)

BAD = [('env.size', '3', '3, but must be a whole number from 36 to 240'), ('agent.discount', '1.5', '1.5, but must be a number from 0.0 to 0.9999'),
       ('run.steps', '0', '0, but must be a whole number from 1 to 1000000000'), ('run.steps', '1e6', "'1e6', but must be a whole number from 1 to 1000000000"),
       ('env.actions', 'up', "'up', but must be one of right_only, simple, complex"), ('agent.discount', 'fast', "'fast', but must be a number from 0.0 to 0.9999"),
       ('agent.filters', '8 0 8', '(8, 0, 8), but must be a list of whole numbers, 1 to 8 of them, each from 1 to 1024'), ('run.games', 'nan', "'nan', but must be a whole number"),
       ('env.size', '9' * 5000, 'but must be a whole number from 36 to 240'), ('env.levels', '9-9', "'9-9', but must be levels such as 1-1")]

@pytest.mark.parametrize('key, value, words', [pytest.param(*case, id=f'{case[0]}-{case[1][:9]}') for case in BAD])
def test_a_bad_flag_is_answered_with_one_line_and_nothing_is_written(tmp_path, capsys, key, value, words):
    assert main(['train', '--preset', 'tiny', '--out', str(tmp_path / 'new'), f'--{key}', *value.split()]) == 2
    said = capsys.readouterr().err
    assert f'{key} is ' in said and words in said and said.count('\n') == 1 and len(said) < 500 and list(tmp_path.iterdir()) == []

@pytest.mark.parametrize('words', [['train', '--out'], ['resume'], ['evaluate'], ['infer'], ['plot']], ids=lambda words: words[0])
@pytest.mark.parametrize('key, value, said', [('agent.discount', 1.5, '1.5, but must be'), ('env.actions', 'up', "'up', but must be"), ('agent.double', 1, '1, but must be true or false'),
                                              ('agent.filters', [8, 0, 8], '[8, 0, 8], but must be'), ('run.steps', 0, '0, but must be'), ('env.size', 10**4000, '100000000000000000...0000000000000000000, but must be'),
                                              ('agent.learning_rate', float('nan'), 'nan, but must be')], ids=['number', 'choice', 'switch', 'list', 'zero', 'long', 'nan'])
def test_a_bad_setting_of_a_run_is_answered_with_one_line(tmp_path, capsys, words, key, value, said):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'config.toml').write_text(f'{key} = {json.dumps(value).lower()}')
    out = [str(tmp_path / 'new')] if words[-1] == '--out' else []
    assert main([*words, *out, '--path', str(tmp_path / 'run')]) == 2
    text = capsys.readouterr().err
    assert f'{tmp_path}/run/config.toml: {key} is {said}' in text and text.count('\n') == 1
    assert [path.name for path in tmp_path.rglob('*')] == ['run', 'config.toml']

@pytest.mark.parametrize('words, said', [
    (['train', '--agent.discuont', '0.9'], 'did you mean --agent.discount?'), (['train', '--sede', '3'], 'did you mean --seed?'), (['plot', '--path', 'x', '--thread', '2'], 'plot --help lists them'), (['trian'], 'did you mean train?'),
    (['infer', '--level', 'lost-4-4'], 'No trained agent for level lost-4-4 ships; there is one for 1-1'), (['evaluate', '--level', 'world-1'], 'names several levels'),
    (['infer', '--gamma'], 'mario_dqn infer --help lists them'), (['fly'], 'there is train, resume'), (['evaluate', 'now'], "'now' belongs to no option"), ([], 'A command is missing'),
    (['resume'], '--path is missing'), (['train', '--env.size'], 'without a value'), (['train', '--level'], '--level is without a value'), (['infer', '--level', '--seed', '1'], '--level is without a value'), (['train', '--env.level', '1-9'], 'must be levels such as'), (['plot', '--path'], '--path is without a value, but must be one or more of a path.'), (['train', '--out'], '--out is without a value, but must be a path.'),
    (['train', '--out', ''], '--out is without a value.'), (['plot', '--path='], '--path is without a value.'), ([''], 'A word of the command is empty.'), (['plot', '--path', 'a', ''], 'A word of the command is empty.'),
    (['sweep', '--run.no_record'], 'one value or more: --run.record False.'), (['sweep', '--agent.discount', '0.9', '2'], 'agent.discount has 2.0, but must be one or more of a number'),
    (['resume', '--path'], '--path is without a value, but must be a path.'), (['evaluate', '--path'], 'must be a path'), (['infer', '--seed', '1', '--seed', 'x'], "--seed is 'x', but"),
    (['train', '--set', 'agent.discount=0.95'], 'every setting is a flag'), (['bench', '--force'], 'is not an option of mario_dqn bench'),
    (['train', '--preset', 'tiny', '--config', 'x.toml'], 'only one of them'), (['train', '--run.own_parts', 'x'], 'is not an option'), (['train', '--config', 'old.yaml'], 'No such file'),
], ids=lambda value: ' '.join(value) if isinstance(value, list) else '')
def test_a_wrong_word_is_answered_with_one_line(capsys, words, said):
    assert main(words) == 2
    text = capsys.readouterr().err
    assert said in text and text.startswith('mario_dqn: ') and text.count('\n') == 1
