"""Pillow's antialiased bilinear resize, bit for bit, but several times faster.

Pillow filters rows, then columns, in integer arithmetic with 22 fractional bits, and rounds to eight bits after each
pass. Integer sums do not depend on their order, so the same weights give the same pixels. Here both passes add whole
rows, which vectorises well (the first pass transposes the image in strips that fit the cache), and rows that are
cropped afterwards are not computed.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import mmcv
import numpy as np
from numba import njit

_BITS = 22
_STRIP = 64


def resize_bilinear(img: np.ndarray, height: int, width: int, top_crop: int = 0) -> np.ndarray:
    """Resizes an image to (height, width), then crops rows at the top.

    Args:
        img: (H, W, 3) uint8.
        height: rows of the resized image before the crop.
        width: columns of the resized image.
        top_crop: rows to crop.

    Returns:
        (height − top_crop, width, 3) uint8, equal to Pillow's ``resize`` with ``Resampling.BILINEAR``.
    """
    before = img.shape[:2]
    if _equals_pillow(before, height, width):
        return _resize(img, height, width, top_crop)
    return _pillow(img, height, width)[top_crop:]


def _pillow(img: np.ndarray, height: int, width: int) -> np.ndarray:
    return mmcv.imresize(img, (width, height), interpolation='bilinear', backend='pillow')


@lru_cache(maxsize=64)
def _equals_pillow(before: tuple[int, int], height: int, width: int) -> bool:
    """Whether the installed Pillow gives the same pixels, tested on noise.

    Newer versions filter the columns first where that is cheaper, and a platform might round weights differently.
    """
    noise = np.random.default_rng(0).integers(0, 256, (*before, 3), dtype=np.uint8)
    return np.array_equal(_resize(noise, height, width, 0), _pillow(noise, height, width))


def _resize(img: np.ndarray, height: int, width: int, top_crop: int) -> np.ndarray:
    columns, rows = _filter(img.shape[1], width), _filter(img.shape[0], height)
    first, weights = rows[0][top_crop:], rows[1][top_crop:]
    img = img[first[0] :]
    narrow = np.empty((len(img), width, 3), np.uint8)
    for start in range(0, len(img), _STRIP):
        strip = cv2.transpose(img[start : start + _STRIP])
        narrow[start : start + _STRIP] = cv2.transpose(_filter_rows(strip, *columns))
    return _filter_rows(narrow, first - first[0], weights)


@lru_cache(maxsize=64)
def _filter(before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """First input (after,) and fixed-point weights (after, taps) int32 of each output, 0 beyond the border.

    Source: Pillow, src/libImaging/Resample.c, with the same order of operations.
    """
    scale = before / after
    support = max(scale, 1.0)
    centers = (np.arange(after) + 0.5) * scale
    first = np.maximum((centers - support + 0.5).astype(np.intp), 0)
    last = np.minimum((centers + support + 0.5).astype(np.intp), before)
    inputs = first[:, None] + np.arange(int(np.ceil(support)) * 2 + 1)
    weights = np.maximum(1 - np.abs((inputs - centers[:, None] + 0.5) * (1 / support)), 0)
    weights[inputs >= last[:, None]] = 0
    # cumsum adds one by one, as Pillow does; another order may round differently.
    weights /= np.cumsum(weights, axis=1)[:, -1:]
    return first, (weights * (1 << _BITS) + 0.5).astype(np.int32)


def _filter_rows(source: np.ndarray, first: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sums (len(first), …) uint8 of the rows of a C-contiguous uint8 array."""
    out = np.empty((len(first), *source.shape[1:]), np.uint8)
    _add_rows(source.reshape(len(source), -1), first, weights, out.reshape(len(out), -1))
    return out


@njit(nogil=True)
def _add_rows(source: np.ndarray, first: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Writes the sums, rounded, into ``out`` (m, n) uint8."""
    sums = np.empty(source.shape[1], np.int32)
    for y in range(len(out)):
        sums[:] = 1 << (_BITS - 1)
        for tap in range(weights.shape[1]):
            weight = weights[y, tap]
            if weight:  # also skips taps beyond the border
                row = source[first[y] + tap]
                for x in range(len(sums)):
                    sums[x] += weight * row[x]
        for x in range(len(sums)):
            out[y, x] = min(sums[x] >> _BITS, 255)
