"""Counts and IoU by hand."""

from __future__ import annotations

import pytest
import torch

from projects.CVT_IO.cvt_io.evaluation.iou import confusion_counts, iou


def test_counts_by_hand():
    scores = torch.tensor([[0.5, 0.45, 0.9], [0.1, 0.5, 0.39]])
    target = torch.tensor([[True, True, False], [True, False, False]])
    keep = torch.tensor([[True, True, True], [True, False, True]])
    counts = confusion_counts(scores, target, keep, torch.tensor([0.4, 0.5]))
    # @0.4: predicted .5 .45 .9 → hits 2, false 1 (.9), missed 1 (.1). @0.5: predicted .5 (a score at the threshold
    # counts) and .9 → hit 1, false 1, missed 2. The left-out .5 counts in neither.
    assert counts.tolist() == [[2, 1, 1], [1, 1, 2]]


def test_iou_by_hand_and_empty_union():
    assert iou(torch.tensor([[2, 1, 1], [0, 0, 0]])).tolist() == [pytest.approx(0.5), 0.0]
