"""One frame of the toy world in every form that the inferencer reads."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
from pyquaternion import Quaternion

INFOS = 'cvt_io_infos_{}.json'


def split_of(root: Path) -> Path:
    """An info file with frames; which split has the scenes of a tiny world is not of interest here."""
    return next(p for p in (root / INFOS.format(s) for s in ('val', 'train')) if json.loads(p.read_text())['data_list'])


def infos(root: Path) -> list[dict]:
    return json.loads(split_of(root).read_text())['data_list']


def rig_json(info: dict, path: Path, cameras: int = 6, inverse: bool = False) -> Path:
    """A rig of the frame's first cameras, with copies of their images beside it."""
    root, content = Path(info['root']), {'cameras': {}, 'frames': [{'token': 'first', 'scene': 'drive', 'images': {}}]}
    path.parent.mkdir(parents=True, exist_ok=True)
    for image in info['images'][:cameras]:
        pose = np.array(image['cam_from_ego'])
        key, pose = ('ego_from_cam', np.linalg.inv(pose)) if inverse else ('cam_from_ego', pose)
        content['cameras'][image['camera']] = {'intrinsics': image['intrinsics'], key: pose.tolist()}
        shutil.copy(root / image['path'], path.parent / f'{image["camera"]}.jpg')
        content['frames'][0]['images'][image['camera']] = f'{image["camera"]}.jpg'
    path.write_text(json.dumps(content))
    return path


def mmdet3d_info(root: Path, info: dict) -> dict:
    """An entry of mmdet3d's infos from the world's own tables: nothing of it goes through our labels or geometry.

    As mmdet3d makes them: ``lidar2cam`` goes by way of the world, through the ego poses of both timestamps.
    """
    tables = root / 'v1.0-mini'
    records = {
        name: {record['token']: record for record in json.loads((tables / f'{name}.json').read_text())}
        for name in ('sample_data', 'ego_pose', 'calibrated_sensor', 'sensor')
    }

    def matrix(record: dict) -> np.ndarray:
        result = Quaternion(record['rotation']).transformation_matrix
        result[:3, 3] = record['translation']
        return result

    entries = {}
    for data in records['sample_data'].values():
        if data['sample_token'] == info['sample_token'] and data['is_key_frame']:
            calibration = records['calibrated_sensor'][data['calibrated_sensor_token']]
            channel = records['sensor'][calibration['sensor_token']]['channel']
            pose = matrix(records['ego_pose'][data['ego_pose_token']])
            entries[channel] = (data, calibration, matrix(calibration), pose)
    _, _, lidar2ego, ego2global = entries['LIDAR_TOP']
    images = {}
    for image in info['images']:
        data, calibration, cam2ego, cam_ego2global = entries[image['camera']]
        lidar2cam = np.linalg.inv(cam_ego2global @ cam2ego) @ ego2global @ lidar2ego
        images[image['camera']] = {
            'img_path': Path(data['filename']).name,
            'cam2img': calibration['camera_intrinsic'],
            'cam2ego': cam2ego.tolist(),
            'lidar2cam': lidar2cam.tolist(),
        }
    return {
        'sample_idx': 0,
        'token': info['sample_token'],
        'ego2global': ego2global.tolist(),
        'lidar_points': {'lidar_path': 'lidar.pcd.bin', 'lidar2ego': lidar2ego.tolist()},
        'images': images,
    }


def mmdet3d_pickle(root: Path, info: dict, folder: Path, entry: dict | None = None) -> Path:
    """The folder of mmdet3d's demo: a pickle and six JPEGs."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in info['images']:
        shutil.copy(root / image['path'], folder)
    content = {'metainfo': {'dataset': 'nuscenes'}, 'data_list': [entry or mmdet3d_info(root, info)]}
    (folder / 'frame.pkl').write_bytes(pickle.dumps(content))
    return folder / 'frame.pkl'
