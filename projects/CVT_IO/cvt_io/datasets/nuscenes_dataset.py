"""Key frames of nuScenes, from the infos of ``tools/create_data.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmdet3d.registry import DATASETS, TRANSFORMS
from mmengine.dataset import BaseDataset

from ..geometry import BEVGrid
from ..labels.classes import CLASSES
from ..labels.errors import DataError
from ..labels.layout import EXTRA_TAG, check_label_grid, grid_arguments, labels_root


@DATASETS.register_module()
class CVTIONuScenesDataset(BaseDataset):
    """One item a key frame: all cameras of the rig and a BEV label.

    Args:
        ann_file: infos, relative to ``data_root``; the labels lie beside them.
        data_root: folder of the images.
        bev_grid: grid of the labels, ``dict(size=(h, w), metres=(h_m, w_m))``.
        cameras: cameras to use, in this order; ``None`` takes the infos' own.
        with_labels: whether the items carry a label file. The test split of nuScenes has none.
        extra_tag: prefix that the labels were made with.
        pipeline: transforms of a frame.
        **kwargs: of mmengine's ``BaseDataset``.

    Raises:
        DataError: the infos are missing or unreadable, or there are no labels of this grid.
    """

    METAINFO: ClassVar[dict] = dict(classes=CLASSES)

    def __init__(
        self,
        ann_file: str,
        data_root: str,
        bev_grid: Mapping,
        cameras: Sequence[str] | None = None,
        with_labels: bool = True,
        extra_tag: str = EXTRA_TAG,
        pipeline: Sequence[dict | Callable] = (),
        **kwargs: Any,
    ) -> None:
        self.bev_grid = BEVGrid.from_dict(bev_grid)
        self.cameras = cameras
        self.with_labels = with_labels
        self.extra_tag = extra_tag
        # Built here, as mmengine would look the steps up in the scope of whoever happens to call.
        steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        super().__init__(ann_file=ann_file, data_root=data_root, pipeline=steps, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Reads the infos; see :class:`DataError` for what may be wrong with them."""
        self.check_prepared(Path(self.ann_file), self.data_root, self.bev_grid)
        self._label_dir = None
        if self.with_labels:
            self._label_dir = check_label_grid(labels_root(Path(self.ann_file).parent, self.extra_tag), self.bev_grid)
        try:
            return super().load_data_list()
        except DataError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f'{self.ann_file}: expected infos of tools/create_data.py, found {error!r}') from error

    @staticmethod
    def check_prepared(infos: Path, data_root: str, grid: BEVGrid) -> None:
        """Raises a ``DataError`` that names the commands which prepare the data, unless the infos are there."""
        if not infos.is_file():
            arguments = '' if grid == BEVGrid() else ' ' + grid_arguments(grid)
            raise DataError(
                f'{infos}: no prepared data. Prepare it with one of\n'
                f'  python tools/create_data.py nuscenes --root-path {data_root} --version v1.0-trainval{arguments}\n'
                f'  python tools/create_data.py toy --out-dir data/nuscenes-toy{arguments}\n'
                'The second makes a small procedural world; add --cfg-options data_root=data/nuscenes-toy to use it.'
            )

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Absolute paths, and the chosen cameras in their order."""
        info = dict(raw_data_info)
        images = {image['camera']: image for image in info['images']}
        missing = [camera for camera in self.cameras or images if camera not in images]
        if missing:
            raise DataError(
                f'{self.ann_file}: sample {info["sample_token"]} has no camera {missing[0]}, found {", ".join(images)}'
            )
        root = Path(self.data_root)
        info['images'] = [
            dict(images[camera], path=str(root / images[camera]['path'])) for camera in self.cameras or images
        ]
        if self._label_dir is not None:
            if info['label'] is None:
                raise DataError(f'{self.ann_file}: sample {info["sample_token"]} has no label; set with_labels=False')
            info['label'] = str(self._label_dir / info['label'])
        return info

    def spread(self, count: int | None = None) -> list[int]:
        """Indices of so many frames at equal distances, the first and the last among them; ``None`` for all."""
        count = len(self) if count is None else min(count, len(self))
        return np.linspace(0, len(self) - 1, count).round().astype(int).tolist()

    def get_data_info(self, idx: int) -> dict:
        """Info of a frame, and the ``bev_grid`` of its label."""
        return super().get_data_info(idx) | dict(bev_grid=self.bev_grid)
