"""As :mod:`tests.models.naive`, the parts of ``cvt_io_v3`` in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from tests.models.naive import (
    Calibration,
    Grid,
    Weights,
    batch_norm,
    camera_centres,
    conv3x3,
    gelu,
    layer_norm,
    linear,
    pixel_points,
    relu,
)

# --- places ---------------------------------------------------------------------------------------------------------


def cell_centres(grid: Grid, size: tuple[int, int]) -> Tensor:
    """(2, *size): ego metres of the centres of cells, each of which covers the same whole of BEV pixels.

    They are the means of these pixels' places, and BEV pixel (r, c) is (H/2 + H·offset − r)·m/H ahead and
    (W/2 − c)·m/W to the left.
    """
    (height, width), (metres_h, metres_w) = grid.size, grid.metres
    rows, columns = ((torch.arange(n).double() + 0.5) * m / n - 0.5 for n, m in zip(size, grid.size, strict=True))
    ahead = (height / 2 + height * grid.offset - rows) * metres_h / height
    return torch.stack(torch.meshgrid(ahead, (width / 2 - columns) * metres_w / width, indexing='ij'))


def position(w: Weights, grid: Grid, size: tuple[int, int], bands: int = 6) -> Tensor:
    """(d, height, width)"""
    xy = cell_centres(grid, size) / (max(grid.metres) / 2)
    angles = torch.stack([math.pi * 2**k * a for a in xy for k in range(bands)])
    features = torch.cat([xy, angles.sin(), angles.cos()]).float()  # as the model keeps them
    return w['learned'] + linear(w / 'embed', features)


# --- image side -----------------------------------------------------------------------------------------------------


def taps(share: Tensor, length: int) -> Tensor:
    """(...) shares of an axis of the image → (..., length): bilinear weights of an axis of tokens."""
    place = (share * length - 0.5).clamp(0, length - 1)
    return (1 - (torch.arange(length) - place[..., None]).abs()).clamp(min=0)


def resized(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., h, w) → (..., *size), bilinear between the cells' centres, which cover the same area."""
    rows, columns = (
        taps((torch.arange(n).double() + 0.5) / n, length) for n, length in zip(size, grid.shape[-2:], strict=True)
    )
    return rows @ grid @ columns.T


def to_tokens(w: Weights, features: Tensor) -> Tensor:
    """(b, n, C, h, w) → (b, n, d, h, w)."""
    return batch_norm(w / 1, linear(w / 0, features))


def norm_relu(w: Weights, grids: Tensor) -> Tensor:
    return relu(batch_norm(w, grids))


def image_neck(w: Weights, fine: Tensor, low: Tensor) -> Tensor:
    """fine (b, n, C, h, w), coarse tokens (b, n, d, h', w') → (b, n, d, h, w)."""
    high = to_tokens(w / 'fine', fine)
    x, kernel = relu(high + resized(low, high.shape[-2:])), (w / 'mix' / 0)['weight']
    x = conv3x3({'weight': kernel * torch.eye(len(kernel))[..., None, None]}, x)  # each channel alone
    return norm_relu(w / 'mix' / 4, linear(w / 'mix' / 3, norm_relu(w / 'mix' / 1, x)))


# --- lift -----------------------------------------------------------------------------------------------------------


