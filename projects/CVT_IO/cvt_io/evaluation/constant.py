"""IoU of the best input-independent map."""

from __future__ import annotations

import numpy as np


def best_constant_iou(positives: np.ndarray, kept: np.ndarray) -> tuple[float, np.ndarray]:
    """Finds the constant prediction with the highest IoU over a split.

    If the cells S are predicted in every frame, IoU = Σ_S P / (Σ_S N + Σ P − Σ_S P). The best S consists of the cells
    whose ratio P / N exceeds some threshold, so trying all thresholds finds it.

    Args:
        positives: P (h, w), number of frames in which the cell counts and is positive.
        kept: N (h, w), number of frames in which the cell counts.

    Returns:
        IoU in [0, 1], and S (h, w) bool. As S is chosen with the labels of the split, this is an upper bound for
        input-independent predictions.
    """
    share = np.divide(positives, kept, out=np.zeros(positives.shape), where=kept > 0)
    order = np.argsort(-share, axis=None, kind='stable')
    hits, predicted = positives.ravel()[order].cumsum(), kept.ravel()[order].cumsum()
    ious = hits / np.maximum(predicted + positives.sum() - hits, 1)
    best = int(ious.argmax())
    chosen = np.zeros(positives.size, bool)
    chosen[order[: best + 1]] = positives.sum() > 0
    return float(ious[best]), chosen.reshape(positives.shape)
