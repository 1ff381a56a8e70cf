"""Files that are whole or not there: what has a name is on the disk (Linux only, which tells what is open)."""
import os, sys
from pathlib import Path

import numpy as np
import pytest

from mario_dqn.run.checkpoint import Checkpoints
from mario_dqn.run.files import write_atomic

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='/proc is needed')


@pytest.fixture
def disk(monkeypatch):
    "What is brought to the disk, and what gets another name, in this order."
    events = []
    def watched(module, name, event):
        call = getattr(module, name)
        def watching(*arguments):
            result = call(*arguments)
            events.append(event(*arguments))
            return result
        monkeypatch.setattr(module, name, watching)
    watched(os, 'fsync', lambda handle: os.readlink(f'/proc/self/fd/{handle}'))
    for name in ('rename', 'replace'): watched(os, name, lambda source, target: f'{source} → {target}')
    return events

def test_a_file_is_on_the_disk_before_it_has_its_name(disk, tmp_path):
    write_atomic(tmp_path / 'a.txt', 'one')
    other = disk[0]
    assert disk == [other, f'{other} → {tmp_path}/a.txt'] and Path(other).name.startswith('.a.txt.')

def test_everything_of_a_checkpoint_is_on_the_disk_before_it_has_its_name_and_that_before_the_next_one(disk, tmp_path):
    place = tmp_path / 'checkpoints'
    Checkpoints(place).save(7, dict(a=1), dict(b=np.zeros(3)), {'0-0': (1, lambda: dict(frames=np.zeros(4)))})
    partial, target = place / '.step_0000000007', place / 'step_0000000007'
    segment = disk.pop(0)
    assert Path(segment).parent == place / 'frames' and disk.pop(0).startswith(f'{segment} → {place}/frames/')
    assert disk == [f'{place}/frames', f'{partial}/state.json', f'{partial}/arrays.npz', f'{partial}/parity.bin', f'{partial}/manifest.json', f'{partial}',
                    f'{partial} → {target}', f'{place}']

def test_what_is_no_ordinary_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(OSError, match='no ordinary file'): write_atomic(tmp_path / 'pipe', 'text')
    assert (tmp_path / 'pipe').is_fifo() and len(os.listdir(tmp_path)) == 1
