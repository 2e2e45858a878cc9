"""IoU of a label group by distance and by visibility."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..geometry import BEVGrid
from ..labels.groups import LabelGroup
from .iou import confusion_counts

#: Metres from the ego, the near end in a band and the far end in the next.
BANDS = ((0, 20), (20, 35), (35, 50))
VISIBILITIES = (1, 2, 3, 4)


def cell_distances(grid: BEVGrid) -> np.ndarray:
    """Distance in metres of each cell's centre from the ego on the ground, (h, w)."""
    rows, columns = np.indices(grid.size)
    pixels = np.stack([columns, rows, np.ones(grid.size)], -1)
    return np.linalg.norm((pixels @ grid.ego_from_pixels.T)[..., :2], axis=-1)


class Breakdown:
    """Sums true positives, false positives and false negatives of a label group over frames.

    By distance: the cells of a band, those of too low visibility left out as in the headline metric. Bands that hold no
    cell of the grid are left out; cells beyond the last band are in none.

    By visibility token v: a false positive has no visibility, so only recall, TP / (TP + FN) over cells of vehicles of
    token v, is the token's own. IoU at v is that of a task in which vehicles of all other tokens are left out, neither
    background nor vehicle: TP_v / (TP_v + FN_v + *all* FP). The few cells of a token are thus held against every false
    positive there is: compare these IoUs between models, not with each other.

    Args:
        grid: of the predictions.
        group: the label group.
        threshold: of the probability.
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
        """Counts a frame.

        Args:
            score: (h, w) probabilities.
            classes: (12, h, w) of the label.
            visibility: (h, w) tokens of the label, 255 where there is no vehicle.
        """
        target, keep = self.group.target(classes), self.group.keep(visibility)
        self.overall += self._count(score, target, keep)
        for band, mask in self.bands.items():
            self.by_band[band] += self._count(score, target, keep & mask)
        for token in VISIBILITIES:
            self.by_visibility[token] += self._count(score, target, ~target | (visibility == token))

    def _count(self, score: Tensor, target: Tensor, keep: Tensor) -> Tensor:
        return confusion_counts(score, target, keep, self._threshold)[0]
