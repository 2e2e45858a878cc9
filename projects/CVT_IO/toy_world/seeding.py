"""Everything random or unique in the toy world derives from hashes of the seed and of what the thing is."""

from __future__ import annotations

import hashlib

import numpy as np


def digest(*identity: object) -> str:
    """A token of 32 hexadecimal digits, as nuScenes' are, that is a function of ``identity`` alone."""
    return hashlib.sha256('|'.join(str(part) for part in identity).encode()).hexdigest()[:32]


def generator(*identity: object) -> np.random.Generator:
    """A random generator that is a function of ``identity`` alone, whichever process asks for it and when."""
    return np.random.default_rng(int(digest('generator', *identity), 16))
