"""Key frames of nuScenes, from the infos of ``tools/create_data.py``."""

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
from ..labels.infos import (
    are_calibrated,
    check_frame,
    choose_images,
    parse_image,
    read_infos,
    read_metainfo,
)
from ..labels.layout import (
    EXTRA_TAG,
    NO_VALIDATION,
    check_label_grid,
    grid_arguments,
    labels_root,
)
from ..labels.mmdet3d import LIMITS as LIMITS_OF_MMDET3D
from ..labels.mmdet3d import MMDet3DInfos
from ..labels.nuscenes.label_maker import stored_label
from .broken_frames import BrokenFrames
from .image_cache import CachedImages
from .sampler import seed_augmentation


@DATASETS.register_module()
class CVTIONuScenesDataset(BaseDataset):
    """One item a key frame: all cameras of the rig and a BEV label.

    Args:
        ann_file: infos, relative to ``data_root``; the labels lie beside them. Or mmdet3d's ``nuscenes_infos_*.pkl``,
            of version 1 or 2, whose boxes are drawn when a label is needed; images lie in ``samples/``.
        data_root: folder of the infos, and of the images unless ``image_root`` says otherwise.
        bev_grid: grid of the labels, ``dict(size=(h, w), metres=(h_m, w_m))``.
        image_root: folder of the images, for example of a data set that is not writable.
        cameras: cameras to use, in this order; ``None`` takes the infos' own.
        with_labels: whether the items carry a label file. The test split of nuScenes has none.
        extra_tag: prefix that the labels were made with.
        skip_broken: whether frames whose entry, images or label are broken are logged and done without. In training
            another frame takes the place of such a one as soon as it is met, always the same one, so that a resumed
            run sees what it would have seen. With ``test_mode`` all files are read once at the start and the data set
            is that much smaller: no frame counts twice.
        max_broken: share of the frames that may be; more of them are an error nevertheless.
        image_cache: folder, relative to ``data_root``, for a memory-mapped file of the decoded and resized images, see
            :class:`CachedImages`; ``None`` decodes them each time.
        pipeline: transforms of a frame.
        **kwargs: of mmengine's ``BaseDataset``.

    Attributes:
        broken: the frames found to be, with ``skip_broken``.
        dropped: how many of these are not in the data set any more.
        source: metainfo of the infos, once they are read: what they were made of. The data set's own ``metainfo`` has
            only what data sets that are used together must share.

    Raises:
        DataError: the infos are missing, of another version or broken, have no frames, or there are no labels of this
            grid; on access: a file of the frame is broken.
        ValueError: ``max_broken`` is no share below 1.
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
            raise ValueError(f'max_broken: expected a share from 0 to less than 1, got {max_broken}')
        self.bev_grid = BEVGrid.from_dict(bev_grid)
        self.image_root = image_root or data_root
        self.cameras = cameras
        self.with_labels = with_labels
        self.extra_tag = extra_tag
        self.skip_broken = skip_broken
        self.max_broken = max_broken
        self.image_cache = image_cache
        # Built here, as mmengine would look the steps up in the scope of whoever happens to call.
        steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        super().__init__(ann_file=ann_file, data_root=data_root, pipeline=steps, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads the infos; see :class:`DataError` for what may be wrong with them."""
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
        """Frames of an info file, and the function that parses one."""
        self._label_dir = None
        if self.with_labels:
            self._label_dir = check_label_grid(labels_root(path.parent, self.extra_tag), self.bev_grid)
        self.source, frames = read_infos(path)
        self._known_cameras = self.source['cameras']
        calibrated = are_calibrated(frames)
        return [dict(frame, calibrated=c) for frame, c in zip(frames, calibrated, strict=True)], self.parse_data_info

    def _open_mmdet3d(self, path: Path) -> tuple[Sequence[dict], Callable[[dict], dict]]:
        """As :func:`_open_infos` of mmdet3d's infos, whose labels are drawn from the boxes when they are needed."""
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
        """Classes that the labels cannot have, as there is no map for example; does not read the frames."""
        path = Path(self.ann_file)
        return [*MAP_CLASSES] if path.suffix == '.pkl' else read_metainfo(path).get('missing_classes', [])

    def get_cat_ids(self, idx: int) -> list[int]:
        """Classes that a frame's label has, for mmengine's ``ClassBalancedDataset``."""
        bits = np.bitwise_or.reduce(stored_label(self.get_data_info(idx), self.bev_grid).class_bits, axis=None)
        return [index for index in range(len(CLASSES)) if bits >> index & 1]

    @staticmethod
    def check_prepared(infos: Path, data_root: str, grid: BEVGrid) -> None:
        """Raises a ``DataError`` that names the commands which prepare the data, unless the infos are there."""
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
        """Absolute paths, and the chosen cameras in their order.

        Args:
            raw_data_info: a frame of the infos; ``calibrated`` in it saves looking at its calibration.

        Raises:
            DataError: a key or a camera is missing, or a value is impossible.
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
        """Sees that there is something to choose from, and that the config does so."""
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
        """A frame after the pipeline; in training with ``skip_broken`` another one if it is broken.

        Which one follows from ``idx`` alone, and differs from frame to frame: where many in a row are broken, none
        takes the place of all.
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
        """Reads frames as the pipeline does; what is wrong with those that are broken."""

        def fault(index: int) -> DataError | None:
            try:
                super(CVTIONuScenesDataset, self).prepare_data(index)
            except DataError as error:
                return error
            return None

        with ThreadPoolExecutor(cpu_count()) as pool:
            return {i: error for i, error in zip(indices, pool.map(fault, indices), strict=True) if error is not None}

    def _drop_broken(self) -> None:
        """Finds the broken frames of the whole set, shared out to the processes, which then know the same ones."""
        frames = len(self)
        parts = all_gather_object(self.find_broken(range(get_rank(), frames, get_world_size())))
        broken = {index: error for part in parts for index, error in part.items()}
        for index, error in sorted(broken.items()):
            self.broken.report(self.get_data_info(index)['info_index'], error, frames + self.dropped)
        if broken:
            self.get_subset_([index for index in range(frames) if index not in broken])
            self.dropped += len(broken)

    def spread(self, count: int | None = None) -> list[int]:
        """Indices of so many frames at equal distances, the first and the last among them; ``None`` for all."""
        count = len(self) if count is None else min(count, len(self))
        return np.linspace(0, len(self) - 1, count).round().astype(int).tolist()

    def get_data_info(self, idx: int) -> dict:
        """Info of a frame, and the ``bev_grid`` of its label."""
        return super().get_data_info(idx) | dict(bev_grid=self.bev_grid)
