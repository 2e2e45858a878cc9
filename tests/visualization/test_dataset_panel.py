"""A panel of a frame whose every part is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from mmdet3d.structures import Det3DDataSample
from mmengine.structures import BaseDataElement

from projects.CVT_IO.cvt_io.geometry import BEVGrid, pose_matrix
from projects.CVT_IO.cvt_io.labels.classes import CLASSES
from projects.CVT_IO.cvt_io.labels.frame import Annotation
from projects.CVT_IO.cvt_io.visualization import painter
from projects.CVT_IO.cvt_io.visualization.dataset_panel import (
    CLASS_COLORS,
    VISIBILITIES,
    WIDTH,
    bev_classes,
    box_color,
    box_corners,
    dataset_panel,
)
from tests.visualization.test_painter import camera

GRID = BEVGrid((8, 8), (8.0, 8.0))
INTRINSICS = np.array([[20.0, 0, 24], [0, 20.0, 12], [0, 0, 1]])  # of 24 × 48 pixels
HALF_TURN = 0.5**0.5  # cosine and sine of 45°, for quaternions of 90° about z

# What a colour-blind eye makes of linear RGB: Machado, Oliveira & Fernandes 2009, table 1, severity 1.0.
COLOR_BLIND = {
    'protanopia': [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    'deuteranopia': [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    'tritanopia': [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    'normal': np.eye(3).tolist(),
}


def frame(label: bool = True) -> tuple[dict, dict]:
    """A black frame of one camera 1.5 m above the ego, with the ego in the world at (100, 50), and its info."""
    calibration = dict(intrinsics=torch.from_numpy(INTRINSICS)[None], cam_from_ego=torch.from_numpy(camera(0))[None])
    sample = Det3DDataSample()
    classes, visibility = torch.zeros(12, 8, 8, dtype=torch.uint8), torch.full((8, 8), 255, dtype=torch.uint8)
    for index in range(12):
        classes[index, 0 if index < 8 else 1, index % 8] = 1
    visibility[2, :4] = torch.tensor([1, 2, 3, 4])
    center = torch.zeros(8, 8)
    center[3, 1] = 1
    if label:
        sample.gt_bev = BaseDataElement(classes=classes, visibility=visibility, center=center)
    info = dict(
        scene_name='scene',
        sample_token='token',
        timestamp=1_530_000_000_500_000,
        world_from_ego=pose_matrix((1, 0, 0, 0), (100, 50, 0)).tolist(),
        images=[dict(camera='CAM_FRONT')],
    )
    return dict(
        inputs=dict(imgs=torch.zeros(1, 3, 24, 48, dtype=torch.uint8), **calibration), data_samples=sample
    ), info


def map_cell(picture: np.ndarray, index: int, row: int, column: int) -> tuple[int, ...]:
    """Colour of a cell's middle on a map; cells are 80 pixels wide, the camera above them is 320 high."""
    top = 8 + 28 + 320 + 8
    return tuple(picture[top + row * 80 + 40, 8 + index * (640 + 8) + column * 80 + 40])


def test_maps_by_hand():
    picture = dataset_panel(*frame(), GRID)
    for index, name in enumerate(CLASSES):
        assert map_cell(picture, 0, 0 if index < 8 else 1, index % 8) == CLASS_COLORS[name]
    assert map_cell(picture, 0, 5, 5) == painter.BACKGROUND
    assert [map_cell(picture, 1, 2, column) for column in range(4)] == [VISIBILITIES[t][1] for t in (1, 2, 3, 4)]
    assert map_cell(picture, 1, 0, 0) == map_cell(picture, 1, 0, 1) == painter.ROAD  # lane and road segment
    assert map_cell(picture, 1, 2, 4) == painter.BACKGROUND
    assert map_cell(picture, 2, 3, 1) == (255, 255, 255)  # a probability of 1


def test_legend_shows_every_colour():
    picture = dataset_panel(*frame(), GRID)
    strip = picture[8 + 28 + 320 + 8 + 640 + 28 :]
    for column, colors in enumerate((CLASS_COLORS.values(), (color for _, color in VISIBILITIES.values()))):
        part = strip[:, 8 + column * 648 : 648 + column * 648]
        for color in colors:
            assert (part == color).all(axis=-1).sum() > 200  # a swatch of 17 × 17 pixels


def test_without_label_no_maps():
    picture = dataset_panel(*frame(label=False), GRID)
    legend = 5 * 28 + 8  # thirteen names, three in a row
    assert picture.shape == (8 + 28 + 320 + 8 + legend, 3 * WIDTH + 32, 3)


def test_overlapping_classes():
    planes = np.zeros((12, 1, 4), np.uint8)
    for column, names in enumerate(
        (('lane', 'road_segment'), ('lane', 'lane_divider'), ('road_divider', 'lane_divider'), ('car', 'road_divider'))
    ):
        planes[[CLASSES.index(name) for name in names], 0, column] = 1
    expected = [CLASS_COLORS[name] for name in ('lane', 'lane_divider', 'road_divider', 'car')]
    assert [tuple(color) for color in bev_classes(planes)[0]] == expected


