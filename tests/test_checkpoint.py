"""Weights and checkpoints: what is no array, what is no file of weights, and what is made of a checkpoint that was damaged."""
import errno, hashlib, io, json, os, warnings, zipfile
from copy import replace
from pathlib import Path

import numpy as np
import pytest

from mario_dqn.run.checkpoint import Checkpoints, FORMAT, build_agent, lasting_settings, load_agent, newest_checkpoint, pack_arrays, read_checkpoint, save_weights, seal, sha256, sorted_text, unpack_arrays
from mario_dqn.settings import AgentConfig, Config, ConfigError, EnvConfig, RunConfig, network_size, to_toml
from mario_dqn.run.files import RunFolder, write_atomic
from mario_dqn.env import action_bytes
from mario_dqn.network import q_network


# arrays

def saved(**arrays):
    "An .npz file of numpy's own making."
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()

def archive(shape, name='a.npy'):
    "A file with an array of ten numbers, whose header has another shape or name."
    file, buffer = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(file, dict(descr='<f8', fortran_order=False, shape=shape))
    with zipfile.ZipFile(buffer, 'w') as packed: packed.writestr(name, file.getvalue() + bytes(80))
    return buffer.getvalue()

@pytest.mark.parametrize('array', [np.array([object()], dtype=object), np.array(['x']), np.asfortranarray(np.eye(3)), np.zeros(2, [('x', 'i4'), ('y', 'f4')]), np.zeros(2, complex)],
                         ids=['objects', 'text', 'columns-first', 'records', 'complex'])
def test_only_plain_numbers_are_arrays(array):
    with pytest.raises(ValueError, match='not plain numbers'): unpack_arrays(saved(a=array))

def test_what_is_compressed_is_refused_before_it_is_unpacked():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.zeros(10**7))
    with pytest.raises(ValueError, match='compressed'): unpack_arrays(buffer.getvalue())

@pytest.mark.parametrize('shape', [(10**12,), (11,), (9,), (), (2**32, 2**32)], ids=str)
def test_an_array_has_the_bytes_of_its_shape(shape):
    assert unpack_arrays(archive((10,)))['a'].shape == (10,)
    with pytest.raises(ValueError, match='does not have 80 bytes'): unpack_arrays(archive(shape))

@pytest.mark.parametrize('shape', [(-1, 3), (-1, 5), (-1,), (-2, -5), (True,)], ids=str)
def test_a_shape_is_of_whole_numbers(shape):
    with pytest.raises(ValueError, match='not plain numbers'): unpack_arrays(archive(shape))

@pytest.mark.parametrize('name', ['../a.npy', '/a.npy', 'a', 'x/../a.npy', '.npy', 'C:\\a.npy', 'a\n.npy'])
def test_a_name_is_no_path(name):
    with pytest.raises(ValueError, match='no name of an array'): unpack_arrays(archive((10,), name))

@pytest.mark.parametrize('dtype', 'bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64'.split())
def test_numbers_of_every_kind_come_back(dtype):
    np.testing.assert_array_equal(unpack_arrays(pack_arrays(dict(a=np.ones((2, 3), dtype))))['a'], np.ones((2, 3), dtype), strict=True)

@pytest.mark.parametrize('data', [b'', b'PK', pack_arrays(dict(a=np.arange(6), b=np.array(True)))[:-30], b'x' * 1000], ids=['nothing', 'two-bytes', 'cut-short', 'text'])
def test_what_is_no_archive_is_refused(data):
    with pytest.raises(ValueError): unpack_arrays(data)

def test_bytes_changed_at_random_give_another_array_or_an_error():
    chance, whole = np.random.default_rng(0), pack_arrays(dict(a=np.arange(4), b=np.float32(1)))
    refused = 0
    for _ in range(1000):
        changed = bytearray(whole)
        for place in chance.integers(len(changed), size=chance.integers(1, 4)): changed[place] = chance.integers(256)
        with warnings.catch_warnings(action='ignore'):
            try: unpack_arrays(bytes(changed))
            except ValueError: refused += 1
    assert refused > 500


# a file of weights

CONFIG = Config(agent=AgentConfig(filters=(8, 16), kernels=(8, 4), strides=(4, 4), hidden=32))

@pytest.fixture
def folder(tmp_path):
    "A folder with an agent."
    folder = RunFolder(tmp_path)
    write_atomic(folder.config, to_toml(CONFIG))
    save_weights(folder.best, build_agent(CONFIG).weights(), CONFIG)
    return folder

def disguise(folder, data):
    "Weights that are something else, with a SHA-256 that is right."
    folder.best.write_bytes(seal(data))

