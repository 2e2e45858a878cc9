"""Literal, unoptimised computation of the models, as a reference for benchmarks.

Each camera has its own queries, keys and values, the full score matrix goes through one softmax, convolutions use
PyTorch's default layout and explicit padding, and the backbone recomputes its activations in training, as in the public
Cross-View Transformer code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from ..cvt_io.models import CVTIOSegmentor
from ..cvt_io.models.layers.norm_swish import ConvNormSwish
from ..cvt_io.models.layers.recompute import recomputed
from ..cvt_io.models.layers.same_pad import SamePadConv2d
from ..cvt_io.models.neck import CVTIOCrossViewNeck, CVTIOLatentNeck


def build_literal(cfg: Config) -> LiteralSegmentor:
    """Builds the literal model of a config; its state dict has the same keys as that of ``MODELS.build``."""
    init_default_scope('mmdet3d')
    settings = {key: value for key, value in cfg.model.items() if key != 'type'}
    return LiteralSegmentor(**settings)


class LiteralSegmentor(CVTIOSegmentor):
    """The segmentor with a literal forward pass."""

    def bev_logits(self, imgs: Tensor, intrinsics: Tensor, cam_from_ego: Tensor) -> Tensor:
        """See :meth:`CVTIOSegmentor.bev_logits`."""
        shape = imgs.shape[:2]
        features = [feature.unflatten(0, shape) for feature in _backbone(self.backbone, imgs.flatten(0, 1))]
        calibration = intrinsics.inverse(), cam_from_ego.inverse()
        if isinstance(self.neck, CVTIOLatentNeck):
            bev = _latent_neck(self.neck, features, *calibration, imgs.shape[-2:])
        else:
            assert isinstance(self.neck, CVTIOCrossViewNeck)  # noqa: S101 - narrows a type
            bev = _cvt_neck(self.neck, features, *calibration, imgs.shape[-2:])
        return self.head.to_logits(_bev_decoder(self.bev_decoder, bev))


def _backbone(backbone: Any, x: Tensor) -> list[Tensor]:
    x = _conv_module(backbone.layers[0], x)
    outputs = {}
    for i, block in enumerate(backbone.blocks()):
        literal = _Block(block)
        x = recomputed(literal, x) if torch.is_grad_enabled() else literal(x)
        outputs[i] = x
    return [outputs[i] for i in backbone.out_blocks]


class _Block(nn.Module):
    """An MBConv block."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        block = self.block
        y = _conv_module(block.expand_conv, x) if block.with_expand_conv else x
        y = _conv_module(block.depthwise_conv, y)
        squeezed = F.adaptive_avg_pool2d(y, 1)
        y = torch.sigmoid(_conv_module(block.se.conv2, _conv_module(block.se.conv1, squeezed), act=False)) * y
        y = _conv_module(block.linear_conv, y)
        return x + block.drop_path(y) if block.with_res_shortcut else y


def _conv_module(module: Any, x: Tensor, act: bool = True) -> Tensor:
    """Padding, convolution, BatchNorm and swish as separate steps."""
    conv = module.conv
    if isinstance(conv, SamePadConv2d):
        (top, bottom), (left, right) = (conv._pads(conv.static_size or x.shape[-2 + i], i) for i in (0, 1))
        if top or bottom or left or right:
            x = F.pad(x, (left, right, top, bottom))
    x = F.conv2d(x, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)
    if isinstance(module, ConvNormSwish):
        x = module.bn(x)
        return x * torch.sigmoid(x)
    if module.with_norm:
        x = module.norm(x)
    return x * torch.sigmoid(x) if act and module.with_activation else x


def _attend(block: Any, q: Tensor, k: Tensor, v: Tensor, skip: Tensor | None) -> Tensor:
    """q (b, n, d, H, W), k and v (b, n, d, h, w), skip (b, d, H, W) → (b, d, H, W)."""
    b, _, _, height, width = q.shape
    q, k, v = (
        project(x.flatten(3).transpose(2, 3)) for project, x in ((block.to_q, q), (block.to_k, k), (block.to_v, v))
    )  # b n T (m c)
    q, k, v = (_heads_to_batch(x, block.heads) for x in (q, k, v))  # (b m) n T c
    scores = q.shape[-1] ** -0.5 * torch.einsum('bnqc,bnkc->bnqk', q, k)
    scores = scores.permute(0, 2, 1, 3).flatten(2)  # (b m) Q (n K)
    scores = scores.softmax(-1)
    z = torch.einsum('bqk,bkc->bqc', scores, v.flatten(1, 2))
    z = z.unflatten(0, (b, block.heads)).transpose(1, 2).flatten(2)  # b Q (m c)
    z = block.proj(z)
    if skip is not None:
        z = z + skip.flatten(2).transpose(1, 2)
    z = block.prenorm(z)
    z = block.postnorm(z + block.mlp(z))
    return z.transpose(1, 2).unflatten(2, (height, width))


