"""The best constant map against trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from projects.CVT_IO.cvt_io.evaluation.constant import best_constant_iou


@pytest.mark.parametrize('seed', range(20))
def test_no_other_map_is_better(seed):
    """All 2^9 maps of 3×3 cells over 5 frames, scored frame by frame."""
    rng = np.random.default_rng(seed)
    keep = rng.random((5, 3, 3)) < 0.8
    target = (rng.random((5, 3, 3)) < rng.random((3, 3))) & keep
    iou, chosen = best_constant_iou(target.sum(0), keep.sum(0))

    def score(flat: tuple) -> float:
        predicted = np.array(flat).reshape(3, 3) & keep
        union = (predicted | target).sum()
        return (predicted & target).sum() / union if union else 0.0

    assert iou == pytest.approx(max(score(flat) for flat in itertools.product([False, True], repeat=9)))
    assert iou == pytest.approx(score(tuple(chosen.ravel())))


def test_by_hand():
    """Cell A is positive in 8 of 10 frames, B in 1 of 10: A alone 8 / (10 + 9 − 8), both 9 / (20 + 9 − 9)."""
    iou, chosen = best_constant_iou(np.array([[8, 1]]), np.array([[10, 10]]))
    assert iou == pytest.approx(8 / 11) and chosen.tolist() == [[True, False]]


def test_nothing_to_find():
    iou, chosen = best_constant_iou(np.zeros((2, 2), int), np.array([[3, 3], [0, 3]]))
    assert iou == 0 and not chosen.any()
