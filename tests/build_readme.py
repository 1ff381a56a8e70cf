"""Writes README.md from nbs/index.ipynb; with --check it only compares the two."""
import re, sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r'(\]\(|(?:src|href)=["\'])(?![a-z]+:|#|/)([^)"\'\s]+)')


def from_root(link): # a match of LINK
    "The link as it reads from the project's root, one folder above the notebook's."
    target = link[2]
    return link[1] + (target[3:] if target.startswith('../') else f'nbs/{target}')


def readme():
    "The text of README.md: the notebook's prose and code, and what its cells say in text or Markdown."
    notebook = nbformat.read(ROOT / 'nbs/index.ipynb', as_version=4)
    cells = []
    for cell in notebook.cells:
        lines = cell.source.split('\n')
        directives = {line[2:].strip() for line in lines if line.startswith('#|')}
        if directives & {'hide', 'default_exp index'}: continue
        if cell.cell_type == 'markdown': cell.source = LINK.sub(from_root, cell.source)
        if cell.cell_type == 'code':
            cell.source = '\n'.join(line for line in lines if not line.startswith('#|'))
            if 'echo: false' in directives:  # only what the cell says
                text = ''.join(''.join(output.data.get('text/markdown', '')) for output in cell.outputs if 'data' in output)
                cells.append(nbformat.v4.new_markdown_cell(text))
                continue
            # Pictures in outputs would need files of their own, so README shows pictures only from Markdown.
            cell.outputs = [o for o in cell.outputs if o.output_type == 'stream' or {'text/plain', 'text/markdown'} & o.get('data', {}).keys()]
            for output in cell.outputs:
                if 'data' in output: output.data = {k: v for k, v in output.data.items() if k in ('text/plain', 'text/markdown')}
        cells.append(cell)
    notebook.cells = cells
    notebook.metadata.language_info = {'name': 'python'}  # nbdev_clean leaves it out; it names the language of the code blocks
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    text = re.sub(r'[ \t]+$', '', re.sub(r'\n{3,}', '\n\n', text), flags=re.M).strip() + '\n'
    if not text.startswith('# '): sys.exit('nbs/index.ipynb does not begin with a title, a line "# …".')
    return text


if __name__ == '__main__':
    if not (ROOT / 'nbs/index.ipynb').exists(): sys.exit('nbs/index.ipynb, which README.md is made from, is missing.')
    path, text = ROOT / 'README.md', readme()
    if '--check' not in sys.argv: path.write_text(text, encoding='utf-8')
    elif not path.exists() or path.read_text(encoding='utf-8') != text: sys.exit('README.md differs from nbs/index.ipynb; make readme writes it anew.')
