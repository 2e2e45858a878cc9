"""A panel of a sample whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet3d.structures import Det3DDataSample
from mmengine.structures import BaseDataElement

from projects.CVT_IO.cvt_io.geometry import BEVGrid, project
from projects.CVT_IO.cvt_io.labels.groups import LabelGroup
from projects.CVT_IO.cvt_io.visualization import painter
from projects.CVT_IO.cvt_io.visualization.key import frame_iou, panel_key
from projects.CVT_IO.cvt_io.visualization.panels import (
    WIDTH,
    View,
    camera_picture,
    in_places,
    model_views,
    sample_panel,
    short_token,
)
from tests.visualization.test_painter import INTRINSICS, camera

GRID = BEVGrid((8, 8), (8.0, 8.0))
GROUP = LabelGroup('car', (4,), 2)


def known_sample(label: bool = True) -> Det3DDataSample:
    """On an 8 × 8 grid: road on the left half; a car that is hit, one that is missed, one hidden, and a false alarm."""
    classes, visibility = torch.zeros(12, 8, 8, dtype=torch.uint8), torch.full((8, 8), 255, dtype=torch.uint8)
    scores = torch.zeros(1, 8, 8)
    classes[1, :, :4] = 1
    for row, token in ((0, 4), (2, 3), (4, 1)):
        classes[4, row, 0:2] = 1
        visibility[row, 0:2] = token
    scores[0, 0, 0:2] = 1.0
    scores[0, 6, 6:8] = 1.0
    sample = Det3DDataSample(
        metainfo=dict(scene_name='s', sample_token='t', intrinsics=INTRINSICS[None], cam_from_ego=camera(0)[None])
    )
    if label:
        sample.gt_bev = BaseDataElement(classes=classes, visibility=visibility)
    sample.pred_bev = BaseDataElement(scores=scores)
    return sample


def known_panel(label: bool = True) -> np.ndarray:
    sample = known_sample(label)
    return sample_panel(model_views(torch.zeros(1, 3, 24, 48, dtype=torch.uint8), sample), sample, GROUP, 0, GRID)


def cell(picture: np.ndarray, panel: int, row: int, column: int) -> tuple[int, ...]:
    """Colour of a cell's middle: a map has 456 pixels, a line of text below and 8 pixels beside it."""
    y = picture.shape[0] - 28 - 456 + (row + 0.5) * 456 / 8
    return tuple(picture[int(y), int(8 + panel * (456 + 8) + (column + 0.5) * 456 / 8)])


def test_colours_by_hand():
    picture = known_panel()
    probability, errors = 0, 1
    assert picture.shape[1] == 1400
    assert cell(picture, probability, 0, 0) == cell(picture, probability, 6, 6) == (255, 255, 255)
    assert [cell(picture, probability, 2, column) for column in (0, 5)] == [painter.ROAD, painter.BACKGROUND]
    assert cell(picture, errors, 0, 0) == painter.HIT
    assert cell(picture, errors, 2, 0) == painter.MISSED
    assert cell(picture, errors, 4, 0) == painter.LEFT_OUT
    assert cell(picture, errors, 6, 6) == painter.FALSE
    assert cell(picture, errors, 7, 1) == cell(picture, errors, 7, 3) == painter.ROAD
    assert cell(picture, errors, 7, 5) == painter.BACKGROUND


def test_without_truth_there_are_no_errors():
    """As on nuScenes' test split: the prediction, and a key that names nothing of the truth."""
    picture = known_panel(label=False)
    assert cell(picture, 0, 0, 0) == (255, 255, 255)
    for color in (painter.HIT, painter.FALSE, painter.MISSED, painter.LEFT_OUT):
        assert not (picture == color).all(-1).any()


def test_cameras_stand_in_their_places():
    """Named by their yaw, left is positive; nuScenes' rear cameras look 108–110° to the side."""
    img = np.zeros((2, 3, 3), np.uint8)
    views = [View(img, INTRINSICS, camera(yaw), str(yaw)) for yaw in (180, -55, 0, 108, -110, 55)]
    assert [view.name for view in in_places(views)] == ['55', '0', '-55', '108', '180', '-110']


