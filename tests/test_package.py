"""The package: what its wheel holds, that it works without the checkout, and how soon it answers."""
import re, sys, time, zipfile

import pytest

from mario_dqn.run.files import shipped_agents

from house import BIN, copy_tree, run, tracked

AGENT = ('config.toml', 'best.npz', 'results.json', 'greedy.json', 'machine.json')


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    "What the wheel holds, in a folder outside of the checkout."
    place = tmp_path_factory.mktemp('wheel')
    copy_tree(place / 'copy')
    run(sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', place / 'out', place / 'copy')
    with zipfile.ZipFile(next((place / 'out').glob('*.whl'))) as archive: archive.extractall(place / 'home')
    return place / 'home'

def test_the_wheel_holds_the_modules_the_page_and_the_shipped_agents_and_nothing_else(wheel):
    names = {file.relative_to(wheel).as_posix() for file in wheel.rglob('*') if file.is_file()}
    names = {name for name in names if '.dist-info/' not in name}
    modules = {name for name in tracked() if re.fullmatch(r'mario_dqn/(run/|show/)?\w+\.(py|js|css|json|md)', name)}
    agents = {f'mario_dqn/shipped/{level}/{name}' for level in shipped_agents() for name in AGENT}
    assert sorted((modules | agents) - names) == []
    folders = tuple(f'mario_dqn/shipped/{level}/' for level in shipped_agents())
    assert [name for name in sorted(names - modules) if not name.startswith(folders)] == []

def test_the_package_works_without_the_checkout(wheel):
    code = '''
import mario_dqn.run.files as files
from mario_dqn.show.player import Player
assert files.project_root() is None and files.shipped_agent().best.exists() and '1-1' in files.shipped_agents()
assert 'export default' in str(Player._esm) and '.mario-player' in str(Player._css)'''
    run(sys.executable, '-c', code, cwd=wheel, PYTHONPATH=str(wheel))
    assert 'train' in run(sys.executable, '-m', 'mario_dqn', '--help', cwd=wheel, PYTHONPATH=str(wheel))


def test_neither_the_package_nor_the_command_loads_a_network_library_before_it_needs_one():
    heavy = "import sys, mario_dqn, mario_dqn.cli; sys.exit(' '.join({'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)) or 0)"
    run(sys.executable, '-c', heavy)

@pytest.mark.alone
@pytest.mark.parametrize('command', [[BIN / 'mario_dqn', '--help'], [sys.executable, '-c', 'import mario_dqn']], ids=['help', 'import'])
def test_it_answers_within_a_second(command):
    seconds = []
    for _ in range(3):  # the fastest of three, since the machine may be busy
        start = time.perf_counter()
        run(*command)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1
