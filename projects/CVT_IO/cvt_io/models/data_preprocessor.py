"""Collates, moves and normalises a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseDataPreprocessor
from torch import Tensor


@MODELS.register_module()
class CVTIODataPreprocessor(BaseDataPreprocessor):
    """Stacks the samples of a batch and normalises the images.

    Args:
        mean: (R, G, B), for images in [0, 1].
        std: (R, G, B), for images in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[float] = (0.485, 0.456, 0.406), std: Sequence[float] = (0.229, 0.224, 0.225)
    ) -> None:
        super().__init__()
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def normalise(self, imgs: Tensor) -> Tensor:
        """Args: imgs (…, 3, H, W), RGB in 0…255. Returns: float32 of the same shape."""
        return (imgs.float() / 255 - self.mean) / self.std

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepares a batch that comes from ``pseudo_collate``.

        Args:
            data: ``inputs`` with lists of ``imgs`` (n, 3, H, W) uint8 RGB, ``intrinsics`` (n, 3, 3) and
                ``cam_from_ego`` (n, 4, 4); ``data_samples``, a list.
            training: unused.

        Returns:
            The same, stacked: ``imgs`` (b, n, 3, H, W) float32 and normalised.

        Raises:
            ValueError: the samples differ in their number of cameras or image size.
        """
        data = self.cast_data(data)
        inputs = dict(data['inputs'])
        for key, values in inputs.items():
            if isinstance(values, (list, tuple)):
                shapes = {tuple(value.shape) for value in values}
                if len(shapes) > 1:
                    raise ValueError(f'inputs.{key}: the samples of a batch have different shapes {sorted(shapes)}')
                inputs[key] = torch.stack(list(values))
        inputs['imgs'] = self.normalise(inputs['imgs'])
        return dict(inputs=inputs, data_samples=data.get('data_samples'))
