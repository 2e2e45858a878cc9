"""Image steps against Pillow and hand-derived numbers; the intrinsics follow the pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from projects.CVT_IO.cvt_io.datasets.transforms import (
    CVTIOGeometricAugment,
    CVTIORandomFlip,
    CVTIOResizeCrop,
    CVTIOStrongAugment,
    sharpen,
    shift_hsv,
)
from projects.CVT_IO.cvt_io.geometry import mirror_camera

EYE = dict(cam_from_ego=np.eye(4)[None])


def frame(rng: np.random.Generator, sizes=((900, 1600), (450, 800))) -> dict:
    intrinsics = np.array([[[1266.4, 0, 816.3], [0, 1266.4, 491.5], [0, 0, 1.0]]] * len(sizes))
    return dict(imgs=[rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes], intrinsics=intrinsics)


def test_resize_is_pillows():
    results = frame(np.random.default_rng(0))
    expected = [
        np.asarray(Image.fromarray(img).resize((480, 270), Image.Resampling.BILINEAR))[46:] for img in results['imgs']
    ]
    for img, want in zip(CVTIOResizeCrop().transform(results)['imgs'], expected, strict=True):
        assert img.shape == (224, 480, 3)
        np.testing.assert_array_equal(img, want)


def test_intrinsics_by_hand():
    intrinsics = CVTIOResizeCrop().transform(frame(np.random.default_rng(0)))['intrinsics']
    # 1600 × 900 → 480 × 270 is 0.3 on both axes: f 1266.4 · 0.3 = 379.92, cx 816.3 · 0.3 = 244.89,
    # cy 491.5 · 0.3 − 46 = 101.45. The 800 × 450 image is scaled by 0.6.
    np.testing.assert_allclose(intrinsics[0], [[379.92, 0, 244.89], [0, 379.92, 101.45], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(intrinsics[1], [[759.84, 0, 489.78], [0, 759.84, 248.9], [0, 0, 1]], atol=1e-12)


def test_uneven_scale():
    results = frame(np.random.default_rng(0), sizes=((100, 400),))
    results['intrinsics'][0] = [[200, 0, 190], [0, 210, 60], [0, 0, 1.0]]
    intrinsics = CVTIOResizeCrop(size=(30, 100), top_crop=20).transform(results)['intrinsics']
    # x: 100/400 = 0.25 → 50 and 47.5; y: (30 + 20)/100 = 0.5 → 105 and 60 · 0.5 − 20 = 10.
    np.testing.assert_allclose(intrinsics[0], [[50, 0, 47.5], [0, 105, 10], [0, 0, 1]])


def test_geometric_moves_pixels_and_intrinsics_together():
    """A dot that a camera projects to a pixel is still there after the image and the intrinsics have moved."""
    np.random.seed(3)
    point = np.array([0.4, -0.3, 4.0])
    for _ in range(20):
        intrinsics = np.array([[[200.0, 0, 120], [0, 200.0, 80], [0, 0, 1]]])
        x, y, _ = intrinsics[0] @ point / point[2]
        img = np.zeros((160, 240, 3), np.uint8)
        # In sixteenths of a pixel; the centre of OpenCV's pixel 0 is at 0, that of the project's at ½.
        cv2.circle(img, (round(16 * (x - 0.5)), round(16 * (y - 0.5))), 16 * 3, (255, 255, 255), -1, cv2.LINE_AA, 4)
        results = CVTIOGeometricAugment().transform(dict(imgs=[img], intrinsics=intrinsics))
        brightness = results['imgs'][0][..., 0]
        places = [np.average(index, weights=brightness) + 0.5 for index in np.indices(brightness.shape)[::-1]]
        moved = results['intrinsics'][0] @ point
        np.testing.assert_allclose(places, moved[:2] / moved[2], atol=0.1)


def test_geometric_stays_within_its_ranges():
    np.random.seed(0)
    augment = CVTIOGeometricAugment()
    matrices = np.array([augment._draw((100, 200, 3)) for _ in range(500)])
    scales = np.sqrt(np.linalg.det(matrices[:, :2, :2]))
    angles = np.degrees(np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    middles = matrices @ [100, 50, 1.0]
    shifts = (middles[:, :2] - [100, 50]) / [200, 100]
    for values, low, high in ((scales, 0.95, 1.05), (angles, -2.5, 2.5), (shifts, -0.05, 0.05)):
        assert low - 1e-9 <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high + 1e-9


def test_random_resize_and_crop():
    """The frame's corners come from within the image, sometimes from its very border."""
    np.random.seed(0)
    augment = CVTIOGeometricAugment(degrees=0.0, shift=None, scale=(1.0, 1.2))
    corners = np.array([[0, 200, 0, 200], [0, 0, 100, 100], [1, 1, 1, 1]])
    sources = np.stack([np.linalg.solve(augment._draw((100, 200, 3)), corners)[:2] for _ in range(500)])
    np.testing.assert_allclose(np.ptp(sources, axis=2)[:, 0], 2 * np.ptp(sources, axis=2)[:, 1])  # not distorted
    assert -1e-9 < sources.min() < 0.1 and 200 - 0.5 < sources[:, 0].max() < 200 + 1e-9
    assert sources[:, 1].max() < 100 + 1e-9
    assert 200 / 1.2 <= np.ptp(sources, axis=2)[:, 0].min() < 200 / 1.19


