"""Files from strangers, of the kinds that have hurt others: each is refused in one sentence about what is wrong with it, nothing in it runs, and little memory is taken.

Those that carry code would make a folder, the canary, if the code ran."""
import functools, io, json, os, pickle, shutil, sys, tempfile, tracemalloc, warnings, zipfile
from pathlib import Path

import numpy as np
import pytest

from mario_dqn.settings import Config
from mario_dqn.run.checkpoint import Checkpoints, FORMAT, load_weights, newest_checkpoint, seal, sha256, sorted_text
from mario_dqn.run.files import RunFolder, load_config, shipped_agent
from mario_dqn.evaluation import load_episode
from mario_dqn.show.report import load_json, read_rows
from survival import SavedCheckpoint

NEST = tempfile.TemporaryDirectory(prefix='mario_dqn-')  # it goes when the tests end
CANARY = Path(NEST.name) / 'canary'

class Payload:
    def __reduce__(self): return os.mkdir, (str(CANARY),)

def test_the_canary_would_sing():
    pickle.loads(pickle.dumps(Payload()))
    assert CANARY.exists()
    CANARY.rmdir()


# what files are made of

def zipped(*members, **kwargs):
    "A zip archive of (name, bytes)."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', **kwargs) as archive, warnings.catch_warnings(action='ignore'):
        for name, data in members: archive.writestr(name, data)
    return buffer.getvalue()

def npy(header, data=b''):
    "An .npy file with a header that is any text."
    header = header.encode().ljust(117) + b'\n'
    return b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header + data

def header(shape, descr="'<f4'"): return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"

def layer(header, data=b''): return zipped(('layer.npy', npy(header, data)))

def pickled_arrays():
    buffer = io.BytesIO()
    np.savez(buffer, **{'layer.0': np.array([Payload()], dtype=object)})
    return buffer.getvalue()

def entry(data): return dict(size=len(data), sha256=sha256(data))

def sparse(path, size):
    "A file of zeros that takes no room."
    path.touch()
    os.truncate(path, size)

GOOD, CODE = npy(header('(2,)'), bytes(8)), f"__import__('pathlib').Path({str(CANARY)!r}).touch()"
LINK = zipfile.ZipInfo('layer.npy')
LINK.external_attr = 0o120777 << 16
LAMBDA = json.dumps(dict(class_name='Lambda', config=dict(function=dict(class_name='__lambda__', config=dict(code=CODE)))))

@functools.cache
def compressed():
    "200 MB of zeros in 200 kB; once, since to make it takes more memory than any reader may."
    return zipped(('layer.npy', npy(header('(50000000,)'), bytes(200_000_000))), compression=zipfile.ZIP_DEFLATED)


# readers

def weights(place, data):
    "Read bytes as weights whose SHA-256 is right."
    return special(place, lambda folder: folder.best.write_bytes(seal(data)))

def about(text, data=GOOD):
    "Weights that say this of themselves."
    text = text if isinstance(text, bytes) else text.encode()
    return zipped(('about.npy', npy(header(f'({len(text)},)', "'|u1'"), text)), ('layer.npy', data))

ABOUT = json.dumps(dict(name='best.npz', settings={}))

def special(place, make):
    "Read weights in the place of which something else was put."
    folder = RunFolder(place)
    make(folder)
    return load_weights(folder.best, Config(), 1_000_000)

def checkpoint(place, state=b'{}', arrays=zipped(), segment=zipped(), parity=b'', spoil=lambda path: None, **changes):
    "Read a checkpoint with a right manifest, except for what is changed in it, after something was done to its folder."
    path = place / 'checkpoints' / 'step_0000000001'
    path.mkdir(parents=True)
    (path.parent / 'frames').mkdir()
    (path.parent / 'frames' / f'{sha256(segment)}.npz').write_bytes(segment)
    files = {'state.json': state, 'arrays.npz': arrays, 'parity.bin': parity}
    for name, data in files.items(): (path / name).write_bytes(data)
    manifest = dict(format=FORMAT, step=1, files={name: entry(data) for name, data in files.items()}, segments={'0-0': dict(version=1) | entry(segment)}) | changes
    (path / 'manifest.json').write_text(json.dumps(manifest | dict(sha256=sha256(sorted_text(manifest)))))
    spoil(path)
    found, _ = newest_checkpoint(path.parent)
    return found.segment('0-0')

