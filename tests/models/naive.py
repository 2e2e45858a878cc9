"""Naive float64 re-implementation of the network, written from its definition: one number or one vector at a time.

Nothing here calls a layer of PyTorch or of the project. Grids are indexed ``[..., row, column]``; loops run over batch,
cameras, heads and positions. All functions are differentiable.

Shapes: b batch, n cameras, d channels, (H, W) query grid, (h, w) token grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor


class Weights:
    """A module's tensors in float64, by name; ``weights / 'child'`` are those of a child."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str = '') -> None:
        self.tensors, self.prefix = tensors, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[self.prefix + name].double()

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.tensors

    def __truediv__(self, child: str | int) -> Weights:
        return Weights(self.tensors, f'{self.prefix}{child}.')


@dataclass
class Calibration:
    """intrinsics (b, n, 3, 3) with a last row 0 0 1, upper triangular; cam_from_ego (b, n, 4, 4), rigid; float64."""

    intrinsics: Tensor
    cam_from_ego: Tensor
    image_size: tuple[int, int]


@dataclass
class Grid:
    """A BEV grid of ``size`` cells (rows, columns) over ``metres``, and the coarse grid laid over it."""

    size: tuple[int, int]
    metres: tuple[float, float]
    coarse: tuple[int, int]
    offset: float = 0.0


def at_each_position(function: Callable[[Tensor], Tensor], grid: Tensor) -> Tensor:
    """Applies a function of a channel vector at each position of (..., C, h, w)."""
    *lead, channels, height, width = grid.shape
    flat = grid.reshape(-1, channels, height, width).double()
    planes = []
    for plane in flat:
        rows = [torch.stack([function(plane[:, y, x]) for x in range(width)], -1) for y in range(height)]
        planes.append(torch.stack(rows, -2))
    return torch.stack(planes).reshape(*lead, -1, height, width)


def linear(w: Weights, x: Tensor) -> Tensor:
    """A linear layer, or a 1×1 convolution at one position."""
    out = w['weight'].flatten(1) @ x
    return out + w['bias'] if 'bias' in w else out


def layer_norm(w: Weights, x: Tensor) -> Tensor:
    mean = x.sum() / len(x)
    variance = ((x - mean) ** 2).sum() / len(x)
    return (x - mean) / (variance + 1e-5) ** 0.5 * w['weight'] + w['bias']


def batch_norm(w: Weights, x: Tensor) -> Tensor:
    """Evaluation mode."""
    return (x - w['running_mean']) / (w['running_var'] + 1e-5) ** 0.5 * w['weight'] + w['bias']


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def unit(x: Tensor) -> Tensor:
    return x / ((x * x).sum() ** 0.5 + 1e-7)


def conv3x3(w: Weights, grid: Tensor) -> Tensor:
    """3×3 convolution of (C, h, w) with a border of zeros."""
    _, height, width = grid.shape
    kernel = w['weight']
    rows = []
    for y in range(height):
        cells = []
        for x in range(width):
            cell = torch.zeros(len(kernel), dtype=torch.float64)
            for dy, dx in product((-1, 0, 1), repeat=2):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    cell = cell + kernel[:, :, dy + 1, dx + 1] @ grid[:, y + dy, x + dx]
            cells.append(cell)
        rows.append(torch.stack(cells, -1))
    return torch.stack(rows, -2)


# --- attention block ------------------------------------------------------------------------------------------------


def attention(
    w: Weights, query: Tensor, key: Tensor, value: Tensor, skip: Tensor | None, heads: int, joint: bool = True
) -> Tensor:
    """The attention block: query (b, n, d, H, W), key and value (b, n, d, h, w), skip (b, d, H, W) → (b, d, H, W).

    ``joint=False`` gives each camera a softmax of its own (summed over the cameras), a wrong form for tests to reject.
    """
    batch, _, _, height, width = query.shape
    q, k, v = (
        at_each_position(lambda x, p=w / name: linear(p / 1, layer_norm(p / 0, x)), grid)
        for name, grid in (('to_q', query), ('to_k', key), ('to_v', value))
    )
    samples = []
    for b in range(batch):
        rows = []
        for y in range(height):
            cells = []
            for x in range(width):
                out = _attend(q[b, :, :, y, x], k[b], v[b], heads, joint)
                z = linear(w / 'proj', out)
                cells.append(_refine(w, z if skip is None else z + skip[b, :, y, x].double()))
            rows.append(torch.stack(cells, -1))
        samples.append(torch.stack(rows, -2))
    return torch.stack(samples)


