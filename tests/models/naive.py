"""Float64 re-implementation of the network, written from its definition with sums and products of arrays.

Nothing here calls a layer of PyTorch or of the project. Grids are indexed ``[..., channel, row, column]``. All
functions are differentiable.

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


def _over_channels(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Applies a function of channels, in float64, to a vector or to every position of (..., C, h, w)."""
    channels = 0 if x.dim() == 1 else -3
    return function(x.double().movedim(channels, -1)).movedim(-1, channels)


def linear(w: Weights, x: Tensor) -> Tensor:
    """A linear layer, or a 1×1 convolution."""
    bias = w['bias'] if 'bias' in w else torch.zeros(1)
    return _over_channels(lambda v: v @ w['weight'].flatten(1).T + bias, x)


def layer_norm(w: Weights, x: Tensor) -> Tensor:
    def normed(v: Tensor) -> Tensor:
        centred = v - v.mean(-1, keepdim=True)
        variance = (centred**2).mean(-1, keepdim=True)
        return centred / (variance + 1e-5) ** 0.5 * w['weight'] + w['bias']

    return _over_channels(normed, x)


def batch_norm(w: Weights, x: Tensor) -> Tensor:
    """Evaluation mode."""
    scale = w['weight'] / (w['running_var'] + 1e-5) ** 0.5
    return _over_channels(lambda v: (v - w['running_mean']) * scale + w['bias'], x)


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def unit(x: Tensor) -> Tensor:
    return x / ((x * x).sum(-3, keepdim=True) ** 0.5 + 1e-7)


def conv3x3(w: Weights, grid: Tensor) -> Tensor:
    """3×3 convolution with a border of zeros."""
    height, width = grid.shape[-2:]
    padded = torch.zeros(*grid.shape[:-2], height + 2, width + 2, dtype=torch.float64)
    padded[..., 1:-1, 1:-1] = grid
    return sum(
        torch.einsum('oc,...chw->...ohw', w['weight'][:, :, dy, dx], padded[..., dy : dy + height, dx : dx + width])
        for dy, dx in product(range(3), repeat=2)
    )


# --- attention block ------------------------------------------------------------------------------------------------


def attention(
    w: Weights, query: Tensor, key: Tensor, value: Tensor, skip: Tensor | None, heads: int, joint: bool = True
) -> Tensor:
    """The attention block: query (b, n, d, H, W), key and value (b, n, d, h, w), skip (b, d, H, W) → (b, d, H, W).

    ``joint=False`` gives each camera a softmax of its own (summed over the cameras), a wrong form for tests to reject.
    """
    q, k, v = (
        linear(w / name / 1, layer_norm(w / name / 0, grid.double())).unflatten(2, (heads, -1))
        for name, grid in (('to_q', query), ('to_k', key), ('to_v', value))
    )
    exps = torch.exp(torch.einsum('bnmcij,bnmcyx->bmijnyx', q, k) / math.sqrt(q.shape[3]))
    total = exps.sum((4, 5, 6) if joint else (5, 6), keepdim=True)
    out = torch.einsum('bmijnyx,bnmcyx->bmcij', exps / total, v).flatten(1, 2)
    z = linear(w / 'proj', out)
    z = layer_norm(w / 'prenorm', z if skip is None else z + skip.double())
    return layer_norm(w / 'postnorm', z + linear(w / 'mlp' / 2, gelu(linear(w / 'mlp' / 0, z))))


# --- calibration ----------------------------------------------------------------------------------------------------


def ego_from_cam(cam_from_ego: Tensor) -> Tensor:
    """Inverse of rigid (..., 4, 4) by transposing their rotations."""
    rotation = cam_from_ego[..., :3, :3].mT
    upper = torch.cat([rotation, -rotation @ cam_from_ego[..., :3, 3:]], -1)
    return torch.cat([upper, cam_from_ego[..., 3:, :]], -2)


def camera_centres(calibration: Calibration) -> Tensor:
    """(b, n, 4, 1, 1)"""
    return ego_from_cam(calibration.cam_from_ego)[..., 3, None, None]


