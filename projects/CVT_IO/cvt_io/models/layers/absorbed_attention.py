"""Attention of few queries to many image tokens, without computing the tokens.

The key of a token is a linear map of C feature channels and 8 ray numbers, followed by a LayerNorm and another linear
map. With few queries it is cheaper to apply both maps to the queries, and likewise the value maps after the weighted
sum. This takes about 2·m·Q·C multiply-accumulates per token instead of 2·C·d + 2·d² + 2·Q·d, and no d-wide token is
ever stored. The result is the same up to rounding. The layers' parameters are used directly, without calling their
``forward``, so forward hooks on them do not run.

Shapes: b batch, n cameras, m heads of c channels, Q queries, K tokens a camera, C feature channels, d token channels.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import CrossAttention, tokens_of
from .camera_rays import Rig
from .image_tokens import ImageTokens, per_image

_RAY_CHANNELS = 8


def absorbing_pays(block: CrossAttention, queries: int, channels: int) -> bool:
    """Whether the absorbed form needs fewer multiply-accumulates per token, for Q queries and C feature channels."""
    inner, dim = _parts(block.to_k)[1].weight.shape
    plain = 2 * channels * dim + 2 * dim * inner + 2 * queries * inner
    wide = channels + _RAY_CHANNELS
    return block.heads * queries * (channels + wide) + channels**2 + wide**2 < plain


def absorbed_attention(block: CrossAttention, tokens: ImageTokens, query: Tensor, features: Tensor, rig: Rig) -> Tensor:
    """The attention of ``block`` to the keys and values that ``tokens`` would compute.

    Args:
        block: the attention block.
        tokens: the token module.
        query: (b, d, H, W), the same for every camera.
        features: (b, n, C, h, w).
        rig: calibration of the n cameras.

    Returns:
        (b, m, H·W, c), for ``block.refine``.
    """
    norm, linear = _parts(block.to_v)
    value, value_map = _normalise(*_activated(tokens.feature_linear, features), norm.eps)
    key, key_map = _normalise(*_key_factors(tokens, features, rig), _parts(block.to_k)[0].eps)
    queries, offset = _absorb_keys(block, query)
    mixed = _mix(queries @ key_map, key, value)  # b m Q C
    attended = (mixed @ value_map.T * norm.weight + norm.bias) @ _by_head(block, linear.weight).transpose(1, 2)
    attended = attended + _by_head(block, linear.bias)[:, None]
    # The softmax cancels this offset, which is the same for all scores of a query. It stays in the graph with a zero
    # gradient, because DistributedDataParallel waits for the gradient of every parameter.
    return attended + 0 * offset


def _key_factors(tokens: ImageTokens, features: Tensor, rig: Rig) -> tuple[Tensor, Tensor]:
    """Factors (b, n, K, C + 8) and map (d, C + 8) whose products are the keys."""
    factors, feature_map = _activated(tokens.feature_proj, features)
    rays, centres = tokens_of(rig.pixel_rays(features.shape[-2:])), tokens_of(rig.camera_centres())
    # W·ray − W'·centre = W·(ray − centre) + (W − W')·centre avoids cancellation.
    rays = torch.cat([rays - centres, centres.expand_as(rays)], -1)
    ray_map, centre_map = tokens.img_embed.weight.flatten(1), tokens.cam_embed.weight.flatten(1)
    ray_map = torch.cat([ray_map, ray_map - centre_map], 1)
    rays = rays / (_mean_square(rays, ray_map).mul(len(ray_map)).sqrt() + 1e-7)  # as unit_channels does
    return torch.cat([factors, rays], -1), torch.cat([feature_map, ray_map], 1)


def _activated(projection: nn.Sequential, features: Tensor) -> tuple[Tensor, Tensor]:
    """Features before a projection's convolution, (b, n, K, C), and the convolution's weights (d, C)."""
    *activate, linear = projection
    return tokens_of(per_image(nn.Sequential(*activate), features)), cast(nn.Conv2d, linear).weight.flatten(1)


def _normalise(factors: Tensor, linear: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Factors and map of the products' LayerNorm without its affine: (…, r) and (d, r) → the same shapes."""
    linear = linear - linear.mean(0)
    return factors * (_mean_square(factors, linear) + eps).rsqrt(), linear


def _mean_square(factors: Tensor, linear: Tensor) -> Tensor:
    """Mean square over d of the products of (…, r) and (d, r), without computing them: (…, 1), positive."""
    with torch.autocast(factors.device.type, enabled=False):
        dtype = torch.promote_types(factors.dtype, torch.float32)
        factors, linear = factors.to(dtype), linear.to(dtype)
        squares = (factors @ (linear.T @ linear / len(linear)) * factors).sum(-1, keepdim=True)
        return squares.clamp(min=torch.finfo(squares.dtype).tiny)  # rounding can make it negative


def _absorb_keys(block: CrossAttention, query: Tensor) -> tuple[Tensor, Tensor]:
    """Queries for normalised tokens, (b, m, Q, d), and the offset of their scores, (b, m, Q, 1)."""
    norm, linear = _parts(block.to_k)
    queries = block.split_heads(block.to_q(tokens_of(query)))
    queries = queries * queries.shape[-1] ** -0.5
    weight = _by_head(block, linear.weight)  # m c d
    bias = weight @ norm.bias + _by_head(block, linear.bias)  # m c
    return queries @ (weight * norm.weight), queries @ bias[..., None]


def _mix(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of (b, m, Q, r) to (b, n, K, r) and (b, n, K, C ≤ r), which all heads share: (b, m, Q, C)."""
    width = values.shape[-1]
    values = F.pad(values, (0, keys.shape[-1] - width))  # fused kernels require equal widths
    keys, values = (x.flatten(1, 2)[:, None] for x in (keys, values))
    mixed = F.scaled_dot_product_attention(queries.flatten(1, 2)[:, None], keys, values, scale=1.0)
    return mixed[:, 0, :, :width].unflatten(1, queries.shape[1:3])


def _parts(projection: nn.Sequential) -> tuple[nn.LayerNorm, nn.Linear]:
    norm, linear = projection
    return cast(nn.LayerNorm, norm), cast(nn.Linear, linear)


def _by_head(block: CrossAttention, x: Tensor) -> Tensor:
    """(m·c, …) → (m, c, …)."""
    return x.unflatten(0, (block.heads, -1))
