import json

import numpy as np
import pytest

from projects.CVT_IO.cvt_io.geometry import BEVGrid


def test_view_matrix_by_hand():
    # 200×200 cells over 100 m × 100 m: two cells a metre, the ego in the middle.
    np.testing.assert_array_equal(BEVGrid().pixels_from_ego, [[0, -2, 100], [-2, 0, 100], [0, 0, 1]])
    # 400 rows over 100 m ahead, 200 columns over 50 m across: 4 cells a metre both ways; the ego stands
    # 0.25 · 400 = 100 rows below the middle.
    grid = BEVGrid((400, 200), (100, 50), 0.25)
    np.testing.assert_array_equal(grid.pixels_from_ego, [[0, -4, 100], [-4, 0, 300], [0, 0, 1]])
    assert grid.pixels_from_ego.dtype == np.float64


@pytest.mark.parametrize(
    ('ego', 'pixel'),
    [
        ((0, 0), (60, 20)),  # The ego: middle of 120 columns and 40 rows.
        ((20, 0), (60, 0)),  # 20 m ahead: row 0.
        ((0, 30), (0, 20)),  # 30 m left: column 0.
        ((-5, -1.5), (63, 25)),  # 5 m behind: 5 rows down; 1.5 m right: 3 columns right.
    ],
)
def test_points_by_hand(ego, pixel):
    grid = BEVGrid((40, 120), (40, 60))  # One row and two columns a metre.
    np.testing.assert_allclose(grid.pixels_from_ego @ [*ego, 1], [*pixel, 1])
    np.testing.assert_allclose(grid.ego_from_pixels @ [*pixel, 1], [*ego, 1], atol=1e-12)


def test_names_differ_and_are_plain():
    assert BEVGrid().name == '200x200_100x100m'
    assert BEVGrid((400, 200), (100, 50.5), -0.25).name == '400x200_100x50.5m_offset-0.25'


@pytest.mark.parametrize('grid', [BEVGrid(), BEVGrid((3, 4), (0.1, 7), 0.3)])
def test_round_trip_through_json(grid):
    assert BEVGrid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid


def test_lists_and_numpy_numbers_are_taken():
    assert BEVGrid([np.int64(3), 4], np.array([5, 6]), 0) == BEVGrid((3, 4), (5.0, 6.0), 0.0)


@pytest.mark.parametrize(('size', 'metres'), [((0, 5), (1, 1)), ((5, 5), (1, -1)), ((5,), (1, 1)), ((5, 5), (1, 1, 1))])
def test_impossible_grids(size, metres):
    with pytest.raises(ValueError, match='BEV grid: expected two positive sizes and extents, got'):
        BEVGrid(size, metres)


def test_unknown_keys():
    with pytest.raises(ValueError, match=r"unknown keys \['cells'\], expected size, metres, offset"):
        BEVGrid.from_dict({'size': (2, 2), 'cells': 3})
