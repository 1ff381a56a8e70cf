"""Passes every test of the project, one line each; the last line counts them. Ends with status 1 if any failed."""
import importlib.util, os, re, sys, time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import checks
from checks import ROOT, call
from docs import notebooks

BACKENDS = {'jax': ('03', '04', '05', '09'), 'torch': ('04', '05')}  # the chapters that are also tested on other backends, where these are installed
NAMES = dict(jax='JAX', torch='PyTorch')
SKIPPED = re.compile(r'^skipped:.*|^SKIPPED \[\d+\].*', re.M | re.I)


def notebook(path, **env): # the notebook, and variables of the environment
    "Test one notebook in a process of its own; returns its complaints and what it skipped."
    status, output = call(sys.executable, ROOT / '.ci/notebook.py', path, **env)
    return ([output] if status else []), SKIPPED.findall(output)

def plain(check): # a function that returns complaints
    return lambda: (check(), [])

def script(*arguments): # a file in .ci/ and its arguments
    "Run a script; returns its complaints and what it skipped."
    def test():
        status, output = call(sys.executable, ROOT / '.ci' / arguments[0], *arguments[1:])
        return ([output or f'{arguments[0]} failed with status {status}'] if status else []), SKIPPED.findall(output)
    return test

def pytest(path):
    "Run a file of tests; returns its complaints and what it skipped."
    def test():
        status, output = call(sys.executable, '-m', 'pytest', '-q', '-rs', '-W', 'ignore::DeprecationWarning', '-p', 'no:cacheprovider', path)
        return ([output] if status else []), SKIPPED.findall(output)
    return test

def timed(test): # a function that returns complaints and what was skipped
    start = time.perf_counter()
    try: complaints, skipped = test()
    except Exception as error: complaints, skipped = [f'{type(error).__name__}: {error}'], []
    return complaints, skipped, time.perf_counter() - start


def main():
    os.chdir(ROOT)
    before = checks.traces()
    books = [(f.relative_to(ROOT).as_posix(), f) for f in notebooks()]
    tests = [(name, partial(notebook, f)) for name, f in books]
    for backend, chapters in BACKENDS.items():
        if importlib.util.find_spec(backend) is None: continue
        tests += [(f'{name} on {NAMES[backend]}', partial(notebook, f, KERAS_BACKEND=backend)) for name, f in books if f.name[:2] in chapters]
    tests += [(f.relative_to(ROOT).as_posix(), pytest(f)) for f in sorted((ROOT / 'tests').glob('test_*.py'))]
    side = [('export and clean change nothing', plain(checks.exported)), ('order of the chapters', plain(checks.chapters)),
            ('no path of a machine in an output', plain(checks.paths)),
            ('README in step with index', script('readme.py', '--check')), ('package', plain(checks.package)),
            ('site', script('docs.py'))]
    # What measures time, or looks for traces of the rest, has the machine to itself.
    last = [('start within a second', plain(checks.startup)),
            ('the player and the tutorials in a browser', script('browser.py')),
            ('tests leave no traces', lambda: (sorted(checks.traces() ^ before), []))]
    passed = failed = left_out = 0

    def report(name, result):
        nonlocal passed, failed, left_out
        complaints, skipped, seconds = result
        passed, failed, left_out = passed + (not complaints), failed + bool(complaints), left_out + len(skipped)
        why = ''.join(f', {skipped.count(line)} part {line}' for line in dict.fromkeys(skipped))
        print(f'{"FAILED" if complaints else "ok    "}  {name} ({seconds:.0f} s{why})', flush=True)
        for complaint in complaints: print('        ' + complaint.strip().replace('\n', '\n        '), flush=True)

    with ThreadPoolExecutor(2) as pool:
        for (name, _), result in zip(tests + side, pool.map(timed, [test for _, test in tests + side])): report(name, result)
    for name, test in last: report(name, timed(test))
    print(f'{left_out} parts skipped, as said above')
    print(f'{passed} passed, {failed} failed')
    return failed > 0


if __name__ == '__main__': sys.exit(main())
