from __future__ import annotations

import numpy as np
import pytest
from pyquaternion import Quaternion

from projects.CVT_IO.toy_world.rig import CAMERAS, LIDAR, calibrate

YAWS = dict(CAM_FRONT=0, CAM_FRONT_LEFT=55, CAM_FRONT_RIGHT=-55, CAM_BACK=180, CAM_BACK_LEFT=110, CAM_BACK_RIGHT=-110)


@pytest.mark.parametrize(('channel', 'yaw'), YAWS.items())
def test_cameras_look_where_nuscenes_cameras_look(channel, yaw):
    pose = calibrate(0, 'log', (900, 1600))[channel].ego_from_sensor()
    right, down, forward = pose[:3, :3].T
    direction = np.array([np.cos(np.radians(yaw)), np.sin(np.radians(yaw)), 0.0])
    # The calibration varies by tenths of a degree: within 3° (cosine 0.9986).
    assert forward @ direction > 0.9986
    assert down @ (0, 0, -1) > 0.9986
    assert right @ np.cross(direction, (0, 0, 1)) > 0.9986
    assert 1.4 < pose[2, 3] < 1.7


def test_intrinsics_follow_the_image_size():
    full, small = (calibrate(0, 'log', size) for size in ((900, 1600), (90, 400)))
    for channel in CAMERAS:
        # A tenth of the height, a quarter of the width.
        expected = np.diag([0.25, 0.1, 1.0]) @ np.array(full[channel].intrinsics)
        np.testing.assert_allclose(small[channel].intrinsics, expected, atol=1e-6)
    other = calibrate(0, 'another', (900, 1600))
    for channel in CAMERAS:  # logs differ a little
        assert 0 < np.abs(np.subtract(full[channel].intrinsics, other[channel].intrinsics)).max() < 30
    focal = {channel: full[channel].intrinsics[0][0] for channel in CAMERAS}
    assert focal['CAM_BACK'] == pytest.approx(809, abs=15)
    assert all(focal[c] == pytest.approx(1266, abs=25) for c in CAMERAS if c != 'CAM_BACK')


def test_every_sensor_has_its_own_time_and_pose(world):
    for _, _, sample in world.frames():
        lidar = world.nusc.get('sample_data', sample['data'][LIDAR])
        assert lidar['timestamp'] == sample['timestamp']
        for channel in CAMERAS:
            camera = world.nusc.get('sample_data', sample['data'][channel])
            delay = camera['timestamp'] - lidar['timestamp']
            assert 0 < abs(delay) < 60_000
            poses = [world.nusc.get('ego_pose', r['ego_pose_token']) for r in (camera, lidar)]
            assert poses[0]['timestamp'] == camera['timestamp']
            moved = np.linalg.norm(np.subtract(poses[0]['translation'], poses[1]['translation']))
            assert moved < 12.0 * abs(delay) / 1e6 + 0.01


def test_the_ego_moves_between_cameras_and_sways(world):
    moved, sway = [], []
    for _, _, sample in world.frames():
        poses = {
            channel: world.nusc.get('ego_pose', world.nusc.get('sample_data', token)['ego_pose_token'])
            for channel, token in sample['data'].items()
        }
        moved.append(np.linalg.norm(np.subtract(poses['CAM_FRONT_LEFT']['translation'], poses[LIDAR]['translation'])))
        # Angles of the ego's own x and y axes with the horizontal plane: pitch and roll.
        rotation = Quaternion(poses[LIDAR]['rotation']).rotation_matrix
        sway.append(np.degrees(np.arcsin(rotation[2, :2])))
    assert max(moved) > 0.1
    assert 0.5 < np.abs(sway).max() < 4.0
    assert np.abs(sway).min(axis=0).max() > 0.01
    assert np.ptp(sway, axis=0).min() > 0.05


def test_the_ego_drives_on_the_road(world):
    for name in world.scenes:
        nusc_map = world.map_of(name)
        path = [
            world.nusc.get('ego_pose', world.nusc.get('sample_data', sample['data'][LIDAR])['ego_pose_token'])
            for scene, _, sample in world.frames()
            if scene == name
        ]
        for pose in path:
            assert nusc_map.layers_on_point(*pose['translation'][:2])['road_segment']
        assert np.linalg.norm(np.subtract(path[-1]['translation'], path[0]['translation'])) > 2.0
