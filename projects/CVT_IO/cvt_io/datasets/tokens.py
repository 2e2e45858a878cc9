"""Frames by the tokens that a user types."""

from __future__ import annotations

from collections.abc import Sequence


def matching(tokens: Sequence[str], start: str) -> list[int]:
    """Indices of the tokens that are ``start`` or, where none is, begin so."""
    exact = [index for index, token in enumerate(tokens) if token == start]
    return exact or [index for index, token in enumerate(tokens) if token.startswith(start)]