def pixel_points(calibration: Calibration, u: Tensor, v: Tensor) -> Tensor:
    """(b, n, 4, h, w): the points at depth 1 of the pixels of columns u (w,) and rows v (h,)."""
    k = calibration.intrinsics.double()[..., None, None]
    y = (v[:, None] - k[:, :, 1, 2]) / k[:, :, 1, 1]
    x = (u - k[:, :, 0, 2] - k[:, :, 0, 1] * y) / k[:, :, 0, 0]
    in_cam = torch.stack([x, y.expand_as(x), torch.ones_like(x), torch.ones_like(x)], 2)
    return torch.einsum('bnij,bnjyx->bniyx', ego_from_cam(calibration.cam_from_ego), in_cam)


def pixel_rays(calibration: Calibration, size: tuple[int, int]) -> Tensor:
    """(b, n, 4, *size): those of a feature map, whose corner cells lie on the image's pixels 0 and ``image_size``."""
    v, u = (torch.arange(n).double() * m / max(n - 1, 1) for n, m in zip(size, calibration.image_size, strict=True))
    return pixel_points(calibration, u, v)


def image_tokens(w: Weights, features: Tensor, calibration: Calibration) -> tuple[Tensor, Tensor]:
    """Keys and values, each (b, n, d, h, w), of features (b, n, C, h, w)."""
    rays = linear(w / 'img_embed', pixel_rays(calibration, features.shape[-2:]))
    position = unit(rays - linear(w / 'cam_embed', camera_centres(calibration)))
    return _project(w / 'feature_proj', features) + position, _project(w / 'feature_linear', features)


def _project(w: Weights, features: Tensor) -> Tensor:
    return linear(w / 2, relu(batch_norm(w / 0, features.double())))


# --- BEV grid -------------------------------------------------------------------------------------------------------


def bev_ego(grid: Grid) -> Tensor:
    """(2, *coarse): ego metres of the coarse grid, whose corners lie on the full grid's pixels 0 and ``size``."""
    (height, width), (metres_h, metres_w) = grid.size, grid.metres
    rows, columns = (torch.arange(n).double() * m / max(n - 1, 1) for n, m in zip(grid.coarse, grid.size, strict=True))
    ahead = (height * grid.offset + height / 2 - rows) * metres_h / height
    left = (width / 2 - columns) * metres_w / width
    return torch.stack(torch.meshgrid(ahead, left, indexing='ij'))


def bev_query(bev_embed: Weights, cam_embed: Weights, x: Tensor, grid: Grid, calibration: Calibration) -> Tensor:
    """unit(embedded metres − embedded camera centre) + x, with x (b, d, height, width): (b, n, d, height, width)."""
    embedded = linear(bev_embed, bev_ego(grid)[None, None])
    return x.double()[:, None] + unit(embedded - linear(cam_embed, camera_centres(calibration)))


# --- necks ----------------------------------------------------------------------------------------------------------


def bottlenecks(w: Weights, grid: Tensor, count: int = 2) -> Tensor:
    """(b, C, h, w) → the same shape."""
    for i in range(count):
        block = w / i
        hidden = relu(batch_norm(block / 'bn1', linear(block / 'conv1', grid)))
        hidden = relu(batch_norm(block / 'bn2', conv3x3(block / 'conv2', hidden)))
        grid = relu(grid + batch_norm(block / 'bn3', linear(block / 'conv3', hidden)))
    return grid


def encode(
    w: Weights, latents: Tensor, features: Sequence[Tensor], calibration: Calibration, heads: int, per_camera: bool
) -> Tensor:
    """latents (d, rows, columns) → (b, n or 1, d, rows, columns)."""
    cameras = list(range(features[0].shape[1]))
    grids = []
    for group in [[n] for n in cameras] if per_camera else [cameras]:
        part = Calibration(calibration.intrinsics[:, group], calibration.cam_from_ego[:, group], calibration.image_size)
        x = latents.double().expand(len(features[0]), *latents.shape)
        for i, feature in enumerate(features):
            view = w / 'cross_views' / i
            key, value = image_tokens(view / 'tokens', feature[:, group], part)
            query = x[:, None].expand(-1, len(group), -1, -1, -1)
            x = bottlenecks(view / 'bottlenecks', attention(view / 'cross_attend', query, key, value, x, heads))
        grids.append(x)
    return torch.stack(grids, 1)


