"""Decoded and resized images in one memory-mapped file, so that they are read and resized only once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from tqdm import tqdm

from ..errors import DataError
from ..fileio.atomic import replacing
from .loading import CVTIOLoadImages
from .transforms import CVTIOResizeCrop

_FORMAT = 1
#: The steps that are cached, and the attributes that determine their results.
_STEPS = {CVTIOLoadImages: ('reduction', 'any_colour'), CVTIOResizeCrop: ('height', 'width', 'top_crop')}
_CHUNK = 64  # frames held in memory while the file is written


class CachedImages:
    """Replaces the pipeline steps ``CVTIOLoadImages`` and ``CVTIOResizeCrop`` by reading their results from a file.

    The file name contains a digest of everything the results depend on: the steps' arguments, and each image's name,
    size, modification time and calibration. If one of these changes, the old file is ignored and a new one is written.
    Writing is atomic, so an interrupted run leaves no partial file, and processes that start together may all write.
    A frame that cannot be read is not cached; it takes the usual steps, which report what is wrong.

    A frame takes n · (H · W · 3 + 200) bytes: nuScenes' 34,149 frames of 6 images of 224 × 480 take 66 GB.

    Args:
        folder: folder of the cache files.
        pipeline: all steps of the data set.
        frames: infos, each with ``info_index`` and ``images``.
        ann_file: the file that the infos were read from.

    Raises:
        DataError: the pipeline does not begin with the two steps, the disk is too small, or the file does not exist and
            several processes are running.
    """

    def __init__(self, folder: Path, pipeline: Sequence[Callable], frames: Sequence[Mapping], ann_file: Path) -> None:
        self.steps: list[Any] = list(pipeline[:2])
        self.rest = list(pipeline[2:])
        kinds = [type(step) for step in self.steps]
        if kinds != [*_STEPS]:
            wanted, found = (', '.join(kind.__name__ for kind in names) for names in (_STEPS, kinds))
            raise DataError(
                f'image_cache: expected a pipeline that begins with {wanted}, random steps after them; found {found}'
            )
        self.rows = {frame['info_index']: row for row, frame in enumerate(frames)}
        cameras, crop = len(frames[0]['images']) if frames else 0, self.steps[1]
        self.dtype = np.dtype(
            [
                ('imgs', np.uint8, (cameras, crop.height, crop.width, 3)),
                ('intrinsics', np.float64, (cameras, 3, 3)),
                ('cam_from_ego', np.float64, (cameras, 4, 4)),
                ('valid', np.bool_),
            ]
        )
        self.path = folder / f'{ann_file.stem}-{_digest(self.steps, frames)}.npy'
        self._records: np.ndarray | None = None
        if not self.path.is_file():
            self._write(frames, ann_file)

    def __call__(self, results: dict) -> dict:
        """Adds ``imgs``, read-only (H, W, 3) uint8, ``intrinsics`` and ``cam_from_ego``."""
        record = self.records[self.rows[results['info_index']]]
        if not record['valid']:
            return self._uncached(results)
        calibration = {key: np.array(record[key]) for key in ('intrinsics', 'cam_from_ego')}
        return results | calibration | dict(imgs=list(record['imgs']))

    def __getstate__(self) -> dict:
        """Without the memory map, which would be pickled as an array of the whole file."""
        return self.__dict__ | dict(_records=None)

    @property
    def records(self) -> np.ndarray:
        """Structured array with a record per frame, mapped by each process on first use."""
        if self._records is None:
            try:
                records = np.load(self.path, mmap_mode='r', allow_pickle=False)
            except (OSError, ValueError) as error:
                raise DataError(f'{self.path}: cannot read the image cache: {error}; delete it') from error
            expected, found = ((len(self.rows),), self.dtype), (records.shape, records.dtype)
            if expected != found:
                raise DataError(f'{self.path}: image cache: expected {expected}, found {found}; delete it')
            self._records = records
        return self._records

    def _uncached(self, results: dict) -> dict:
        load, resize_crop = self.steps
        return resize_crop(load(results))

    def _read(self, frame: Mapping) -> tuple | None:
        """The frame's record, ``None`` if it cannot be read."""
        try:
            results = self._uncached(dict(frame))
        except DataError:
            return None
        return results['imgs'], results['intrinsics'], results['cam_from_ego'], True

    def _write(self, frames: Sequence[Mapping], ann_file: Path) -> None:
        gigabytes = len(frames) * self.dtype.itemsize / 1e9
        if get_world_size() > 1:
            raise DataError(
                f'{self.path}: no such image cache; write it ({gigabytes:.1f} GB) with one process before: '
                'python tools/misc/check_dataset.py CONFIG'
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.path.parent).free / 1e9
        if gigabytes > free:
            raise DataError(f'{self.path}: the image cache needs {gigabytes:.1f} GB, {free:.1f} GB are free')
        others = ', '.join(sorted(path.name for path in self.path.parent.glob(f'{ann_file.stem}-*.npy')))
        stale = f'; made from other images or with other settings: {others}' if others else ''
        print_log(f'Writing the image cache {self.path}, {gigabytes:.2f} GB{stale}', logger='current')
        with replacing(self.path) as temporary:
            records = np.lib.format.open_memmap(temporary, 'w+', self.dtype, (len(frames),))
            with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=len(frames), unit='frame', disable=None) as bar:
                for start in range(0, len(frames), _CHUNK):
                    for row, record in enumerate(pool.map(self._read, frames[start : start + _CHUNK]), start):
                        if record is not None:
                            records[row] = record
                        bar.update()
            records.flush()


def _digest(steps: Sequence[Any], frames: Sequence[Mapping]) -> str:
    arguments = [[type(step).__name__, *(getattr(step, name) for name in _STEPS[type(step)])] for step in steps]
    digest = hashlib.sha256(json.dumps([_FORMAT, arguments]).encode())
    for frame in frames:
        sources = [image | _source(Path(image['path'])) for image in frame['images']]
        digest.update(json.dumps(sources, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _source(path: Path) -> dict[str, Any]:
    """Name, size and modification time; without the latter if there is no such file on this machine's disks."""
    try:
        status = path.stat()
    except OSError:
        return dict(path=path.name)
    return dict(path=path.name, size=status.st_size, modified=status.st_mtime_ns)
