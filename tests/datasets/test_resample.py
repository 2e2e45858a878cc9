"""The resize against Pillow's own, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from projects.CVT_IO.cvt_io.datasets import resample
from projects.CVT_IO.cvt_io.datasets.resample import resize_bilinear


def by_pillow(img: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(img).resize((width, height), Image.Resampling.BILINEAR))


def random_image(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise, or black and white, which rounds at the ends of the range."""
    img = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return img if rng.random() < 0.5 else np.where(img > 127, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(('before', 'after', 'top'), [((900, 1600), (270, 480), 46), ((225, 400), (63, 112), 15)])
def test_sizes_of_the_configs_take_the_fast_way(before, after, top):
    img = random_image(np.random.default_rng(0), *before)
    assert resample._equals_pillow(before, *after)
    np.testing.assert_array_equal(resize_bilinear(img, *after, top), by_pillow(img, *after)[top:])


def test_any_size_equals_pillow():
    rng = np.random.default_rng(1)
    fast = 0
    for before, after in rng.integers(1, 90, (150, 2, 2)).tolist():
        img, top = random_image(rng, *before), int(rng.integers(after[0]))
        np.testing.assert_array_equal(resize_bilinear(img, *after, top), by_pillow(img, *after)[top:])
        fast += resample._equals_pillow(tuple(before), *after)
    assert fast > 30  # the others are left to Pillow, which filters their columns first


def test_same_size_changes_nothing():
    img = random_image(np.random.default_rng(2), 40, 60)
    np.testing.assert_array_equal(resize_bilinear(img, 40, 60, 7), img[7:])


def test_weights_by_hand():
    # 4 → 2: the scale is 2, the triangle reaches 2 inputs either way of the centres 1 and 3. Inputs 0…3, at 0.5, 1.5,
    # … weigh 0.75, 0.75, 0.25, 0 for the first output: 3/7, 3/7, 1/7 in 22 bits, the same mirrored for the second.
    first, weights = resample._filter(4, 2)
    sevenths = np.round(np.array([1, 3]) * 2**22 / 7)
    assert first.tolist() == [0, 1]
    assert weights[0].tolist() == [sevenths[1], sevenths[1], sevenths[0], 0, 0]
    assert weights[1].tolist() == [sevenths[0], sevenths[1], sevenths[1], 0, 0]


def test_another_pillow_is_followed(monkeypatch):
    """Where the installed Pillow does not give our pixels, its own are taken."""
    resample._equals_pillow.cache_clear()
    monkeypatch.setattr(resample, '_pillow', lambda img, height, width: np.full((height, width, 3), 9, np.uint8))
    assert (resize_bilinear(np.zeros((30, 50, 3), np.uint8), 20, 25, 4) == np.full((16, 25, 3), 9)).all()
    resample._equals_pillow.cache_clear()