def seen_at(calibration: Calibration, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where cameras see ego points (P, 3): shares u and v of the image, depth and whether they do, each (b, P, n)."""
    matrices = calibration.cam_from_ego
    homogeneous = torch.cat([points, torch.ones_like(points[:, :1])], 1)
    x, y, depth = torch.einsum('bnij,pj->ibpn', matrices[..., :3, :], homogeneous)
    k, (height, width) = calibration.intrinsics.permute(2, 3, 0, 1)[:, :, :, None], calibration.image_size
    u, v = (k[0, 0] * x + k[0, 1] * y + k[0, 2] * depth) / depth / width, (k[1, 1] * y / depth + k[1, 2]) / height
    return u, v, depth, (depth > 0.1) & (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)


def lift(
    w: Weights,
    tokens: Tensor,
    calibration: Calibration,
    grid: Grid,
    size: tuple[int, int],
    heights: Sequence[float],
    cameras: int,
) -> Tensor:
    """tokens (b, n, d, h, w) → (b, c, height, width), before BatchNorm and ReLU."""
    xy = cell_centres(grid, size).flatten(1).T
    points = torch.stack([torch.cat([xy, torch.full_like(xy[:, :1], z)], 1) for z in heights], 1)
    u, v, depth, seen = (x.unflatten(1, (-1, len(heights))) for x in seen_at(calibration, points.flatten(0, 1)))
    seen &= seen.cumsum(-1) <= cameras  # b P Z n
    u, v, depth = (torch.where(seen, x, 1) for x in (u, v, depth))
    share = seen / seen.sum(-1, keepdim=True).clamp(min=1)
    values = linear(w / 'to_value', tokens).unflatten(2, (len(heights), -1))  # b n Z c h w
    gates = torch.ones(*depth.shape, *tokens.shape[-2:], dtype=torch.float64)
    if 'to_depth.weight' in w:
        mean, log_spread = linear(w / 'to_depth', tokens).unflatten(2, (len(heights), 2)).permute(3, 0, 2, 1, 4, 5)
        off = (depth.log()[..., None, None] - mean[:, None]) / log_spread[:, None].clamp(-3, 3).exp()
        gates = torch.exp(-(off**2) / 2)
    rows, columns = taps(v, tokens.shape[-2]), taps(u, tokens.shape[-1])
    out = torch.einsum('bpzn,bpzny,bpznx,bpznyx,bnzcyx->bcp', share, rows, columns, gates, values)
    return out.unflatten(2, size)


# --- latents --------------------------------------------------------------------------------------------------------


def latent_block(w: Weights, x: Tensor, context: Tensor, scales: Tensor, heads: int) -> Tensor:
    """x (b, Q, d), context (b, K, d), scales (2, d) → (b, Q, d)."""
    x, context = (tokens.double().mT[..., None] for tokens in (x, context))
    context = layer_norm(w / 'context_norm', context)
    query = linear(w / 'to_q', layer_norm(w / 'query_norm', x))
    grids = query, linear(w / 'to_k', context), linear(w / 'to_v', context)
    q, k, v = (grid[..., 0].unflatten(1, (heads, -1)) for grid in grids)  # b m c T
    lengths = [(tokens * tokens).sum(2) ** 0.5 for tokens in (q, k)]
    cosines = torch.einsum('bmcq,bmck->bmqk', q, k) / (lengths[0][..., None] * lengths[1][..., None, :])
    exps = torch.exp(w['logit_scale'].exp().clamp(max=100)[:, None, None] * cosines)
    read = torch.einsum('bmqk,bmck->bmcq', exps / exps.sum(-1, keepdim=True), v).flatten(1, 2)[..., None]
    of_read, of_mlp = scales.double()[..., None, None]
    x = x + of_read * linear(w / 'proj', read)
    hidden = gelu(linear(w / 'mlp' / 0, layer_norm(w / 'mlp_norm', x)))
    return (x + of_mlp * linear(w / 'mlp' / 2, hidden))[..., 0].mT


def area_shares(cells: int, parts: int) -> Tensor:
    """(parts, cells): share of each part of an axis that a cell covers, rounded to float32 as the model keeps it."""
    cell, part = torch.arange(cells).double(), torch.arange(parts).double()[:, None]
    overlap = torch.minimum((cell + 1) * parts / cells, part + 1) - torch.maximum(cell * parts / cells, part)
    return overlap.clamp(min=0).float().double()


def latent_array(w: Weights, lifted: Tensor | None, grid: Grid, size: tuple[int, int], batch: int) -> Tensor:
    """lifted (b, C, height, width) → (b, N·N, d)."""
    latents = position(w / 'position', grid, size).expand(batch, -1, -1, -1)
    if lifted is not None:
        rows, columns = (area_shares(n, parts) for n, parts in zip(lifted.shape[-2:], size, strict=True))
        latents = latents + linear(w / 'from_lift', rows @ lifted @ columns.T)
    return latents.flatten(2).mT


def token_rays(calibration: Calibration, size: tuple[int, int]) -> Tensor:
    """(b, n, 9, *size): direction, centre and moment of the rays through the tokens' middles."""
    v, u = ((torch.arange(n).double() + 0.5) * m / n for n, m in zip(size, calibration.image_size, strict=True))
    centres = camera_centres(calibration)[:, :, :3]
    directions = pixel_points(calibration, u, v)[:, :, :3] - centres
    directions = directions / (directions * directions).sum(2, keepdim=True) ** 0.5
    (cx, cy, cz), (dx, dy, dz) = centres.expand_as(directions).unbind(2), directions.unbind(2)
    return torch.stack([dx, dy, dz, cx, cy, cz, cy * dz - cz * dy, cz * dx - cx * dz, cx * dy - cy * dx], 2)


def encode(w: Weights, latents: Tensor, tokens: Tensor, calibration: Calibration, heads: int) -> Tensor:
    """latents (b, N·N, d), tokens (b, n, d, h, w) → (b, N·N, d)."""
    embed, rays = w / 'rays' / 'embed', token_rays(calibration, tokens.shape[-2:])
    context = tokens + linear(embed / 2, gelu(linear(embed / 0, rays)))
    return latent_block(w / 'block', latents, context.movedim(2, -1).flatten(1, 3), w['scale.factors'][0], heads)


def process(w: Weights, latents: Tensor, shared: bool, heads: int) -> Tensor:
    """latents (b, N·N, d) → the same shape."""
    for i, scales in enumerate(w['scale.factors']):
        latents = latent_block(w / 'blocks' / (0 if shared else i), latents, latents, scales, heads)
    return latents


def decode(w: Weights, bev: Tensor, latents: Tensor, heads: int) -> Tensor:
    """bev (b, d, h, w), latents (b, N·N, d) → (b, d, h, w)."""
    return latent_block(w / 'block', bev.flatten(2).mT, latents, w['scale.factors'][0], heads).mT.reshape(bev.shape)


# --- neck and what follows ------------------------------------------------------------------------------------------


def lift_neck(
    w: Weights,
    features: Sequence[Tensor],
    calibration: Calibration,
    grid: Grid,
    lift_settings: dict | None,
    latent_settings: dict | None,
) -> Tensor:
    """features (b, n, C, h, w) and (b, n, C', h', w') → (b, d/4 + c, height/2, width/2)."""
    coarse, lifted = to_tokens(w / 'coarse', features[1]), None
    fine, mid = ((grid.size[0] // k, grid.size[1] // k) for k in (2, 4))
    bev = position(w / 'position', grid, mid).expand(len(coarse), -1, -1, -1)
    if lift_settings is not None:
        tokens = image_neck(w / 'image_neck', features[0], coarse)
        heights, cameras = lift_settings['heights'], lift_settings['cameras']
        lifted = norm_relu(w / 'lift' / 'norm', lift(w / 'lift', tokens, calibration, grid, fine, heights, cameras))
        bev = bev + batch_norm(w / 'down' / 1, conv3x3(w / 'down' / 0, lifted)[..., ::2, ::2])
    if latent_settings is not None:
        heads = latent_settings['heads']
        latents = latent_array(w / 'latent_array', lifted, grid, latent_settings['size'], len(coarse))
        latents = encode(w / 'encode', latents, coarse, calibration, heads)
        bev = decode(w / 'decode', bev, process(w / 'process', latents, latent_settings['shared'], heads), heads)
    hidden = norm_relu(w / 'trunk' / 0 / 1, conv3x3(w / 'trunk' / 0 / 0, bev))
    bev = pixel_shuffle(relu(bev + batch_norm(w / 'trunk' / 2 / 1, conv3x3(w / 'trunk' / 2 / 0, hidden))))
    return bev if lifted is None else torch.cat([bev, lifted], 1)


def pixel_shuffle(grid: Tensor) -> Tensor:
    """(b, 4·C, h, w) → (b, C, 2h, 2w): channel 4c + 2i + j is row i, column j of each block of 2×2."""
    batch, channels, height, width = grid.shape
    out = torch.zeros(batch, channels // 4, 2 * height, 2 * width, dtype=torch.float64)
    for i, j in product(range(2), range(2)):
        out[..., i::2, j::2] = grid[:, 2 * i + j :: 4]
    return out


def sub_pixel_logits(fuse: Weights, head: Weights, bev: Tensor) -> Tensor:
    """(b, C, h, w) → (b, outputs, 2h, 2w)."""
    hidden = norm_relu(fuse / 1, conv3x3(fuse / 0, bev.double()))
    return pixel_shuffle(linear(head / 'to_logits' / 0, hidden))
