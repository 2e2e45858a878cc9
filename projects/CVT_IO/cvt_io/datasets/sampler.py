"""Sample order and augmentation seeds as a function of the run's seed and the position in the run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from mmdet3d.registry import DATASETS
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


def sample_order(sampler: InfiniteSampler, seed: int, seen: int = 0) -> Iterator[SeededIndex]:
    """Samples of this process after the first ``seen``.

    The seed of a sample depends on the run's seed and the sample's position in the joint order of all processes, not on
    the number of processes or data workers.
    """
    sampler.seed = seed
    places = count(sampler.rank + seen * sampler.world_size, sampler.world_size)
    for index, place in zip(islice(sampler._indices_of_rank(), seen, None), places, strict=False):
        state = np.random.SeedSequence([seed, place], spawn_key=(_STREAM,)).generate_state(1)
        yield SeededIndex(index, int(state[0]))


@DATASETS.register_module()
class CVTIOSeededDataset(Dataset):
    """A wrapper that seeds numpy's, Python's and PyTorch's generators for each sample.

    Args:
        dataset: config of the wrapped data set. Its attributes are available on the wrapper.
    """

    def __init__(self, dataset: dict) -> None:
        self.dataset = DATASETS.build(dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not set yet while unpickling
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict:
        if isinstance(idx, SeededIndex):
            random.seed(idx.seed)
            np.random.seed(idx.seed)
            torch.default_generator.manual_seed(idx.seed)
        return self.dataset[int(idx)]
