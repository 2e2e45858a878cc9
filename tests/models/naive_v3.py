"""As :mod:`tests.models.naive`, the parts of ``cvt_io_v3``: float64, one cell, height, camera and token at a time."""

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
    at_each_position,
    batch_norm,
    camera_centre,
    conv3x3,
    ego_from_cam,
    gelu,
    layer_norm,
    linear,
    relu,
)

# --- places ---------------------------------------------------------------------------------------------------------


def cell_centre(grid: Grid, size: tuple[int, int], row: int, column: int) -> tuple[float, float]:
    """Ego metres (x, y) of the centre of one of ``size`` cells, each of which covers the same whole of BEV pixels.

    It is the mean of these pixels' places, and BEV pixel (r, c) is (H/2 + H·offset − r)·m/H ahead and (W/2 − c)·m/W
    to the left.
    """
    (height, width), (metres_h, metres_w) = grid.size, grid.metres
    pixel_row = (2 * row + 1) * height / (2 * size[0]) - 0.5
    pixel_column = (2 * column + 1) * width / (2 * size[1]) - 0.5
    ahead = (height / 2 + height * grid.offset - pixel_row) * metres_h / height
    return ahead, (width / 2 - pixel_column) * metres_w / width


def position(w: Weights, grid: Grid, size: tuple[int, int], bands: int = 6) -> Tensor:
    """(d, height, width)"""
    out = w['learned'].clone()
    for row, column in product(*map(range, size)):
        xy = [metres / (max(grid.metres) / 2) for metres in cell_centre(grid, size, row, column)]
        waves = [[wave(math.pi * 2**k * a) for a in xy for k in range(bands)] for wave in (math.sin, math.cos)]
        features = torch.tensor([*xy, *waves[0], *waves[1]]).double()  # float32 first, as the model keeps them
        out[:, row, column] += linear(w / 'embed', features)
    return out


# --- image side -----------------------------------------------------------------------------------------------------


def resized(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, h, w) → (C, *size), bilinear between the cells' centres, which cover the same area."""
    out = torch.zeros(len(grid), *size, dtype=torch.float64)
    for row, column in product(*map(range, size)):
        for y, x, weight in taps((column + 0.5) / size[1], (row + 0.5) / size[0], grid.shape[-2:]):
            out[:, row, column] += weight * grid[:, y, x]
    return out


def taps(u: float, v: float, size: Sequence[int]) -> list[tuple[int, int, float]]:
    """The tokens (y, x) of a grid around a share (u, v) of the image's width and height, and their bilinear weights."""
    x = min(max(u * size[1] - 0.5, 0.0), size[1] - 1.0)
    y = min(max(v * size[0] - 0.5, 0.0), size[0] - 1.0)
    found = []
    for row, column in product(range(size[0]), range(size[1])):
        weight = max(0.0, 1 - abs(row - y)) * max(0.0, 1 - abs(column - x))
        if weight > 0:
            found.append((row, column, weight))
    return found


def to_tokens(w: Weights, features: Tensor) -> Tensor:
    """(b, n, C, h, w) → (b, n, d, h, w)."""
    return at_each_position(lambda f: batch_norm(w / 1, linear(w / 0, f)), features)


def image_neck(w: Weights, fine: Tensor, low: Tensor) -> Tensor:
    """fine (b, n, C, h, w), coarse tokens (b, n, d, h', w') → (b, n, d, h, w)."""
    high = to_tokens(w / 'fine', fine)
    joined = torch.zeros_like(high)
    for b, n in product(*map(range, high.shape[:2])):
        x = relu(high[b, n] + resized(low[b, n], high.shape[-2:]))
        x = depthwise3x3((w / 'mix' / 0)['weight'], x)
        x = at_each_position(lambda f: relu(batch_norm(w / 'mix' / 1, f)), x)
        joined[b, n] = at_each_position(lambda f: relu(batch_norm(w / 'mix' / 4, linear(w / 'mix' / 3, f))), x)
    return joined


def depthwise3x3(kernel: Tensor, grid: Tensor) -> Tensor:
    """3×3 convolution of each channel of (C, h, w) alone, with a border of zeros."""
    out = torch.zeros_like(grid)
    _, height, width = grid.shape
    for y, x, dy, dx in product(range(height), range(width), (-1, 0, 1), (-1, 0, 1)):
        if 0 <= y + dy < height and 0 <= x + dx < width:
            out[:, y, x] += kernel[:, 0, dy + 1, dx + 1] * grid[:, y + dy, x + dx]
    return out


# --- lift -----------------------------------------------------------------------------------------------------------