def _attend(q: Tensor, k: Tensor, v: Tensor, heads: int, joint: bool) -> Tensor:
    """q (n, m·c), k and v (n, m·c, h, w) → (m·c,) at one query position."""
    cameras, channels, height, width = k.shape
    size = channels // heads
    out = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        exps = {
            (n, y, x): torch.exp(torch.dot(q[n, part], k[n, part, y, x]) / math.sqrt(size))
            for n, y, x in product(range(cameras), range(height), range(width))
        }
        total = {n: sum(e for (m, _, _), e in exps.items() if joint or m == n) for n in range(cameras)}
        out.append(sum(e / total[n] * v[n, part, y, x] for (n, y, x), e in exps.items()))
    return torch.cat(out)


def _refine(w: Weights, z: Tensor) -> Tensor:
    z = layer_norm(w / 'prenorm', z)
    hidden = gelu(linear(w / 'mlp' / 0, z))
    return layer_norm(w / 'postnorm', z + linear(w / 'mlp' / 2, hidden))


# --- calibration ----------------------------------------------------------------------------------------------------


def ego_from_cam(cam_from_ego: Tensor) -> Tensor:
    """Inverse of a rigid (4, 4) by transposing its rotation."""
    rotation, translation = cam_from_ego[:3, :3], cam_from_ego[:3, 3]
    out = torch.eye(4, dtype=torch.float64)
    out[:3, :3] = rotation.T
    out[:3, 3] = -(rotation.T @ translation)
    return out


def camera_centre(calibration: Calibration, b: int, n: int) -> Tensor:
    """(4,)"""
    return ego_from_cam(calibration.cam_from_ego[b, n])[:, 3]


def pixel_ray(calibration: Calibration, b: int, n: int, y: int, x: int, size: tuple[int, int]) -> Tensor:
    """(4,): the point at depth 1 of cell (y, x) of a feature map of ``size``."""
    (rows, columns), (height, width) = size, calibration.image_size
    u = width * x / (columns - 1) if columns > 1 else 0.0
    v = height * y / (rows - 1) if rows > 1 else 0.0
    (fx, skew, cx), (_, fy, cy), _ = calibration.intrinsics[b, n].double().tolist()
    in_cam_y = (v - cy) / fy
    in_cam_x = (u - cx - skew * in_cam_y) / fx
    in_cam = torch.tensor([in_cam_x, in_cam_y, 1.0, 1.0], dtype=torch.float64)
    return ego_from_cam(calibration.cam_from_ego[b, n]) @ in_cam


def image_tokens(w: Weights, features: Tensor, calibration: Calibration) -> tuple[Tensor, Tensor]:
    """Keys and values, each (b, n, d, h, w), of features (b, n, C, h, w)."""
    key = at_each_position(lambda f: _project(w / 'feature_proj', f), features)
    value = at_each_position(lambda f: _project(w / 'feature_linear', f), features)
    batch, cameras, _, height, width = features.shape
    key = key.clone()
    for b, n, y, x in product(range(batch), range(cameras), range(height), range(width)):
        ray = linear(w / 'img_embed', pixel_ray(calibration, b, n, y, x, (height, width)))
        key[b, n, :, y, x] += unit(ray - linear(w / 'cam_embed', camera_centre(calibration, b, n)))
    return key, value


def _project(w: Weights, feature: Tensor) -> Tensor:
    return linear(w / 2, relu(batch_norm(w / 0, feature)))


# --- BEV grid -------------------------------------------------------------------------------------------------------


def bev_ego(grid: Grid, row: int, column: int) -> tuple[float, float]:
    """Ego metres (x, y) of a cell of the coarse grid, whose corners lie on the full grid's pixels 0 and ``size``."""
    (height, width), (metres_h, metres_w) = grid.size, grid.metres
    pixel_row = height * row / (grid.coarse[0] - 1) if grid.coarse[0] > 1 else 0.0
    pixel_column = width * column / (grid.coarse[1] - 1) if grid.coarse[1] > 1 else 0.0
    ahead = (height * grid.offset + height / 2 - pixel_row) * metres_h / height
    left = (width / 2 - pixel_column) * metres_w / width
    return ahead, left


