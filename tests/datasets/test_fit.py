"""Images of any size → the model's: by the nuScenes rule."""

from __future__ import annotations

import numpy as np
import pytest

from projects.CVT_IO.cvt_io.datasets import CVTIOResizeCrop
from projects.CVT_IO.cvt_io.datasets.fit import CVTIOFitImages
from projects.CVT_IO.cvt_io.geometry import project

INTRINSICS = np.array([[100.0, 0, 60], [0, 100, 40], [0, 0, 1]])


def fit(height: int, width: int) -> dict:
    img = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return CVTIOFitImages((224, 480)).transform(dict(imgs=[img], intrinsics=INTRINSICS[None]))


def test_nuscenes_images_are_treated_as_in_training():
    found = fit(900, 1600)
    img = np.random.default_rng(0).integers(0, 256, (900, 1600, 3), dtype=np.uint8)
    expected = CVTIOResizeCrop().transform(dict(imgs=[img], intrinsics=INTRINSICS[None]))
    np.testing.assert_array_equal(found['imgs'][0], expected['imgs'][0])
    np.testing.assert_array_equal(found['intrinsics'], expected['intrinsics'])


@pytest.mark.parametrize(
    ('size', 'resized', 'surplus', 'note'),
    [
        ((900, 1600), 270, 46, 'images of 1600 × 900: resized to 480 × 270, top 46 rows cut off'),
        ((480, 640), 360, 136, 'images of 640 × 480: resized to 480 × 360, top 136 rows cut off'),
        ((400, 1280), 150, -74, 'images of 1280 × 400: resized to 480 × 150, 74 black rows added at the top'),
        ((448, 960), 224, 0, 'images of 960 × 448: resized to 480 × 224'),
    ],
)
def test_sizes_by_hand(size, resized, surplus, note):
    """At width 480 the bottom 224 rows are kept; a point goes where its pixel goes."""
    result = fit(*size)
    assert result['imgs'][0].shape == (224, 480, 3) and result['notes'] == [note]
    assert (result['imgs'][0][: max(-surplus, 0)] == 0).all() and result['imgs'][0][max(-surplus, 0)].any()
    point = np.array([0.1, 0.2, 1.0])
    (x, y), _ = project(point, INTRINSICS, np.eye(4))
    (new_x, new_y), _ = project(point, result['intrinsics'][0], np.eye(4))
    assert (new_x, new_y) == pytest.approx((x * 480 / size[1], y * resized / size[0] - surplus))