def _heads_to_batch(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1)


def _tokens(
    tokens: Any, features: Tensor, pixels_to_cam: Tensor, ego_from_cam: Tensor, image_size: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Keys and values, each (b, n, d, h, w)."""
    (b, n, _, h, w), (height, width) = features.shape, image_size
    x, y = (torch.linspace(0, 1, k, dtype=features.dtype) * length for k, length in ((w, width), (h, height)))
    pixels = torch.stack([x.expand(h, w), y[:, None].expand(h, w), torch.ones_like(x).expand(h, w)]).flatten(1)
    rays = F.pad(pixels_to_cam @ pixels, (0, 0, 0, 1), value=1)
    rays = (ego_from_cam @ rays).reshape(b * n, 4, h, w)
    centres = ego_from_cam[..., -1].reshape(b * n, 4, 1, 1)
    embedding = _unit(tokens.img_embed(rays) - tokens.cam_embed(centres))
    flat = features.flatten(0, 1)
    key, value = embedding + tokens.feature_proj(flat), tokens.feature_linear(flat)
    return key.unflatten(0, (b, n)), value.unflatten(0, (b, n))


def _unit(x: Tensor) -> Tensor:
    return x / (x.norm(dim=1, keepdim=True) + 1e-7)


def _bev_query(position: Any, cam_embed: Any, x: Tensor, ego_from_cam: Tensor) -> Tensor:
    """x (b, d, H, W) → queries (b, n, d, H, W)."""
    b, n = ego_from_cam.shape[:2]
    centres = cam_embed(ego_from_cam[..., -1].reshape(b * n, 4, 1, 1))
    embedding = _unit(position.bev_embed(position.ego_xy[None]) - centres)
    return embedding.unflatten(0, (b, n)) + x[:, None]


def _cross_view(view: Any, query: Tensor, x: Tensor, features: Tensor, *calibration: Any) -> Tensor:
    """query (b, n, d, H, W), x (b, d, H, W) → (b, d, H, W)."""
    return view.bottlenecks(_attend(view.cross_attend, query, *_tokens(view.tokens, features, *calibration), x))


def _cvt_neck(
    neck: Any, features: list[Tensor], pixels_to_cam: Tensor, ego_from_cam: Tensor, image_size: Sequence[int]
) -> Tensor:
    x = neck.prior.features.repeat(len(features[0]), 1, 1, 1)
    for position, view, feature in zip(neck.positions, neck.cross_views, features, strict=True):
        query = _bev_query(position, view.tokens.cam_embed, x, ego_from_cam)
        x = _cross_view(view, query, x, feature, pixels_to_cam, ego_from_cam, image_size)
    return x


def _latent_neck(
    neck: Any, features: list[Tensor], pixels_to_cam: Tensor, ego_from_cam: Tensor, image_size: Sequence[int]
) -> Tensor:
    b, n = features[0].shape[:2]
    items, cameras = (b * n, 1) if neck.latents_per_camera else (b, n)
    x = neck.latent_array.features.repeat(items, 1, 1, 1)
    calibration = [matrix.reshape(items, cameras, *matrix.shape[2:]) for matrix in (pixels_to_cam, ego_from_cam)]
    for view, feature in zip(neck.encode.cross_views, features, strict=True):
        query = x[:, None].repeat(1, cameras, 1, 1, 1)
        x = _cross_view(view, query, x, feature.reshape(items, cameras, *feature.shape[2:]), *calibration, image_size)
    for i in range(neck.process.depth):
        block = neck.process.self_attends[i % len(neck.process.self_attends)]
        x = _attend(block, x[:, None], x[:, None], x[:, None], x)
    latents = x.unflatten(0, (b, n)) if neck.latents_per_camera else x[:, None].repeat(1, n, 1, 1, 1)
    decode = neck.decode
    query = _bev_query(decode.position, decode.cam_embed, decode.prior.features.repeat(b, 1, 1, 1), ego_from_cam)
    return _attend(decode.cross_attend, query, latents, latents, None)


def _bev_decoder(decoder: Any, bev: Tensor) -> Tensor:
    x = bev
    for layer in decoder.layers:
        y = layer.conv(x)
        x = F.relu(y + F.interpolate(layer.up(bev), y.shape[-2:]))
    return x