def bev_query(bev_embed: Weights, cam_embed: Weights, x: Tensor, grid: Grid, calibration: Calibration) -> Tensor:
    """unit(embedded metres − embedded camera centre) + x, with x (b, d, height, width): (b, n, d, height, width)."""
    cameras = calibration.intrinsics.shape[1]
    query = x.double()[:, None].repeat(1, cameras, 1, 1, 1)
    for b, n, row, column in product(range(len(x)), range(cameras), *map(range, grid.coarse)):
        metres = torch.tensor(bev_ego(grid, row, column), dtype=torch.float64)
        centre = linear(cam_embed, camera_centre(calibration, b, n))
        query[b, n, :, row, column] += unit(linear(bev_embed, metres) - centre)
    return query


# --- necks ----------------------------------------------------------------------------------------------------------


def bottleneck(w: Weights, grid: Tensor) -> Tensor:
    """(C, h, w) → the same shape."""
    hidden = at_each_position(lambda x: relu(batch_norm(w / 'bn1', linear(w / 'conv1', x))), grid)
    hidden = at_each_position(lambda x: relu(batch_norm(w / 'bn2', x)), conv3x3(w / 'conv2', hidden))
    return relu(grid + at_each_position(lambda x: batch_norm(w / 'bn3', linear(w / 'conv3', x)), hidden))


def bottlenecks(w: Weights, grids: Tensor, count: int = 2) -> Tensor:
    """(b, C, h, w) → the same shape."""
    out = []
    for grid in grids:
        for i in range(count):
            grid = bottleneck(w / i, grid)
        out.append(grid)
    return torch.stack(out)


def encode(
    w: Weights, latents: Tensor, features: Sequence[Tensor], calibration: Calibration, heads: int, per_camera: bool
) -> Tensor:
    """latents (d, rows, columns) → (b, n or 1, d, rows, columns)."""
    batch, cameras = features[0].shape[:2]
    samples = []
    for b in range(batch):
        groups = [[n] for n in range(cameras)] if per_camera else [list(range(cameras))]
        samples.append(torch.cat([_encode_one(w, latents, features, calibration, heads, b, group) for group in groups]))
    return torch.stack(samples)


def _encode_one(w, latents, features, calibration, heads, b, cameras) -> Tensor:
    """The latents (1, d, rows, columns) of one sample that read some of its cameras."""
    part = Calibration(
        calibration.intrinsics[b : b + 1, cameras], calibration.cam_from_ego[b : b + 1, cameras], calibration.image_size
    )
    x = latents.double()[None]
    for i, feature in enumerate(features):
        view = w / 'cross_views' / i
        key, value = image_tokens(view / 'tokens', feature[b : b + 1, cameras], part)
        query = x[:, None].repeat(1, len(cameras), 1, 1, 1)
        x = bottlenecks(view / 'bottlenecks', attention(view / 'cross_attend', query, key, value, x, heads))
    return x


def process(w: Weights, latents: Tensor, depth: int, shared: bool, heads: int) -> Tensor:
    """(b, n or 1, d, rows, columns) → the same shape; every grid attends to itself alone."""
    out = []
    for grids in latents:
        x = grids.double()[:, None]
        for i in range(depth):
            x = attention(w / 'self_attends' / (0 if shared else i), x, x, x, x[:, 0], heads)[:, None]
        out.append(x[:, 0])
    return torch.stack(out)


def decode(w: Weights, latents: Tensor, grid: Grid, calibration: Calibration, heads: int) -> Tensor:
    """(b, n or 1, d, rows, columns) → (b, d, height, width)."""
    batch, cameras = calibration.intrinsics.shape[:2]
    prior = (w / 'prior')['features'][None].repeat(batch, 1, 1, 1)
    query = bev_query(w / 'position' / 'bev_embed', w / 'cam_embed', prior, grid, calibration)
    seen = torch.stack([latents[:, n if latents.shape[1] > 1 else 0] for n in range(cameras)], 1).double()
    return attention(w / 'cross_attend', query, seen, seen, None, heads)


def latent_neck(
    w: Weights,
    features: Sequence[Tensor],
    calibration: Calibration,
    grid: Grid,
    heads: int,
    depth: int,
    shared: bool,
    per_camera: bool,
) -> Tensor:
    """features, each (b, n, C, h, w) → (b, d, height, width)."""
    latents = encode(w / 'encode', w['latent_array.features'], features, calibration, heads, per_camera)
    latents = process(w / 'process', latents, depth, shared, heads)
    return decode(w / 'decode', latents, grid, calibration, heads)


