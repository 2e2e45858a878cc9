"""Confusion counts and intersection over union."""

from __future__ import annotations

import torch
from torch import Tensor


def confusion_counts(scores: Tensor, target: Tensor, keep: Tensor, thresholds: Tensor) -> Tensor:
    """Counts true positives, false positives and false negatives.

    Args:
        scores: (h, w) probabilities; a pixel is predicted positive if its score is at least the threshold.
        target: (h, w) bool.
        keep: (h, w) bool, pixels that count.
        thresholds: (t,).

    Returns:
        (t, 3) int64.
    """
    scores, target = scores[keep], target[keep]
    predicted = scores >= thresholds.to(scores)[:, None]  # t pixels
    hits = predicted & target
    return torch.stack([hits.sum(1), (predicted & ~target).sum(1), (~predicted & target).sum(1)], dim=1)


def iou(counts: Tensor) -> Tensor:
    """TP / (TP + FP + FN + 1e-7), which is 0 for an empty union. Args: counts (…, 3). Returns: (…,) float64."""
    counts = counts.double()
    return counts[..., 0] / (counts.sum(-1) + 1e-7)
