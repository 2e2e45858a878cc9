"""nuScenes → info files and BEV labels."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from ...errors import DataError
from ...fileio.atomic import remove_temporaries, write_atomic
from ...geometry import BEVGrid
from ..classes import CLASSES, MAP_CLASSES
from ..description import DatasetDescription
from ..frame import Frame
from ..infos import read_metainfo, write_infos
from ..layout import EXTRA_TAG, GRID_FILE, NO_VALIDATION, grid_json, infos_path, label_dir
from .images import whole_frames
from .label_maker import LabelMaker
from .map_layers import MapLayers
from .masks import Masks
from .parallel import parallel_map
from .shards import Shard, check_labels
from .tables import NuScenesTables

Result = TypeVar('Result')


@dataclass(frozen=True)
class Summary:
    """Summary of a conversion.

    Attributes:
        frames: number of frames of each split.
        label_bytes: size of each label file, including existing ones.
        kept: number of label files that already existed.
        seconds: duration.
        notes: assumptions and omissions, one line each.
    """

    frames: Mapping[str, int]
    label_bytes: Sequence[int]
    kept: int
    seconds: float
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        frames = ', '.join(f'{count} {split}' for split, count in self.frames.items())
        text = f'{frames} frames in {self.seconds:.1f} s'
        if self.label_bytes:
            mean, most = sum(self.label_bytes) / len(self.label_bytes), max(self.label_bytes)
            text += f'; labels: {mean:.0f} bytes a frame on average, {most} at most, {self.kept} were there before'
        return '\n'.join([text, *(f'note: {note}' for note in self.notes)])


def convert(
    root: str | Path,
    description: DatasetDescription | str,
    out_dir: str | Path | None = None,
    extra_tag: str = EXTRA_TAG,
    grid: BEVGrid | None = None,
    workers: int = 0,
    progress: bool = True,
    shard: Shard | None = None,
    merge: int | None = None,
    skip_missing_images: bool = False,
) -> Summary:
    """Writes the info file of each split of a data set, and the label file of each frame that has annotations.

    It is safe to interrupt and rerun: intact label files are kept, and the result is identical. The ``grid.json`` of a
    label folder exists only while all its labels do.

    Args:
        root: folder of the data set (tables, key frames, map expansion).
        description: description of the data set, or a version of nuScenes: v1.0-trainval, v1.0-mini or v1.0-test; the
            last has no labels.
        out_dir: output folder; defaults to ``root``.
        extra_tag: prefix of the output files.
        grid: grid of the labels; None for the defaults of :class:`BEVGrid`.
        workers: number of processes; 0 or 1 uses only this one.
        progress: whether to show a progress bar.
        shard: write only the labels of this shard, and neither infos nor ``grid.json``. Images are not needed.
        merge: check the labels made by this many shards instead of making labels, then write the rest.
        skip_missing_images: whether to skip any number of frames with missing images. Otherwise it is an error if more
            than 5 % of the images are missing.

    Raises:
        DataError: the data is incomplete or invalid, ``merge`` finds missing or wrong labels, or results of another
            data set would be overwritten.
    """
    start = time.monotonic()
    root, grid = Path(root), grid or BEVGrid()
    out_dir = root if out_dir is None else Path(out_dir)
    if isinstance(description, str):
        description = DatasetDescription(version=description)
    if shard is not None and merge is not None:
        raise ValueError(f'shard={shard}, merge={merge}: expected one of them')
    if not description.has_labels and (shard or merge):
        raise DataError(f'{description.version}: it has no labels that shards could share')
    frames, notes = _read_frames(root, description, progress)
    if shard is None:
        _check_out_dir(out_dir, extra_tag, description, frames)
    else:
        frames = shard.share(frames)
    every = _all(frames)
    maps, missing_classes = _read_maps(root, description, every, notes)
    if shard is None:
        frames = whole_frames(root, frames, skip_missing_images, notes)
    if shard is None and merge is None:
        every = _all(frames)

    masks = Masks(root, description.masks) if description.masks else None
    maker = LabelMaker(maps, grid, label_dir(out_dir, extra_tag, grid), masks)
    if merge is None:
        out_dir.mkdir(parents=True, exist_ok=True)
    (maker.folder / GRID_FILE).unlink(missing_ok=True)
    written: list[tuple[int, bool]] = []
    if merge is not None:
        written = [(size, True) for size in _check_labels(maker, every, merge, workers, progress)]
    elif description.has_labels:
        written = _write_labels(maker, every, workers, progress)
    if shard is None:
        _finish(maker, frames, out_dir, extra_tag, description, missing_classes)
        notes += _hints(frames, root, out_dir)
    else:
        for frame in every:  # other shards may be writing to the same folders
            remove_temporaries(maker.folder / frame.scene, Path(frame.label_name).name)
    sizes, kept = [size for size, _ in written], sum(there for _, there in written)
    return Summary({split: len(f) for split, f in frames.items()}, sizes, kept, time.monotonic() - start, notes)


def _all(frames: Mapping[str, Sequence[Frame]]) -> list[Frame]:
    return [frame for members in frames.values() for frame in members]


def _read_frames(
    root: Path, description: DatasetDescription, progress: bool
) -> tuple[dict[str, list[Frame]], list[str]]:
    """Frames of each split, and notes."""
    if progress:
        print(f'reading the tables of {root / description.version}', file=sys.stderr)
    tables = NuScenesTables(root, description, annotations=description.has_labels and not description.masks)
    splits = tables.splits()
    frames = {split: tables.frames(scenes) for split, scenes in splits.items()}
    return frames, tables.notes


def _read_maps(
    root: Path, description: DatasetDescription, frames: Sequence[Frame], notes: list[str]
) -> tuple[dict[str, MapLayers], list[str]]:
    """Maps of the frames' locations, and classes that the labels cannot have."""
    if not description.has_labels:
        return {}, []
    if description.masks:
        missing = [name for name in CLASSES if name not in description.masks]
        notes.append(f'labels are made of masks; classes without: {", ".join(missing) or "none"}')
        return {}, missing
    locations = sorted({frame.location for frame in frames if frame.location}) if description.map else []
    paths = {location: root / 'maps' / 'expansion' / f'{location}.json' for location in locations}
    absent = [str(path) for path in paths.values() if not path.is_file()]
    if len(absent) == len(paths):
        note = 'no map expansion' if description.map else 'no map (map: false)'
        notes.append(f'{note}: labels hold the boxes alone, and no model can learn {", ".join(MAP_CLASSES)} from them')
        return {}, [*MAP_CLASSES]
    if absent:
        raise DataError(f'map expansion: missing {", ".join(absent)}; map: false in a file for --dataset does without')
    maps = {location: MapLayers.from_file(path) for location, path in paths.items()}
    missing = [layer for layer in CLASSES if any(layer in layers.missing for layers in maps.values())]
    if missing:
        notes.append(f'a map lacks the layers {", ".join(missing)}: no model can learn them from these labels')
    return maps, missing


