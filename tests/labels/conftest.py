from __future__ import annotations

import json
from pathlib import Path

import pytest
from nuscenes import NuScenes

from .nuscenes.nuscenes_tree import VERSION, Tables, write_tree


@pytest.fixture(scope='session')
def shared_tree(tmp_path_factory) -> Path:
    """A tree that no test may change."""
    root = tmp_path_factory.mktemp('nuscenes')
    write_tree(root)
    return root


@pytest.fixture(scope='session')
def nusc(shared_tree) -> NuScenes:
    """The devkit's view of ``shared_tree``."""
    return NuScenes(VERSION, str(shared_tree), verbose=False)


@pytest.fixture
def tree(tmp_path) -> Path:
    """A small tree of a test's own."""
    write_tree(tmp_path / 'nuscenes', frames=2, boxes=5)
    return tmp_path / 'nuscenes'


@pytest.fixture
def tables(tree) -> Tables:
    """Tables of ``tree``, to be changed and written again."""
    return Tables({path.stem: json.loads(path.read_text()) for path in (tree / VERSION).glob('*.json')})
