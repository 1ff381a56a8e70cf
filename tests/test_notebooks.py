"""Every notebook, through nbdev's own tester, in a process of its own; the chapters that concern a backend also on the others."""
import importlib.util

import pytest

from house import BIN, notebooks, run

OTHERS = {'jax': ('04', '05'), 'torch': ('04', '05')}  # the chapters that are always tested on other backends too
def backends(path): # of a notebook
    yield pytest.param(path, 'tensorflow', id=f'{path.stem}-tensorflow')
    for backend, chapters in OTHERS.items():
        marks = [] if path.name[:2] in chapters else [pytest.mark.full]
        if importlib.util.find_spec(backend) is None: marks.append(pytest.mark.skip(reason=f'{backend} is not installed'))
        yield pytest.param(path, backend, id=f'{path.stem}-{backend}', marks=marks)

@pytest.mark.parametrize('path, backend', [case for path in notebooks() for case in backends(path)])
def test_notebook(path, backend):
    run(BIN / 'nbdev_test', '--path', path, '--n_workers', 0, KERAS_BACKEND=backend)