def cvt_neck(w: Weights, features: Sequence[Tensor], calibration: Calibration, grid: Grid, heads: int) -> Tensor:
    """features, each (b, n, C, h, w) → (b, d, height, width)."""
    x = w['prior.features'][None].repeat(len(features[0]), 1, 1, 1)
    for i, feature in enumerate(features):
        view = w / 'cross_views' / i
        key, value = image_tokens(view / 'tokens', feature, calibration)
        query = bev_query(w / 'positions' / i / 'bev_embed', view / 'tokens' / 'cam_embed', x, grid, calibration)
        x = bottlenecks(view / 'bottlenecks', attention(view / 'cross_attend', query, key, value, x, heads))
    return x


# --- BEV decoder and head -------------------------------------------------------------------------------------------


def double_bilinear(grid: Tensor) -> Tensor:
    """(C, h, w) → (C, 2h, 2w), the corner cells' centres on each other."""
    _, height, width = grid.shape
    rows = []
    for y in range(2 * height):
        cells = []
        for x in range(2 * width):
            v, u = y * (height - 1) / (2 * height - 1), x * (width - 1) / (2 * width - 1)
            y0, x0 = min(int(v), max(height - 2, 0)), min(int(u), max(width - 2, 0))
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            top = grid[:, y0, x0] * (1 - (u - x0)) + grid[:, y0, x1] * (u - x0)
            bottom = grid[:, y1, x0] * (1 - (u - x0)) + grid[:, y1, x1] * (u - x0)
            cells.append(top * (1 - (v - y0)) + bottom * (v - y0))
        rows.append(torch.stack(cells, -1))
    return torch.stack(rows, -2)


def decoder_block(w: Weights, grid: Tensor, skip: Tensor) -> Tensor:
    """grid (C, h, w) and the decoder's input, skip → (c, 2h, 2w)."""
    x = conv3x3(w / 'conv' / 1, double_bilinear(grid.double()))
    x = at_each_position(lambda v: relu(batch_norm(w / 'conv' / 2, v)), x)
    x = at_each_position(lambda v: batch_norm(w / 'conv' / 5, linear(w / 'conv' / 4, v)), x)
    _, height, width = x.shape
    x = x.clone()
    for row, column in product(range(height), range(width)):
        nearest = skip[:, row * skip.shape[1] // height, column * skip.shape[2] // width].double()
        x[:, row, column] += linear(w / 'up', nearest)
    return relu(x)


def bev_decoder(w: Weights, bev: Tensor, blocks: int) -> Tensor:
    """(b, C, h, w) → (b, c, 2^blocks·h, 2^blocks·w)."""
    out = []
    for sample in bev:
        x = sample
        for i in range(blocks):
            x = decoder_block(w / 'layers' / i, x, sample)
        out.append(x)
    return torch.stack(out)


def to_logits(w: Weights, bev: Tensor) -> Tensor:
    """(b, C, h, w) → (b, outputs, h, w)."""
    hidden = torch.stack([conv3x3(w / 0, sample.double()) for sample in bev])
    return at_each_position(lambda v: linear(w / 3, relu(batch_norm(w / 1, v))), hidden)


def focal(logit: float, target: float, gamma: float = 2.0) -> float:
    """BCE · (1 − p_t)^gamma of one pixel."""
    p = 1 / (1 + math.exp(-logit))
    bce = -(target * math.log(p) + (1 - target) * math.log(1 - p))
    p_t = p * target + (1 - p) * (1 - target)
    return bce * (1 - p_t) ** gamma


def mean_loss(
    logits: Tensor, targets: Tensor, keep: Tensor | None = None, gamma: float = 2.0, weight: float = 1.0
) -> float:
    """Weighted mean of :func:`focal` over the kept pixels of a whole batch; 0 without any."""
    kept = [True] * logits.numel() if keep is None else keep.flatten().tolist()
    pixels = zip(logits.double().flatten().tolist(), targets.double().flatten().tolist(), kept, strict=True)
    losses = [focal(x, t, gamma) for x, t, kept in pixels if kept]
    return weight * sum(losses) / len(losses) if losses else 0.0
