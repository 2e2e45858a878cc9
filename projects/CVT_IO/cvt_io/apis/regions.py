"""Connected regions of a BEV mask, in metres."""

from __future__ import annotations

import cv2
import numpy as np

from ..geometry import BEVGrid


def connected_regions(score: np.ndarray, grid: BEVGrid, threshold: float) -> list[dict]:
    """Finds the 8-connected regions of cells that reach the threshold.

    Args:
        score: (h, w) probabilities.
        grid: grid of the cells.
        threshold: probability threshold.

    Returns:
        ``dict(center=[x, y], area, probability)`` for each region, largest first: centroid in metres in the ego frame
        (x ahead, y left), area in square metres, mean probability.
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
