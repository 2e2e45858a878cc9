"""Which sample comes when, and which random numbers augment it: both follow from the seed and the place in the run."""

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

#: Keeps these random numbers apart from those that the training loop draws for its steps.
_STREAM = 1


class SeededIndex(int):
    """Index of a sample, with the seed of its augmentation."""

    seed: int

    def __new__(cls, index: int, seed: int = 0) -> SeededIndex:
        """Args: index, of the data set; seed, 32 bits."""
        self = super().__new__(cls, index)
        self.seed = seed
        return self


def sample_order(sampler: InfiniteSampler, seed: int, seen: int = 0) -> Iterator[SeededIndex]:
    """The samples of this process, without the first ``seen``, which are not read.

    A sample's seed follows from the run's seed and its place in the order of all processes together. So it does not
    matter which data worker, or how many of them, read it, nor how many processes share the order.
    """
    sampler.seed = seed
    places = count(sampler.rank + seen * sampler.world_size, sampler.world_size)
    for index, place in zip(islice(sampler._indices_of_rank(), seen, None), places, strict=False):
        state = np.random.SeedSequence([seed, place], spawn_key=(_STREAM,)).generate_state(1)
        yield SeededIndex(index, int(state[0]))


@DATASETS.register_module()
class CVTIOSeededDataset(Dataset):
    """A data set that seeds the generators of its augmentations for each sample: numpy's, Python's and PyTorch's.

    Args:
        dataset: the config of the data set, whose attributes this one has too.
    """

    def __init__(self, dataset: dict) -> None:
        self.dataset = DATASETS.build(dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not there yet while it is unpickled
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
