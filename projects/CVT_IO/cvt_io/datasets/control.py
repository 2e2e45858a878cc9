"""Control experiments: does a model use the images at all?"""

from __future__ import annotations

import torch
from mmdet3d.registry import DATASETS
from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

from .wrappers import first_part

CONTROLS = ('other-frame', 'blank')


@DATASETS.register_module()
class CVTIOControlDataset(Dataset):
    """A data set whose images are unrelated to its labels.

    A model that scores as well on it as on the original has learned where vehicles usually are, not to use the images.

    Args:
        dataset: the original data set or its config.
        images: ``other-frame``, the images of the frame half the data set away, or ``blank``, mid-grey images. The
            calibration is that of the frame itself.
    """

    def __init__(self, dataset: BaseDataset | dict, images: str) -> None:
        if images not in CONTROLS:
            raise ValueError(f'images: expected one of {CONTROLS}, got {images!r}')
        self.dataset = dataset if not isinstance(dataset, dict) else DATASETS.build(dataset)
        self.images = images
        self.metainfo = self.dataset.metainfo
        self.bev_grid = first_part(self.dataset).bev_grid

    def full_init(self) -> None:
        """Loads the infos of the original data set."""
        self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict:
        item = self.dataset[idx]
        other = item if self.images == 'blank' else self.dataset[(idx + len(self) // 2) % len(self)]
        for inputs, images in zip(_variants(item), _variants(other), strict=True):
            inputs['imgs'] = torch.full_like(images['imgs'], 128) if self.images == 'blank' else images['imgs']
        return item


def _variants(item: dict) -> list[dict]:
    """The inputs of an item, several with test-time augmentation."""
    return item['inputs'] if isinstance(item['inputs'], list) else [item['inputs']]
