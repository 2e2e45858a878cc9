"""The one place where a prediction becomes a picture."""

from __future__ import annotations

import numpy as np
import torch
from mmdet3d.structures import Det3DDataSample
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..geometry import BEVGrid
from ..labels.codec import read_label
from ..labels.groups import LabelGroup
from ..visualization.panels import model_views, sample_panel


def draw_prediction(
    imgs: Tensor, sample: Det3DDataSample, group: LabelGroup, grid: BEVGrid, threshold: float
) -> np.ndarray:
    """A panel of a frame: against the truth if there is a label, else of the prediction alone.

    Args:
        imgs: (n, 3, H, W) uint8 RGB.
        sample: with metainfo ``intrinsics``, ``cam_from_ego`` and ``cameras``, perhaps ``label``, and ``pred_bev``.
        group: the first label group, which is drawn.
        grid: the BEV grid.
        threshold: of the probability.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    if sample.get('label') is not None:
        label = read_label(sample.label, grid)
        sample = sample.clone()
        sample.gt_bev = BaseDataElement(
            classes=torch.from_numpy(label.classes), visibility=torch.from_numpy(label.visibility)
        )
    return sample_panel(model_views(imgs, sample, sample.cameras), sample, group, 0, grid, threshold)
