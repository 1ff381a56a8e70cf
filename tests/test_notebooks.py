"""Every notebook, through nbdev's own tester, in a process of its own, which in the long form has imported nothing; the chapters that concern a backend also on the others."""
import importlib.util, os

import pytest

from house import BIN, call, notebooks, run

OTHERS = {'jax': (), 'torch': ('04', '05')}  # the chapters that are always tested on other backends too; test_agent.py tries updates on all
def backends(path): # of a notebook
    yield pytest.param(path, 'tensorflow', id=f'{path.stem}-tensorflow')
    for backend, chapters in OTHERS.items():
        marks = [] if path.name[:2] in chapters else [pytest.mark.full]
        if importlib.util.find_spec(backend) is None: marks.append(pytest.mark.skip(reason=f'{backend} is not installed'))
        yield pytest.param(path, backend, id=f'{path.stem}-{backend}', marks=marks)

RAY = importlib.util.find_spec('ray') is not None
FLAGS = {False: 'cluster', True: 'cluster slow'} if RAY else {False: '', True: ''}  # cells that need Ray say so

def run_cells(path):
    from nbdev.test import nbdev_test
    nbdev_test(path, n_workers=0, flags=FLAGS[False])

@pytest.mark.parametrize('path, backend', [case for path in notebooks() for case in backends(path)])
def test_notebook(request, path, backend, tmp_path):
    full = request.config.getoption('full')
    if full or backend != os.environ['KERAS_BACKEND']: said = run(BIN / 'nbdev_test', '--path', path, '--n_workers', 0, '--flags', FLAGS[full], KERAS_BACKEND=backend)
    else: said = call(run_cells, str(path), log=tmp_path / 'log')
    assert 'Success.' in said, said
