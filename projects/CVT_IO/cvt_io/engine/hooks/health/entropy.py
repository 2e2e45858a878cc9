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

    def look(block: CrossAttention, args: tuple[Tensor, ...]) -> None:
        query, key = args[0], args[1]
        count = query.shape[-2] * query.shape[-1]
        chosen = torch.linspace(0, count - 1, min(count, _QUERIES), device=query.device).long()
        weights = attention_weights(block, query.flatten(-2)[..., None, chosen], key)  # b m Q n K
        entropy = torch.special.entr(weights).sum((-2, -1)).mean() / math.log(weights[0, 0, 0].numel())
        entropies.append(float(entropy))

    blocks = [module.cross_attend for module in model.neck.modules() if isinstance(module, CrossView)]
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
