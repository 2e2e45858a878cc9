"""Frames fused by hand."""

from __future__ import annotations

import numpy as np
import pytest

from projects.CVT_IO.cvt_io.geometry import BEVGrid, pose_matrix
from projects.CVT_IO.cvt_io.visualization import painter
from projects.CVT_IO.cvt_io.visualization.stitched_map import StitchedMap, draw_stitched

GRID = BEVGrid((4, 4), (4.0, 4.0))  # 1 m a cell; row 2, column 2 has its centre in the ego
AHEAD = (1, 0, 0, 0)  # along the world's x
LEFT = (0.5**0.5, 0, 0, 0.5**0.5)  # along the world's y


def log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_one_frame_is_turned_into_the_world():
    """Heading along y, the world's y is up as the grid's ahead is: the map is the prediction itself."""
    score = np.linspace(0.1, 0.9, 16).reshape(4, 4)
    stitched = StitchedMap(GRID, [pose_matrix(LEFT, (10, 20, 0))], 1.0)
    stitched.add(score, pose_matrix(LEFT, (10, 20, 0)))
    assert stitched.size == (4, 4) and stitched.reached.all()
    assert stitched.probability == pytest.approx(score, abs=1e-3)
    assert stitched.trajectory() == pytest.approx(np.array([[2, 2]]))


def test_heading_along_x_is_a_quarter_turn():
    """What lies ahead then lies to the right, and what lies left, up."""
    score = np.full((4, 4), 0.1)
    score[0, 1] = 0.9  # two cells ahead, one to the left
    stitched = StitchedMap(GRID, [pose_matrix(AHEAD, (5, 5, 0))], 1.0)
    stitched.add(score, pose_matrix(AHEAD, (5, 5, 0)))
    column, row = stitched.trajectory()[0]
    assert np.argwhere(stitched.probability > 0.5).tolist() == [[row - 1, column + 2]]


def test_overlap_is_the_mean_of_the_log_odds():
    """Two frames a metre apart along y: 0.9 and 0.6 where both reach, its own in the row that one alone reaches."""
    poses = [pose_matrix(LEFT, (0, y, 0)) for y in (0, 1)]
    stitched = StitchedMap(GRID, poses, 1.0)
    for pose, p in zip(poses, (0.9, 0.6), strict=True):
        stitched.add(np.full((4, 4), p), pose)
    both = 1 / (1 + np.exp(-(log_odds(0.9) + log_odds(0.6)) / 2))  # 0.786
    assert stitched.size == (5, 4)
    assert stitched.probability[:, 1] == pytest.approx([0.6, both, both, both, 0.9], abs=1e-3)


def test_what_no_frame_reaches():
    """Between two frames 10 m apart lie 6 m of nothing."""
    poses = [pose_matrix(LEFT, (0, y, 0)) for y in (0, 10)]
    stitched = StitchedMap(GRID, poses, 1.0)
    for pose in poses:
        stitched.add(np.full((4, 4), 0.9), pose, truth=np.ones((4, 4), bool))
    rows = [True] * 4 + [False] * 6 + [True] * 4
    assert stitched.reached.all(axis=1).tolist() == stitched.truth.all(axis=1).tolist() == rows
    assert not stitched.probability[4:10].any()


def test_certainty_has_finite_log_odds_and_later_ground_lies_above():
    stitched = StitchedMap(GRID, [np.eye(4)], 1.0)
    for score, shade in ((1, 10), (0, 20)):
        stitched.add(np.full((4, 4), float(score)), np.eye(4), np.full((4, 4, 3), shade, np.uint8))
    assert stitched.probability == pytest.approx(np.full((4, 4), 0.5), abs=1e-3)
    assert (stitched.ground == 20).all()


def test_default_cells_make_a_thousand():
    """A 4 m frame turned by 45° spans 4·√2 m."""
    turned = pose_matrix((np.cos(np.pi / 8), 0, 0, np.sin(np.pi / 8)), (0, 0, 0))
    assert StitchedMap(GRID, [turned]).metres_per_cell == pytest.approx(4 * 2**0.5 / 1000)
    far = [pose_matrix(AHEAD, (x, 0, 0)) for x in (0, 5000)]
    assert StitchedMap(GRID, far).metres_per_cell == 1  # never coarser than the prediction


def test_key_names_the_truth_only_where_there_is_one():
    """Its line in the key is 20 pixels of ink; a truth that is empty is one nevertheless."""
    keys = []
    for truth in (None, np.zeros((4, 4), bool)):
        stitched = StitchedMap(GRID, [np.eye(4)])
        stitched.add(np.zeros((4, 4)), np.eye(4), truth=truth)
        keys.append(draw_stitched(stitched, 'scene', 'vehicle')[:, 1020:1040])
    inked = [(key == painter.INK).all(-1).all(axis=1).any() for key in keys]
    assert inked == [False, True]


@pytest.mark.parametrize('places', [[(0, 0)], [(0, 0), (3, 0)], [(0, 0), (0, 0)]])
def test_drawing(places):
    """Also of one frame, and of an ego that stands."""
    poses = [pose_matrix(AHEAD, (*place, 0)) for place in places]
    stitched = StitchedMap(GRID, poses)
    for pose in poses:
        stitched.add(np.full((4, 4), 0.7), pose)
    picture = draw_stitched(stitched, 'scene', 'vehicle')
    assert picture.dtype == np.uint8 and picture.shape[1] == 1400
