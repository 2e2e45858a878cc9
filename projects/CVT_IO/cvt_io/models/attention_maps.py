"""Attention maps of a model: from latents or BEV cells to image patches, and from BEV cells to latents.

The fused forward pass does not materialise attention weights, so they are recomputed here from the same submodules and
inputs. docs/attention.md explains how to read the maps and what they leave out.

Shapes: b batch, n cameras, m heads, (h, w) feature map of a scale, P BEV cells of the coarse grid. Readers are the
queries that attend to the images: g grids of Q positions, each of which sees k cameras.

| neck   | readers                | g | Q   | k |
|--------|------------------------|---|-----|---|
| ``v2`` | one grid of latents    | 1 | N·N | n |
| ``v1`` | a grid for each camera | n | N·N | 1 |
| ``cvt``| BEV cells              | 1 | P   | n |
| ``v3`` | one grid of latents    | 1 | N·N | n |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import CVTIOSegmentor
from .layers import CrossAttention, CrossView, plain_forward
from .layers.attention import tokens_of
from .neck.decode import Decode
from .neck.lift_neck import CVTIOLiftNeck
from .neck.metric_maps import LiftSamples, lift_samples, metric_weights


@dataclass(frozen=True)
class AttentionMaps:
    """Attention weights of one batch. They are non-negative and sum to 1 for each reader and BEV cell.

    Attributes:
        reads: (b, g, m, Q, k, h, w) for each scale, in the order in which the neck uses them; sums to 1 over k, h, w.
        decode: (b, m, P, n, N·N), from BEV cells, as seen from each camera, to latents; sums to 1 over the last two
            axes. None if the BEV cells attend to the images directly (``cvt``).
        reader_size: (rows, columns) of the Q readers.
        bev_size: (rows, columns) of the P BEV cells.
        logits: (b, outputs, height, width), the model's output.
        samples: what the lift fetches for each BEV cell; None without a lift.
        tiled: whether the BEV cells tile the grid (``v3``); otherwise the outer cells' centres lie on its border.
    """

    reads: tuple[Tensor, ...]
    decode: Tensor | None
    reader_size: tuple[int, int]
    bev_size: tuple[int, int]
    logits: Tensor
    samples: LiftSamples | None = None
    tiled: bool = False

    @property
    def decode_by_reader(self) -> Tensor | None:
        """``decode`` summed over the cameras that share a latent: (b, m, P, g, Q)."""
        if self.decode is None or self.reads[0].shape[1] > 1:
            return self.decode
        return self.decode.sum(3, keepdim=True)

    def latents_of_cells(self, head: int | None = None) -> Tensor | None:
        """From BEV cells to latents: (b, P, g, Q), summing to 1 over g and Q; None for ``cvt``.

        Args:
            head: index of a decode head, or None for the mean.
        """
        weights = self.decode_by_reader
        return None if weights is None else one_or_mean(weights, 1, head)

    def composed(self, scale: int, head: int | None = None, decode_head: int | None = None) -> Tensor:
        """From BEV cells through the latents to image patches: (b, P, n, h, w), summing to 1 over n, h and w.

        Args:
            scale: index of the scale.
            head: index of a head that attends to the images, or None for the mean.
            decode_head: index of a decode head, or None for the mean.
        """
        reads, latents = one_or_mean(self.reads[scale], 2, head), self.latents_of_cells(decode_head)
        if latents is None:
            return reads[:, 0]
        return torch.einsum('bpgq,bgqkhw->bpgkhw', latents, reads).flatten(2, 3)


@torch.no_grad()
def attention_maps(model: CVTIOSegmentor, imgs: Tensor, intrinsics: Tensor, cam_from_ego: Tensor) -> AttentionMaps:
    """Runs a model and computes its attention weights.

    The finest scale of ``cvt`` at 224×480 takes 400 MB per sample.

    Args:
        model: a model in evaluation mode.
        imgs: (b, n, 3, H, W), normalised; this and the following are the arguments of ``model.bev_logits``.
        intrinsics: (b, n, 3, 3).
        cam_from_ego: (b, n, 4, 4).

    Raises:
        ValueError: the model is in training mode, where BatchNorm uses other statistics than in prediction; or it has
            no attention (``v3`` without latents).
    """
    if model.training:
        raise ValueError('attention_maps: expected a model in evaluation mode, call model.eval() first')
    if isinstance(model.neck, CVTIOLiftNeck):
        return _metric_attention_maps(model, model.neck, imgs, intrinsics, cam_from_ego)
    views = [module for module in model.neck.modules() if isinstance(module, CrossView)]
    decoders = [module for module in model.neck.modules() if isinstance(module, Decode)]
    blocks = [view.cross_attend for view in views] + [decoder.cross_attend for decoder in decoders]
    with plain_forward(), _recorded(blocks) as calls:
        logits = model.bev_logits(imgs, intrinsics, cam_from_ego)
    batch = len(imgs)
    reads = []
    for view in views:
        query, key = calls[view.cross_attend]
        weights = attention_weights(view.cross_attend, query, key)  # b or b·n, m, Q, k, h·w
        reads.append(weights.unflatten(-1, key.shape[-2:]).unflatten(0, (batch, -1)))
    query, _ = calls[views[0].cross_attend]
    reader_size = bev_size = (query.shape[-2], query.shape[-1])
    decode = None
    if decoders:
        query, key = calls[decoders[0].cross_attend]
        decode = attention_weights(decoders[0].cross_attend, query, key)
        bev_size = (query.shape[-2], query.shape[-1])
    return AttentionMaps(tuple(reads), decode, reader_size, bev_size, logits)


def _metric_attention_maps(
    model: CVTIOSegmentor, neck: CVTIOLiftNeck, imgs: Tensor, intrinsics: Tensor, cam_from_ego: Tensor
) -> AttentionMaps:
    """:func:`attention_maps` of ``v3``."""
    if not neck.has_latents:
        raise ValueError('attention_maps: expected a model with latents, found none')
    parts = [neck.encode, neck.encode.block, neck.decode.block, *([neck.lift] if neck.has_lift else [])]
    with _recorded(parts) as calls:
        logits = model.bev_logits(imgs, intrinsics, cam_from_ego)
    tokens = calls[neck.encode][1]
    reads = metric_weights(neck.encode.block, *calls[neck.encode.block])  # b m Q n·h·w
    reads = reads.unflatten(-1, (tokens.shape[1], *tokens.shape[-2:]))[:, None]
    decode = metric_weights(neck.decode.block, *calls[neck.decode.block])[..., None, :]
    cells, latents = neck.position.size, neck.latent_array.position.size
    samples = lift_samples(neck.lift, *calls[neck.lift], cells) if neck.has_lift else None
    return AttentionMaps((reads,), decode, latents, cells, logits, samples, tiled=True)


def attention_weights(block: CrossAttention, query: Tensor, key: Tensor) -> Tensor:
    """Attention weights of a block.

    Args:
        block: the attention block.
        query: (b, n or 1, d, H, W), as passed to the block.
        key: (b, n or 1, d, h, w).

    Returns:
        (b, m, H·W, n, h·w), summing to 1 over the last two axes.
    """
    queries = block.split_heads(block.to_q(tokens_of(query)))
    keys = block.split_heads(block.to_k(tokens_of(key)))
    scores = queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5  # b n m Q K
    scores = scores.movedim(1, -2)  # b m Q n K
    return scores.flatten(-2).float().softmax(-1).unflatten(-1, scores.shape[-2:])


def one_or_mean(weights: Tensor, dim: int, index: int | None) -> Tensor:
    """One entry along an axis, or the mean over it."""
    return weights.mean(dim) if index is None else weights.select(dim, index)


@contextmanager
def _recorded(blocks: Sequence[nn.Module]) -> Iterator[dict[nn.Module, tuple[Any, Any]]]:
    """Records the first two arguments of the modules' calls (queries and keys of blocks) in the yielded dictionary."""
    calls: dict[nn.Module, tuple[Any, Any]] = {}

    def record(block: nn.Module, inputs: tuple[Any, ...]) -> None:
        calls[block] = inputs[0], inputs[1]

    hooks = [block.register_forward_pre_hook(record) for block in blocks]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
