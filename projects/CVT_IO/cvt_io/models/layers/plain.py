"""A switch between the forward pass as it is defined and the one that is fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_plain = False


@contextmanager
def plain_forward() -> Iterator[None]:
    """While it lasts, every layer computes step by step as it is defined, so that its cost can be counted."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def is_plain() -> bool:
    """Whether shortcuts are off."""
    return _plain
