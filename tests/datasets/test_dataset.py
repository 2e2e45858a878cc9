"""The data set and its pipeline on a toy world."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmdet3d.registry import DATASETS
from PIL import Image

import projects.CVT_IO.cvt_io  # noqa: F401
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.codec import read_label

PIPELINE = [
    dict(type='CVTIOLoadImages'),
    dict(type='CVTIOResizeCrop', size=(224, 480), top_crop=46),
    dict(type='CVTIOLoadBEVLabel'),
    dict(type='CVTIOPackInputs'),
]


def build(root, **kwargs):
    config = dict(
        type='CVTIONuScenesDataset',
        data_root=str(root),
        ann_file='cvt_io_infos_train.json',
        bev_grid=dict(size=(200, 200), metres=(100.0, 100.0)),
        pipeline=PIPELINE,
    )
    return DATASETS.build(config | kwargs)


def test_item(toy_root):
    dataset = build(toy_root)
    info = json.loads((toy_root / 'cvt_io_infos_train.json').read_text())['data_list'][1]
    item = dataset[1]
    inputs, sample = item['inputs'], item['data_samples']
    assert inputs['imgs'].shape == (6, 3, 224, 480) and inputs['imgs'].dtype == torch.uint8
    with Image.open(toy_root / info['images'][2]['path']) as img:
        expected = np.asarray(img.resize((480, 270), Image.Resampling.BILINEAR))[46:]
    np.testing.assert_array_equal(inputs['imgs'][2].permute(1, 2, 0).numpy(), expected)

    label = read_label(toy_root / 'cvt_io_labels/200x200_100x100m' / info['label'])
    gt = sample.gt_bev
    assert (gt.classes.shape, gt.classes.dtype) == ((12, 200, 200), torch.uint8)
    assert (gt.visibility.shape, gt.visibility.dtype) == ((200, 200), torch.uint8)
    assert (gt.center.shape, gt.center.dtype) == ((200, 200), torch.float32)
    np.testing.assert_array_equal(gt.classes.numpy(), label.classes)
    np.testing.assert_array_equal(gt.visibility.numpy(), label.visibility)
    np.testing.assert_array_equal(gt.center.numpy(), label.center)

    assert sample.sample_token == info['sample_token'] and sample.scene_name == info['scene_name']
    for key, shape in (('intrinsics', (6, 3, 3)), ('cam_from_ego', (6, 4, 4))):
        assert sample.metainfo[key].shape == shape and sample.metainfo[key].dtype == np.float32
        np.testing.assert_array_equal(inputs[key].numpy(), sample.metainfo[key])
    np.testing.assert_allclose(sample.cam_from_ego[4], info['images'][4]['cam_from_ego'], rtol=1e-6)


def test_order_is_the_infos(toy_root):
    infos = json.loads((toy_root / 'cvt_io_infos_val.json').read_text())['data_list']
    dataset = build(toy_root, ann_file='cvt_io_infos_val.json', test_mode=True)
    assert [dataset.get_data_info(i)['sample_token'] for i in range(len(dataset))] == [i['sample_token'] for i in infos]


def test_fewer_cameras_in_another_order(toy_root):
    both, all_six = build(toy_root, cameras=['CAM_BACK', 'CAM_FRONT']), build(toy_root)
    assert (both[0]['inputs']['imgs'] == all_six[0]['inputs']['imgs'][[4, 1]]).all()
    assert (both[0]['inputs']['intrinsics'] == all_six[0]['inputs']['intrinsics'][[4, 1]]).all()


def test_without_labels(toy_root, tmp_path):
    infos = json.loads((toy_root / 'cvt_io_infos_val.json').read_text())
    for info in infos['data_list']:
        info['label'] = None
    (tmp_path / 'cvt_io_infos_test.json').write_text(json.dumps(infos))
    dataset = build(
        toy_root,
        ann_file=str(tmp_path / 'cvt_io_infos_test.json'),
        with_labels=False,
        pipeline=[step for step in PIPELINE if step['type'] != 'CVTIOLoadBEVLabel'],
    )
    assert 'gt_bev' not in dataset[0]['data_samples']


def test_what_is_not_prepared_names_the_commands(toy_root, tmp_path):
    with pytest.raises(DataError, match=r'(?s)create_data\.py nuscenes.*create_data\.py toy'):
        build(tmp_path)
    with pytest.raises(DataError, match=r'no labels of grid 100x100_50x50m.*200x200_100x100m.*--bev-size 100 100'):
        build(toy_root, bev_grid=dict(size=(100, 100), metres=(50.0, 50.0)))


def test_controls(toy_root):
    real = build(toy_root)
    other = DATASETS.build(dict(type='CVTIOControlDataset', dataset=real, images='other-frame'))
    blank = DATASETS.build(dict(type='CVTIOControlDataset', dataset=build(toy_root), images='blank'))
    half = len(real) // 2
    assert (other[0]['inputs']['imgs'] == real[half]['inputs']['imgs']).all()
    assert (other[0]['inputs']['cam_from_ego'] == real[0]['inputs']['cam_from_ego']).all()
    assert (other[0]['data_samples'].gt_bev.classes == real[0]['data_samples'].gt_bev.classes).all()
    assert (blank[1]['inputs']['imgs'] == 128).all() and len(blank) == len(real)
    with pytest.raises(ValueError, match='other-frame'):
        DATASETS.build(dict(type='CVTIOControlDataset', dataset=real, images='none'))


def test_grid_of_the_label_follows_the_config(toy_root):
    dataset = build(toy_root, bev_grid=dict(size=(48, 48), metres=(48.0, 48.0)))
    assert dataset.bev_grid == BEVGrid((48, 48), (48.0, 48.0))
    assert dataset[0]['data_samples'].gt_bev.classes.shape == (12, 48, 48)


@pytest.mark.parametrize('place', [2, 3], ids=['before the label', 'after the label'])
def test_a_flip_mirrors_the_whole_item(toy_root, place):
    flip = dict(type='CVTIORandomFlip', prob=1.0)
    plain, flipped = (
        build(toy_root, pipeline=steps)[1] for steps in (PIPELINE, [*PIPELINE[:place], flip, *PIPELINE[place:]])
    )
    assert torch.equal(flipped['inputs']['imgs'], plain['inputs']['imgs'].flip(-1))
    label, mirrored = plain['data_samples'].gt_bev, flipped['data_samples'].gt_bev
    for key in ('classes', 'visibility', 'center'):
        assert torch.equal(mirrored.get(key)[..., 1:], label.get(key)[..., 1:].flip(-1))
    assert not mirrored.visibility[:, 0].any()
    assert (plain['data_samples'].flip, flipped['data_samples'].flip) == (False, True)
    # A point is seen at the mirrored pixel of its mirror image; 480 columns.
    points = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 10
    points[:, 3] = 1
    seen = [
        item['inputs']['intrinsics']
        @ (item['inputs']['cam_from_ego'] @ (points * torch.tensor([1, side, 1, 1])).T)[:, :3]
        for item, side in ((plain, 1), (flipped, -1))
    ]
    torch.testing.assert_close(seen[1][:, 0], 480 * seen[0][:, 2] - seen[0][:, 0], rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(seen[1][:, 1:], seen[0][:, 1:], rtol=1e-4, atol=1e-2)
