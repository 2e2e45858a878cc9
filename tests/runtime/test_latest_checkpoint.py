"""Which checkpoint a run resumes from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from projects.CVT_IO.cvt_io.fileio.checkpoint import CheckpointError
from projects.CVT_IO.cvt_io.runtime.latest_checkpoint import latest_checkpoint


def save(folder: Path, step: int, time: str) -> Path:
    path = folder / f'iter_{step}.pth'
    torch.save(dict(state_dict=dict(w=torch.arange(1000.0)), meta=dict(iter=step, time=time), optimizer={}), path)
    return path


def test_the_one_that_was_saved_last(tmp_path):
    """Step 9 is of a branch that was left: the run continued from step 4 on another day."""
    save(tmp_path, 9, '20260101_120000')
    save(tmp_path, 4, '20260102_080000')
    latest = save(tmp_path, 10, '20260102_090000')
    assert latest_checkpoint(tmp_path) == (latest, [])
    latest = save(tmp_path, 6, '20260102_090001')
    assert latest_checkpoint(tmp_path) == (latest, [])


def test_nothing_saved(tmp_path):
    assert latest_checkpoint(tmp_path / 'nowhere') == (None, [])
    torch.save(dict(state_dict={}), tmp_path / 'best_x_iter_2.pth')
    assert latest_checkpoint(tmp_path) == (None, [])


@pytest.mark.parametrize('harm', ['cut', 'flipped', 'empty'])
def test_falls_back_on_one_that_can_be_read(tmp_path, harm):
    good = save(tmp_path, 2, '20260101_120000')
    bad = save(tmp_path, 4, '20260101_130000')
    content = bytearray(bad.read_bytes())
    if harm == 'flipped':
        content[content.index(torch.arange(1000.0).numpy().tobytes()) + 1234] ^= 1  # a bit of a weight
    bad.write_bytes(content[: {'cut': 3000, 'flipped': None, 'empty': 0}[harm]])
    latest, problems = latest_checkpoint(tmp_path)
    assert latest == good
    assert len(problems) == 1 and problems[0].startswith(f'{bad}: cannot read checkpoint: ')


def test_none_that_can_be_read(tmp_path):
    (tmp_path / 'iter_2.pth').write_text('no checkpoint')
    with pytest.raises(CheckpointError, match=r'no checkpoint can be read: .*iter_2\.pth: cannot read'):
        latest_checkpoint(tmp_path)


def test_checkpoints_kept_elsewhere(tmp_path):
    (tmp_path / 'run').mkdir()
    latest = save(tmp_path, 2, '20260101_120000')
    (tmp_path / 'run/last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    assert latest_checkpoint(tmp_path / 'run') == (latest, [])
