"""Paths of info files and labels.

``<out_dir>/<extra_tag>_infos_<split>.json``, ``<out_dir>/<extra_tag>_labels/<grid name>/<scene>/<sample token>.png``
and ``<out_dir>/<extra_tag>_labels/<grid name>/grid.json``, which is written after all labels of the grid.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import DataError
from ..geometry import BEVGrid
from .codec import FORMAT_VERSION

EXTRA_TAG = 'cvt_io'
GRID_FILE = 'grid.json'
#: Options of a config that trains without validation.
NO_VALIDATION = 'val_dataloader=None val_evaluator=None val_cfg=None'


def infos_path(out_dir: str | Path, extra_tag: str, split: str) -> Path:
    """Info file of a split (train, val or test)."""
    return Path(out_dir) / f'{extra_tag}_infos_{split}.json'


def labels_root(out_dir: str | Path, extra_tag: str) -> Path:
    """Parent of the label folders of all grids."""
    return Path(out_dir) / f'{extra_tag}_labels'


def label_dir(out_dir: str | Path, extra_tag: str, grid: BEVGrid) -> Path:
    """Label folder of a grid; ``label`` in the infos is relative to it."""
    return labels_root(out_dir, extra_tag) / grid.name


def grid_json(grid: BEVGrid) -> str:
    """Content of ``grid.json`` for a grid."""
    return json.dumps({'format': FORMAT_VERSION, 'grid': grid.to_dict()}, indent=2) + '\n'


def check_label_grid(root: str | Path, grid: BEVGrid) -> Path:
    """Label folder of a grid below a :func:`labels_root`.

    Raises:
        DataError: the labels of this grid are missing, incomplete or of another format. Lists the grids found and the
            command that makes the missing one.
    """
    root = Path(root)
    folder = root / grid.name
    try:
        content = (folder / GRID_FILE).read_text(errors='replace')
    except OSError as error:
        found = ', '.join(sorted(path.parent.name for path in root.glob(f'*/{GRID_FILE}'))) or 'none'
        state = 'unfinished labels' if folder.is_dir() else 'no labels'
        raise DataError(
            f'{folder}: {state} of grid {grid.name} (grids found: {found}); {_advice(root, grid)}'
        ) from error
    if content != grid_json(grid):
        raise DataError(f'{folder / GRID_FILE}: expected {grid_json(grid)!r}, found {content!r}; {_advice(root, grid)}')
    return folder


def grid_arguments(grid: BEVGrid) -> str:
    """Arguments of ``tools/create_data.py`` that select a grid."""
    offset = f' --bev-offset {grid.offset:g}' if grid.offset else ''
    return '--bev-size {} {} --bev-metres {:g} {:g}'.format(*grid.size, *grid.metres) + offset


def _advice(root: Path, grid: BEVGrid) -> str:
    arguments = grid_arguments(grid)
    tag = root.name.removesuffix('_labels')
    if tag != EXTRA_TAG:
        arguments += f' --extra-tag {tag}'
    return (
        f'make them with: python tools/create_data.py nuscenes --root-path {root.parent} --version VERSION {arguments}'
        ' (VERSION as in the info file)'
    )
