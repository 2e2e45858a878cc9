"""mmdet3d's infos as data sets: of both versions, trained and evaluated, and against labels of the tables."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from mmdet3d.registry import DATASETS
from pyquaternion import Quaternion

import projects.CVT_IO.cvt_io  # noqa: F401
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels.classes import MAP_CLASSES
from projects.CVT_IO.cvt_io.labels.mmdet3d import CATEGORIES, MMDet3DInfos
from tests.apis.toy_inputs import mmdet3d_info
from tests.tiny import TINY_GRID, TINY_OPTIONS, TOY_CONFIG, as_arguments
from tests.tools.in_process import run_tool

#: nuScenes' names → mmdet3d's, as in its converter.
NAMES = {'vehicle.construction': 'construction_vehicle', 'human.pedestrian.adult': 'pedestrian'}


def entry(root: Path, info: dict) -> dict:
    """A frame of version 2 with its boxes, made as mmdet3d makes it: in the lidar's frame, with a yaw alone."""
    tables = {
        path.stem: {record['token']: record for record in json.loads(path.read_text())}
        for path in (root / 'v1.0-mini').glob('*.json')
    }
    item = mmdet3d_info(root, info)
    lidar_from_world = np.linalg.inv(np.array(item['ego2global']) @ np.array(item['lidar_points']['lidar2ego']))
    item['timestamp'] = info['timestamp'] / 1e6
    item['instances'] = []
    for record in tables['sample_annotation'].values():
        if record['sample_token'] == info['sample_token']:
            instance = tables['instance'][record['instance_token']]
            category = tables['category'][instance['category_token']]['name']
            name = NAMES.get(category, category.split('.')[1])
            turn = Quaternion(matrix=lidar_from_world[:3, :3]) * Quaternion(record['rotation'])
            center = (lidar_from_world @ (*record['translation'], 1))[:3]
            width, length, height = record['size']
            box = [*center.tolist(), length, width, height, turn.yaw_pitch_roll[0]]
            label = list(CATEGORIES).index(name) if name in CATEGORIES else -1
            item['instances'].append({'bbox_3d': box, 'bbox_label_3d': label})
    return item


def version_1(item: dict) -> dict:
    """The same frame as mmdet3d 1.0 wrote it."""

    def pose(matrix: list, name: str) -> dict:
        matrix = np.array(matrix)
        rotation = Quaternion(matrix=matrix, rtol=1e-3, atol=1e-3)
        return {f'{name}_rotation': rotation.elements.tolist(), f'{name}_translation': matrix[:3, 3].tolist()}

    cams = {}
    for name, image in item['images'].items():
        lidar_from_cam = np.linalg.inv(image['lidar2cam'])
        cams[name] = {
            'data_path': f'./data/nuscenes/samples/{name}/{image["img_path"]}',
            'cam_intrinsic': np.array(image['cam2img']),
            'sensor2lidar_rotation': lidar_from_cam[:3, :3],
            'sensor2lidar_translation': lidar_from_cam[:3, 3],
            **pose(image['cam2ego'], 'sensor2ego'),
        }
    names = list(CATEGORIES)
    return {
        'token': item['token'],
        'timestamp': item['timestamp'] * 1e6,
        'cams': cams,
        **pose(item['ego2global'], 'ego2global'),
        **pose(item['lidar_points']['lidar2ego'], 'lidar2ego'),
        'gt_boxes': np.array([box['bbox_3d'] for box in item['instances']]).reshape(-1, 7),
        'gt_names': np.array([names[i] if (i := box['bbox_label_3d']) >= 0 else 'other' for box in item['instances']]),
    }


@pytest.fixture(scope='module')
def pickles(toy_root, tmp_path_factory) -> Path:
    """A folder with mmdet3d's infos of the toy world: version 2, version 1, and 1 as before mmdet3d 1.0."""
    folder = tmp_path_factory.mktemp('mmdet3d')
    for split in ('train', 'val'):
        infos = json.loads((toy_root / f'cvt_io_infos_{split}.json').read_text())['data_list']
        items = [entry(toy_root, info) for info in infos]
        categories = {name: label for label, name in enumerate(CATEGORIES)}
        second = {'metainfo': {'categories': categories}, 'data_list': items}
        first = {'metadata': {'version': 'v1.0-mini'}, 'infos': [version_1(item) for item in items]}
        oldest = {'infos': [version_1(item) for item in items]}
        for info in oldest['infos']:
            info['gt_boxes'][:, 6] = -info['gt_boxes'][:, 6] - np.pi / 2
            info['gt_boxes'] = info['gt_boxes'][:, [0, 1, 2, 4, 3, 5, 6]]
        for name, content in (('v2', second), ('v1', first), ('v0', oldest)):
            (folder / f'nuscenes_infos_{split}_{name}.pkl').write_bytes(pickle.dumps(content))
    return folder