def seen_at(calibration: Calibration, b: int, n: int, point: Sequence[float]) -> tuple[float, float, float] | None:
    """Where a camera sees an ego point: shares (u, v) of its image and depth, or None."""
    matrix = calibration.cam_from_ego[b, n].tolist()
    x, y, depth = (sum(matrix[i][j] * point[j] for j in range(3)) + matrix[i][3] for i in range(3))
    if depth <= 0.1:
        return None
    (fx, skew, cx), (_, fy, cy), _ = calibration.intrinsics[b, n].tolist()
    height, width = calibration.image_size
    u, v = (fx * x + skew * y + cx * depth) / depth / width, (fy * y + cy * depth) / depth / height
    return (u, v, depth) if 0 <= u <= 1 and 0 <= v <= 1 else None


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
    channels = len(w['to_value.weight']) // len(heights)
    out = torch.zeros(len(tokens), channels, *size, dtype=torch.float64)
    for b, row, column in product(range(len(tokens)), *map(range, size)):
        for z, metres in enumerate(heights):
            point = (*cell_centre(grid, size, row, column), metres)
            seen = [(n, seen_at(calibration, b, n, point)) for n in range(tokens.shape[1])]
            seen = [(n, where) for n, where in seen if where is not None][:cameras]
            for n, (u, v, depth) in seen:
                for y, x, weight in taps(u, v, tokens.shape[-2:]):
                    token = tokens[b, n, :, y, x].double()
                    value = linear(w / 'to_value', token)[z * channels : (z + 1) * channels]
                    out[b, :, row, column] += weight / len(seen) * gate(w, token, z, depth) * value
    return out


def gate(w: Weights, token: Tensor, z: int, depth: float) -> Tensor | float:
    """How well a depth fits what a token expects at height number z."""
    if 'to_depth.weight' not in w:
        return 1.0
    mean, log_spread = linear(w / 'to_depth', token)[2 * z : 2 * z + 2]
    return torch.exp(-(((math.log(depth) - mean) / torch.exp(log_spread.clamp(-3, 3))) ** 2) / 2)


def norm_relu(w: Weights, grids: Tensor) -> Tensor:
    return at_each_position(lambda x: relu(batch_norm(w, x)), grids)


# --- latents --------------------------------------------------------------------------------------------------------


def latent_block(w: Weights, x: Tensor, context: Tensor, scales: Tensor, heads: int) -> Tensor:
    """x (Q, d), context (K, d), scales (2, d) → (Q, d)."""
    context = [layer_norm(w / 'context_norm', token) for token in context.double()]
    keys = [linear(w / 'to_k', token) for token in context]
    values = [linear(w / 'to_v', token) for token in context]
    temperatures = [min(math.exp(s), 100.0) for s in w['logit_scale'].tolist()]
    out = []
    for row in x.double():
        query = linear(w / 'to_q', layer_norm(w / 'query_norm', row))
        size = len(query) // heads
        parts = []
        for head, temperature in enumerate(temperatures):
            part = slice(head * size, (head + 1) * size)
            exps = [torch.exp(temperature * cosine(query[part], key[part])) for key in keys]
            parts.append(sum(e * value[part] for e, value in zip(exps, values, strict=True)) / sum(exps))
        row = row + scales[0] * linear(w / 'proj', torch.cat(parts))
        hidden = gelu(linear(w / 'mlp' / 0, layer_norm(w / 'mlp_norm', row)))
        out.append(row + scales[1] * linear(w / 'mlp' / 2, hidden))
    return torch.stack(out)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a, b) / torch.sqrt(torch.dot(a, a) * torch.dot(b, b))


def latent_array(w: Weights, lifted: Tensor | None, grid: Grid, size: tuple[int, int]) -> Tensor:
    """lifted (C, height, width) of one sample → (N·N, d)."""
    positions = position(w / 'position', grid, size)
    out = []
    for row, column in product(*map(range, size)):
        latent = positions[:, row, column]
        if lifted is not None:
            latent = latent + linear(w / 'from_lift', area_mean(lifted, size, row, column))
        out.append(latent)
    return torch.stack(out)


def area_mean(grid: Tensor, size: tuple[int, int], row: int, column: int) -> Tensor:
    """Mean of (C, height, width) over one of ``size`` equal rectangles; cells on its edge count by their share."""
    _, height, width = grid.shape
    total = torch.zeros(len(grid), dtype=torch.float64)
    for y, x in product(range(height), range(width)):
        total += grid[:, y, x] * _share(y, row, size[0] / height) * _share(x, column, size[1] / width)
    return total


def _share(cell: int, part: int, parts_per_cell: float) -> float:
    """Share of a part of an axis that a cell covers, rounded to float32 as the model keeps it."""
    overlap = min((cell + 1) * parts_per_cell, part + 1) - max(cell * parts_per_cell, part)
    return torch.tensor(max(overlap, 0.0)).double().item()