def weights_of(**arrays):
    "Arrays that say that they are the weights of the run."
    about = json.dumps(dict(name='best.npz', settings=lasting_settings(CONFIG))).encode()
    return pack_arrays(dict(about=np.frombuffer(about, np.uint8)) | arrays)

def refusal(folder):
    with pytest.raises(ConfigError) as error: load_agent(folder)
    assert 'best.npz' in str(error.value)
    return str(error.value)

@pytest.mark.parametrize('data, words', [
    (saved(a=np.array([object()], dtype=object)), 'plain numbers'), (b'PK\x03\x04 no zip at all', 'not a zip file'),
    (pack_arrays(dict(a=np.float32([1]))), 'Expecting value'),
    *[(weights_of(a=array), 'finite float32') for array in (np.zeros(3), np.int32([1]), np.float32([1, np.nan]), np.float32([np.inf]))],
    (bytes(20_000_000), 'are needed'),
], ids=['pickle', 'no-zip', 'nothing-about-it', 'float64', 'int32', 'nan', 'inf', 'too-large'])
def test_a_file_whose_checksum_is_right_but_holds_no_weights_is_refused(folder, data, words):
    disguise(folder, data)
    assert words in refusal(folder)

def test_an_empty_file_of_weights_is_refused_as_such(folder):
    folder.best.write_bytes(b'')
    assert 'are needed' not in refusal(folder)

def test_weights_of_another_network_are_refused(folder):
    other = replace(CONFIG, env=EnvConfig(actions='complex'))
    write_atomic(folder.config, to_toml(other))
    assert "it is of another run than config.toml: env.actions was 'run' and is 'complex'" in refusal(folder)
    save_weights(folder.best, build_agent(CONFIG).weights(), other)
    assert '16 (advantage/kernel) is float32 (32, 102)' in refusal(folder)

def test_weights_of_another_name_or_run_are_refused(folder):
    save_weights(folder.last, build_agent(CONFIG).weights(), CONFIG)
    folder.best.write_bytes(folder.last.read_bytes())
    assert "it was written as 'last.npz'" in refusal(folder)
    save_weights(folder.best, build_agent(CONFIG).weights(), replace(CONFIG, run=RunConfig(seed=3)))
    assert 'run.seed was 3 and is 0' in refusal(folder)
    folder.best.write_bytes(weights_of())
    assert 'its SHA-256 is not the one at its end' in refusal(folder)

def test_what_is_not_there_is_named(folder):
    folder.best.unlink()
    assert 'best.npz cannot be read' in refusal(folder)
    with pytest.raises(ConfigError, match='is not a folder'): load_agent('no/such/run')

@pytest.mark.parametrize('env, network', [
    (EnvConfig(), AgentConfig()), (EnvConfig(actions='complex', size=42, stack=2), AgentConfig(filters=(8, 16), kernels=(4, 4), strides=(3, 2), hidden=32)),
    (EnvConfig(actions='simple', size=84), AgentConfig(dueling=False, value_bins=0, strides=(4, 2, 1))), (EnvConfig(actions='complex'), AgentConfig(layer_norm=False)),
], ids=['default', 'small', 'plain', 'not-normalised'])
def test_the_size_of_a_network_is_known_from_its_settings(env, network):
    actions = len(action_bytes(env.actions))
    built = q_network((env.stack, env.size, env.size), actions, network).count_params()
    assert network_size(env, network, actions) == built <= network_size(env, network)


# checkpoints

def flip(path):
    "Change one bit in the middle of a file."
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))

SAME, OTHER = np.zeros((2, 3), np.uint8), np.ones((3, 3), np.uint8)

@pytest.fixture
def twins(tmp_path):
    "A checkpoint with two segments that are alike and one that is not, and the files of its segments."
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {}, {}, {'0-0': (1, lambda: dict(frames=SAME)), '0-1': (1, lambda: dict(frames=SAME)), '1-0': (1, lambda: dict(frames=OTHER))})
    return checkpoints.newest, sorted((tmp_path / 'frames').iterdir())

@pytest.mark.parametrize('number', [0, 1])
def test_equal_segments_are_one_file_which_counts_once_in_the_parity(twins, number):
    path, files = twins
    assert len(files) == 2
    files[number].unlink()
    found, said = newest_checkpoint(path.parent)
    assert len(said) == 1 and 'is missing; it was computed anew' in said[0]
    assert found.segment('0-0')['frames'].tolist() == SAME.tolist() and found.segment('1-0')['frames'].tolist() == OTHER.tolist()

def test_a_state_that_nobody_could_read_again_is_not_written(tmp_path):
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(0, {}, {'x': np.zeros(3)}, {'0-0': (0, lambda: {'x': np.zeros(3)})})
    with pytest.raises(ConfigError, match='and at most 32,000,000 are read; .* step_0000000000, is whole'): checkpoints.save(8, {'x': 'a' * 32_000_001}, {'x': np.zeros(3)}, {'0-0': (1, lambda: {'x': np.ones(3)})})
    assert newest_checkpoint(checkpoints.path)[0].step == 0

