"""Attention of few queries to many image tokens, without the tokens.

A token's key is a linear map of few numbers, its feature's C channels and 8 of its ray; then it is normalised, and
projected by another linear map. Few queries take both maps upon themselves: a query, mapped back, meets the few numbers
of each token at once, and the values' maps follow after the mixing, which is linear as well. Per token this costs about
2·m·Q·C multiply-accumulates in place of 2·C·d + 2·d² + 2·Q·d, and no d-wide token is ever in memory. The outcome is the
same but for rounding. The layers' parameters are used and their own ``forward`` is not, so hooks on them see nothing.

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
    """Whether the absorbed form has fewer multiply-accumulates a token, for Q queries and C feature channels."""
    inner, dim = _parts(block.to_k)[1].weight.shape
    plain = 2 * channels * dim + 2 * dim * inner + 2 * queries * inner
    wide = channels + _RAY_CHANNELS
    return block.heads * queries * (channels + wide) + channels**2 + wide**2 < plain


def absorbed_attention(block: CrossAttention, tokens: ImageTokens, query: Tensor, features: Tensor, rig: Rig) -> Tensor:
    """The attention of ``block`` to the keys and values that ``tokens`` would make.

    Args:
        block: whose projections are used.
        tokens: whose projections are used.
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
    # All of a query's scores are off by the same, which the softmax takes away. The offset's gradient is zero, and it
    # has to be there: DistributedDataParallel waits for one of every parameter.
    return attended + 0 * offset


def _key_factors(tokens: ImageTokens, features: Tensor, rig: Rig) -> tuple[Tensor, Tensor]:
    """(b, n, K, C + 8) and (d, C + 8), whose products are the keys."""
    factors, feature_map = _activated(tokens.feature_proj, features)
    rays, centres = tokens_of(rig.pixel_rays(features.shape[-2:])), tokens_of(rig.camera_centres())
    # W·ray − W'·centre = W·(ray − centre) + (W − W')·centre: the differences are free of cancellation.
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
    """Mean square over the channels of the products of (…, r) and (d, r), without making them: (…, 1), positive."""
    with torch.autocast(factors.device.type, enabled=False):
        dtype = torch.promote_types(factors.dtype, torch.float32)
        factors, linear = factors.to(dtype), linear.to(dtype)
        squares = (factors @ (linear.T @ linear / len(linear)) * factors).sum(-1, keepdim=True)
        return squares.clamp(min=torch.finfo(squares.dtype).tiny)  # rounding can make it negative


def _absorb_keys(block: CrossAttention, query: Tensor) -> tuple[Tensor, Tensor]:
    """Queries of normalised tokens, (b, m, Q, d), and what their scores lack, (b, m, Q, 1)."""
    norm, linear = _parts(block.to_k)
    queries = block.split_heads(block.to_q(tokens_of(query)))
    queries = queries * queries.shape[-1] ** -0.5
    weight = _by_head(block, linear.weight)  # m c d
    bias = weight @ norm.bias + _by_head(block, linear.bias)  # m c
    return queries @ (weight * norm.weight), queries @ bias[..., None]


def _mix(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of (b, m, Q, r) to (b, n, K, r) and (b, n, K, C ≤ r), which all heads share: (b, m, Q, C)."""
    width = values.shape[-1]
    values = F.pad(values, (0, keys.shape[-1] - width))  # the fused kernels want one width
    keys, values = (x.flatten(1, 2)[:, None] for x in (keys, values))
    mixed = F.scaled_dot_product_attention(queries.flatten(1, 2)[:, None], keys, values, scale=1.0)
    return mixed[:, 0, :, :width].unflatten(1, queries.shape[1:3])


def _parts(projection: nn.Sequential) -> tuple[nn.LayerNorm, nn.Linear]:
    norm, linear = projection
    return cast(nn.LayerNorm, norm), cast(nn.Linear, linear)


def _by_head(block: CrossAttention, x: Tensor) -> Tensor:
    """(m·c, …) → (m, c, …)."""
    return x.unflatten(0, (block.heads, -1))
