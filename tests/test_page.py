"""The JavaScript and the style of the player: they can be read by a browser, and are formatted as prettier does it."""
import shutil, subprocess

import pytest

from house import ROOT, run

PRETTIER = ('npx', '--yes', 'prettier@3.10.1', '--print-width', '110', '--single-quote')
FILES = [ROOT / 'mario_dqn/show' / name for name in ('player.js', 'player.css')]

pytestmark = pytest.mark.skipif(shutil.which('node') is None, reason='node is not installed')


def test_the_page_is_a_module_without_a_mistake(tmp_path):
    copy = tmp_path / 'player.mjs'                                                  # the ending says that it is a module
    shutil.copy(FILES[0], copy)
    run('node', '--check', copy)
    copy.write_text(copy.read_text().replace('class Film {', 'class Film {{', 1))
    assert subprocess.run(['node', '--check', copy], capture_output=True).returncode != 0

@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_prettier_would_change_nothing(file):
    try: subprocess.run([*PRETTIER, '--version'], capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError): pytest.skip('prettier cannot be fetched')
    run(*PRETTIER, '--check', file)
