"""What several tests of the whole project use: its files, commands that are run, and functions that are called in a process of their own."""
import importlib.util, multiprocessing, os, shutil, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def run(*command, cwd=ROOT, **variables):
    "Run a command; returns all it said, and fails with that if the command does."
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=os.environ | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout

# Large libraries take seconds to import. A process that has imported them, and not used them, is copied for each function that is called.
COPIES = multiprocessing.get_context('forkserver')
COPIES.set_forkserver_preload(['mario_dqn.network', 'gym_super_mario_bros', 'matplotlib.pyplot', 'nbdev.test', 'nbdev.serve_drv'])

def _begin(function, words, log, folder):
    with open(log, 'a') as file:
        for stream in (1, 2): os.dup2(file.fileno(), stream)
    os.chdir(folder)
    function(*words)

def call(function, *words, log, cwd=ROOT): # what can be pickled, and a file for what is said
    "Call a function in a process of its own; returns all it said, and fails with that if the function does."
    log.touch()
    process = COPIES.Process(target=_begin, args=(function, words, log, cwd))
    process.start()
    process.join()
    said = log.read_text(errors='replace')
    assert process.exitcode == 0, said
    return said

def experiment(name):
    "A script of `experiments/` as a module of its own."
    spec = importlib.util.spec_from_file_location(name, ROOT / f'experiments/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def notebooks():
    "The notebooks of the book, in reading order."
    nbs = ROOT / 'nbs'
    return sorted(file for file in nbs.rglob('*.ipynb') if not any(part[0] in '._' for part in file.relative_to(nbs).parts))

def tracked():
    "The files that git has or would take."
    names = run('git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard').split('\0')
    return [name for name in names if name and (ROOT / name).is_file()]

def copy_tree(to): # folder that is made
    "Copy the files that git knows."
    for name in tracked():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, to / name, follow_symlinks=False)

def traces():
    "What git says of the tree, and every name below save/, where git ignores most."
    return sorted({*run('git', 'status', '--porcelain').splitlines(), *(path.relative_to(ROOT).as_posix() for path in (ROOT / 'save').rglob('*'))})
