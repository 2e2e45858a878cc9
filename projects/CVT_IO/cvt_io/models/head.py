"""BEV features → logits, losses and predictions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ..labels.groups import build_label_groups


@MODELS.register_module()
class CVTIOHead(nn.Module):
    """One logit map for each label group, and optionally one for vehicle centres.

    Args:
        in_channels: channels of the BEV features.
        label_groups: see :func:`build_label_groups`; defines the order of the output channels.
        losses: losses applied to each group, ``{name: dict(type=…)}``.
        center_group: group whose visibility mask the centre loss uses; ``None`` for no centre output. The centre is the
            last channel.
        loss_center: loss of the centre output.

    Source: Zhou & Krähenbühl, Cross-View Transformers, CVPR 2022, section 4 and public code.
    """

    def __init__(
        self,
        in_channels: int,
        label_groups: Mapping[str, Mapping],
        losses: Mapping[str, Mapping],
        center_group: str | None = 'vehicle',
        loss_center: Mapping | None = None,
    ) -> None:
        super().__init__()
        self.groups = build_label_groups(label_groups)
        self.losses = nn.ModuleDict({name: MODELS.build(dict(loss)) for name, loss in losses.items()})
        self.center_group = None
        if center_group is not None:
            by_name = {group.name: group for group in self.groups}
            if center_group not in by_name or loss_center is None:
                raise ValueError(
                    f'head.center_group={center_group!r}: expected one of the label groups {[*by_name]} and a '
                    'loss_center, or center_group=None for no centre output'
                )
            self.center_group = by_name[center_group]
            self.loss_center = MODELS.build(dict(loss_center))
        self.to_logits = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, len(self.groups) + (self.center_group is not None), 1),
        )

    def forward(self, bev: Tensor) -> Tensor:
        """Args: bev (b, in_channels, h, w). Returns: logits (b, outputs, h, w)."""
        return self.to_logits(bev)

    def loss(self, logits: Tensor, data_samples: list[Det3DDataSample]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            logits: (b, outputs, h, w).
            data_samples: each with ``gt_bev.classes`` (12, h, w), ``.visibility`` (h, w) and ``.center`` (h, w).

        Returns:
            ``loss_<group>_<loss>`` for each group and loss, and ``loss_center``; scalars.
        """
        classes = torch.stack([sample.gt_bev.classes for sample in data_samples])
        visibility = torch.stack([sample.gt_bev.visibility for sample in data_samples])
        losses = {}
        for i, group in enumerate(self.groups):
            for name, loss in self.losses.items():
                losses[f'loss_{group.name}_{name}'] = loss(logits[:, i], group.target(classes), group.keep(visibility))
        if self.center_group is not None:
            center = torch.stack([sample.gt_bev.center for sample in data_samples])
            losses['loss_center'] = self.loss_center(logits[:, -1], center, self.center_group.keep(visibility))
        return losses

    def predict(self, logits: Tensor, data_samples: list[Det3DDataSample]) -> list[Det3DDataSample]:
        """Adds ``pred_bev`` to each sample: ``scores`` (groups, h, w) and, with a centre output, ``center`` (h, w).

        Both are probabilities, float32 in [0, 1].
        """
        scores = logits.float().sigmoid()
        for sample, score in zip(data_samples, scores, strict=True):
            sample.pred_bev = BaseDataElement(scores=score[: len(self.groups)])
            if self.center_group is not None:
                sample.pred_bev.center = score[-1]
        return data_samples
