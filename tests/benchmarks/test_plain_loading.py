from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

import projects.CVT_IO.cvt_io  # noqa: F401
from projects.CVT_IO.benchmarks import plain_loading
from projects.CVT_IO.benchmarks.plain_loading import load_plainly, loading_steps

CONFIG = Path(__file__).parents[2] / 'configs/cvt_io_v2_2.py'


def test_steps_give_the_same_pixels(toy_root):
    steps = loading_steps(Config.fromfile(CONFIG), toy_root, frames=2)
    plain, ours, reduced = (step() for step in steps.values())
    assert [(imgs.shape, imgs.dtype) for imgs in ours] == [((6, 3, 224, 480), torch.uint8)] * 2
    assert all(torch.equal(a, b) for a, b in zip(plain, ours, strict=True))
    assert all(a.shape == b.shape and not torch.equal(a, b) for a, b in zip(ours, reduced, strict=True))


def test_plain_by_hand(tmp_path):
    # Rows of 10, 20, …: halved in size, each is the mean of its two, but for the filter's reach at the border; the row
    # weights are 1/8, 3/8, 3/8, 1/8 (the first and last: see the resize's test), so rows 1 and 2 are 35 and 55.
    img = np.repeat(np.arange(10, 90, 10, dtype=np.uint8)[:, None, None], 8, axis=1).repeat(3, axis=2)
    Image.fromarray(img).save(tmp_path / 'rows.png')
    found = load_plainly(str(tmp_path / 'rows.png'), 3, 4, 1)
    assert found.shape == (3, 4, 3)
    assert found[:2, :, 0].tolist() == [[35] * 4, [55] * 4]


def test_a_difference_is_an_error(toy_root, monkeypatch):
    monkeypatch.setattr(plain_loading, 'load_plainly', lambda path, h, w, top: np.zeros((h, w, 3), np.uint8))
    with pytest.raises(ValueError, match='frame 0: expected the pixels of plain Pillow and ours to be equal'):
        loading_steps(Config.fromfile(CONFIG), toy_root, frames=1)
