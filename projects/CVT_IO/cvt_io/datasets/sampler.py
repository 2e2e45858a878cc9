"""Sample order and augmentation seeds as a function of the run's seed and the position in the run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from mmdet3d.registry import DATA_SAMPLERS, DATASETS
from mmengine.dataset import InfiniteSampler
from torch.utils.data import Dataset

#: Separates these random numbers from those of the training loop.
_STREAM = 1


class SeededIndex(int):
    """Index of a sample that carries the seed of its augmentation."""

    seed: int

    def __new__(cls, index: int, seed: int = 0) -> SeededIndex:
        """Args: index, of the data set; seed, 32 bits."""
        self = super().__new__(cls, index)
        self.seed = seed
        return self


def seed_augmentation(index: int) -> None:
    """Seeds the generators that transforms may use, numpy's, Python's and PyTorch's, if the index has a seed."""
    if isinstance(index, SeededIndex):
        random.seed(index.seed)
        np.random.seed(index.seed)
        torch.default_generator.manual_seed(index.seed)


@DATA_SAMPLERS.register_module()
class CVTIOInfiniteSampler(InfiniteSampler):
    """mmengine's ``InfiniteSampler``, which can start anywhere in its order and gives each sample a seed.

    The seed of a sample depends on the run's seed and the sample's position in the joint order of all processes, not on
    the number of processes or data workers.

    Args:
        dataset: to sample from.
        shuffle: whether each pass is in another random order.
        seed: of the order and the augmentations, the same in all processes. :class:`CVTIOTrainLoop` sets the run's.
    """

    def __init__(self, dataset: Dataset, shuffle: bool = True, seed: int | None = None) -> None:
        super().__init__(dataset, shuffle, seed)
        self.seen = 0

    def start(self, seed: int, seen: int = 0) -> None:
        """Sets where iterators begin.

        Args:
            seed: of the order and the augmentations.
            seen: samples of this process that are left out without being read.
        """
        self.seed = seed
        self.seen = seen

    def __iter__(self) -> Iterator[SeededIndex]:
        places = count(self.rank + self.seen * self.world_size, self.world_size)
        for index, place in zip(islice(self._indices_of_rank(), self.seen, None), places, strict=False):
            state = np.random.SeedSequence([self.seed, place], spawn_key=(_STREAM,)).generate_state(1)
            yield SeededIndex(index, int(state[0]))


@DATASETS.register_module()
class CVTIOSeededDataset(Dataset):
    """Seeds the augmentations of a data set that does not do so itself, for example of a ``ConcatDataset``.

    Args:
        dataset: config of the wrapped data set. Its attributes are available on the wrapper.
        lazy_init: whether it reads its infos on first use only.
    """

    def __init__(self, dataset: dict, lazy_init: bool = False) -> None:
        self.dataset = DATASETS.build(dict(dataset, lazy_init=True) if lazy_init else dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not set yet while unpickling
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict:
        seed_augmentation(idx)
        return self.dataset[int(idx)]
