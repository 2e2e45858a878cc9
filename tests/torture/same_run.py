"""Whether two runs left the same behind, but for the clock and their folders' names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from projects.CVT_IO.cvt_io.analysis.logs import read_run

#: What tells the time, the folder or the name of the start, or the commit that is checked out.
_OF_THE_START = {'time', 'data_time', 'eta', 'experiment_name', 'cfg', 'memory', 'mmengine_version'}
_PATHS = {'last_ckpt', 'best_ckpt'}


def difference(expected: Path, found: Path) -> str | None:
    """The first difference between the checkpoints and logs of two runs, ``None`` if there is none."""
    names = [sorted(path.name for path in folder.iterdir() if path.is_file()) for folder in (expected, found)]
    if names[0] != names[1]:
        return f'expected the files {names[0]}, found {names[1]}'
    left = [path.name for path in found.rglob('.*.tmp')]
    if left:
        return f'half files left: {left}'
    last = [Path((folder / 'last_checkpoint').read_text()).name for folder in (expected, found)]
    if last[0] != last[1]:
        return f'last_checkpoint: expected {last[0]}, found {last[1]}'
    for name in names[0]:
        if name.endswith('.pth'):
            first, second = (torch.load(folder / name, weights_only=True) for folder in (expected, found))
            where = _differs(first, second, name)
            if where:
                return where
    return _log_differs(expected, found)


def records(work_dir: Path) -> list[dict[str, float]]:
    """Rows of the logs of all starts of a run, in the order of their steps, without what depends on the clock."""
    rows = []
    for path in sorted(work_dir.glob('*/vis_data/2*.json')):
        lines = path.read_text().splitlines()
        if lines != path.with_name('scalars.json').read_text().splitlines():
            raise ValueError(f'{path}: expected the same rows as in scalars.json')
        rows += [json.loads(line) for line in lines]
    rows = [{key: value for key, value in row.items() if key not in _OF_THE_START} for row in rows]
    return sorted(rows, key=lambda row: (row['step'], 'iter' not in row))


def _log_differs(expected: Path, found: Path) -> str | None:
    try:
        first, second = records(expected), records(found)
    except ValueError as error:
        return str(error)
    for one, other in zip(first, second, strict=False):
        if one != other:
            return f'log: expected {one}, found {other}'
    if len(first) != len(second):
        return f'log: expected {len(first)} rows, found {len(second)}'
    runs = [read_run(folder) for folder in (expected, found)]
    for what in ('training', 'validation'):
        steps = [[*getattr(run, what)] for run in runs]
        if steps[0] != steps[1]:
            return f'log as the analysis reads it: {what}: expected the steps {steps[0]}, found {steps[1]}'
    return None


def _differs(expected: Any, found: Any, where: str) -> str | None:
    """Where two checkpoints differ."""
    if type(expected) is not type(found):
        return f'{where}: expected {type(expected).__name__}, found {type(found).__name__}'
    if isinstance(expected, Tensor):
        same = expected.dtype == found.dtype and torch.equal(expected, found)
        return None if same else f'{where}: tensors differ'
    if isinstance(expected, Mapping):
        if expected.keys() != found.keys():
            return f'{where}: keys differ: {sorted(map(str, expected.keys() ^ found.keys()))}'
        keys = [key for key in expected if str(key).rpartition('/')[2] not in _OF_THE_START]
        pairs = [(key, expected[key], found[key]) for key in keys]
    elif isinstance(expected, (list, tuple)):
        if len(expected) != len(found):
            return f'{where}: expected {len(expected)} items, found {len(found)}'
        pairs = [(index, *pair) for index, pair in enumerate(zip(expected, found, strict=True))]
    else:
        return None if expected == found else f'{where}: expected {expected!r:.60}, found {found!r:.60}'
    for key, one, other in pairs:
        if key in _PATHS and isinstance(one, str) and isinstance(other, str):
            one, other = Path(one).name, Path(other).name
        if inner := _differs(one, other, f'{where}: {key}'):
            return inner
    return None
