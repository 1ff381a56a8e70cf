"""The rules of the house: exports are up to date, chapters build on those before them, no output names a machine."""
import ast, filecmp, json, re, sys

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from house import BIN, ROOT, copy_tree, notebooks, run, tracked

FORBIDDEN = {'nbdev', 'execnb', 'pandas', 'sklearn'}  # the package runs without them
MACHINE_PATH = re.compile(r'(?<![\w/:.…])(?:/(?!proc/|etc/|dev/)[\w.-]+/|[A-Z]:\\)[\w.-].{0,60}')


def test_export_and_clean_change_nothing(tmp_path):
    copy = tmp_path / 'copy'
    copy_tree(copy)
    run(BIN / 'nbdev_export', cwd=copy)
    run(BIN / 'nbdev_clean', cwd=copy)
    after = {file.relative_to(copy).as_posix() for file in copy.rglob('*') if file.is_file() and '__pycache__' not in file.parts}
    assert sorted(after ^ set(tracked())) == []
    assert [name for name in sorted(after) if not filecmp.cmp(copy / name, ROOT / name, shallow=False)] == []


def imports(code, module=''): # Python source, and the full name of the module that it is
    "The modules and names that it imports, with their full names."
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import): yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = module.split('.')[:-node.level] if node.level else []
            yield from ('.'.join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)

def modules():
    "For each exported module its full name, the number of its chapter and its text."
    for path in sorted((ROOT / 'mario_dqn').rglob('[!_]*.py')):
        text = path.read_text(encoding='utf-8')
        source = re.search(r'File to edit: (?:\.\./)+nbs/((\d+)\S*\.ipynb)', text)
        place = path.relative_to(ROOT).with_suffix('')
        assert source, f'{place} comes from no numbered chapter'
        yield '.'.join(place.parts), int(source[2]), text

CHAPTER = {name: number for name, number, _ in modules()}
GROUND = 'mario_dqn.run.files'  # rests on the settings alone, so that every other chapter may rest on it

def later(code, number, module=''): # Python source, the number of its chapter, and the full name of the module that it is
    "What it imports from a chapter that is not before it."
    found = {place for name in imports(code, module) for place in (name, name.rpartition('.')[0]) if CHAPTER.get(place, -1) >= number}
    return sorted(found - {GROUND})

@pytest.mark.parametrize('name, number, text', [pytest.param(*module, id=module[0]) for module in modules()])
def test_a_module_imports_only_from_chapters_before_it(name, number, text):
    assert later(text, number, name) == []
    assert [name for name in imports(text) if name.split('.')[0] in FORBIDDEN] == []

def test_the_ground_floor_rests_on_the_settings_alone():
    text, = (text for name, _, text in modules() if name == GROUND)
    assert later(text, 2, GROUND) == [] and 'mario_dqn.settings.ConfigError' in imports(text, GROUND)

@pytest.mark.parametrize('path', sorted((ROOT / 'nbs').glob('[0-9]*.ipynb')), ids=lambda path: path.stem)
def test_a_chapter_uses_only_itself_and_chapters_before_it(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == 'code' and not cell.source.startswith('%%')]
    number = int(path.name.split('_')[0]) + 0.5                                     # it may use its own module
    assert [found for source in cells for found in later(TransformerManager().transform_cell(source), number)] == []


@pytest.mark.parametrize('path', notebooks(), ids=lambda path: path.stem)
def test_no_two_cells_of_a_notebook_have_one_id(path): # a reader of notebooks would rename one of them without a word
    ids = [cell['id'] for cell in json.loads(path.read_text(encoding='utf-8'))['cells']]
    assert [name for name in set(ids) if ids.count(name) > 1] == []

@pytest.mark.parametrize('path', sorted((ROOT / 'nbs').glob('[0-9]*.ipynb')), ids=lambda path: path.stem)
def test_code_of_a_chapter_reads_without_scrolling_sideways(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == 'code']
    assert [line for source in cells for line in source.split('\n') if len(line) > 110] == []

@pytest.mark.parametrize('path', notebooks(), ids=lambda path: path.stem)
def test_no_sentence_has_more_than_forty_words(path):
    prose = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == 'markdown']
    lines = [line for text in prose for line in re.sub(r'(?s)\$\$.*?\$\$', '', text).split('\n') if not line.startswith('|')]
    assert [sentence for line in lines for sentence in re.split(r'(?<=[.!?])\s', line) if len(sentence.split()) > 40] == []


@pytest.mark.parametrize('name', [name for name in tracked() if name.endswith('.ipynb')])
def test_no_output_holds_a_path_of_a_machine(name):
    found = []
    for cell in json.loads((ROOT / name).read_text(encoding='utf-8'))['cells']:
        for output in cell.get('outputs', []):
            texts = [output.get('text', ''), *(output.get('data', {}).get(kind, '') for kind in ('text/plain', 'text/markdown'))]
            found += [path for text in texts for path in MACHINE_PATH.findall(''.join(text))]
    assert found == []


@pytest.mark.parametrize('path', notebooks(), ids=lambda path: path.stem)
def test_a_notebook_stays_small(path): assert path.stat().st_size < 3_000_000


def test_the_readme_is_made_from_the_first_page():
    run(sys.executable, ROOT / 'tests/build_readme.py', '--check')


LEVEL, POSITIONS = re.compile(r'[1-8]-[1-4]'), {'x_pos', 'x', 'distance', 'area', 'place', 'position', '_x_position'}

def rules_for_a_level(source):
    "Where code compares a level with a name, looks one up by it, or compares a position with a number of more than a few pixels."
    found = []
    def text(node): return isinstance(node, ast.Constant) and isinstance(node.value, str) and LEVEL.fullmatch(node.value)
    def far(node): return isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value > 5
    def named(node): return getattr(node, 'id', getattr(node, 'attr', getattr(node, 'value', None)))
    for node in ast.walk(ast.parse(source)):
        looked = [node.slice] if isinstance(node, ast.Subscript) else node.keys if isinstance(node, ast.Dict) else []
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        inside = [part for side in sides for part in ast.walk(side)]
        position = any(isinstance(named(part), str) and named(part) in POSITIONS for part in inside)
        if any(map(text, looked)) or any(map(text, inside)) or position and any(map(far, sides)): found.append(ast.unparse(node))
    return found

@pytest.mark.parametrize('path', sorted((ROOT / 'mario_dqn').rglob('*.py')), ids=lambda path: path.stem)
def test_no_module_has_a_rule_for_one_level(path): assert rules_for_a_level(path.read_text(encoding='utf-8')) == []

@pytest.mark.parametrize('line', ["if level == '4-4': pass", "routes = {'7-4': 1}", "limit = limits['8-4']", "if level in ('4-4', '7-4'): pass",
                                  "if info['x_pos'] > 1024: pass", 'stuck = game.x < 859', 'if 66 == area: pass'])
def test_a_rule_for_one_level_is_found(line): assert len(rules_for_a_level(line)) == 1
