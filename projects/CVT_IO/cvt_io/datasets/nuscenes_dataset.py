"""Data set of key frames, read from the infos of ``tools/create_data.py`` or of mmdet3d."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmdet3d.registry import DATASETS, TRANSFORMS
from mmengine.dataset import BaseDataset, Compose
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.logging import print_log

from ..errors import DataError
from ..geometry import BEVGrid
from ..labels.classes import CLASSES, MAP_CLASSES
from ..labels.infos import are_calibrated, check_frame, choose_images, parse_image, read_infos, read_metainfo
from ..labels.layout import EXTRA_TAG, NO_VALIDATION, check_label_grid, grid_arguments, labels_root
from ..labels.mmdet3d import LIMITS as LIMITS_OF_MMDET3D
from ..labels.mmdet3d import MMDet3DInfos
from ..labels.nuscenes.label_maker import stored_label
from .broken_frames import BrokenFrames
from .image_cache import CachedImages
from .sampler import seed_augmentation


@DATASETS.register_module()
class CVTIONuScenesDataset(BaseDataset):
    """One item per key frame: the images of all cameras and a BEV label.

    Args:
        ann_file: infos, relative to ``data_root``, with the labels next to them; or mmdet3d's ``nuscenes_infos_*.pkl``
            (version 1 or 2), whose labels are drawn from the boxes on access and whose images are in ``samples/``.
        data_root: folder of the infos and, by default, the images.
        bev_grid: grid of the labels, ``dict(size=(h, w), metres=(h_m, w_m))``.
        image_root: folder of the images, e.g. of a read-only data set; defaults to ``data_root``.
        cameras: cameras to use, in this order; ``None`` for those of the infos.
        with_labels: whether items have a label. nuScenes' test split has none.
        extra_tag: prefix that the labels were made with.
        skip_broken: whether to log and skip frames with a broken entry, image or label. In training, a broken frame is
            replaced on access by another one, always the same, so that a resumed run sees the same frames. With
            ``test_mode``, all files are read at the start and broken frames are dropped, so that no frame counts twice.
        max_broken: fraction of the frames that may be broken; more raise an error.
        image_cache: folder, relative to ``data_root``, for a memory-mapped file of the decoded and resized images, see
            :class:`CachedImages`; ``None`` decodes them on each access.
        pipeline: transforms of a frame.
        **kwargs: passed to mmengine's ``BaseDataset``.

    Attributes:
        broken: the broken frames found so far, with ``skip_broken``.
        dropped: number of frames dropped from the data set.
        source: metainfo of the infos, after reading them. The data set's own ``metainfo`` contains only what data sets
            that are used together must share.

    Raises:
        DataError: the infos are missing, broken, empty or of another version, or there are no labels on this grid. On
            access: a file of the frame is broken.
        ValueError: ``max_broken`` is not in [0, 1).
    """

    METAINFO: ClassVar[dict] = dict(classes=CLASSES)
    pipeline: Compose

    def __init__(
        self,
        ann_file: str,
        data_root: str,
        bev_grid: Mapping,
        image_root: str | None = None,
        cameras: Sequence[str] | None = None,
        with_labels: bool = True,
        extra_tag: str = EXTRA_TAG,
        skip_broken: bool = False,
        max_broken: float = 0.01,
        image_cache: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        **kwargs: Any,
    ) -> None:
        if not 0 <= max_broken < 1:
            raise ValueError(f'max_broken: expected a fraction from 0 to less than 1, got {max_broken}')
        self.bev_grid = BEVGrid.from_dict(bev_grid)
        self.image_root = image_root or data_root
        self.cameras = cameras
        self.with_labels = with_labels
        self.extra_tag = extra_tag
        self.skip_broken = skip_broken
        self.max_broken = max_broken
        self.image_cache = image_cache
        # Built here, because mmengine would look them up in the scope of the caller.
        steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        super().__init__(ann_file=ann_file, data_root=data_root, pipeline=steps, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads the infos."""
        path = Path(self.ann_file)
        self.check_prepared(path, self.data_root, self.bev_grid)
        frames, parse = self._open_mmdet3d(path) if path.suffix == '.pkl' else self._open_infos(path)
        self._metainfo |= dict(cameras=[*(self.cameras or self._known_cameras)])
        self.broken = BrokenFrames(self.ann_file, len(frames), self.max_broken)
        self.dropped = 0
        data_list = []
        for index, frame in enumerate(frames):
            try:
                info = parse(frame)
            except DataError as error:
                if not self.skip_broken:
                    raise
                self.broken.report(index, error, len(frames))
                self.dropped += 1
            else:
                data_list.append(dict(info, info_index=index))
        if self.image_cache is not None:
            cached = CachedImages(Path(self.data_root, self.image_cache), self.pipeline.transforms, data_list, path)
            self.pipeline = Compose([cached, *cached.rest])
        return data_list

    def _open_infos(self, path: Path) -> tuple[Sequence[dict], Callable[[dict], dict]]:
        """Frames of an info file, and a function that parses one."""
        self._label_dir = None
        if self.with_labels:
            self._label_dir = check_label_grid(labels_root(path.parent, self.extra_tag), self.bev_grid)
        self.source, frames = read_infos(path)
        self._known_cameras = self.source['cameras']
        calibrated = are_calibrated(frames)
        return [dict(frame, calibrated=c) for frame, c in zip(frames, calibrated, strict=True)], self.parse_data_info

    def _open_mmdet3d(self, path: Path) -> tuple[Sequence[dict], Callable[[dict], dict]]:
        """Like :func:`_open_infos`, for mmdet3d's infos, whose labels are drawn from the boxes on access."""
        infos = MMDet3DInfos.read(path)
        root = Path(self.image_root)
        self.source = dict(dataset='nuscenes', missing_classes=[*MAP_CLASSES])
        self._known_cameras = infos.cameras()
        if self.with_labels:
            print_log(f'{path}: {LIMITS_OF_MMDET3D}', logger='current', level=logging.WARNING)

        def parse(item: dict) -> dict:
            info = infos.frame(item, root, self.cameras or self._known_cameras)
            del info['notes']
            return info | dict(label=None) | (dict(annotations=infos.annotations(item)) if self.with_labels else {})

        return infos.items, parse

    def missing_classes(self) -> list[str]:
        """Classes that the labels cannot have, e.g. without a map; does not read the frames."""
        path = Path(self.ann_file)
        return [*MAP_CLASSES] if path.suffix == '.pkl' else read_metainfo(path).get('missing_classes', [])

    def get_cat_ids(self, idx: int) -> list[int]:
        """Classes in the label of a frame, for mmengine's ``ClassBalancedDataset``."""
        bits = np.bitwise_or.reduce(stored_label(self.get_data_info(idx), self.bev_grid).class_bits, axis=None)
        return [index for index in range(len(CLASSES)) if bits >> index & 1]

    @staticmethod
    def check_prepared(infos: Path, data_root: str, grid: BEVGrid) -> None:
        """Raises a ``DataError`` with the commands that prepare the data, unless the infos exist."""
        if infos.is_file():
            return
        split = infos.stem.rpartition('_')[2]
        others = sorted(path.name for path in infos.parent.glob(f'{infos.stem.removesuffix(split)}*.json'))
        if others and split == 'val':
            raise DataError(
                f'{infos}: no such infos, found {", ".join(others)}: no frames of this split were converted; '
                f'to train without validation: --cfg-options {NO_VALIDATION}'
            )
        arguments = '' if grid == BEVGrid() else ' ' + grid_arguments(grid)
        raise DataError(
            f'{infos}: no prepared data. Prepare it with one of\n'
            f'  python tools/create_data.py nuscenes --root-path {data_root} --version v1.0-trainval{arguments}\n'
            f'  python tools/create_data.py toy --out-dir data/nuscenes-toy{arguments}\n'
            'The second makes a small procedural world; add --cfg-options data_root=data/nuscenes-toy to use it.'
        )

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Makes paths absolute and selects the cameras.

        Args:
            raw_data_info: a frame of the infos; ``calibrated`` in it skips the validation of its calibration.

        Raises:
            DataError: a key or a camera is missing, or a value is invalid.
        """
        info = dict(raw_data_info)
        calibrated = info.pop('calibrated', False)
        where = f'{self.ann_file}: sample {info.get("sample_token")}'
        check_frame(info, where, calibrated)
        images = choose_images(info, self._known_cameras, self.cameras, where)
        info['images'] = [parse_image(image, Path(self.image_root), where, calibrated) for image in images]
        if self._label_dir is not None:
            if info['label'] is None:
                raise DataError(f'{where} has no label; set with_labels=False')
            info['label'] = str(self._label_dir / info['label'])
        return info

    def filter_data(self) -> list[dict]:
        """Checks that there is at least one frame."""
        if not self.data_list or self._indices in (0, [], ()):
            raise DataError(f'{self.ann_file}: expected at least one frame, found none (indices: {self._indices})')
        return self.data_list

    def full_init(self) -> None:
        """Reads the infos and, with ``skip_broken`` and ``test_mode``, all files."""
        if not self._fully_initialized:
            super().full_init()
            if self.skip_broken and self.test_mode:
                self._drop_broken()

    def __getitem__(self, idx: int) -> dict:
        seed_augmentation(idx)
        return super().__getitem__(int(idx))

    def prepare_data(self, idx: int) -> dict:
        """Runs the pipeline on a frame; in training with ``skip_broken``, on another one if the frame is broken.

        The replacement depends only on ``idx`` and differs between frames, so a series of broken frames is not replaced
        by a single one.
        """
        if not self.skip_broken or self.test_mode:
            return super().prepare_data(idx)
        others = np.random.default_rng(idx % len(self))
        while True:
            try:
                return super().prepare_data(idx)
            except DataError as error:
                self.broken.report(self.get_data_info(idx)['info_index'], error, len(self) + self.dropped)
            idx = int(others.integers(len(self)))

    def find_broken(self, indices: Sequence[int]) -> dict[int, DataError]:
        """Runs the pipeline on frames and returns the errors of broken ones."""

        def fault(index: int) -> DataError | None:
            try:
                super(CVTIONuScenesDataset, self).prepare_data(index)
            except DataError as error:
                return error
            return None

        with ThreadPoolExecutor(cpu_count()) as pool:
            return {i: error for i, error in zip(indices, pool.map(fault, indices), strict=True) if error is not None}

    def _drop_broken(self) -> None:
        """Drops broken frames. Processes share the search and then drop the same frames."""
        frames = len(self)
        parts = all_gather_object(self.find_broken(range(get_rank(), frames, get_world_size())))
        broken = {index: error for part in parts for index, error in part.items()}
        for index, error in sorted(broken.items()):
            self.broken.report(self.get_data_info(index)['info_index'], error, frames + self.dropped)
        if broken:
            self.get_subset_([index for index in range(frames) if index not in broken])
            self.dropped += len(broken)

    def spread(self, count: int | None = None) -> list[int]:
        """Indices of ``count`` evenly spaced frames including the first and the last; ``None`` for all."""
        count = len(self) if count is None else min(count, len(self))
        return np.linspace(0, len(self) - 1, count).round().astype(int).tolist()

    def get_data_info(self, idx: int) -> dict:
        """Info of a frame, with the ``bev_grid`` of its label."""
        return super().get_data_info(idx) | dict(bev_grid=self.bev_grid)