def build(root: Path, ann_file: str | Path, **options):
    config = dict(type='CVTIONuScenesDataset', data_root=str(root), ann_file=str(ann_file), **options)
    pipeline = [dict(type='CVTIOLoadImages'), dict(type='CVTIOLoadBEVLabel'), dict(type='CVTIOPackInputs')]
    return DATASETS.build(config | dict(bev_grid=TINY_GRID.to_dict(), pipeline=pipeline))


@pytest.mark.parametrize('version', ['v2', 'v1', 'v0'])
def test_labels_and_calibration_are_those_of_the_tables(toy_root, pickles, version):
    ours = build(toy_root, 'cvt_io_infos_train.json')
    theirs = build(toy_root, pickles / f'nuscenes_infos_train_{version}.pkl', cameras=ours.metainfo['cameras'])
    assert len(ours) == len(theirs) and theirs.missing_classes() == [*MAP_CLASSES]
    vehicles = 0
    for one, other in zip(map(ours.__getitem__, range(6)), map(theirs.__getitem__, range(6)), strict=True):
        assert one['data_samples'].sample_token == other['data_samples'].sample_token
        for key, tolerance in (('cam_from_ego', 1e-4), ('intrinsics', 1e-4), ('imgs', 0)):
            np.testing.assert_allclose(one['inputs'][key], other['inputs'][key], atol=tolerance)
        label, found = one['data_samples'].gt_bev, other['data_samples'].gt_bev
        # A yaw alone, in a lidar that is tilted: cells at a border may differ.
        assert (label.classes[4:] != found.classes[4:]).sum() <= 0.08 * label.classes[4:].sum()
        assert not found.classes[:4].any()
        assert set(np.unique(found.visibility)) <= {4, 255}
        vehicles += int((found.visibility == 4).sum())
    assert vehicles > 100


def test_trained_and_evaluated(toy_root, pickles, tmp_path):
    options = TINY_OPTIONS | {'data_root': toy_root, 'train_cfg.max_iters': 2, 'param_scheduler.total_steps': 3}
    for loader, name in (('train', 'train_v2'), ('val', 'val_v1'), ('test', 'val_v2')):
        options[f'{loader}_dataloader.dataset.ann_file'] = pickles / f'nuscenes_infos_{name}.pkl'
    words = ('--work-dir', tmp_path, '--cfg-options', *as_arguments(options))
    assert run_tool('tools/train.py', TOY_CONFIG, *words) is None
    out = tmp_path / 'result.json'
    assert run_tool('tools/test.py', TOY_CONFIG, tmp_path / 'iter_2.pth', '--out', out, *words) is None
    assert 0 <= json.loads(out.read_text())['vehicle/IoU@0.50'] <= 1
    draw = ('--output-dir', tmp_path / 'drawn', '--not-show', '--num', 1, *words[2:])
    assert run_tool('tools/misc/browse_dataset.py', TOY_CONFIG, *draw) is None
    assert len([*(tmp_path / 'drawn').iterdir()]) == 1


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda i: i.pop('instances'), 'instances: expected the annotated boxes, found None'),
        (lambda i: i['instances'].append(3), r'instances\[\d+\]: expected a box, found 3'),
        (lambda i: i['instances'][0].update(bbox_3d=[1.0]), r'instances\[0\]\.bbox_3d: expected 1×7 finite numbers'),
        (lambda i: i['lidar_points'].pop('lidar2ego'), r'lidar2ego: expected 4×4'),
    ],
)
def test_broken_boxes(pickles, tmp_path, change, message):
    content = pickle.loads((pickles / 'nuscenes_infos_train_v2.pkl').read_bytes())  # noqa: S301
    change(content['data_list'][0])
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(content))
    infos = MMDet3DInfos.read(tmp_path / 'a.pkl')
    with pytest.raises(DataError, match=message):
        infos.annotations(infos.items[0])


def test_broken_frame_of_version_1(tmp_path):
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps({'infos': [{'token': 'a', 'cams': {'CAM_FRONT': 3}}]}))
    infos = MMDet3DInfos.read(tmp_path / 'a.pkl')
    with pytest.raises(DataError, match='expected a frame of mmdet3d infos of version 1'):
        infos.annotations(infos.items[0])
