"""Connected regions of a BEV mask, in metres."""

from __future__ import annotations

import cv2
import numpy as np

from ..geometry import BEVGrid


def connected_regions(score: np.ndarray, grid: BEVGrid, threshold: float) -> list[dict]:
    """Cells of at least the threshold that touch, also at a corner, are a region.

    Args:
        score: (h, w) probabilities.
        grid: of the cells.
        threshold: of the probability.

    Returns:
        ``dict(center=[x, y], area, probability)`` of each, the largest first: the mean of its cells' places, in metres
        of the ego frame (x ahead, y left); square metres; mean probability.
    """
    mask = (score >= threshold).astype(np.uint8)
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=8)
    cell_area = np.prod(grid.metres) / np.prod(grid.size)
    cells = stats[:, cv2.CC_STAT_AREA]
    sums = np.bincount(labels.ravel(), weights=score.ravel().astype(np.float64), minlength=count)
    centers = np.column_stack([centroids, np.ones(count)]) @ grid.ego_from_pixels.T
    return [
        dict(
            center=centers[region, :2].round(3).tolist(),
            area=round(float(cells[region] * cell_area), 4),
            probability=round(float(sums[region] / cells[region]), 4),
        )
        for region in sorted(range(1, count), key=lambda region: -cells[region])  # 0 is the background
    ]
