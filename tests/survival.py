"""A disk that fails when it is told to, and two small things to save on it, made up from their number so that any mixture of two would be seen."""
import builtins, contextlib, errno, functools, os, shutil, threading

import numpy as np

from mario_dqn.settings import Config, RunConfig
from mario_dqn.run.checkpoint import Checkpoints, load_weights, newest_checkpoint, save_weights
from mario_dqn.run.files import RunFolder

UNLIMITED = 10**9  # operations


class Stopped(BaseException): "The process is gone."

class File:
    "A file without a buffer; a write is two operations."
    def __init__(self, disk, file): self.disk, self.file, self.flush, self.fileno = disk, file, file.flush, file.fileno
    def __enter__(self): return self
    def __exit__(self, *_): self.file.close()

    def write(self, data):
        for part in (data[:len(data) // 2], data[len(data) // 2:]):
            self.disk.operation('write')
            self.file.write(part)

class Disk:
    "Lets a number of operations through. Then the process stops, or the disk is full and only removing works."
    CALLS = ('mkdir', 'open', 'fdopen', 'fsync', 'replace', 'rename', 'rmdir', 'unlink', 'chmod')

    def __init__(self, left, full=False): self.left, self.full, self.failed = left, full, False

    def operation(self, name):
        if self.left:
            self.left -= 1
            return
        if self.failed and self.full and name in ('unlink', 'rmdir', 'open'): return
        self.failed = True
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if self.full else Stopped

    def call(self, name, function, *args, **kwargs):
        if threading.current_thread() is not threading.main_thread(): return function(*args, **kwargs)
        if name == 'builtin':
            if args[1:] != ('wb',): return function(*args, **kwargs)                       # to read is no operation
            self.operation('make')
            return File(self, function(*args, buffering=0))
        self.operation('make' if name == 'open' and args[1] & os.O_CREAT else name)
        if name == 'fdopen': return File(self, function(*args, buffering=0))
        return None if name == 'fsync' else function(*args, **kwargs)                      # which takes long and changes no file

    def __enter__(self):
        self.kept = {name: getattr(os, name) for name in self.CALLS}
        for name, function in self.kept.items(): setattr(os, name, functools.partial(self.call, name, function))
        self.builtin, builtins.open = builtins.open, functools.partial(self.call, 'builtin', builtins.open)
        return self

    def __exit__(self, *_):
        builtins.open = self.builtin
        for name, function in self.kept.items(): setattr(os, name, function)

def quickly(save, *args):
    "Save without waiting for the disk."
    with Disk(UNLIMITED): save(*args)


class SavedCheckpoint:
    "A checkpoint with three segments, of which one changes at each step, one at every second and one never."
    def sample(number, run=0):
        rng, versions = np.random.default_rng((run, number)), (number, number // 2, 0)
        frames = [np.random.default_rng((run, i, version)).integers(256, size=(4, 5, 5), dtype=np.uint8) for i, version in enumerate(versions)]
        arrays = dict(weights=rng.normal(size=(4, 4)).astype(np.float32), count=np.array(number))
        return number, dict(run=run, number=number, words=['ε']), arrays, {f'0-{i}': (version, lambda i=i: dict(frames=frames[i])) for i, version in enumerate(versions)}

    def save(folder, number, run=0):
        writer = Checkpoints(folder.checkpoints, newest_checkpoint(folder.checkpoints)[0])
        writer.save(*SavedCheckpoint.sample(number, run))

    def load(folder):
        "The number that was saved, checked to the last byte, or None; and what was said."
        found, said = newest_checkpoint(folder.checkpoints)
        if found is None: return None, said
        step, state, arrays, segments = SavedCheckpoint.sample(found.step, found.state['run'])
        assert found.state == state and found.arrays.keys() == arrays.keys() and found.segments.keys() == segments.keys()
        for name, array in arrays.items(): np.testing.assert_array_equal(found.arrays[name], array, strict=True)
        for name, (version, make) in segments.items():
            assert found.segments[name]['version'] == version
            np.testing.assert_array_equal(found.segment(name)['frames'], make()['frames'], strict=True)
        return found.step, said

def settings_of_run(number): return Config(run=RunConfig(seed=number))

class SavedWeights:
    "Two arrays of weights in best.npz; beside it, never touched, those of last.npz."
    def sample(number, run=0): return {f'layer/{i}': np.random.default_rng((run, number, i)).normal(size=(3, 4)).astype(np.float32) for i in range(2)}

    def save(folder, number, run=0): save_weights(folder.best, SavedWeights.sample(number, run), settings_of_run(run))

    def load(folder, path=None):
        if not (path or folder.best).exists(): return None, []
        weights = load_weights(path or folder.best, settings_of_run(0))
        for number in range(10):
            if all((weights[name] == array).all() for name, array in SavedWeights.sample(number).items()): return number, []
        raise AssertionError('a mixture')


def folder_after(kind, number, root): # of saves
    "The folder of a run after so many saves."
    folder = RunFolder(root / f'{kind.__name__}{number}')
    folder.path.mkdir()
    quickly(save_weights, folder.last, SavedWeights.sample(9), settings_of_run(0))
    for i in range(number): quickly(kind.save, folder, i + 1)
    return folder

def every_moment(kind, number, root, full):
    "Save number 3 after so many saves, with the disk failing at each operation in turn; returns how often the old and the new state were found, and the messages."
    found, messages, copy, old = dict(old=0, new=0), set(), RunFolder(root / 'copy'), number or None
    folder = folder_after(kind, number, root)
    for left in range(UNLIMITED):
        shutil.rmtree(copy.path, ignore_errors=True)
        shutil.copytree(folder.path, copy.path)
        with Disk(left, full) as disk, contextlib.suppress(Stopped):
            try: kind.save(copy, 3)
            except ValueError as error:
                messages.add(str(error))
                assert full and 'cannot be written: No space left on device' in str(error) and '\n' not in str(error)
            else: assert not disk.failed or kind is SavedCheckpoint                         # which removes old ones when the new one is whole
        if not disk.failed: return found, messages
        state, said = kind.load(copy)
        assert state in (old, 3) and said == [] and SavedWeights.load(copy, copy.last)[0] == 9
        found['new' if state == 3 else 'old'] += 1
        if full: assert not [path for path in copy.path.rglob('*') if path.name.startswith('.')]  # nothing half-written is left
        quickly(kind.save, copy, 4)                                                         # and the next save succeeds
        assert kind.load(copy) == (4, []) and (not copy.checkpoints.exists() or len(list(copy.checkpoints.iterdir())) <= 3)
