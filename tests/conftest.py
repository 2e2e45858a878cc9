"""A tiny toy world that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert
from projects.CVT_IO.toy_world import generate_toy_world

TINY_GRID = BEVGrid((48, 48), (48.0, 48.0))


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy world of three scenes with three frames each and small images, with labels of two grids; do not change it."""
    root = tmp_path_factory.mktemp('toy') / 'nuscenes'
    generate_toy_world(root, scenes=3, frames=3, image_size=(90, 160), progress=False)
    for grid in (BEVGrid(), TINY_GRID):
        convert(root, 'v1.0-mini', grid=grid, progress=False)
    return root
