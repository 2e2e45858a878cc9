"""Selection of frames by token."""

from __future__ import annotations

from collections.abc import Sequence


def matching(tokens: Sequence[str], start: str) -> list[int]:
    """Indices of the tokens equal to ``start`` or, if there are none, of those that start with it."""
    exact = [index for index, token in enumerate(tokens) if token == start]
    return exact or [index for index, token in enumerate(tokens) if token.startswith(start)]
