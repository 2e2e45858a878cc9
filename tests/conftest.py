"""A tiny toy world that many tests share."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert
from tests.tiny import TINY_GRID, make_world

__all__ = ['TINY_GRID']

gc.freeze()  # the libraries' objects stay, so no collection needs to look at them


@pytest.fixture(scope='session', autouse=True)
def configs_without_layout() -> Iterator[None]:
    """mmengine formats each config that it logs or saves, which takes longer than a few training steps."""
    with mock.patch('mmengine.config.config.FormatCode', lambda text, **_: (text, True)):
        yield


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy world of three scenes with three frames each and small images, with labels of two grids; do not change it."""
    root = make_world(tmp_path_factory.mktemp('toy') / 'nuscenes')
    convert(root, 'v1.0-mini', grid=BEVGrid(), progress=False)
    return root
