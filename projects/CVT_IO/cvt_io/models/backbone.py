"""Truncated EfficientNet that returns the outputs of selected blocks."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from mmdet.models.backbones.efficientnet import EfficientNet
from mmdet.models.layers import SELayer
from mmdet3d.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor, nn

from .efficientnet_names import LIBRARIES, library_of, under_our_names
from .layers.norm_swish import ConvNormSwish
from .layers.recompute import recomputed
from .layers.same_pad import SamePadConv2d
from .pretrained import PretrainedError, load_pretrained

ARCHITECTURES = tuple(name for name in EfficientNet.arch_settings if name.startswith('b'))
PADDINGS = ('static', 'dynamic', 'symmetric')


class ChannelsLastMean(nn.Module):
    """Global average pooling whose gradient in training is a view in channels-last layout."""

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (b, C, h, w). Returns: (b, C, 1, 1)."""
        if not self.training:
            return F.adaptive_avg_pool2d(x, 1)
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        total = pixels.sum(1, dtype=torch.promote_types(x.dtype, torch.float32))
        return (total / pixels.shape[1]).to(x.dtype)[..., None, None]


@MODELS.register_module()
class CVTIOEfficientNet(EfficientNet):
    """mmdet's EfficientNet, truncated after a block as in the Cross-View Transformer.

    Parameter names are mmdet's, so OpenMMLab's published checkpoints load directly.

    Args:
        arch: ``b0`` … ``b8``.
        out_blocks: MBConv blocks, counted from 0 over the whole network, whose outputs are returned. The network is
            truncated after the last of them.
        padding: ``static``, computed once for the architecture's nominal input (380 pixels for ``b4``) as in the
            original checkpoints, ``dynamic``, computed for each input, or ``symmetric``, as in torchvision.
        drop_connect_rate: in training, block i of k is dropped with probability rate·i/k.
        bn_eps: added to the variance.
        bn_momentum: weight of a training step's statistics in the running statistics.
        frozen_stages: leading layers without training, the stem being the first; 0 trains all.
        norm_eval: whether BatchNorms use their running statistics in training too.
        with_cp: whether to recompute the blocks' activations in the backward pass to save memory.
        init_cfg: ``dict(type='Pretrained', checkpoint=…, prefix=…)`` for weights of OpenMMLab, torchvision, timm or
            efficientnet_pytorch, or any of mmengine's; ``None`` selects mmdet's random initialisation.

    Source: Tan & Le, EfficientNet, ICML 2019; Zhou & Krähenbühl, Cross-View Transformers, CVPR 2022, section 4.
    """

    layers: nn.ModuleList

    def __init__(
        self,
        arch: str = 'b4',
        out_blocks: Sequence[int] = (2, 10),
        padding: str = 'static',
        drop_connect_rate: float = 0.2,
        bn_eps: float = 1e-3,
        bn_momentum: float = 0.0199,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        if arch not in ARCHITECTURES:
            raise ValueError(f'backbone.arch: expected one of {", ".join(ARCHITECTURES)}, got {arch!r}')
        if padding not in PADDINGS:
            raise ValueError(f'backbone.padding: expected one of {", ".join(PADDINGS)}, got {padding!r}')
        if not out_blocks or min(out_blocks) < 0:
            raise ValueError(f'backbone.out_blocks: expected indices of blocks, got {tuple(out_blocks)}')
        super().__init__(
            arch,
            out_indices=(len(self.layer_settings[arch[:1]]) - 2,),
            norm_eval=norm_eval,
            conv_cfg=dict(type=SamePadConv2d),
            norm_cfg=dict(type='BN', eps=bn_eps, momentum=bn_momentum),
            act_cfg=dict(type='SiLU'),
            **({} if init_cfg is None else dict(init_cfg=init_cfg)),
        )
        self.out_blocks = tuple(out_blocks)
        self._set_drop_connect(drop_connect_rate)
        self._truncate(max(self.out_blocks))
        self._set_lean_layers()
        self.arch, self.padding, self.bn_eps = arch, padding, bn_eps
        self._set_padding(self.arch_setting[2])
        self.with_cp = with_cp
        if frozen_stages not in range(len(self.layers) + 1):
            raise ValueError(f'backbone.frozen_stages: expected 0 to {len(self.layers)}, got {frozen_stages}')
        self.frozen_stages = frozen_stages
        self._freeze_stages()  # before an optimizer or a wrapper looks at the parameters

    def blocks(self) -> list[nn.Module]:
        """The MBConv blocks in order."""
        return [block for stage in self._stages() for block in stage]

    def _stages(self) -> list[nn.Sequential]:
        return cast(list[nn.Sequential], [*self.layers[1:]])

    def _set_drop_connect(self, rate: float) -> None:
        blocks = self.blocks()  # before truncation: the rate refers to all blocks of the architecture
        for i, block in enumerate(blocks[1:], start=1):
            block.drop_path = DropPath(rate * i / len(blocks)) if rate else nn.Identity()

    def _truncate(self, last_block: int) -> None:
        count = last_block + 1
        for i, stage in enumerate(self._stages(), start=1):
            self.layers[i] = stage[:count]
            count -= len(stage)
            if count <= 0:
                self.layers = self.layers[: i + 1]
                return
        raise ValueError(f'backbone.out_blocks: the architecture has no block {last_block}')

    def _set_padding(self, size: int) -> None:
        for conv in self.modules():
            if isinstance(conv, SamePadConv2d):
                conv.static_size = size if self.padding == 'static' else None
                conv.symmetric = self.padding == 'symmetric'
                size = math.ceil(size / conv.stride[0])

    def _set_lean_layers(self) -> None:
        """Replaces layers of mmdet's blocks by leaner ones with the same function and the same parameters."""
        for parent in [*self.modules()]:
            if isinstance(parent, SELayer):
                parent.global_avgpool = ChannelsLastMean()
            for name, child in parent.named_children():
                if isinstance(child, ConvModule) and child.with_norm and child.with_activation:
                    setattr(parent, name, ConvNormSwish(child))

    def init_weights(self) -> None:
        """Initialises the weights according to ``init_cfg``.

        Raises:
            PretrainedError: the pre-trained weights cannot be loaded or do not fit the architecture.
        """
        if not isinstance(self.init_cfg, dict) or self.init_cfg['type'] != 'Pretrained':
            super().init_weights()
            return
        checkpoint, prefix = self.init_cfg['checkpoint'], self.init_cfg.get('prefix', '')
        weights, wanted = load_pretrained(checkpoint, prefix), self.state_dict()
        library = library_of(weights)
        if library is not None:
            self._check_settings(checkpoint, library)
            blocks = [f'layers.{s}.{i}' for s, stage in enumerate(self._stages(), start=1) for i in range(len(stage))]
            weights = under_our_names(weights, LIBRARIES[library], blocks)
        # Files converted from TensorFlow lack the batch counters, on which nothing depends.
        needed = [key for key in wanted if not key.endswith('num_batches_tracked')]
        missing = [key for key in needed if key not in weights or weights[key].shape != wanted[key].shape]
        if missing:
            names = f'names of {library}' if library else f'keys that begin with {prefix!r} (init_cfg.prefix)'
            raise PretrainedError(
                f'{checkpoint}: {len(missing)} of {len(needed)} weights are missing or have another shape, the first '
                f"of them {missing[0]!r} in mmdet's names; expected an EfficientNet-{self.arch} of OpenMMLab, "
                f'{", ".join(LIBRARIES)}, and read {names}. Without them: --cfg-options model.backbone.init_cfg=None'
            )
        self.load_state_dict(wanted | {key: weights[key] for key in needed})
        self._is_init = True

    def _check_settings(self, checkpoint: str, library: str) -> None:
        """Refuses padding and BatchNorms that the weights of another library are not trained with."""
        own, fitting = (self.padding, self.bn_eps), LIBRARIES[library].settings
        if library == 'torchvision' and self.arch in ('b5', 'b6', 'b7'):
            fitting = (('symmetric', 1e-3),)
        if own not in fitting:
            ways = ' or '.join(f'model.backbone.padding={pad} model.backbone.bn_eps={eps:g}' for pad, eps in fitting)
            raise PretrainedError(f'{checkpoint}: weights of {library} need --cfg-options {ways}, found {own}')
        if library == 'timm':
            print_log(
                f"{checkpoint}: timm's names do not tell tf_efficientnet_* (padding='dynamic', bn_eps=0.001) from "
                f"efficientnet_* (padding='symmetric', bn_eps=1e-05); the backbone has {own}",
                logger='current',
                level=logging.WARNING,
            )

    def train(self, mode: bool = True) -> CVTIOEfficientNet:
        """Sets the mode and, unlike mmdet, returns the module."""
        super().train(mode)
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Args: x (b, 3, H, W), normalised. Returns: the outputs of ``out_blocks``, each (b, C, h, w)."""
        if not (self.training or torch.compiler.is_compiling()) and x.device.type == 'cpu' and x.shape[0] > 1:
            # The activations of one image fit into a CPU's cache, those of a batch do not.
            return tuple(torch.cat(outputs) for outputs in zip(*map(self.forward, x.split(1)), strict=True))
        # Channels last makes convolutions 1.6 times as fast on CPUs.
        x = self.layers[0](x.contiguous(memory_format=torch.channels_last))
        outputs = {}
        for i, block in enumerate(self.blocks()):
            x = recomputed(block, x) if self.with_cp and torch.is_grad_enabled() else block(x)
            if i in self.out_blocks:
                outputs[i] = x
        return tuple(outputs[i] for i in self.out_blocks)