def test_prediction_is_tinted_where_it_is_and_truth_outlined():
    """A cell 10 m ahead in an image that is enlarged by 456 / 120 = 3.8."""
    grid = BEVGrid((40, 40), (40.0, 40.0))
    mask, nothing = np.zeros(grid.size, bool), np.zeros(grid.size, bool)
    mask[8:12, 18:23] = True
    view = View(np.zeros((60, 120, 3), np.uint8), INTRINSICS, camera(0))
    x, y = np.round(project(np.array([10.0, 0.0, 0.0]), INTRINSICS, camera(0))[0] * 3.8).astype(int)
    tinted = camera_picture(view, mask, None, grid)
    assert tinted.shape == (228, WIDTH, 3)
    assert tuple(tinted[y, x]) == tuple(int(0.55 * c) for c in painter.PREDICTED)
    outlined = camera_picture(view, nothing, mask, grid)
    assert not outlined[y, x].any() and (outlined > 150).all(-1).any()


def test_iou_by_hand():
    """One hit, one false alarm, one miss: 1/3; another hit is left out."""
    predicted, target = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 1], bool)
    keep = np.array([1, 1, 1, 1, 0], bool)
    assert frame_iou(predicted, target, keep) == pytest.approx(1 / 3)
    assert frame_iou(predicted & False, target & False, keep) is None
    assert frame_iou(predicted, target & False, keep) == 0


def test_where_there_is_nothing_to_find_there_is_no_score():
    """It is not the key of a frame in which all is missed, whose IoU is 0."""
    nothing, something = np.zeros((8, 8), bool), np.eye(8, dtype=bool)
    keys = [panel_key((456, 484), GROUP, 0.5, nothing, (target, ~nothing)) for target in (nothing, something)]
    assert (keys[0] != keys[1]).any()


@pytest.mark.parametrize(
    ('token', 'short'),
    [('72882285222612843' + '2fa5e9620eb3016', '72882285'), ('image-000123', 'image-000123'), ('', '')],
)
def test_only_tokens_of_nuscenes_are_cut(token, short):
    assert short_token(token) == short


def test_the_ego_stands_where_its_cell_is():
    """On an 8 × 8 grid the ego is at the middle of row 4, column 4: 4.5 cells of 57 pixels from the corner."""
    picture = known_panel(label=False)
    top, left = picture.shape[0] - 28 - 456, 8
    part = picture[top + 228 : top + 300, left + 228 : left + 300]
    ys, xs = np.nonzero((part == painter.INK).all(-1))
    assert 228 + xs.mean() == pytest.approx(4.5 * 57, abs=1)
    assert 228 + (ys.min() + ys.max()) / 2 == pytest.approx(4.5 * 57 - 1, abs=2)


@pytest.mark.parametrize('group', [GROUP, LabelGroup('road', (1,))], ids=['car', 'road'])
@pytest.mark.parametrize('truth', [True, False])
def test_key_shows_the_colours_that_are_there(group, truth):
    """Swatches are of 17 × 17 pixels. Without truth the heading and the arrow of the map still follow the images'."""
    masks = np.zeros((2, 2), bool)
    key = panel_key((456, 484), group, 0.5, masks, (masks, masks) if truth else None)
    assert key.shape == (484, 456, 3)
    shown = {
        painter.PREDICTED: True,
        painter.LEFT_OUT: truth and group is GROUP,  # the other group leaves nothing out
        **dict.fromkeys((painter.HIT, painter.FALSE, painter.MISSED, *painter.LAYERS.values()), truth),
    }
    assert {color: bool((key == color).all(-1).sum() > 200) for color in shown} == shown
    assert truth or np.flatnonzero((key == painter.INK).all(-1).any(axis=1)).max() > 140


def test_panel_says_how_much_is_nan(monkeypatch):
    """Two of 64 cells."""
    sample, captions, panel = known_sample(), [], painter.panel
    sample.pred_bev.scores[0, 0, :2] = torch.nan

    def noting(cameras, bevs, *rest):
        captions.extend(caption for caption, _ in bevs)
        return panel(cameras, bevs, *rest)

    monkeypatch.setattr(painter, 'panel', noting)
    picture = sample_panel(model_views(torch.zeros(1, 3, 24, 48, dtype=torch.uint8), sample), sample, GROUP, 0, GRID)
    assert captions[0] == 'car: probability, 3% NaN (magenta)'
    assert cell(picture, 0, 0, 0) == painter.NOT_FINITE
