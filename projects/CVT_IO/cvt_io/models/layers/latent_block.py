"""The pre-norm attention block of the metric latents."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MAX_LOGIT_SCALE = math.log(100)
_EPS = 1e-6


class LatentBlock(nn.Module):
    """Multi-head attention and an MLP, each with pre-norm, LayerScale and a residual connection.

    Queries and keys are normalised to unit length per head, and their products multiplied by a learned temperature,
    initially 10 and at most 100. This bounds the attention logits regardless of the weights.

    Args:
        dim: channels d.
        heads: attention heads m.

    Source: Xiong et al., On Layer Normalization in the Transformer Architecture, ICML 2020 (pre-norm); Henry et al.,
    Query-Key Normalization, EMNLP 2020; Touvron et al., Going deeper with Image Transformers, ICCV 2021 (LayerScale).
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f'heads={heads}: expected a divisor of dim={dim}')
        self.heads = heads
        self.query_norm = nn.LayerNorm(dim)
        self.context_norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)
        self.logit_scale = nn.Parameter(torch.full((heads,), math.log(10)))
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor, context: Tensor, scales: Tensor) -> Tensor:
        """Applies attention and MLP.

        Args:
            x: (b, Q, d).
            context: (b, K, d), attended to; ``x`` itself for self-attention.
            scales: (2, d), LayerScale of attention and MLP.

        Returns:
            (b, Q, d).
        """
        query, key = self.queries_and_keys(x, context)
        value = self._split_heads(self.to_v(self.context_norm(context)))
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        x = x + scales[0] * self.proj(attended.transpose(1, 2).flatten(2))
        return x + scales[1] * self.mlp(self.mlp_norm(x))

    def queries_and_keys(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (b, m, Q, c), including the temperature, and keys (b, m, K, c), whose products are the logits."""
        query = F.normalize(self._split_heads(self.to_q(self.query_norm(x))), dim=-1, eps=_EPS)
        key = F.normalize(self._split_heads(self.to_k(self.context_norm(context))), dim=-1, eps=_EPS)
        temperature = self.logit_scale.clamp(max=_MAX_LOGIT_SCALE).exp()
        return (query * temperature[:, None, None]).to(key.dtype), key

    def _split_heads(self, x: Tensor) -> Tensor:
        """(b, T, m·c) → (b, m, T, c)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class LayerScale(nn.Module):
    """Scales of the two outputs of a :class:`LatentBlock`, one set per pass.

    Args:
        dim: channels d.
        passes: number of sets.
        initial: initial value.
    """

    def __init__(self, dim: int, passes: int = 1, initial: float = 0.1) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.full((passes, 2, dim), initial))

    def forward(self) -> tuple[Tensor, ...]:
        """Returns: (2, d) for each pass."""
        return self.factors.unbind(0)
