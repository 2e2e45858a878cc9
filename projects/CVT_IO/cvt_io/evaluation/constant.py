"""The best that can be had without looking: one map for all frames."""

from __future__ import annotations

import numpy as np


def best_constant_iou(positives: np.ndarray, kept: np.ndarray) -> tuple[float, np.ndarray]:
    """The constant prediction of highest IoU over a split, and that IoU.

    With cells S predicted in every frame, TP is the positives in S, FP the other kept pixels in S, and FN the positives
    outside, so IoU = ΣP / (ΣN + all P − ΣP) over S. A cell's gain grows with P / N, so the best S takes the cells above
    some share, and all shares are tried.

    Args:
        positives: P (h, w), frames in which the cell is positive and counts.
        kept: N (h, w), frames in which the cell counts.

    Returns:
        IoU in [0, 1], and S (h, w) bool. It knows the split's own labels, so it is an upper bound for any map.
    """
    share = np.divide(positives, kept, out=np.zeros(positives.shape), where=kept > 0)
    order = np.argsort(-share, axis=None, kind='stable')
    hits, predicted = positives.ravel()[order].cumsum(), kept.ravel()[order].cumsum()
    ious = hits / np.maximum(predicted + positives.sum() - hits, 1)
    best = int(ious.argmax())
    chosen = np.zeros(positives.size, bool)
    chosen[order[: best + 1]] = positives.sum() > 0
    return float(ious[best]), chosen.reshape(positives.shape)
