"""Tokens and random generators derived from hashes, independent of the order of evaluation."""

from __future__ import annotations

import hashlib

import numpy as np


def digest(*identity: object) -> str:
    """A token of 32 hexadecimal digits, as in nuScenes, determined by ``identity``."""
    return hashlib.sha256('|'.join(str(part) for part in identity).encode()).hexdigest()[:32]


def generator(*identity: object) -> np.random.Generator:
    """A random generator determined by ``identity``, regardless of process and time."""
    return np.random.default_rng(int(digest('generator', *identity), 16))
