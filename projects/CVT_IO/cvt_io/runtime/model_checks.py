"""Whether the parts of a model fit together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..errors import ConfigError


def check_channels(model: nn.Module, config: Mapping) -> None:
    """Checks that the neck takes what the backbone gives.

    Args:
        model: with a ``backbone`` of images (b, 3, h, w).
        config: of the model.

    Raises:
        ConfigError: ``neck.in_channels`` are others than the backbone's outputs have.
    """
    expected = config.get('neck', {}).get('in_channels')
    backbone = getattr(model, 'backbone', None)
    if expected is None or not isinstance(backbone, nn.Module):
        return
    training, weight = backbone.training, next(backbone.parameters())
    backbone.eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 64, 64, dtype=weight.dtype, device=weight.device))
    backbone.train(training)
    given = tuple(feature.shape[1] for feature in features)
    if given != tuple(expected):
        raise ConfigError(f'model.neck.in_channels: expected {given}, the channels of this backbone, found {expected}')
