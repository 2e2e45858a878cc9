"""Augmentations follow from the place in the order, and from nothing else."""

from __future__ import annotations

import pickle
import random
from itertools import islice

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.registry import DATASETS as ROOT
from torch.utils.data import DataLoader, Dataset

from projects.CVT_IO.cvt_io.datasets.sampler import CVTIOInfiniteSampler, CVTIOSeededDataset, SeededIndex


@ROOT.register_module(name='CVTIOTestDraws')
class Draws(Dataset):
    """Its samples are random numbers of each generator that a transform may use."""

    name = 'draws'

    def __len__(self) -> int:
        return 5

    def __getitem__(self, idx: int) -> tuple:
        assert type(idx) is int
        return idx, random.random(), np.random.rand(), torch.rand(()).item()


def order(rank: int = 0, world: int = 1, seed: int = 3, seen: int = 0, count: int = 12) -> list[SeededIndex]:
    sampler = CVTIOInfiniteSampler(range(5), seed=0)
    sampler.rank, sampler.world_size = rank, world
    sampler.start(seed, seen)
    return list(islice(sampler, count))


def test_the_samplers_own_order_with_a_seed_for_each_sample():
    found = order()
    assert found == list(islice(InfiniteSampler(range(5), seed=3), 12))
    assert len({index.seed for index in found}) == 12  # not the same augmentation in the next epoch


def test_continues_where_it_was():
    rest = order(seen=7, count=5)
    assert rest == order()[7:] and [index.seed for index in rest] == [index.seed for index in order()[7:]]


def test_processes_share_one_order():
    parts = [order(rank, world=2, count=6) for rank in (0, 1)]
    together = [index for pair in zip(*parts, strict=True) for index in pair]
    assert [(index, index.seed) for index in together] == [(index, index.seed) for index in order()]


def test_index_can_be_pickled():
    index = pickle.loads(pickle.dumps(SeededIndex(4, 99)))  # noqa: S301 - its own pickle
    assert index == 4 and index.seed == 99


@pytest.mark.parametrize(('workers', 'persistent'), [(1, False), (2, True)])
def test_any_number_of_workers_draws_the_same(workers, persistent):
    def draws(seen: int, **options) -> list:
        sampler = CVTIOInfiniteSampler(range(5), seed=3)
        sampler.start(3, seen)
        loader = DataLoader(
            CVTIOSeededDataset(dict(type='CVTIOTestDraws', _scope_='mmengine')),
            batch_size=2,
            sampler=sampler,
            collate_fn=list,
            **options,
        )
        return list(islice(iter(loader), 4))

    alone = draws(0)
    assert draws(0, num_workers=workers, persistent_workers=persistent) == alone
    assert draws(4, num_workers=workers, persistent_workers=persistent)[:2] == alone[2:]


def test_is_the_data_set_otherwise():
    dataset = CVTIOSeededDataset(dict(type='CVTIOTestDraws', _scope_='mmengine'))
    assert len(dataset) == 5 and dataset.name == 'draws' and dataset[3][0] == 3
    assert pickle.loads(pickle.dumps(dataset)).name == 'draws'  # noqa: S301 - its own pickle
    with pytest.raises(AttributeError, match='colour'):
        _ = dataset.colour
