"""How spread the attention to the images is.

A collapse of the entropy, attention that is all on one token, goes with training that diverges (Zhai et al.,
Stabilizing Transformer Training by Preventing Attention Entropy Collapse, ICML 2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ....models import CVTIOSegmentor
from ....models.attention_maps import attention_weights
from ....models.layers import CrossAttention, CrossView, plain_forward
from ....models.layers.latent_block import LatentBlock
from ....models.neck.metric_latents import MetricEncode
from ....models.neck.metric_maps import metric_weights

#: Queries that are looked at: the 625 BEV cells of ``cvt`` would take 400 MB.
_QUERIES = 64


@torch.no_grad()
def attention_entropy(model: CVTIOSegmentor, inputs: dict[str, Tensor]) -> float | None:
    """Entropy of the attention by which latents, or BEV cells, read the images, in evaluation mode.

    Args:
        model: whose modes are as before afterwards.
        inputs: arguments of ``model.bev_logits``.

    Returns:
        Of the scale with the smallest one, the mean over heads and queries, as a share of the largest possible
        entropy: 0 is all on one token, 1 is even over all. ``None`` if no scale is read by attention.
    """
    entropies: list[float] = []

    def look(block: LatentBlock | CrossAttention, args: tuple[Tensor, ...]) -> None:
        weights = _weights(block, args[0], args[1])
        entropy = torch.special.entr(weights).sum(-1).mean() / math.log(weights.shape[-1])
        entropies.append(float(entropy))

    blocks: list[LatentBlock | CrossAttention] = []
    for module in model.neck.modules():
        if isinstance(module, CrossView):
            blocks.append(module.cross_attend)
        elif isinstance(module, MetricEncode):
            blocks.append(module.block)
    handles = [block.register_forward_pre_hook(look) for block in blocks]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with plain_forward():
            model.bev_logits(**inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return min(entropies, default=None)


def _weights(block: LatentBlock | CrossAttention, query: Tensor, key: Tensor) -> Tensor:
    """Of some queries of a block that reads images: (b, m, Q, K) over the tokens of all cameras."""
    if isinstance(block, LatentBlock):
        return metric_weights(block, query[:, _chosen(query, query.shape[1])], key)
    chosen = _chosen(query, query.shape[-2] * query.shape[-1])
    return attention_weights(block, query.flatten(-2)[..., None, chosen], key).flatten(-2)


def _chosen(query: Tensor, count: int) -> Tensor:
    return torch.linspace(0, count - 1, min(count, _QUERIES), device=query.device).long()
