"""Cached images are bit for bit those of the uncached pipeline, and never those of other files or settings."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet3d.registry import DATASETS
from mmengine.dataset import pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader

from projects.CVT_IO.cvt_io.datasets import image_cache
from projects.CVT_IO.cvt_io.datasets.sampler import SeededIndex
from projects.CVT_IO.cvt_io.errors import DataError

PIPELINE = [
    dict(type='CVTIOLoadImages'),
    dict(type='CVTIOResizeCrop', size=(24, 56), top_crop=8),
    dict(type='CVTIOLoadBEVLabel'),
    dict(type='CVTIOPackInputs'),
]


@pytest.fixture
def root(toy_root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(toy_root, tmp_path / 'data')


def build(root: Path, cache: str | None = 'cache', **kwargs):
    config = dict(
        type='CVTIONuScenesDataset',
        data_root=str(root),
        ann_file='cvt_io_infos_train.json',
        bev_grid=dict(size=(48, 48), metres=(48.0, 48.0)),
        image_cache=cache,
        pipeline=PIPELINE,
    )
    return DATASETS.build(config | kwargs)


def files(root: Path) -> set[str]:
    return {path.name for path in (root / 'cache').iterdir()}


def image(dataset, index: int, camera: int = 0) -> Path:
    return Path(dataset.get_data_info(index)['images'][camera]['path'])


def assert_equal(cached, plain, indices=range(6)) -> None:
    for i in indices:
        one, other = cached[i], plain[i]
        for key, value in other['inputs'].items():
            assert one['inputs'][key].dtype == value.dtype and torch.equal(one['inputs'][key], value)
        assert torch.equal(one['data_samples'].gt_bev.center, other['data_samples'].gt_bev.center)
        assert one['data_samples'].sample_token == other['data_samples'].sample_token


def test_equals_uncached_and_is_written_once(root, monkeypatch):
    plain = build(root, cache=None)
    assert_equal(build(root), plain)
    (name,) = files(root)
    monkeypatch.setattr(image_cache.CachedImages, '_uncached', None)  # nothing is decoded any more
    assert_equal(build(root), plain)
    assert_equal(build(root, indices=[4, 1]), build(root, cache=None, indices=[4, 1]), range(2))
    assert files(root) == {name}


def test_random_steps_follow_the_cached_ones(root):
    """The same images for the same seeds, again and again: what is cached stays as it was."""
    random = [dict(type='CVTIOStrongAugment'), dict(type='CVTIOGeometricAugment', degrees=0.0)]
    pipeline = [*PIPELINE[:2], *random, PIPELINE[2], dict(type='CVTIORandomFlip'), PIPELINE[3]]
    cached, plain = (build(root, cache, pipeline=pipeline) for cache in ('cache', None))
    flips = set()
    for seed in range(8):
        index = SeededIndex(seed % 3, seed)
        one, other = cached[index], plain[index]
        flips.add(one['data_samples'].flip)
        for key, value in other['inputs'].items():
            assert torch.equal(one['inputs'][key], value)
        assert torch.equal(one['data_samples'].gt_bev.classes, other['data_samples'].gt_bev.classes)
    assert flips == {True, False} and (cached[0]['inputs']['imgs'] != cached[SeededIndex(0, 1)]['inputs']['imgs']).any()


@pytest.mark.parametrize('workers', [1, 2])
def test_data_workers(root, workers):
    dataset, plain = build(root), build(root, cache=None)
    loader = DataLoader(dataset, 3, num_workers=workers, collate_fn=pseudo_collate, multiprocessing_context='fork')
    images = [img for batch in loader for img in batch['inputs']['imgs']]
    assert all(torch.equal(img, plain[i]['inputs']['imgs']) for i, img in enumerate(images)) and len(images) == 6
    assert len(pickle.dumps(dataset.pipeline)) < 20_000  # a spawned worker maps the file itself
    assert_equal(pickle.loads(pickle.dumps(dataset)), plain)  # noqa: S301 - its own pickle


@pytest.mark.parametrize('change', ['content', 'time', 'size', 'calibration', 'reduction'])
def test_whatever_the_images_depend_on_changes_the_file(root, change):
    first = build(root)
    old, path, pipeline = files(root), image(first, 2), PIPELINE
    if change == 'content':
        Image.new('RGB', (160, 90), (9, 8, 7)).save(path)
    elif change == 'time':
        os.utime(path, ns=(1, 1))
    elif change == 'size':
        pipeline = [PIPELINE[0], dict(PIPELINE[1], top_crop=6), *PIPELINE[2:]]
    elif change == 'reduction':
        pipeline = [dict(PIPELINE[0], reduction=2), *PIPELINE[1:]]
    else:
        infos = root / 'cvt_io_infos_train.json'
        focal = first.get_data_info(0)['images'][0]['intrinsics'][0][0]
        infos.write_text(infos.read_text().replace(repr(focal), repr(focal + 0.5)))
    assert_equal(build(root, pipeline=pipeline), build(root, cache=None, pipeline=pipeline))
    assert len(files(root) - old) == 1 and old < files(root)


def test_a_broken_image_is_reported_as_without_a_cache(root):
    path = image(build(root, cache=None), 3)
    path.write_bytes(b'nothing')
    dataset = build(root)
    assert_equal(dataset, build(root, cache=None), [0, 1, 2, 4, 5])
    with pytest.raises(DataError, match=re.escape(f'{path.name}: expected an image')):
        dataset[3]
    assert len(build(root, skip_broken=True, max_broken=0.5, test_mode=True)) == 5


def test_an_interrupted_write_leaves_nothing(root, monkeypatch):
    monkeypatch.setattr(image_cache, 'tqdm', lambda **_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build(root)
    assert files(root) == set()


@pytest.mark.parametrize('damage', ['truncated', 'foreign', 'pickled'])
def test_a_damaged_file_is_refused(root, damage):
    build(root)
    (path,) = (root / 'cache').iterdir()
    if damage == 'truncated':
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == 'foreign':
        np.save(path, np.zeros(3))
    else:
        np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match=r'image cache.*delete it$'):
        build(root)[0]


def test_refusals(root, monkeypatch):
    random = dict(type='CVTIOStrongAugment')
    with pytest.raises(DataError, match='random steps after them; found CVTIOLoadImages, CVTIOStrongAugment'):
        build(root, pipeline=[PIPELINE[0], random, *PIPELINE[1:]])
    usage = namedtuple('usage', 'free')(1000)
    with monkeypatch.context() as patch:
        patch.setattr(image_cache.shutil, 'disk_usage', lambda _: usage)
        with pytest.raises(DataError, match=r'the image cache needs 0\.0 GB, 0\.0 GB are free'):
            build(root)
    monkeypatch.setattr(image_cache, 'get_world_size', lambda: 2)
    with pytest.raises(DataError, match='with one process before: python'):
        build(root)
    monkeypatch.undo()
    build(root)
    monkeypatch.setattr(image_cache, 'get_world_size', lambda: 2)
    assert_equal(build(root), build(root, cache=None))
