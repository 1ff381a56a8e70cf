"""The checks of the project besides its notebooks: each returns its complaints, an empty list if all is well."""
import ast, filecmp, json, os, re, shutil, subprocess, sys, tempfile, time, zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
FORBIDDEN = {'nbdev', 'fastcore', 'execnb', 'pandas', 'sklearn'}  # the package runs without them


def call(*command, cwd=ROOT, **env):
    "Run a command; returns its exit status and all it said."
    done = subprocess.run(command, cwd=cwd, env=os.environ | env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout

def said(*command, **kwargs):
    "The complaint of a command that fails."
    status, output = call(*command, **kwargs)
    return [output or f'{command[0]} failed with status {status}'] if status else []

def tracked():
    "The files that git has or would take."
    names = call('git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard')[1].split('\0')
    return [name for name in names if name and (ROOT / name).is_file()]

def copy_tree(to): # folder that is made
    "Copy the files that git knows."
    for name in tracked():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, to / name, follow_symlinks=False)


def exported():
    "Exporting and cleaning the notebooks changes no file."
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder).resolve() / 'copy'
        copy_tree(copy)
        complaints = said(BIN / 'nbdev_export', cwd=copy) + said(BIN / 'nbdev_clean', cwd=copy)
        after = {f.relative_to(copy).as_posix() for f in copy.rglob('*') if f.is_file()}
        names = after | set(tracked())
        return complaints + [f'{name}: nbdev_export or nbdev_clean changes it' for name in sorted(names)
            if '__pycache__' not in name and not ((copy / name).is_file() and (ROOT / name).is_file()
                                                  and filecmp.cmp(copy / name, ROOT / name, shallow=False))]


def imports(code): # Python source
    "The modules that it imports, with their full names."
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import): yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            module = '.'.join(filter(None, ['mario_dqn' if node.level else '', node.module]))
            yield from [module] if module != 'mario_dqn' else (f'mario_dqn.{alias.name}' for alias in node.names)

def chapters():
    "Each chapter imports only from the chapters before it."
    import nbformat
    from IPython.core.inputtransformer2 import TransformerManager
    complaints, order, code = [], {}, []
    for path in sorted((ROOT / 'mario_dqn').glob('[!_]*.py')):
        text = path.read_text(encoding='utf-8')
        source = re.search(r'File to edit: \.\./nbs/((\d+)\S*\.ipynb)', text)
        if source is None: complaints.append(f'mario_dqn/{path.name} comes from no numbered chapter'); continue
        order[f'mario_dqn.{path.stem}'] = int(source[2])
        code.append((f'mario_dqn/{path.name}', int(source[2]), text))
        complaints += [f'mario_dqn/{path.name} imports {name}' for name in imports(text) if name.split('.')[0] in FORBIDDEN]
    for path in sorted((ROOT / 'nbs').glob('[0-9]*.ipynb')):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == 'code' and not cell.source.startswith('%%'):
                # A chapter may use its own module, so it counts as half a step further on than its module.
                code.append((f'nbs/{path.name}', int(path.name.split('_')[0]) + 0.5, TransformerManager().transform_cell(cell.source)))
    for place, number, text in code:
        for name in imports(text):
            module = '.'.join(name.split('.')[:2])
            if name.startswith('mario_dqn') and order.get(module, -1) >= number: complaints.append(f'{place} imports {name}, of a later chapter')
    return complaints


def package():
    "The wheel holds the modules and the shipped agent and works without the checkout."
    with tempfile.TemporaryDirectory() as folder:
        copy, out, home = (Path(folder).resolve() / name for name in ('copy', 'out', 'home'))
        copy_tree(copy); home.mkdir()
        complaints = said(sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', out, copy)
        if complaints: return complaints
        with zipfile.ZipFile(next(out.glob('*.whl'))) as wheel: wheel.extractall(home)
        names = {f.relative_to(home).as_posix() for f in home.rglob('*') if f.is_file()}
        names = {name for name in names if '.dist-info/' not in name}
        modules = {name for name in tracked() if re.fullmatch(r'mario_dqn/\w+\.py', name)}
        agent = {f'mario_dqn/shipped/1-1/{name}' for name in ('config.yaml', 'best.npz', 'manifest.json', 'results.json', 'greedy.json', 'machine.json')}
        rows = {'mario_dqn/baselines.json'}
        complaints += [f'the wheel lacks {name}' for name in sorted((modules | agent | rows) - names)]
        complaints += [f'the wheel holds {name}' for name in sorted(names - modules - rows) if not name.startswith('mario_dqn/shipped/1-1/')]
        find = 'import mario_dqn.config as c; assert c.project_root() is None; print(c.shipped_agent())'
        complaints += said(sys.executable, '-c', find, cwd=home, PYTHONPATH=str(home))
        return complaints + said(sys.executable, '-m', 'mario_dqn.cli', '--help', cwd=home, PYTHONPATH=str(home))


def traces():
    "What git says of the tree, and every name below save/, where git ignores most; a set of lines."
    return {*call('git', 'status', '--porcelain')[1].splitlines(), *(path.relative_to(ROOT).as_posix() for path in (ROOT / 'save').rglob('*'))}


def paths():
    "What a cell has said holds no absolute path, which would be that of a machine on which it ran."
    found, place = [], re.compile(r'(?<![\w/:.…])(?:/(?!proc/|etc/|dev/)[\w.-]+/|[A-Z]:\\)[\w.-].{0,60}')
    for name in tracked():
        if not name.endswith('.ipynb'): continue
        for cell in json.loads((ROOT / name).read_text(encoding='utf-8'))['cells']:
            for output in cell.get('outputs', []):
                texts = [output.get('text', ''), *(output.get('data', {}).get(kind, '') for kind in ('text/plain', 'text/markdown'))]
                found += [f'{name}: {path}' for text in texts for path in place.findall(''.join(text))]
    return found


def startup():
    "The command answers within a second, and neither it nor the package loads a network library before it needs one."
    heavy = "import sys, mario_dqn, mario_dqn.cli; sys.exit(' '.join({'tensorflow', 'keras', 'jax'} & set(sys.modules)) or 0)"
    complaints = said(sys.executable, '-c', heavy)
    for command in ([BIN / 'mario_dqn', '--help'], [sys.executable, '-c', 'import mario_dqn']):
        seconds = []
        for _ in range(3):  # the fastest of three, since the machine may be busy
            start = time.perf_counter()
            complaints += said(*command)
            seconds.append(time.perf_counter() - start)
        if min(seconds) > 1: complaints.append(f'{" ".join(map(str, command))} takes {min(seconds):.1f} s; 1 s is allowed')
    return list(dict.fromkeys(complaints))
