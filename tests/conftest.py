"""A tiny toy world that many tests share."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert
from tests.tiny import TINY_GRID, make_world

__all__ = ['TINY_GRID']

gc.freeze()  # the libraries' objects stay, so no collection needs to look at them


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy world of three scenes with three frames each and small images, with labels of two grids; do not change it."""
    root = make_world(tmp_path_factory.mktemp('toy') / 'nuscenes')
    convert(root, 'v1.0-mini', grid=BEVGrid(), progress=False)
    return root
