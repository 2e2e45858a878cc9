"""The segmentor: backbone, neck, BEV decoder and head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.model import BaseModel, BaseTTAModel, is_model_wrapper
from torch import Tensor, nn

from .backbone import CVTIOEfficientNet
from .layers import Rig


@MODELS.register_module()
class CVTIOSegmentor(BaseModel):
    """Camera-only BEV segmentation: images and calibration of all cameras → one map per label group.

    Args:
        backbone: images → features at several scales.
        neck: features of all cameras → coarse BEV features.
        bev_decoder: coarse → full BEV features.
        head: BEV features → logits, losses, predictions.
        data_preprocessor: batch → stacked, normalised tensors.
        init_cfg: see mmengine's ``BaseModule``.
    """

    backbone: CVTIOEfficientNet
    neck: nn.Module

    def __init__(
        self,
        backbone: Mapping,
        neck: Mapping,
        bev_decoder: Mapping,
        head: Mapping,
        data_preprocessor: Mapping | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='CVTIODataPreprocessor')), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.bev_decoder = MODELS.build(bev_decoder)
        self.head = MODELS.build(head)

    def bev_logits(self, imgs: Tensor, intrinsics: Tensor, cam_from_ego: Tensor) -> Tensor:
        """Runs the network on plain tensors. Training, testing, complexity counts and export all use this method.

        Args:
            imgs: (b, n, 3, H, W), normalised.
            intrinsics: (b, n, 3, 3) of these images.
            cam_from_ego: (b, n, 4, 4).

        Returns:
            (b, outputs, h, w): the label groups in their order (``bev``), then ``center`` if the head has one.
        """
        batch_and_cameras = imgs.shape[:2]
        features = [f.unflatten(0, batch_and_cameras) for f in self.backbone(imgs.flatten(0, 1))]
        rig = Rig.from_calibration(intrinsics, cam_from_ego, imgs.shape[-2:])
        return self.head(self.bev_decoder(self.neck(features, rig)))

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list[Det3DDataSample] | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list[Det3DDataSample] | Tensor:
        """Implements mmengine's model interface.

        Args:
            inputs: keyword arguments of :meth:`bev_logits`.
            data_samples: one per sample; required unless ``mode`` is ``tensor``.
            mode: ``loss``, ``predict`` or ``tensor``.
        """
        logits = self.bev_logits(**inputs)
        if mode == 'tensor':
            return logits
        if mode == 'loss':
            return self.head.loss(logits, data_samples)
        if mode == 'predict':
            return self.head.predict(logits, data_samples)
        raise ValueError(f"mode: expected 'loss', 'predict' or 'tensor', got {mode!r}")


def unwrap_model(model: nn.Module) -> CVTIOSegmentor:
    """The model inside wrappers such as ``DistributedDataParallel`` and ``CVTIOTTAModel``, or the model itself."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = cast(nn.Module, model.module)
    return cast(CVTIOSegmentor, model)