def token_ray(calibration: Calibration, b: int, n: int, y: int, x: int, size: tuple[int, int]) -> Tensor:
    """(9,): direction, centre and moment of the ray through a token's middle."""
    (rows, columns), (height, width) = size, calibration.image_size
    u, v = width * (x + 0.5) / columns, height * (y + 0.5) / rows
    (fx, skew, cx), (_, fy, cy), _ = calibration.intrinsics[b, n].double().tolist()
    in_cam_y = (v - cy) / fy
    in_cam = torch.tensor([(u - cx - skew * in_cam_y) / fx, in_cam_y, 1.0], dtype=torch.float64)
    direction = ego_from_cam(calibration.cam_from_ego[b, n])[:3, :3] @ in_cam
    direction = direction / torch.sqrt(torch.dot(direction, direction))
    cx, cy, cz = camera_centre(calibration, b, n)[:3].tolist()
    dx, dy, dz = direction.tolist()
    moment = [cy * dz - cz * dy, cz * dx - cx * dz, cx * dy - cy * dx]
    return torch.tensor([dx, dy, dz, cx, cy, cz, *moment], dtype=torch.float64)


def encode(w: Weights, latents: Tensor, tokens: Tensor, calibration: Calibration, b: int, heads: int) -> Tensor:
    """latents (N·N, d), tokens (n, d, h, w) of sample b → (N·N, d)."""
    cameras, _, height, width = tokens.shape
    context = []
    for n, y, x in product(range(cameras), range(height), range(width)):
        ray = token_ray(calibration, b, n, y, x, (height, width))
        embedded = linear(w / 'rays' / 'embed' / 2, gelu(linear(w / 'rays' / 'embed' / 0, ray)))
        context.append(tokens[n, :, y, x] + embedded)
    return latent_block(w / 'block', latents, torch.stack(context), w['scale.factors'][0], heads)


def process(w: Weights, latents: Tensor, shared: bool, heads: int) -> Tensor:
    """latents (N·N, d) → the same shape."""
    for i, scales in enumerate(w['scale.factors']):
        latents = latent_block(w / 'blocks' / (0 if shared else i), latents, latents, scales, heads)
    return latents


def decode(w: Weights, bev: Tensor, latents: Tensor, heads: int) -> Tensor:
    """bev (d, h, w), latents (N·N, d) → (d, h, w)."""
    read = latent_block(w / 'block', bev.flatten(1).T, latents, w['scale.factors'][0], heads)
    return read.T.reshape(bev.shape)


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
    coarse = to_tokens(w / 'coarse', features[1])
    fine, mid = ((grid.size[0] // k, grid.size[1] // k) for k in (2, 4))
    lifted = [None] * len(coarse)
    if lift_settings is not None:
        tokens = image_neck(w / 'image_neck', features[0], coarse)
        heights, cameras = lift_settings['heights'], lift_settings['cameras']
        raw = lift(w / 'lift', tokens, calibration, grid, fine, heights, cameras)
        lifted = norm_relu(w / 'lift' / 'norm', raw)
    out = []
    for b, from_lift in enumerate(lifted):
        bev = position(w / 'position', grid, mid)
        if from_lift is not None:
            down = conv3x3(w / 'down' / 0, from_lift)[:, ::2, ::2]
            bev = bev + at_each_position(lambda x: batch_norm(w / 'down' / 1, x), down)
        if latent_settings is not None:
            heads = latent_settings['heads']
            latents = latent_array(w / 'latent_array', from_lift, grid, latent_settings['size'])
            latents = encode(w / 'encode', latents, coarse[b], calibration, b, heads)
            latents = process(w / 'process', latents, latent_settings['shared'], heads)
            bev = decode(w / 'decode', bev, latents, heads)
        hidden = norm_relu(w / 'trunk' / 0 / 1, conv3x3(w / 'trunk' / 0 / 0, bev))
        hidden = at_each_position(lambda x: batch_norm(w / 'trunk' / 2 / 1, x), conv3x3(w / 'trunk' / 2 / 0, hidden))
        bev = pixel_shuffle(relu(bev + hidden))
        out.append(bev if from_lift is None else torch.cat([bev, from_lift]))
    return torch.stack(out)


def pixel_shuffle(grid: Tensor, factor: int = 2) -> Tensor:
    """(C·f², h, w) → (C, f·h, f·w): channel c·f² + i·f + j is row i, column j of each block of f×f."""
    channels, height, width = grid.shape
    out = torch.zeros(channels // factor**2, factor * height, factor * width, dtype=torch.float64)
    for c, i, j in product(range(len(out)), range(factor), range(factor)):
        out[c, i::factor, j::factor] = grid[c * factor**2 + i * factor + j]
    return out


def sub_pixel_logits(fuse: Weights, head: Weights, bev: Tensor) -> Tensor:
    """(b, C, h, w) → (b, outputs, 2h, 2w)."""
    out = []
    for sample in bev:
        hidden = norm_relu(fuse / 1, conv3x3(fuse / 0, sample.double()))
        out.append(pixel_shuffle(at_each_position(lambda x: linear(head / 'to_logits' / 0, x), hidden)))
    return torch.stack(out)
