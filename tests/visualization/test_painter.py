"""Overlays land where the camera sees the ground, and maps have the colours they should."""

from __future__ import annotations

import numpy as np

from projects.CVT_IO.cvt_io.geometry import BEVGrid, project
from projects.CVT_IO.cvt_io.visualization import painter

GRID = BEVGrid((40, 40), (40.0, 40.0))  # 1 m a cell, ego in the middle
INTRINSICS = np.array([[50.0, 0, 60], [0, 50.0, 30], [0, 0, 1]])


def camera(yaw_degrees: float) -> np.ndarray:
    """cam_from_ego of a level camera 1.5 m above the ego; yaw 0 looks ahead, 180 back."""
    yaw = np.radians(yaw_degrees)
    ahead, left = np.array([np.cos(yaw), np.sin(yaw), 0]), np.array([-np.sin(yaw), np.cos(yaw), 0])
    matrix = np.eye(4)
    matrix[:3, :3] = [-left, [0, 0, -1], ahead]  # x right, y down, z ahead
    matrix[:3, 3] = -matrix[:3, :3] @ [0, 0, 1.5]
    return matrix


def tinted(yaw: float, mask: np.ndarray) -> np.ndarray:
    img = np.zeros((60, 120, 3), np.uint8)
    return painter.ground_overlay(img, mask, GRID, INTRINSICS, camera(yaw), (255, 255, 255)).any(-1)


def test_overlay_is_where_the_cell_projects():
    mask = np.zeros(GRID.size, bool)
    # Cells of rows 8–11 and columns 14–17 have their centres 9–12 m ahead (20 − row) and 3–6 m to the left.
    mask[8:12, 14:18] = True
    pixels, _ = project(np.array([[10.5, 4.5, 0.0]]), INTRINSICS, camera(0))
    found = tinted(0, mask)
    x, y = np.round(pixels[0]).astype(int)
    assert found[y, x]
    rows, columns = np.nonzero(found)
    # 1.5 m of height at 8.5–12.5 m is 6–8.8 pixels below the horizon (row 30); 2.5–6.5 m left of 8.5–12.5 m is 10–38
    # pixels left of the middle (column 60).
    assert rows.min() >= 35 and rows.max() <= 39 and columns.min() >= 21 and columns.max() <= 51


def test_nothing_is_drawn_behind_the_camera():
    mask = np.zeros(GRID.size, bool)
    mask[:18] = True  # all that lies ahead
    assert tinted(0, mask).any() and not tinted(180, mask).any()


def test_nothing_above_the_horizon():
    assert not tinted(0, np.ones(GRID.size, bool))[:30].any()


def test_error_colours():
    predicted = np.array([[True, True, False, False, True]])
    target = np.array([[True, False, True, False, False]])
    keep = np.array([[True, True, True, True, False]])
    canvas = painter.bev_errors(predicted, target, keep, np.zeros_like(keep))
    assert [tuple(c) for c in canvas[0]] == [
        painter.HIT,
        painter.FALSE,
        painter.MISSED,
        painter.BACKGROUND,
        painter.BACKGROUND,
    ]


def test_left_out_truth_is_faint():
    target, keep = np.array([[True, True, False]]), np.array([[True, False, True]])
    canvas = painter.bev_truth(target, keep, np.zeros_like(keep))
    assert [tuple(c) for c in canvas[0]] == [painter.TRUTH, painter.FAINT, painter.BACKGROUND]


def test_panel_holds_any_number_of_cameras():
    for count in (1, 4, 6):
        picture = painter.panel(
            [np.full((48, 112, 3), 200, np.uint8)] * count, [('a', np.zeros((9, 9, 3), np.uint8))], 't', GRID
        )
        assert picture.dtype == np.uint8 and picture.shape[2] == 3 and (picture == 200).all(-1).any()
