"""Selection of frames whose images exist."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from ...errors import DataError
from ..frame import Frame

#: Fraction of the images that may be missing by default.
MAX_MISSING_IMAGES = 0.05


def whole_frames(
    root: Path, frames: Mapping[str, Sequence[Frame]], skip_missing: bool, notes: list[str]
) -> dict[str, list[Frame]]:
    """Selects the frames that have all their images, listing each folder only once.

    Args:
        root: folder of the images.
        frames: frames of each split.
        skip_missing: whether any number of images may be missing.
        notes: receives a line if some are missing.

    Raises:
        DataError: too many images are missing, or no frame is complete. Names the first few.
    """
    wanted: dict[Path, set[str]] = defaultdict(set)
    for frame in chain.from_iterable(frames.values()):
        for camera in frame.cameras:
            path = root / camera.path
            wanted[path.parent].add(path.name)
    missing = set()
    for folder, names in wanted.items():
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        missing |= {folder / name for name in names - there}
    if not missing:
        return {split: [*members] for split, members in frames.items()}
    whole = {
        split: [f for f in members if not any(root / camera.path in missing for camera in f.cameras)]
        for split, members in frames.items()
    }
    count, total = sum(map(len, whole.values())), sum(map(len, frames.values()))
    images = sum(map(len, wanted.values()))
    text = f'images: {len(missing)} of {images} are missing: {first_few(sorted(map(str, missing)))}'
    if not skip_missing and len(missing) > MAX_MISSING_IMAGES * images:
        raise DataError(f'{text}; --skip-missing-images keeps the {count} of {total} frames that are whole')
    if not count:
        raise DataError(f'{text}; no frame has all its images')
    notes.append(f'{text}; kept the {count} of {total} frames that are whole')
    return whole


def first_few(names: Sequence[str], count: int = 5) -> str:
    """The first names of a list, followed by an ellipsis if there are more."""
    return ', '.join(names[:count]) + (', …' if len(names) > count else '')
