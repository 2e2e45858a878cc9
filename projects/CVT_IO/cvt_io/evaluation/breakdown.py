"""IoU of a label group by distance and by visibility."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..geometry import BEVGrid
from ..labels.groups import LabelGroup
from .iou import confusion_counts

#: Distance bands in metres, half-open: [near, far).
BANDS = ((0, 20), (20, 35), (35, 50))
VISIBILITIES = (1, 2, 3, 4)


def cell_distances(grid: BEVGrid) -> np.ndarray:
    """Distance in metres from the ego to each cell, (h, w)."""
    rows, columns = np.indices(grid.size)
    pixels = np.stack([columns, rows, np.ones(grid.size)], -1)
    return np.linalg.norm((pixels @ grid.ego_from_pixels.T)[..., :2], axis=-1)


class Breakdown:
    """Accumulates true positives, false positives and false negatives of a label group over frames.

    By distance: over the cells of each band, ignoring low visibility as the main metric does. Bands without a cell are
    omitted, and cells beyond the last band are ignored.

    By visibility token v: recall is TP / (TP + FN) over the cells of vehicles of token v. A false positive has no
    visibility, so IoU at v ignores vehicles of all other tokens and counts every false positive:
    TP_v / (TP_v + FN_v + *all* FP). Compare these IoUs between models, not with each other.

    Args:
        grid: grid of the predictions.
        group: the label group.
        threshold: probability from which a cell is predicted.
    """

    def __init__(self, grid: BEVGrid, group: LabelGroup, threshold: float) -> None:
        distances = torch.from_numpy(cell_distances(grid))
        masks = {band: (distances >= band[0]) & (distances < band[1]) for band in BANDS}
        self.group = group
        self.bands = {band: mask for band, mask in masks.items() if mask.any()}
        self.overall = torch.zeros(3, dtype=torch.int64)
        self.by_band = {band: torch.zeros(3, dtype=torch.int64) for band in self.bands}
        self.by_visibility = {token: torch.zeros(3, dtype=torch.int64) for token in VISIBILITIES}
        self._threshold = torch.tensor([threshold])

    def add(self, score: Tensor, classes: Tensor, visibility: Tensor) -> None:
        """Adds a frame.

        Args:
            score: (h, w) probabilities.
            classes: (12, h, w), see ``BEVLabel``.
            visibility: (h, w), see ``BEVLabel``.
        """
        target, keep = self.group.target(classes), self.group.keep(visibility)
        self.overall += self._count(score, target, keep)
        for band, mask in self.bands.items():
            self.by_band[band] += self._count(score, target, keep & mask)
        for token in VISIBILITIES:
            self.by_visibility[token] += self._count(score, target, ~target | (visibility == token))

    def _count(self, score: Tensor, target: Tensor, keep: Tensor) -> Tensor:
        return confusion_counts(score, target, keep, self._threshold)[0]
