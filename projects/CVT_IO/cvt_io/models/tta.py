"""Test-time augmentation: the mean over a frame and its mirror image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.model import BaseTTAModel
from torch import Tensor

from ..errors import ConfigError


@MODELS.register_module()
class CVTIOTTAModel(BaseTTAModel):
    """Averages the probabilities of the variants of a frame that mmcv's ``TestTimeAug`` makes.

    Args:
        module: the model.
    """

    def merge_preds(self, data_samples_list: Sequence[Sequence[Det3DDataSample]]) -> list[Det3DDataSample]:
        """Mirrors the predictions of flipped variants back and averages ``pred_bev``.

        Args:
            data_samples_list: the variants of each frame, the first one not flipped.

        Returns:
            The first variant of each frame, with the averages.

        Raises:
            ConfigError: the first variant is flipped.
        """
        return [_merge(*variants) for variants in data_samples_list]


def _merge(first: Det3DDataSample, *others: Det3DDataSample) -> Det3DDataSample:
    if first.flip:
        raise ConfigError('tta_pipeline: expected the first variant without a flip: CVTIORandomFlip with prob=0')
    for name, plain in first.pred_bev.items():
        maps = [plain]
        for other in others:
            prediction = other.pred_bev.get(name)
            maps.append(_mirror(prediction, plain) if other.flip else prediction)
        first.pred_bev.set_data({name: torch.stack(maps).mean(0)})
    return first


def _mirror(flipped: Tensor, plain: Tensor) -> Tensor:
    """Mirrors a map (…, h, w) as ``BEVLabel.mirrored`` does; column 0, which it does not show, is that of ``plain``."""
    return torch.cat([plain[..., :1], flipped[..., 1:].flip(-1)], -1)
