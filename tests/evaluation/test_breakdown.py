"""Counts by distance and by visibility, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from projects.CVT_IO.cvt_io.evaluation.breakdown import Breakdown, cell_distances
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.groups import LabelGroup

ROW = BEVGrid((1, 8), (10.0, 80.0))  # 10 m a cell: the ego in column 4, row ½
VEHICLE = LabelGroup('vehicle', (4,), min_visibility=2)


def test_distances_by_hand():
    """Columns 0–7 are 40, 30 … 0 … 30 m to the side; the one row's centre is 5 m ahead."""
    sideways = np.array([40, 30, 20, 10, 0, 10, 20, 30])
    assert cell_distances(ROW)[0] == pytest.approx(np.hypot(sideways, 5))


def counted(score: list[float], visibility: list[int]) -> Breakdown:
    """One frame; there are vehicles where the visibility is not 255."""
    tokens = torch.tensor([visibility], dtype=torch.uint8)
    classes = torch.zeros(12, 1, 8, dtype=torch.uint8)
    classes[4] = tokens != 255
    breakdown = Breakdown(ROW, VEHICLE, 0.5)
    breakdown.add(torch.tensor([score]), classes, tokens)
    return breakdown


# Distance     40.3 30.4 20.6 11.2  5   11.2 20.6 30.4
SCORE = [0.9, 0.9, 0.1, 0.5, 0.9, 0.1, 0.9, 0.2]
TOKENS = [4, 255, 3, 4, 255, 2, 1, 4]
# Outcome      TP   FP   FN   TP   FP  FN   out  FN


def test_by_distance():
    breakdown = counted(SCORE, TOKENS)
    assert breakdown.overall.tolist() == [2, 2, 3]
    bands = {band: counts.tolist() for band, counts in breakdown.by_band.items()}
    assert bands == {(0, 20): [1, 1, 1], (20, 35): [0, 1, 2], (35, 50): [1, 0, 0]}


def test_by_visibility():
    """Each token has its own hits and misses, also the one that the headline leaves out, and both false positives."""
    by_token = {token: counts.tolist() for token, counts in counted(SCORE, TOKENS).by_visibility.items()}
    assert by_token == {1: [1, 2, 0], 2: [0, 2, 1], 3: [0, 2, 1], 4: [2, 2, 1]}


def test_frames_add_up():
    breakdown = counted(SCORE, TOKENS)
    classes, nothing = torch.zeros(12, 1, 8, dtype=torch.uint8), torch.full((1, 8), 255, dtype=torch.uint8)
    breakdown.add(torch.tensor([[0.0] * 4 + [0.5] + [0.0] * 3]), classes, nothing)
    assert breakdown.overall.tolist() == [2, 3, 3] and breakdown.by_band[0, 20].tolist() == [1, 2, 1]


def test_bands_beyond_the_grid_are_left_out():
    """48 m × 48 m reaches 24·√2 = 33.9 m; the default grid reaches 70.7 m."""
    assert [*Breakdown(BEVGrid((48, 48), (48.0, 48.0)), VEHICLE, 0.5).bands] == [(0, 20), (20, 35)]
    assert [*Breakdown(BEVGrid(), VEHICLE, 0.5).bands] == [(0, 20), (20, 35), (35, 50)]


def test_a_cell_is_in_one_band_only():
    total = sum(mask.int() for mask in Breakdown(BEVGrid(), VEHICLE, 0.5).bands.values())
    assert total.max() == 1 and ((total == 1).numpy() == (cell_distances(BEVGrid()) < 50)).all()
