"""Losses."""

from .focal import CVTIOFocalLoss, sigmoid_focal_loss

__all__ = ['CVTIOFocalLoss', 'sigmoid_focal_loss']
