from __future__ import annotations

import numpy as np
import pytest
from shapely import affinity
from shapely.geometry import box

from projects.CVT_IO.toy_world.actors import make_actor, overlaps, speed_limits
from projects.CVT_IO.toy_world.paths import Path
from projects.CVT_IO.toy_world.scene import build_scene
from projects.CVT_IO.toy_world.traffic import simulate

STRAIGHT = Path(np.array([[0.0, 0.0], [400.0, 0.0]]))


def footprint(pose, width, length):
    shape = box(-length / 2, -width / 2, length / 2, width / 2)
    return affinity.translate(affinity.rotate(shape, pose[2], origin=(0, 0), use_radians=True), pose[0], pose[1])


def test_overlaps_against_shapely(rng):
    poses = rng.uniform((0, 0, -np.pi), (30, 30, np.pi), (60, 3))
    sizes = rng.uniform((0.5, 0.5), (3, 9), (60, 2))
    shapes = [footprint(pose, *size) for pose, size in zip(poses, sizes, strict=True)]
    expected = np.array([[i != j and a.intersects(b) for j, b in enumerate(shapes)] for i, a in enumerate(shapes)])
    assert expected.any()
    np.testing.assert_array_equal(overlaps(poses, sizes), expected)


def test_speed_limits_of_a_bend():
    # On a circle of 10 m radius v² / 10 m may be 2.2 m/s², so v = √22 m/s; a straight line leaves the cruising speed.
    angle = np.linspace(0, np.pi, 200)
    circle = Path(10 * np.column_stack([np.cos(angle), np.sin(angle)]))
    assert speed_limits(circle, 9.0)[10] == pytest.approx(np.sqrt(22), rel=0.02)
    assert speed_limits(STRAIGHT, 9.0).min() == 9.0


def test_a_fast_car_stays_behind_a_slow_one_and_stops_for_a_pedestrian(rng):
    fast = make_actor(rng, 'vehicle.car', path=STRAIGHT, start=10.0, speed=10.0)
    slow = make_actor(rng, 'vehicle.bus.rigid', path=STRAIGHT, start=40.0, speed=3.0)
    _, s = simulate([fast, slow], [], 20.0)
    between = s[:, 1] - s[:, 0] - (fast.size[1] + slow.size[1]) / 2
    assert between.min() > 1.0 and between[-1] < 10.0
    assert (s[-1, 0] - s[-6, 0]) / 1.0 == pytest.approx(3.0, abs=0.3)
    standing = Path(np.array([[60.0, -0.5], [60.0, 0.5]]))
    person = make_actor(rng, 'human.pedestrian.adult', path=standing, start=0.5, speed=0.0)
    _, s = simulate([fast], [person], 20.0)
    assert 48.0 < s[-1, 0] + fast.size[1] / 2 < 60.0 and s[-1, 0] - s[-6, 0] < 0.1


@pytest.mark.parametrize('name', ['scene-0061', 'scene-0655', 'scene-1100'])
def test_motion_in_a_scene_is_physical(name):
    scene = build_scene(name, 16, (90, 160), 0)
    tracks: dict[int, list] = {}
    for frame in scene.frames:
        sizes = np.array([scene.actors[a.actor].size[:2] for a in frame.annotations])
        assert not overlaps(np.array([a.pose for a in frame.annotations]), sizes).any()
        for annotation in frame.annotations:
            tracks.setdefault(annotation.actor, []).append(annotation)
    driven = 0
    for actor, track in tracks.items():
        steps = np.diff([a.pose[:2] for a in track], axis=0)
        if scene.actors[actor].path is None:
            assert not steps.any()
        elif scene.actors[actor].drives and len(track) == len(scene.frames):
            speeds = np.linalg.norm(steps, axis=1) / 0.5
            assert speeds.max() < 12.0
            assert np.abs(np.diff(speeds)).max() / 0.5 < 8.0
            driven += speeds.max() > 2.0
    assert driven >= 3
