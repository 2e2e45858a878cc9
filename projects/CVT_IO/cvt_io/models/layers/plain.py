"""A switch between the reference forward pass and the optimised one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_plain = False


@contextmanager
def plain_forward() -> Iterator[None]:
    """Disables all shortcuts, so that the cost of the reference forward pass can be counted."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def is_plain() -> bool:
    """Whether shortcuts are disabled."""
    return _plain