def test_a_disk_that_cannot_read_is_damage_like_any_other(twins, monkeypatch):
    path, files = twins
    digest = hashlib.file_digest
    def unreadable(file, name):
        if Path(file.name) == files[0]: raise OSError(errno.EIO, os.strerror(errno.EIO))
        return digest(file, name)
    monkeypatch.setattr(hashlib, 'file_digest', unreadable)
    assert 'Input/output error; it was computed anew' in newest_checkpoint(path.parent)[1][0]

def with_manifest(path, **changes):
    "Change the manifest of a checkpoint, and give it the SHA-256 that it has then."
    manifest = {name: value for name, value in json.loads((path / 'manifest.json').read_text()).items() if name != 'sha256'} | changes
    (path / 'manifest.json').write_text(json.dumps(manifest | dict(sha256=sha256(sorted_text(manifest)))))
    return manifest

@pytest.mark.parametrize('parity, words', [(bytes(1000), 'does not give it back'), (b'', 'bytes, and at most 0 are needed')], ids=['zeros', 'nothing'])
def test_a_parity_of_a_stranger_is_not_believed(twins, parity, words):
    path, files = twins
    parity = parity[:max(len(file.read_bytes()) for file in files)]
    (path / 'parity.bin').write_bytes(parity)
    files_of = json.loads((path / 'manifest.json').read_text())['files']
    with_manifest(path, files=files_of | {'parity.bin': dict(size=len(parity), sha256=sha256(parity))})
    flip(files[0])
    with pytest.raises(ConfigError, match=words): newest_checkpoint(path.parent)

def test_a_manifest_of_a_stranger_leads_to_no_other_file(twins):
    path, _ = twins
    segments = json.loads((path / 'manifest.json').read_text())['segments']
    with_manifest(path, segments=segments | {'0-0': segments['0-0'] | dict(sha256='../../elsewhere')})
    with pytest.raises(ConfigError, match='no size and SHA-256'): newest_checkpoint(path.parent)


@pytest.fixture
def run(tmp_path):
    "The checkpoints of a run, of steps 300 and 400; what saves one more."
    rng, place = np.random.default_rng(0), tmp_path / 'checkpoints'
    contents = [rng.integers(256, size=(8, 10, 10), dtype=np.uint8) for _ in range(4)]
    def save(checkpoints, step):
        segments = {f'0-{i}': (step if i == 3 else 1, lambda i=i: dict(frames=contents[i])) for i in range(4)}
        checkpoints.save(step, dict(step=step), dict(counts=np.arange(step)), segments)
    checkpoints = Checkpoints(place)
    for step in (100, 200, 300, 400):
        contents[3] = contents[3] ^ 1
        save(checkpoints, step)
    return place, save

def test_a_damaged_checkpoint_is_written_over_when_the_run_comes_there_again(run):
    place, save = run
    flip(place / 'step_0000000400' / 'arrays.npz')
    (place / '.step_0000000500').mkdir()
    before, _ = newest_checkpoint(place)
    assert before.step == 300
    save(Checkpoints(place, before), 400)
    found, said = newest_checkpoint(place)
    assert found.step == 400 and said == [] and len(list(place.iterdir())) == 3

def test_all_damaged_is_an_error_and_none_is_none(run):
    place, _ = run
    for checkpoint in place.glob('step_*'): flip(checkpoint / 'state.json')
    with pytest.raises(ConfigError, match='No checkpoint of this run can be used'): newest_checkpoint(place)
    assert newest_checkpoint(place / 'none') == (None, [])

@pytest.mark.parametrize('own, changes, words', [
    ('new', dict(format=1), f'was written by another version: it has the format 1, and this version reads {FORMAT}.'),
    ('none', dict(format=1), f'was written by another version: it has the format 1, and this version reads {FORMAT}.'),
    ('old', dict(format=1), 'is damaged: its manifest.json has another SHA-256'), ('none', {}, 'is damaged: its manifest.json has no SHA-256'),
], ids=['its-own', 'none', 'altered', 'without'])
def test_a_checkpoint_of_another_version_is_told_from_a_damaged_one(run, own, changes, words):
    path = run[0] / 'step_0000000400'
    sum_before = json.loads((path / 'manifest.json').read_text())['sha256']
    manifest = with_manifest(path, **changes)
    if own == 'old': (path / 'manifest.json').write_text(json.dumps(manifest | dict(sha256=sum_before)))
    if own == 'none': (path / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(ConfigError) as error: read_checkpoint(path)
    assert words in str(error.value) and 'step_' in str(error.value)
