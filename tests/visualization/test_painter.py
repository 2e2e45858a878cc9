"""Overlays land where the camera sees the ground, and maps have the colours they should."""

from __future__ import annotations

import numpy as np
import pytest

from projects.CVT_IO.cvt_io.geometry import BEVGrid, project
from projects.CVT_IO.cvt_io.labels.classes import CLASSES
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
    return painter.ground_mask((60, 120), mask, GRID, INTRINSICS, camera(yaw))


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
    assert not tinted(0, np.ones(GRID.size, bool))[:30].any()  # nor above the horizon


def test_tint_by_hand():
    """0.45 of the image and 0.55 of the colour, where the mask says; the image itself stays."""
    img = np.full((1, 2, 3), 100, np.uint8)
    result = painter.tint(img, np.array([[True, False]]), (200, 100, 0))
    assert result.tolist() == [[[155, 100, 45], [100, 100, 100]]] and (img == 100).all()


def test_outline_is_the_border_alone():
    mask, img = np.zeros((30, 30), bool), np.zeros((30, 30, 3), np.uint8)
    mask[5:25, 5:25] = True
    painter.outline(img, mask, (255, 255, 255), 1)
    drawn = img.any(-1)
    assert drawn[5, 5:25].all() and drawn[5:25, 24].all()
    assert not drawn[8:22, 8:22].any() and not drawn[:3].any()


def test_error_colours():
    predicted = np.array([[True, True, False, False, True, True]])
    target = np.array([[True, False, True, False, False, True]])
    keep = np.array([[True, True, True, True, False, False]])
    canvas = painter.bev_errors(predicted, target, keep, painter.road_map(np.zeros_like(keep)))
    ground = painter.BACKGROUND
    expected = [painter.HIT, painter.FALSE, painter.MISSED, ground, ground, painter.LEFT_OUT]
    assert [tuple(c) for c in canvas[0]] == expected


def test_probability_ramp():
    """The ground at 0, blue at 0.5, white at 1; half way between them at 0.25: (24 + 86) / 2 and so on."""
    score = np.array([[0, 0.25, 0.5, 1.0, np.nan, np.inf]])
    canvas = painter.bev_prediction(score, painter.road_map(np.zeros((1, 6), bool)))
    assert canvas[0, :4].tolist() == [[24, 26, 32], [55, 103, 132], [86, 180, 233], [255, 255, 255]]
    assert canvas[0, 4:].tolist() == [[255, 0, 255]] * 2  # what is not finite


def test_probability_grows_lighter_on_every_ground():
    """Luma (Rec. 601) rises all the way, so that the map reads without colour too."""
    score = np.linspace(0, 1, 101)[None]
    for ground in (painter.BACKGROUND, *painter.LAYERS.values()):
        canvas = painter.bev_prediction(score, np.full((1, 101, 3), ground, np.uint8))
        assert (np.diff(canvas[0] @ [0.299, 0.587, 0.114]) > 0).all()


def test_map_layers_lie_on_one_another():
    columns = ['', 'road_segment', 'road_segment lane', 'lane lane_divider', 'car lane_divider road_divider']
    classes = np.array([[[name in names.split() for names in columns]] for name in CLASSES], np.uint8)
    colors = [painter.LAYERS[name] for name in ('road_segment', 'lane', 'lane_divider', 'road_divider')]
    assert [tuple(c) for c in painter.map_layers(classes)[0]] == [painter.BACKGROUND, *colors]


@pytest.mark.parametrize('count', [1, 2, 3])
def test_cameras_of_other_shapes_are_not_squashed(count):
    """96 × 112 pixels stay 6 : 7 beside 48 × 112; the row is as high as the higher."""
    shapes = ((48, 200), (96, 100))
    cameras = [np.full((height, 112, 3), shade, np.uint8) for height, shade in shapes]
    picture = painter.panel(cameras * count, [('a', np.zeros((9, 9, 3), np.uint8))] * (count - 1), 't', GRID)
    assert picture.dtype == np.uint8
    for height, shade in shapes:
        rows, columns = np.nonzero((picture == shade).all(-1))
        if count == 1:
            assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (round(456 * height / 112), 456)
        else:
            assert len(rows) == count * round(456 * height / 112) * 456