def through_link(place, name):
    "Save a checkpoint where a folder of it is a link to a folder with something precious."
    precious = place / 'elsewhere'
    precious.mkdir()
    (precious / 'only copy').write_text('of a thesis')
    target = place / 'checkpoints' / name if name else place / 'checkpoints'
    target.parent.mkdir(exist_ok=True)
    target.symlink_to(precious)
    try: return Checkpoints(place / 'checkpoints').save(*SavedCheckpoint.sample(1))
    finally: assert [path.name for path in precious.iterdir()] == ['only copy']

def read_as(place, reader, name, data):
    "Read bytes as a file of some kind."
    (place / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return reader(place / name)

def settings(place, data): return read_as(place, load_config, 'config.toml', data)
def table(place, data): return read_as(place, read_rows, 'metrics.csv', data)
def episode(place, data): return read_as(place, load_episode, 'greedy.json', data)
def without_segments(path):
    shutil.rmtree(path.parent / 'frames')
    sparse(path / 'parity.bin', 10**10)

# What it is, a part of the sentence with which it is refused, and how it is read.
STRANGE = [
    ('weights: an array of pickled objects', 'not plain numbers', lambda place: weights(place, pickled_arrays())),
    ('weights: a pickle', 'not a zip file', lambda place: weights(place, pickle.dumps(Payload()))),
    ('weights: a pickle as a member', 'not plain numbers', lambda place: weights(place, zipped(('layer.npy', pickle.dumps(Payload()))))),
    ('weights: code as the header', 'not plain numbers', lambda place: weights(place, layer(CODE))),
    ('weights: code as the shape', 'not plain numbers', lambda place: weights(place, layer(header(f'({CODE},)')))),
    ('weights: code as the type', 'not plain numbers', lambda place: weights(place, layer(header('(2,)', CODE)))),
    ('weights: records with objects', 'not plain numbers', lambda place: weights(place, layer(header('(1,)', [('a', '|O')]), bytes(8)))),
    ('weights: text', 'not plain numbers', lambda place: weights(place, layer(header('(2,)', "'<U1'"), bytes(8)))),
    ('weights: brackets, 5,000 deep', 'not plain numbers', lambda place: weights(place, layer('(' * 5000))),
    ('weights: signs, 9,000 deep', 'not plain numbers', lambda place: weights(place, layer('-' * 9000 + '1'))),
    ('weights: a terabyte announced', 'does not have 8 bytes', lambda place: weights(place, layer(header('(250000000000,)'), bytes(8)))),
    ('weights: a shape of 60,000 digits', '60000 digits', lambda place: weights(place, layer(header(f'({"9" * 60_000},)'), bytes(8)))),
    ('weights: a shape beyond all integers', 'does not have 8 bytes', lambda place: weights(place, layer(header('(4294967296, 4294967296, 4294967296)'), bytes(8)))),
    ('weights: a negative shape', 'not plain numbers', lambda place: weights(place, layer(header('(-1,)'), bytes(8)))),
    ('weights: less announced than there is', 'does not have 8 bytes', lambda place: weights(place, layer(header('(1,)'), bytes(8)))),
    ('weights: 200 MB of zeros, compressed', 'it is compressed', lambda place: weights(place, compressed())),
    ('weights: a path out of the folder', 'no name of an array', lambda place: weights(place, zipped(('../../canary.npy', GOOD), ('../canary', GOOD)))),
    ('weights: an absolute path', 'no name of an array', lambda place: weights(place, zipped((f'{CANARY}', GOOD), (f'{CANARY}.npy', GOOD)))),
    ('weights: a name twice', 'a name stands in it twice', lambda place: weights(place, zipped(('layer.npy', GOOD), ('layer.npy', GOOD)))),
    ('weights: a symbolic link as a member', 'not plain numbers', lambda place: weights(place, zipped((LINK, '/etc/passwd')))),
    ('weights: a Keras file with a Lambda layer', 'no name of an array', lambda place: weights(place, zipped(('metadata.json', '{}'), ('config.json', LAMBDA), ('model.weights.h5', b'')))),
    ('weights: NaN', 'not all of it is finite', lambda place: weights(place, about(ABOUT, npy(header('(1,)'), np.float32(np.nan).tobytes())))),
    ('weights: 100 GB of zeros', '100,000,000,000 bytes', lambda place: special(place, lambda folder: sparse(folder.best, 10**11))),
    ('weights: a link to an endless device', 'no ordinary file', lambda place: special(place, lambda folder: folder.best.symlink_to('/dev/zero'))),
    ('weights: a pipe', 'no ordinary file', lambda place: special(place, lambda folder: os.mkfifo(folder.best))),
    ('weights that say of themselves: a pickle', 'decode', lambda place: weights(place, about(pickle.dumps(Payload())))),
    ('weights that say of themselves: nothing', 'Expecting value', lambda place: weights(place, zipped(('layer.npy', GOOD)))),
    ('weights that say of themselves: lists, 100,000 deep', 'nested too deep', lambda place: weights(place, about('[' * 100_000))),
    ('weights that say of themselves: an absolute path', "written as '/etc/passwd'", lambda place: weights(place, about('{"name": "/etc/passwd", "settings": {}}'))),
    ('weights that say of themselves: a name twice', 'a name stands there twice', lambda place: weights(place, about('{"name": "best.npz", "name": "last.npz"}'))),
    ('weights that say of themselves: a number of 10,000 digits', '10000 digits', lambda place: weights(place, about('{"name": ' + '9' * 10_000 + '}'))),
    ('checkpoint: a pickle as its state', 'decode', lambda place: checkpoint(place, state=pickle.dumps(Payload()))),
    ('checkpoint: lists, 100,000 deep', 'nested too deep', lambda place: checkpoint(place, state=b'[' * 100_000)),
    ('checkpoint: 33 MB of empty lists', '33,000,004 bytes', lambda place: checkpoint(place, state=b'[' + b'[],' * 11_000_000 + b'[]]')),
    ('checkpoint: arrays of pickled objects', 'not plain numbers', lambda place: checkpoint(place, arrays=pickled_arrays())),
    ('checkpoint: a segment missing, and 10 GB of zeros as parity', '10,000,000,000 bytes', lambda place: checkpoint(place, spoil=without_segments)),
    ('checkpoint: a segment of pickled objects', 'not plain numbers', lambda place: checkpoint(place, segment=pickled_arrays())),
    ('checkpoint: 200 MB of zeros, compressed', 'it is compressed', lambda place: checkpoint(place, arrays=compressed())),
    ('checkpoint: a segment out of the folder', 'no size and SHA-256', lambda place: checkpoint(place, segments={'0-0': dict(version=1, size=8, sha256='../../../canary')})),
    ('checkpoint: files that are absolute paths', "'state.json'", lambda place: checkpoint(place, files={'/etc/passwd': entry(b'{}'), str(CANARY): entry(b'')})),
    ('checkpoint: a size below zero', '2 bytes instead of -1',
     lambda place: checkpoint(place, files={'state.json': entry(b'{}') | dict(size=-1), 'arrays.npz': entry(zipped()), 'parity.bin': entry(b'')})),
    ('checkpoint: lists where numbers belong', 'manifest is of step [1]', lambda place: checkpoint(place, step=[1])),
    ('checkpoint: its folder is a link', 'is a symbolic link', lambda place: through_link(place, '')),
    ('checkpoint: the folder of its segments is a link', 'is a symbolic link', lambda place: through_link(place, 'frames')),
    ('settings: a function to be called', 'is not valid TOML', lambda place: settings(place, f'agent: !!python/object/apply:os.mkdir [{CANARY}]')),
    ('settings: code as a value', 'is not valid TOML', lambda place: settings(place, f'run.seed = {CODE}')),
    ('settings: code as a text', "run.seed is \"__import__", lambda place: settings(place, f'run.seed = {json.dumps(CODE)}')),
    ('settings: a pickle', 'not UTF-8 text', lambda place: settings(place, pickle.dumps(Payload()))),
    ('settings: a group twice', 'is not valid TOML', lambda place: settings(place, '[run]\nseed = 1\n[run]\nseed = 2')),
    ('settings: a key twice', 'is not valid TOML', lambda place: settings(place, 'run = {seed = 1, seed = 2}')),
    ('settings: 12,000 keys', 'larger than 100,000 bytes', lambda place: settings(place, ''.join(f'k{i:05} = {{}}\n' for i in range(12_000)))),
    ('settings: lists, 5,000 deep', 'is not valid TOML', lambda place: settings(place, 'run = ' + '[' * 5000)),
    ('settings: a number of 24,000 digits', 'run.steps is <int, too long', lambda place: settings(place, 'run.steps = 0x' + 'f' * 20_000)),
    ('settings: a number with 10,000 parts', 'is not valid TOML', lambda place: settings(place, 'run.steps = 1' + ':59' * 10_000)),
    ('settings: a network of 5 terabytes', 'at most 50,000,000 are allowed',
     lambda place: settings(place, 'env.size = 240\n[agent]\nfilters = [1024, 1024]\nkernels = [1, 1]\nstrides = [1, 1]\nhidden = 4096')),
    ('settings: 10 GB of zeros', 'larger than 100,000 bytes', lambda place: load_config(sparse(place / 'zeros.toml', 10**10) or place / 'zeros.toml')),
    ('table: a formula as a number', 'must be a number or empty', lambda place: table(place, f'step,loss\n1,"=cmd|\' /C touch {CANARY}\'!A0"\n')),
    ('table: text that is not UTF-8', 'not UTF-8 text', lambda place: table(place, b'step\n\xff\xfe\n')),
    ('table: a line of a million fields', '2,000,002 characters', lambda place: table(place, 'step\n' + '1,' * 1_000_000 + '1\n')),
    ('table: a field that never ends', 'not valid CSV', lambda place: table(place, 'step\n"' + '1\n' * 1_000_000)),
    ('table: a pickle', 'not UTF-8 text', lambda place: table(place, pickle.dumps(Payload()))),
    ('results: lists, 100,000 deep', 'not valid JSON', lambda place: read_as(place, load_json, 'results.json', '[' * 100_000)),
    ('results: code instead of data', 'not valid JSON', lambda place: read_as(place, load_json, 'results.json', CODE)),
    ('episode: numbers too large for any array', 'too large to convert', lambda place: episode(place, json.dumps(dict(q_values=None, tape='', actions=[10**30], positions=[1])))),
    ('episode: a pickle', 'not UTF-8 text', lambda place: episode(place, pickle.dumps(Payload()))),
]

@pytest.mark.skipif(sys.platform != 'linux', reason='devices, pipes and sparse files are made as on Linux')
@pytest.mark.parametrize('words, read', [pytest.param(words, read, id=name) for name, words, read in STRANGE])
def test_a_file_made_to_do_harm_is_refused(tmp_path, promise, request, words, read):
    if 'compressed' in request.node.name: compressed()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as error: read(tmp_path)                             # ConfigError is one
        _, peak = tracemalloc.get_traced_memory()
    finally: tracemalloc.stop()
    said = str(error.value)
    assert words in said and '\n' not in said and len(said) < 1000
    assert not CANARY.exists() and not list(tmp_path.rglob('canary*'))
    assert peak < 100e6, peak
    promise('files made to do harm, read', request.node.callspec.id.partition(':')[0])

def test_there_are_as_many_as_there_were(): assert len(STRANGE) == 65


# If these could not make a good file, everything would be refused, for another reason than it should be.

@pytest.mark.parametrize('read, expected', [
    (lambda place: weights(place, about(ABOUT))['layer'].tolist(), [0, 0]),
    (lambda place: checkpoint(place, arrays=zipped(('layer.npy', GOOD)), segment=zipped(('frames.npy', npy(header('(2,)', "'|u1'"), bytes(2)))))['frames'].tolist(), [0, 0]),
    (lambda place: settings(place, 'run.seed = 1').run.seed, 1), (lambda place: table(place, 'step,loss\n1,\n')['step'].tolist(), [1]),
    (lambda place: read_as(place, load_json, 'results.json', '{"players": []}'), dict(players=[])),
    (lambda place: episode(place, shipped_agent().greedy.read_bytes()).cleared, True),
], ids=['weights', 'checkpoint', 'settings', 'table', 'results', 'episode'])
def test_a_good_file_of_the_same_kind_is_read(tmp_path, read, expected): assert read(tmp_path) == expected
