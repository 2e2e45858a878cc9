"""Sigmoid focal loss without class weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.utils import reduce_mean
from mmdet3d.registry import MODELS
from mmengine.dist import get_world_size
from torch import Tensor, nn


def sigmoid_focal_loss(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """BCE(x, t) · (1 − p_t)^γ with p_t = p·t + (1 − p)(1 − t), elementwise; no α.

    Args:
        logits: any shape.
        targets: same shape, in [0, 1]; soft targets use the same form.
        gamma: focusing exponent; 0 gives plain binary cross-entropy.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, section 3.
    """
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
    if gamma == 0:
        return bce
    p = logits.sigmoid()
    p_t = p * targets + (1 - p) * (1 - targets)
    return bce * (1 - p_t) ** gamma


@MODELS.register_module()
class CVTIOFocalLoss(nn.Module):
    """Mean of :func:`sigmoid_focal_loss` over the kept pixels of the global batch, times a weight.

    The global batch spans all processes, so each process returns the same value.

    Args:
        gamma: focusing exponent; 0 gives plain binary cross-entropy.
        loss_weight: factor.
    """

    def __init__(self, gamma: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, targets: Tensor, keep: Tensor | None = None) -> Tensor:
        """Args: logits, targets, and keep, a bool mask, of one shape. Returns: a scalar, 0 if no pixel is kept."""
        if keep is not None:
            logits, targets = logits[keep], targets[keep]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        losses = sigmoid_focal_loss(logits, targets.to(logits), self.gamma)
        # DistributedDataParallel averages gradients over the processes, hence the mean count and not the total one.
        count = reduce_mean(logits.new_tensor(losses.numel())).clamp(min=1 / get_world_size())
        loss = self.loss_weight * losses.sum() / count
        return loss + (reduce_mean(loss.detach()) - loss.detach())  # the value of all processes, to be logged
