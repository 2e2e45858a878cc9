"""Wires against pixels computed by hand, and against points sampled along the box's edges."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from projects.CVT_IO.cvt_io.visualization.wireframe import NEAR, draw_wires, wires
from tests.visualization.test_painter import INTRINSICS, camera


def box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> np.ndarray:
    """Corners of a box along the ego's axes that faces ahead: the front's at the larger x, left at the larger y."""
    ring = [(y[1], z[1]), (y[0], z[1]), (y[0], z[0]), (y[1], z[0])]  # left top, right top, right bottom, left bottom
    return np.array([(depth, *corner) for depth in (x[1], x[0]) for corner in ring])


def test_pixels_by_hand():
    """x = 60 − 50·left/ahead and y = 30 + 50·(1.5 − up)/ahead, with the camera 1.5 m above the ego."""
    found = wires(box((10, 20), (-1, 1), (0.5, 2.5)), INTRINSICS, camera(0))
    # The rear is 10 m ahead, 5 pixels a metre; the front 20 m, 2.5 pixels a metre.
    left, right, top, bottom = 55, 65, 25, 35
    rear = [((left, top), (right, top)), ((right, top), (right, bottom))]
    rear += [((right, bottom), (left, bottom)), ((left, bottom), (left, top))]
    left, right, top, bottom = 57.5, 62.5, 27.5, 32.5
    front = [((left, top), (right, top)), ((right, top), (right, bottom))]
    front += [((right, bottom), (left, bottom)), ((left, bottom), (left, top))]
    cross = [((left, top), (right, bottom)), ((right, top), (left, bottom))]
    sides = [(start, end) for (start, _), (end, _) in zip(rear, front, strict=True)]
    expected = {frozenset(ends) for ends in (*rear, *front, *cross, *sides)}
    assert len(found) == 14 and {frozenset(map(tuple, ends.round(9))) for ends in found} == expected


@pytest.mark.parametrize('yaw', [0, 60, 90, 120, 180])
def test_near_plane_against_sampled_edges(yaw):
    """A long box beside the camera, partly behind it: what is drawn is what points along its edges project to."""
    corners = box((-6, 9), (2, 5), (0.9, 2.1))
    drawn = np.zeros((60, 120, 3), np.uint8)
    matrix = camera(yaw)
    ends = wires(corners, INTRINSICS, matrix)
    draw_wires(drawn, ends, (255, 255, 255))
    lines = drawn.max(axis=-1) > 100

    expected = np.zeros((60, 120), bool)
    pairs = [pair for pair in itertools.combinations(corners, 2) if (pair[0] != pair[1]).sum() == 1]  # twelve edges
    pairs += [(corners[0], corners[2]), (corners[1], corners[3])]
    shown = 0
    for start, end in pairs:
        points = start + np.linspace(0, 1, 100_001)[:, None] * (end - start)
        x, y, depth = INTRINSICS @ (matrix[:3, :3] @ points.T + matrix[:3, 3:])
        shown += (depth > NEAR).any()
        columns, rows = (np.round(value[depth > NEAR] / depth[depth > NEAR]) for value in (x, y))
        inside = (columns >= 0) & (columns < 120) & (rows >= 0) & (rows < 60)
        expected[rows[inside].astype(int), columns[inside].astype(int)] = True
    assert len(ends) == shown and expected.sum() > 20
    grown, kernel = expected.astype(np.uint8), np.ones((3, 3), np.uint8)
    assert not (lines & (cv2.dilate(grown, kernel) == 0)).any()
    assert not (expected & (cv2.dilate(lines.astype(np.uint8), kernel) == 0)).any()


def test_nothing_of_a_box_behind_the_camera():
    assert wires(box((-9, -5), (-1, 1), (0, 2)), INTRINSICS, camera(0)).shape == (0, 2, 2)


def test_wires_have_a_dark_border():
    img = np.full((9, 9, 3), 200, np.uint8)
    draw_wires(img, np.array([[[4.0, -5.0], [4.0, 20.0]]]), (10, 250, 30))
    assert np.abs(img[4, 4] - np.array([10, 250, 30])).max() < 30  # OpenCV's antialiased lines are not quite opaque
    assert (img[4, [3, 5]] < 120).all() and (img[4, [0, 8]] == 200).all()