def test_corners_by_hand():
    """The ego at (100, 50) heads along the world's y; so does a box 10 m before it, 2 m wide and 4 m long."""
    rotation = (HALF_TURN, 0, 0, HALF_TURN)
    box = Annotation('vehicle.car', 4, (100, 60, 1), (2, 4, 2), rotation)
    corners = box_corners(box, pose_matrix(rotation, (100, 50, 0)))
    face = [(1, 2), (-1, 2), (-1, 0), (1, 0)]  # left and up: left top, right top, right bottom, left bottom
    assert corners == pytest.approx(np.array([(x, *corner) for x in (12, 8) for corner in face]), abs=1e-9)


@pytest.mark.parametrize(
    ('category', 'color'),
    [
        ('vehicle.car', CLASS_COLORS['car']),
        ('human.pedestrian.adult', CLASS_COLORS['pedestrian']),
        ('movable_object.trafficcone', painter.FAINT),
    ],
)
def test_box_is_drawn_where_it_is(category, color):
    """Rear edges of a box 10 m ahead, 1 m to either side: 24 ± 20·1/10 = 22 and 26, of 48 pixels on 640."""
    box = Annotation(category, 4, (112, 50, 1), (2, 4, 2), (1, 0, 0, 0))
    assert box_color(box) == color
    bare, drawn = (dataset_panel(*frame(), GRID, annotations) for annotations in ((), (box,)))
    changed = np.argwhere((bare != drawn).any(axis=-1)) - (8 + 28, 8)  # row and column in the camera's picture
    # From z = 0 to 2 m with the camera at 1.5 m: rows 12 + 20·1.5/10 = 15 to 12 − 20·0.5/10 = 11, times 640/48.
    edges = np.array([[11, 22], [15, 26]]) * 640 / 48
    assert changed.min(axis=0) == pytest.approx(edges[0], abs=3)
    assert changed.max(axis=0) == pytest.approx(edges[1], abs=3)
    first = 285  # columns about the rear's left edge; the front's is at (24 − 20·1/14)·640/48 = 301
    line = drawn[36 + 170, 8 + first : 8 + 298].astype(float)
    brightest = line.sum(axis=-1).argmax()
    assert first + brightest == pytest.approx(edges[0, 1], abs=1)
    assert line[brightest] / line[brightest].max() == pytest.approx(np.array(color) / max(color), abs=0.05)


def test_title_tells_frame_and_time():
    """1,530,000,000 s after 1970 is 2018-06-26 08:00 UTC; another title changes the first line and nothing else."""
    item, info = frame()
    pictures = [dataset_panel(item, info | change, GRID) for change in ({}, dict(sample_token='x'), dict(timestamp=0))]
    for other in pictures[1:]:
        rows = np.flatnonzero((pictures[0] != other).any(axis=(1, 2)))
        assert len(rows) and rows.max() < 36


BOXES, AREAS = list(CLASS_COLORS.values())[4:], list(CLASS_COLORS.values())[:4]
RESULTS = [painter.HIT, painter.FALSE, painter.MISSED, painter.LEFT_OUT]


@pytest.mark.parametrize('eye', COLOR_BLIND)
@pytest.mark.parametrize(
    ('colors', 'ground', 'least'), [(BOXES, AREAS, 24), (RESULTS, painter.LAYERS.values(), 22)], ids=['boxes', 'errors']
)
def test_colours_stay_apart_for_every_eye(eye, colors, ground, least):
    """They differ from each other and from the ground by so many CIELAB units (2 can just be seen)."""
    lab = {color: _lab(color, COLOR_BLIND[eye]) for color in (painter.BACKGROUND, *ground, *colors)}
    pairs = [*itertools.combinations(colors, 2), *itertools.product(colors, (painter.BACKGROUND, *ground))]
    closest = min(pairs, key=lambda pair: np.linalg.norm(lab[pair[0]] - lab[pair[1]]))
    assert np.linalg.norm(lab[closest[0]] - lab[closest[1]]) > least, closest


def _lab(color: tuple[int, int, int], eye: list[list[float]]) -> np.ndarray:
    """CIELAB (1976, D65) of an sRGB colour as an eye sees it."""
    share = np.array(color) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz_from_rgb = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(xyz_from_rgb) @ np.clip(np.array(eye) @ linear, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_boxes_of_a_mirrored_frame():
    """The camera looks straight ahead and the image is black, so a box 2 m to the left is drawn as one to the right."""
    panels = []
    for flip, y in ((True, 52), (False, 48), (False, 52)):
        item, info = frame(label=False)
        item['data_samples'].set_metainfo(dict(flip=flip))
        box = Annotation('vehicle.car', 4, (112, y, 1), (2, 4, 2), (1, 0, 0, 0))
        panels.append(dataset_panel(item, info, GRID, (box,)).astype(int))
    assert np.abs(panels[0] - panels[1]).mean() < 0.1 * np.abs(panels[0] - panels[2]).mean()