def process(w: Weights, latents: Tensor, depth: int, shared: bool, heads: int) -> Tensor:
    """(b, n or 1, d, rows, columns) → the same shape; every grid attends to itself alone."""
    x = latents.double().flatten(0, 1)[:, None]
    for i in range(depth):
        x = attention(w / 'self_attends' / (0 if shared else i), x, x, x, x[:, 0], heads)[:, None]
    return x.view(latents.shape)


def decode(w: Weights, latents: Tensor, grid: Grid, calibration: Calibration, heads: int) -> Tensor:
    """(b, n or 1, d, rows, columns) → (b, d, height, width)."""
    batch, cameras = calibration.intrinsics.shape[:2]
    prior = (w / 'prior')['features'][None].expand(batch, -1, -1, -1)
    query = bev_query(w / 'position' / 'bev_embed', w / 'cam_embed', prior, grid, calibration)
    seen = latents.expand(-1, cameras, -1, -1, -1)
    return attention(w / 'cross_attend', query, seen, seen, None, heads)


def latent_neck(
    w: Weights, features: Sequence[Tensor], calibration: Calibration, grid: Grid, heads: int, depth: int,
    shared: bool, per_camera: bool,
) -> Tensor:  # fmt: skip
    """features, each (b, n, C, h, w) → (b, d, height, width)."""
    latents = encode(w / 'encode', w['latent_array.features'], features, calibration, heads, per_camera)
    latents = process(w / 'process', latents, depth, shared, heads)
    return decode(w / 'decode', latents, grid, calibration, heads)


def cvt_neck(w: Weights, features: Sequence[Tensor], calibration: Calibration, grid: Grid, heads: int) -> Tensor:
    """features, each (b, n, C, h, w) → (b, d, height, width)."""
    x = w['prior.features'][None].expand(len(features[0]), -1, -1, -1)
    for i, feature in enumerate(features):
        view = w / 'cross_views' / i
        key, value = image_tokens(view / 'tokens', feature, calibration)
        query = bev_query(w / 'positions' / i / 'bev_embed', view / 'tokens' / 'cam_embed', x, grid, calibration)
        x = bottlenecks(view / 'bottlenecks', attention(view / 'cross_attend', query, key, value, x, heads))
    return x


# --- BEV decoder and head -------------------------------------------------------------------------------------------


def double_bilinear(grid: Tensor) -> Tensor:
    """(…, h, w) → (…, 2h, 2w), the corner cells' centres on each other."""

    def shares(length: int) -> Tensor:
        """(2·length, length): how much each old cell counts for a new one."""
        out = torch.zeros(2 * length, length, dtype=torch.float64)
        for new in range(2 * length):
            place = new * (length - 1) / (2 * length - 1)
            before = min(int(place), max(length - 2, 0))
            out[new, before] += 1 - (place - before)
            out[new, min(before + 1, length - 1)] += place - before
        return out

    height, width = grid.shape[-2:]
    return shares(height) @ grid.double() @ shares(width).T


def decoder_block(w: Weights, grid: Tensor, skip: Tensor) -> Tensor:
    """grid (…, C, h, w) and the decoder's input, skip → (…, c, 2h, 2w)."""
    x = relu(batch_norm(w / 'conv' / 2, conv3x3(w / 'conv' / 1, double_bilinear(grid))))
    x = batch_norm(w / 'conv' / 5, linear(w / 'conv' / 4, x))
    rows, columns = (torch.arange(x.shape[i]) * skip.shape[i] // x.shape[i] for i in (-2, -1))
    return relu(x + linear(w / 'up', skip[..., rows, :][..., columns]))


def bev_decoder(w: Weights, bev: Tensor, blocks: int) -> Tensor:
    """(b, C, h, w) → (b, c, 2^blocks·h, 2^blocks·w)."""
    x = bev
    for i in range(blocks):
        x = decoder_block(w / 'layers' / i, x, bev)
    return x


def to_logits(w: Weights, bev: Tensor) -> Tensor:
    """(b, C, h, w) → (b, outputs, h, w)."""
    return linear(w / 3, relu(batch_norm(w / 1, conv3x3(w / 0, bev.double()))))


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
