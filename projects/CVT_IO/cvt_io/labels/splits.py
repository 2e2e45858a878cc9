"""Assignment of scenes to splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nuscenes.utils.splits import create_splits_scenes

from ..errors import DataError
from ..fileio.records import read_json
from .description import DatasetDescription

SPLITS = ('train', 'val', 'test')
#: Our split names → the devkit's, for each version of nuScenes; other versions are treated as subsets of the first.
_OFFICIAL = {
    'v1.0-trainval': {'train': 'train', 'val': 'val'},
    'v1.0-mini': {'train': 'mini_train', 'val': 'mini_val'},
    'v1.0-test': {'test': 'test'},
}
_REMEDY = 'say which scenes are for training and which for validation: splits in a file for --dataset, docs/own_data.md'


def scenes_of_splits(description: DatasetDescription, scenes: Sequence[str], path: Path) -> dict[str, list[str]]:
    """Names of a data set's scenes by split, in the order of the split.

    Args:
        description: description of the data set.
        scenes: names of its scenes.
        path: path of its scene table for error messages.

    Raises:
        DataError: a split file is broken, a scene is in two splits, or no scene is in any.
    """
    wanted = _wanted(description, scenes)
    where: dict[str, str] = {}
    for split, names in wanted.items():
        for name in names:
            if where.setdefault(name, split) != split:
                raise DataError(f'splits: scene {name}: expected in one split, found in {where[name]} and {split}')
    present = set(scenes)
    found = {split: [name for name in names if name in present] for split, names in wanted.items()}
    if not any(found.values()):
        some = ', '.join(sorted(present)[:5]) or 'none'
        raise DataError(f'{path}: expected scenes of the splits {", ".join(wanted)}, found others ({some}); {_REMEDY}')
    return found


def _wanted(description: DatasetDescription, scenes: Sequence[str]) -> dict[str, list[str]]:
    splits = description.splits
    if splits == 'official':
        official = _OFFICIAL.get(description.version, _OFFICIAL['v1.0-trainval'])
        return {split: create_splits_scenes()[name] for split, name in official.items()}
    if isinstance(splits, str):
        path = description.folder / splits
        return _lists(read_json(path), path.parent, str(path))
    if isinstance(splits, Mapping) and 'val_share' in splits:
        return _shared_out(scenes, **splits)
    return _lists(splits, description.folder, 'splits')


def _shared_out(scenes: Sequence[str], val_share: Any, seed: Any = 0, **others: Any) -> dict[str, list[str]]:
    """Random split with a share of the scenes for validation; neither side is empty if there are two scenes."""
    if others or not isinstance(val_share, (int, float)) or not 0 <= val_share < 1 or not isinstance(seed, int):
        raise DataError(
            f'splits: expected val_share from 0 to less than 1 and a seed, got {val_share}, {seed}, {others}'
        )
    order = np.random.default_rng(seed).permutation(sorted(scenes)).tolist()
    count = min(max(round(val_share * len(order)), val_share > 0), len(order) - 1)
    val = set(order[:count])
    return {'train': [name for name in scenes if name not in val], 'val': [name for name in scenes if name in val]}


def _lists(content: Any, folder: Path, where: str) -> dict[str, list[str]]:
    if not isinstance(content, Mapping) or not content or set(content) - {*SPLITS}:
        found = ', '.join(map(str, content)) if isinstance(content, Mapping) else repr(content)
        raise DataError(f'{where}: expected lists of scenes of {", ".join(SPLITS)}, found {found:.100}')
    lists = {}
    for split, names in content.items():
        if isinstance(names, str):
            names = _lines(folder / names)
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise DataError(f'{where}: {split}: expected a list of scene names, found {names!r:.100}')
        lists[split] = list(dict.fromkeys(names))
    return lists


def _lines(path: Path) -> list[str]:
    if path.suffix == '.json':
        return read_json(path)
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f'{path}: cannot read file: {error}') from error
    return [line.strip() for line in lines if line.strip()]
