"""Tests one notebook with nbdev_test, and says for every cell that did not run, or ran only to say so, why. Argument: its path."""
import sys
from pathlib import Path

import nbdev.test

FLAGS = nbdev.test.get_config().tst_flags.split()


class Shell(nbdev.test.CaptureShell):
    "The shell of nbdev_test, which keeps the outputs of the cells to itself."
    def run_all(self, notebook, *args, **kwargs):
        try: super().run_all(notebook, *args, **kwargs)
        finally:
            for cell in notebook.cells:
                if cell.cell_type != 'code': continue
                for flag in FLAGS:
                    if flag in (getattr(cell, 'directives_', None) or {}): print(f'skipped: flagged {flag}')
                for output in cell.get('outputs', []):
                    # A cell that cannot be tested here, such as one for TensorFlow only, prints a line that begins like this.
                    lines = ''.join(output.get('text', '')).split('\n')
                    for line in lines:
                        if line.lower().startswith('skipped:'): print(line)


if __name__ == '__main__':
    nbdev.test.CaptureShell = Shell
    nbdev.test.nbdev_test.__wrapped__(path=Path(sys.argv[1]).resolve(), n_workers=0)