def test_geometric_can_leave_the_intrinsics():
    np.random.seed(0)
    results = frame(np.random.default_rng(0), sizes=((90, 160),))
    before = results['intrinsics'].copy()
    after = CVTIOGeometricAugment(intrinsics_follow=False).transform(results)['intrinsics']
    np.testing.assert_array_equal(after, before)


def test_cameras_are_augmented_independently():
    np.random.seed(0)
    img = np.full((60, 80, 3), 128, np.uint8)
    results = dict(imgs=[img.copy(), img.copy()], intrinsics=np.stack([np.eye(3)] * 2))
    results = CVTIOGeometricAugment().transform(CVTIOStrongAugment().transform(results))
    assert (results['imgs'][0] != results['imgs'][1]).any()
    assert (results['intrinsics'][0] != results['intrinsics'][1]).any()


def test_strong_by_hand():
    # Mid-grey has no hue; its value moves by the brightness alone: 100 + 30 = 130, 100 − 60 = 40, 250 + 40 → 255.
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert (shift_hsv(grey, 15, 30.0) == 130).all()
    assert (shift_hsv(grey, -20, -60.0) == 40).all()
    assert (shift_hsv(np.full((4, 4, 3), 250, np.uint8), 0, 40.0) == 255).all()
    # Pure red has hue 0; −20 on OpenCV's scale is −40°, that is 320°, two thirds of the way from blue-free red (360°)
    # to magenta (300°): RGB (255, 0, 2/3 · 255).
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(shift_hsv(red, -20, 0.0)[0, 0], [255, 0, 170], atol=2)


def test_sharpen_by_hand():
    # One bright pixel: (1 + 8·0.1)·100 = 180 there; a neighbour of it gets 0 − 0.1·100 → 0.
    img = np.zeros((5, 5, 3), np.uint8)
    img[2, 2] = 100
    result = sharpen(img, 0.1)
    assert (result[2, 2] == 180).all() and (result[2, 3] == 0).all()
    assert (sharpen(np.full((5, 5, 3), 77, np.uint8), 0.1) == 77).all()


def test_dropped_share():
    np.random.seed(0)
    augment = CVTIOStrongAugment(drop=0.01, sharpen=0.0, brightness=(0, 0), hue=(0, 0))
    img = np.full((200, 200, 3), 200, np.uint8)
    shares = [(augment._augment(img)[..., 0] == 0).mean() for _ in range(30)]
    assert max(shares) <= 0.012 and np.mean(shares) == pytest.approx(0.005, abs=0.002)


def test_flipped_pixels_and_calibration_agree():
    """The centre of column i is at i + ½, so the one of its mirror image is at W − (i + ½); sizes may differ."""
    results = frame(np.random.default_rng(0), sizes=((90, 160), (45, 81))) | dict(
        cam_from_ego=np.stack([np.eye(4)] * 2)
    )
    before, imgs = results['intrinsics'], results['imgs']
    flipped = CVTIORandomFlip(1.0).transform(dict(results))
    for img, found, width in zip(imgs, flipped['imgs'], (160, 81), strict=True):
        for i in (0, 1, width // 2, width - 1):
            np.testing.assert_array_equal(found[:, round(width - (i + 0.5) - 0.5)], img[:, i])
    for once, matrix, width in zip(flipped['intrinsics'], before, (160, 81), strict=True):
        np.testing.assert_allclose(once, mirror_camera(matrix, np.eye(4), width)[0])
    assert flipped['flip'] is True
    twice = CVTIORandomFlip(1.0).transform(flipped)
    assert twice['flip'] is False and np.array_equal(twice['imgs'][1], imgs[1])
    np.testing.assert_allclose(twice['intrinsics'], before)


def test_flip_probability():
    np.random.seed(0)
    steps = [CVTIORandomFlip(prob) for prob in (0.0, 0.3, 1.0)]
    drawn = [
        [step.transform(frame(np.random.default_rng(0), ((2, 3),)) | EYE)['flip'] for _ in range(400)] for step in steps
    ]
    assert [np.mean(flips) for flips in drawn] == pytest.approx([0, 0.3, 1], abs=0.05)
    with pytest.raises(ValueError, match=r'prob: expected a probability from 0 to 1, got 1\.5'):
        CVTIORandomFlip(1.5)
