from __future__ import annotations

import numpy as np
import pytest

from projects.CVT_IO.toy_world.boxes import Buffers, Solid, draw, in_view
from projects.CVT_IO.toy_world.textures import FACES
from projects.CVT_IO.toy_world.weather import Weather

# A camera one metre above the origin that looks along the world's x axis.
INTRINSICS = np.array([[100.0, 0.0, 80.0], [0.0, 100.0, 45.0], [0.0, 0.0, 1.0]])
CAM_FROM_WORLD = np.array([[0.0, -1, 0, 0], [0, 0, -1, 1], [1, 0, 0, 0], [0, 0, 0, 1]])
FLAT = Weather('flat', (0.0, 0.0, 1.0), 0.0, 1.0, 1.0, (0, 0, 0), (0, 0, 0), (1.0, 1.0, 1.0), 1.0, 0.0)


def solid(x, y, heading, width, length, height, **colours):
    textures = {face: np.full((8, 8, 3), colours.get(face, (200, 200, 200)), dtype=np.uint8) for face in FACES}
    return Solid(np.array([x, y, heading]), (width, length, height), textures)


def buffers(height=90, width=160):
    return Buffers(np.zeros((height, width, 3), dtype=np.uint8))


def paint(target, body, label=1, cam_from_world=CAM_FROM_WORLD):
    return draw(target, body, label, INTRINSICS, cam_from_world, FLAT)


def cast(body, cam_from_world, shape):
    """Depth (H, W) of a box by intersecting each pixel's ray with its three slabs; inf where it misses."""
    world_from_cam = np.linalg.inv(cam_from_world)
    y, x = np.mgrid[: shape[0], : shape[1]]
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(INTRINSICS).T  # z = 1: length is depth
    rotation, translation = body.frame()
    rays = rays @ world_from_cam[:3, :3].T @ rotation
    origin = (world_from_cam[:3, 3] - translation) @ rotation
    width, length, height = body.size
    low, high = np.array([-length / 2, -width / 2, 0.0]), np.array([length / 2, width / 2, height])
    with np.errstate(divide='ignore'):
        near, far = (low - origin) / rays, (high - origin) / rays
    enter, leave = np.minimum(near, far).max(axis=-1), np.maximum(near, far).min(axis=-1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def test_a_box_straight_ahead():
    # Its rear is 10 m away and spans ±1 m: 100 · 1 / 10 = 10 pixels on either side of (80, 45).
    target = buffers()
    covered = paint(target, solid(11.0, 0.0, 0.0, 2.0, 2.0, 2.0), label=5)
    rows, columns = np.nonzero(target.instance)
    assert covered == len(rows) == 20 * 20
    assert 70 <= columns.min() <= 71 and 89 <= columns.max() <= 90
    assert 35 <= rows.min() <= 36 and 54 <= rows.max() <= 55
    assert set(np.unique(target.instance)) == {0, 5}
    np.testing.assert_allclose(target.depth_inverse[target.instance == 5], 0.1, rtol=1e-5)
    behind = buffers()
    assert paint(behind, solid(-8.0, 0.0, 0.0, 2.0, 4.0, 2.0)) == 0 and not behind.instance.any()


def test_coverage_and_depth_against_ray_casting(rng):
    misses, hits = 0, 0
    for _ in range(60):
        # Some of them reach past the camera's sides or stick through its image plane.
        body = solid(
            rng.uniform(1, 25), rng.uniform(-9, 9), rng.uniform(-4, 4), *rng.uniform((0.4, 0.4, 0.3), (3, 9, 4))
        )
        target = buffers()
        expected = cast(body, CAM_FROM_WORLD, target.instance.shape)
        rotation, translation = body.frame()
        inside = np.abs(-translation @ rotation)[:2] < np.array([body.size[1], body.size[0]]) / 2 + 0.1
        if inside.all():
            continue  # no face of a box can be seen from within it
        covered = paint(target, body)
        seen = target.instance == 1
        misses += np.count_nonzero(seen != np.isfinite(expected))
        hits += np.count_nonzero(seen)
        assert covered == np.count_nonzero(seen)
        both = seen & np.isfinite(expected)
        np.testing.assert_allclose(target.depth_inverse[both], 1 / expected[both], rtol=1e-3)
    assert hits > 20_000
    assert misses < 1e-3 * hits


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_the_nearer_box_hides_the_farther_one(order):
    near, far = solid(6.0, 0.0, 0.3, 1.5, 1.5, 1.5), solid(14.1, 0.47, 0.1, 3.1, 3.0, 3.1)
    bodies = [near, far]
    alone = [cast(body, CAM_FROM_WORLD, (90, 160)) for body in bodies]
    target = buffers()
    covered = {k: paint(target, bodies[k], label=k + 1) for k in order}
    expected = np.where(np.isfinite(alone[0]), 1, np.where(np.isfinite(alone[1]), 2, 0))
    assert np.count_nonzero(expected != target.instance) <= 2
    # What it would cover does not depend on what hides it.
    assert covered[1] == pytest.approx(np.isfinite(alone[1]).sum(), abs=2)


def test_which_faces_are_seen():
    colours = dict(front=(255, 0, 0), rear=(0, 255, 0), left=(0, 0, 255), right=(255, 255, 0), top=(0, 255, 255))

    def seen(heading, y=0.0, height=0.5):
        target = buffers()
        paint(target, solid(8.0, y, heading, 1.8, 1.8, height, **colours))
        found = np.unique(target.image[target.instance > 0] > 0, axis=0)  # light changes the shade, not the hue
        return {face for face, colour in colours.items() if (found == (np.array(colour) > 0)).all(axis=1).any()}

    assert seen(0.0) == {'rear', 'top'}  # it drives away from the camera
    assert seen(np.pi) == {'front', 'top'}
    assert seen(0.0, height=1.5) == {'rear'}  # higher than the camera
    # Heading to the left of the image (north, +y) its left side is turned to the camera.
    assert seen(np.pi / 2) == {'left', 'top'}
    assert seen(-np.pi / 2) == {'right', 'top'}


def test_textures_are_the_right_way_round():
    body = solid(8.0, 0.0, np.pi / 2, 1.8, 4.0, 1.8)  # heads to the left of the image
    texture = body.textures['left']
    texture[:, :4], texture[:, 4:] = (0, 255, 0), (255, 0, 0)  # green at the front, red at the rear
    texture[:2] = (0, 0, 255)  # blue along the upper edge
    target = buffers()
    paint(target, body)
    rows, columns = np.nonzero(target.instance)
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    assert target.image[bottom - 2, left + 3].argmax() == 1
    assert target.image[bottom - 2, right - 3].argmax() == 0
    assert target.image[top + 1, (left + right) // 2].argmax() == 2


def test_culling_keeps_all_that_is_seen(rng):
    bodies = [
        solid(*rng.uniform((-20, -20, -3), (25, 20, 3)), *rng.uniform((0.4, 0.4, 0.3), (3, 9, 4))) for _ in range(300)
    ]
    kept = in_view(bodies, INTRINSICS, CAM_FROM_WORLD, (90, 160))
    seen = np.array([np.isfinite(cast(body, CAM_FROM_WORLD, (90, 160))).any() for body in bodies])
    assert not (seen & ~kept).any()
    assert 20 < seen.sum() <= kept.sum() < 200
