"""nuScenes → info files and BEV labels."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from ...errors import DataError
from ...fileio.atomic import remove_temporaries, write_atomic
from ...geometry import BEVGrid
from ..infos import write_infos
from ..layout import (
    EXTRA_TAG,
    GRID_FILE,
    grid_json,
    infos_path,
    label_dir,
)
from .label_maker import LabelMaker, label_name
from .map_layers import MapLayers
from .parallel import parallel_map
from .shards import Shard, check_labels
from .tables import Frame, NuScenesTables, splits_of

Result = TypeVar('Result')


@dataclass(frozen=True)
class Summary:
    """What a conversion did.

    Attributes:
        frames: number of frames of each split.
        label_bytes: size of each label file, those that were there before included.
        kept: how many label files were there before.
        seconds: time it took.
    """

    frames: Mapping[str, int]
    label_bytes: Sequence[int]
    kept: int
    seconds: float

    def __str__(self) -> str:
        frames = ', '.join(f'{count} {split}' for split, count in self.frames.items())
        text = f'{frames} frames in {self.seconds:.1f} s'
        if self.label_bytes:
            mean, most = sum(self.label_bytes) / len(self.label_bytes), max(self.label_bytes)
            text += f'; labels: {mean:.0f} bytes a frame on average, {most} at most, {self.kept} were there before'
        return text


def convert(
    root: str | Path,
    version: str,
    out_dir: str | Path | None = None,
    extra_tag: str = EXTRA_TAG,
    grid: BEVGrid | None = None,
    workers: int = 0,
    progress: bool = True,
    shard: Shard | None = None,
    merge: int | None = None,
) -> Summary:
    """Writes the info file of each split of a version, and the label file of each frame that has annotations.

    It may be killed at any moment and run again: whole label files stay, and the outcome is the same, byte by byte.
    A label folder's ``grid.json`` is there only while all its labels are.

    Args:
        root: nuScenes folder (tables, key frames, map expansion).
        version: v1.0-trainval, v1.0-mini or v1.0-test; the last has no labels.
        out_dir: folder for the results, ``root`` by default.
        extra_tag: their prefix.
        grid: the labels' grid, :class:`BEVGrid`'s defaults when None.
        workers: processes to use; 0 or 1 means only this one.
        progress: whether to show a progress bar.
        shard: write only the labels of this share of the frames, and neither infos nor ``grid.json``. Needs no images.
        merge: make no labels, but see that so many shards made them all, and then write the rest.

    Raises:
        DataError: something of the data is missing or not as expected, or ``merge`` finds labels missing or wrong.
    """
    start = time.monotonic()
    root, grid = Path(root), grid or BEVGrid()
    out_dir = root if out_dir is None else Path(out_dir)
    if shard is not None and merge is not None:
        raise ValueError(f'shard={shard}, merge={merge}: expected one of them')
    splits = splits_of(version)
    labelled = 'test' not in splits
    if not labelled and (shard or merge):
        raise DataError(f'{version}: it has no labels that shards could share')
    frames = _read_frames(root, version, splits, labelled, progress)
    if shard is not None:
        frames = shard.share(frames)
    every = [frame for split in frames.values() for frame in split]
    maps = _read_maps(root, every) if labelled else {}
    if shard is None:
        check_images(root, every)

    maker = LabelMaker(maps, grid, label_dir(out_dir, extra_tag, grid))
    if merge is None:
        out_dir.mkdir(parents=True, exist_ok=True)
    (maker.folder / GRID_FILE).unlink(missing_ok=True)
    written: list[tuple[int, bool]] = []
    if merge is not None:
        written = [(size, True) for size in _check_labels(maker, every, merge, workers, progress)]
    elif labelled:
        written = _write_labels(maker, every, workers, progress)
    if shard is None:
        _finish(maker, frames, out_dir, extra_tag, version)
    else:
        for frame in every:  # other shards may be at work in the same folders
            remove_temporaries(maker.folder / frame.scene, Path(label_name(frame)).name)
    sizes, kept = [size for size, _ in written], sum(there for _, there in written)
    return Summary({split: len(f) for split, f in frames.items()}, sizes, kept, time.monotonic() - start)


def _read_frames(
    root: Path, version: str, splits: Mapping[str, str], labelled: bool, progress: bool
) -> dict[str, list[Frame]]:
    if progress:
        print(f'reading the tables of {root / version}', file=sys.stderr)
    tables = NuScenesTables(root, version, annotations=labelled)
    frames = {split: tables.frames(official) for split, official in splits.items()}
    if not any(frames.values()):
        names = ', '.join(splits.values())
        raise DataError(f'{tables.scene.path}: expected frames of scenes of the official splits {names}, found none')
    return frames


def _read_maps(root: Path, frames: Iterable[Frame]) -> dict[str, MapLayers]:
    locations = sorted({frame.location for frame in frames})
    paths = {location: root / 'maps' / 'expansion' / f'{location}.json' for location in locations}
    missing = [str(path) for path in paths.values() if not path.is_file()]
    if missing:
        raise DataError(f'map expansion: missing {", ".join(missing)}')
    return {location: MapLayers.from_file(path) for location, path in paths.items()}


def check_images(root: Path, frames: Iterable[Frame], named: int = 5) -> None:
    """Sees that every image file is there, with one look into each folder.

    Raises:
        DataError: some are not; says how many and names the first few.
    """
    wanted: dict[Path, list[str]] = defaultdict(list)
    for frame in frames:
        for camera in frame.cameras:
            path = root / camera.path
            wanted[path.parent].append(path.name)
    missing = []
    for folder, names in wanted.items():
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        missing += [str(folder / name) for name in names if name not in there]
    if missing:
        more = ', …' if len(missing) > named else ''
        total = sum(map(len, wanted.values()))
        raise DataError(f'images: {len(missing)} of {total} are missing: {", ".join(missing[:named])}{more}')


def _write_labels(maker: LabelMaker, frames: Sequence[Frame], workers: int, progress: bool) -> list[tuple[int, bool]]:
    maker.folder.mkdir(parents=True, exist_ok=True)
    return [*_over_frames(maker.write, frames, workers, progress, f'labels {maker.grid.name}')]


def _check_labels(maker: LabelMaker, frames: Sequence[Frame], count: int, workers: int, progress: bool) -> list[int]:
    states = _over_frames(maker.state, frames, workers, progress, 'checking labels')
    return check_labels(maker.folder, frames, count, states)


def _over_frames(
    function: Callable[[Frame], Result], frames: Sequence[Frame], workers: int, progress: bool, what: str
) -> Iterable[Result]:
    results = parallel_map(function, frames, workers)
    return tqdm(results, desc=what, total=len(frames), unit='frame', disable=not progress)


def _finish(
    maker: LabelMaker, frames: Mapping[str, Sequence[Frame]], out_dir: Path, extra_tag: str, version: str
) -> None:
    """Writes what says that the labels are all there."""
    labelled = 'test' not in frames
    if labelled:
        scenes = {maker.folder / frame.scene for members in frames.values() for frame in members}
        for folder in {maker.folder, *scenes}:
            remove_temporaries(folder)
    for split, members in frames.items():
        write_infos(infos_path(out_dir, extra_tag, split), members, version, split)
    remove_temporaries(out_dir, f'{extra_tag}_infos_*')
    if labelled:
        write_atomic(maker.folder / GRID_FILE, grid_json(maker.grid).encode())
