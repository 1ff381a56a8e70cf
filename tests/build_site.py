"""Builds the site from the notebooks into `_docs/`: nbdev adds the API sections, smalldocs makes the pages. Runs no Quarto."""
import json, os, re, shutil, subprocess, sys, warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from house import COPIES, ROOT, notebooks

NBS, STAGE, SITE = ROOT / 'nbs', ROOT / '_proc', ROOT / '_docs'
OUTSIDE = re.compile(r'(\]\(|src=["\'])((?:\.\./)+[^)"\'\s#]+)')  # a link that climbs out of the notebook's folder


def add_api(notebook): # path of a notebook
    "Write the notebook to the stage, with a reference section below every exported cell; returns its complaints."
    from nbdev.processors import FilterDefaults
    from nbdev.serve_drv import exec_nb
    staged = STAGE / notebook.relative_to(NBS)
    book = json.loads(notebook.read_text(encoding='utf-8'))
    # nbdev makes the title of the page from the first cell and drops the rest of the cell, so the rest becomes a cell of its own.
    first = ''.join(book['cells'][0]['source'])
    head = re.match(r'# .*\n*(?:> .*\n*)?', first)
    if head and first[head.end():].strip():
        book['cells'][0]['source'] = head[0].strip()
        book['cells'].insert(1, {'cell_type': 'markdown', 'id': 'introduction', 'metadata': {}, 'source': first[head.end():]})
    staged.write_text(json.dumps(book), encoding='utf-8')
    os.environ['IN_TEST'] = '1'  # cells that call nbdev_export do nothing
    warnings.filterwarnings('ignore', message='Found cells containing imports')
    try: exec_nb(staged, staged, FilterDefaults)
    except Exception as error:
        return [f'{notebook.relative_to(ROOT).as_posix()}: {error}\n{error.__cause__ or ""}\n'
                'Of the cells that export nothing, the site runs only those that import; an import stands in a cell of its own.']
    return []


def bring_in(notebook): # path of a notebook
    "Copy the files outside nbs/ that a staged page shows onto the stage, and point the page at the copies."
    staged = STAGE / notebook.relative_to(NBS)
    book = json.loads(staged.read_text(encoding='utf-8'))

    def local(link):
        target = (notebook.parent / link[2]).resolve()
        if target.is_relative_to(NBS) or not target.is_relative_to(ROOT) or not target.is_file(): return link[0]
        copy = STAGE / target.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, copy)
        return link[1] + Path(os.path.relpath(copy, staged.parent)).as_posix()

    for cell in book['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown': source = OUTSIDE.sub(local, source)
        # nbdev names the page of Quarto in the front matter; smalldocs names pages after their notebooks.
        if cell['cell_type'] == 'raw': source = re.sub(r'^output-file:.*\n', '', source, flags=re.M)
        cell['source'] = source
    staged.write_text(json.dumps(book), encoding='utf-8')


def api():
    "(page, name) of every function and class that the modules export."
    found = {}
    exec((ROOT / 'mario_dqn/_modidx.py').read_text(encoding='utf-8'), found)
    for module, names in found['d']['syms'].items():
        source = (ROOT / (module.replace('.', '/') + '.py')).read_text(encoding='utf-8')
        page = re.search(r'File to edit: (?:\.\./)+nbs/(\S+)\.ipynb', source)[1] + '.html'
        for name in names:
            name = name.removeprefix(module + '.')
            if '.' not in name and name[0] != '_': yield page, name


def build(site=SITE): # the folder in which the site is to lie
    "Build the site; returns the complaints, which are none if all is well."
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(NBS, STAGE, ignore=shutil.ignore_patterns('.*', '*.ipynb'))  # copies what _quarto.yml links to
    # One process for each notebook: they run their imports, and what these change must not reach the next notebook.
    with ProcessPoolExecutor(2, COPIES, max_tasks_per_child=1) as pool:
        pages = tqdm(pool.map(add_api, notebooks()), 'Building the site', len(notebooks()), unit='page', leave=False, disable=None)
        complaints = sum(pages, [])
    if complaints: return complaints
    for notebook in notebooks(): bring_in(notebook)
    # Names in backticks become links to the place where they are defined.
    (STAGE / '_symbols.json').write_text(json.dumps({name: f'/{page}#{name.lower()}' for page, name in api()}))

    smalldocs = [Path(sys.executable).with_name('smalldocs'), 'render', '--quiet', '--strict', STAGE]
    said = subprocess.run(smalldocs, capture_output=True, text=True)
    complaints = (said.stdout + said.stderr).split('\n')
    if not (STAGE / '_docs').is_dir(): return complaints
    for file in STAGE.rglob('*'):  # raw HTML, such as a <video>, shows files that smalldocs does not look for
        place = STAGE / '_docs' / file.relative_to(STAGE)
        if file.is_file() and '_docs' not in file.parts and file.suffix in ('.png', '.gif', '.jpg', '.svg', '.mp4') and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    shutil.rmtree(site, ignore_errors=True)
    shutil.move(STAGE / '_docs', site)
    shutil.rmtree(STAGE)

    return [complaint for complaint in complaints if complaint.strip()]


if __name__ == '__main__':
    complaints = build()
    print('\n'.join(complaints) or f'The site is in {SITE.name}/; open {SITE.name}/index.html')
    sys.exit(bool(complaints))