def _check_out_dir(out_dir: Path, extra_tag: str, description: DatasetDescription, splits: Iterable[str]) -> None:
    """Refuses to overwrite the infos of another data set or version."""
    for split in splits:
        path = infos_path(out_dir, extra_tag, split)
        try:
            there = read_metainfo(path)
        except DataError:  # none there, or none that is of use
            continue
        found = there.get('dataset'), there.get('version')
        if found != (description.name, description.version):
            raise DataError(
                f'{path}: expected none or those of {description.name} {description.version}, found those of '
                f'{found[0]} {found[1]}; --extra-tag or --out-dir keeps them apart'
            )


def _hints(frames: Mapping[str, Sequence[Frame]], root: Path, out_dir: Path) -> list[str]:
    """Hints for training."""
    hints = [f'no {split} frames, and so no infos of {split}' for split, members in frames.items() if not members]
    if not frames.get('val') and 'test' not in frames:
        hints.append(f'to train without validation: --cfg-options {NO_VALIDATION}')
    if out_dir.resolve() != root.resolve():
        hints.append(f'to train: --cfg-options data_root={out_dir} image_root={root}')
    return hints


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
    maker: LabelMaker,
    frames: Mapping[str, Sequence[Frame]],
    out_dir: Path,
    extra_tag: str,
    description: DatasetDescription,
    missing_classes: Sequence[str],
) -> None:
    """Writes ``grid.json`` and the infos, which mark the labels as complete."""
    if description.has_labels:
        scenes = {maker.folder / frame.scene for frame in _all(frames)}
        for folder in {maker.folder, *scenes}:
            remove_temporaries(folder)
    for split, members in frames.items():
        path = infos_path(out_dir, extra_tag, split)
        if members:
            write_infos(path, members, description, split, missing_classes)
        else:
            path.unlink(missing_ok=True)
    remove_temporaries(out_dir, f'{extra_tag}_infos_*')
    if description.has_labels:
        write_atomic(maker.folder / GRID_FILE, grid_json(maker.grid).encode())
