"""Image transforms that keep the calibration consistent."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from ..geometry import mirror_camera, resize_crop_intrinsics
from .resample import resize_bilinear


@TRANSFORMS.register_module()
class CVTIOResizeCrop(BaseTransform):
    """Resizes each image with Pillow's antialiased bilinear filter, then crops its top.

    Required and modified keys: ``imgs``, ``intrinsics``.

    Args:
        size: (height, width) of the output.
        top_crop: rows to crop; images are resized to (height + top_crop, width).
    """

    def __init__(self, size: Sequence[int] = (224, 480), top_crop: int = 46) -> None:
        self.height, self.width = size
        self.top_crop = top_crop

    def transform(self, results: dict) -> dict:
        """Resizes and crops."""
        resized = [
            self._resize(img, matrix) for img, matrix in zip(results['imgs'], results['intrinsics'], strict=True)
        ]
        results['imgs'] = [img for img, _ in resized]
        results['intrinsics'] = np.stack([matrix for _, matrix in resized])
        return results

    def _resize(self, img: np.ndarray, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height = self.height + self.top_crop
        scale = (self.width / img.shape[1], height / img.shape[0])
        return (
            resize_bilinear(img, height, self.width, self.top_crop),
            resize_crop_intrinsics(intrinsics, scale, (0, self.top_crop)),
        )


@TRANSFORMS.register_module()
class CVTIOStrongAugment(BaseTransform):
    """Photometric augmentation, sampled per camera: pixel dropout, sharpening, brightness and hue.

    Required and modified key: ``imgs``. Uses numpy's global generator, which is seeded for each training sample.

    Args:
        drop: maximum fraction of pixels set to black.
        sharpen: maximum weight of the sharpened image.
        brightness: range added to the value channel (0…255).
        hue: range added to the hue on OpenCV's scale (0…179).

    Source: the ``strong`` setting of the public Cross-View Transformer code.
    """

    def __init__(
        self,
        drop: float = 0.01,
        sharpen: float = 0.1,
        brightness: tuple[int, int] = (-60, 40),
        hue: tuple[int, int] = (-20, 20),
    ) -> None:
        self.drop = drop
        self.sharpen = sharpen
        self.brightness = brightness
        self.hue = hue

    def transform(self, results: dict) -> dict:
        """Augments every image."""
        results['imgs'] = [self._augment(img) for img in results['imgs']]
        return results

    def _augment(self, img: np.ndarray) -> np.ndarray:
        kept = np.random.rand(*img.shape[:2], 1) >= np.random.uniform(0, self.drop)
        img = sharpen(img * kept.astype(np.uint8), np.random.uniform(0, self.sharpen))
        return shift_hsv(img, np.random.randint(self.hue[0], self.hue[1] + 1), np.random.uniform(*self.brightness))


def sharpen(img: np.ndarray, weight: float) -> np.ndarray:
    """Blends in the image minus its Laplacian (8 neighbours): (1 − weight)·img + weight·sharpened; (H, W, 3) uint8."""
    kernel = np.full((3, 3), -weight, np.float32)
    kernel[1, 1] = 1 + 8 * weight
    return cv2.filter2D(img, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def shift_hsv(img: np.ndarray, hue: int, value: float) -> np.ndarray:
    """Shifts hue (OpenCV's 0…179, cyclic) and value (0…255, clipped) of an image (H, W, 3) uint8 RGB."""
    h, s, v = cv2.split(cv2.cvtColor(img, cv2.COLOR_RGB2HSV))
    h = ((h.astype(np.int16) + hue) % 180).astype(np.uint8)
    v = np.clip(np.round(v + value), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.merge([h, s, v]), cv2.COLOR_HSV2RGB)


@TRANSFORMS.register_module()
class CVTIOGeometricAugment(BaseTransform):
    """Random affine transform, sampled per camera, with reflected borders.

    With ``degrees=0``, ``shift=None`` and scales from 1 on, it is a random resize and crop.

    Required and modified keys: ``imgs``, ``intrinsics``.

    Args:
        degrees: maximum rotation in either direction.
        shift: maximum shift in either direction, as a fraction of width and height; ``None`` for the largest at which
            the enlarged image still fills the frame.
        scale: range of the scale factor.
        intrinsics_follow: whether to update the intrinsics. The original code does not.

    Source: the ``geometric`` setting of the public Cross-View Transformer code.
    """

    def __init__(
        self,
        degrees: float = 2.5,
        shift: float | None = 0.05,
        scale: tuple[float, float] = (0.95, 1.05),
        intrinsics_follow: bool = True,
    ) -> None:
        self.degrees = degrees
        self.shift = shift
        self.scale = scale
        self.intrinsics_follow = intrinsics_follow

    def transform(self, results: dict) -> dict:
        """Warps every image."""
        matrices = [self._draw(img.shape) for img in results['imgs']]
        results['imgs'] = [
            cv2.warpAffine(
                img,
                np.column_stack([matrix[:2, :2], matrix[:2] @ (0.5, 0.5, 1) - 0.5]),  # OpenCV's pixel 0 is at 0, not ½
                img.shape[1::-1],
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT,
            )
            for img, matrix in zip(results['imgs'], matrices, strict=True)
        ]
        if self.intrinsics_follow:
            results['intrinsics'] = np.stack(matrices) @ results['intrinsics']
        return results

    def _draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """Samples an affine pixel transform (3, 3) about the image centre."""
        height, width = shape[:2]
        angle, scale = np.random.uniform(-self.degrees, self.degrees), np.random.uniform(*self.scale)
        shift = max(scale - 1, 0) / 2 if self.shift is None else self.shift
        matrix = np.eye(3)
        matrix[:2] = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
        matrix[:2, 2] += np.random.uniform(-shift, shift, 2) * (width, height)
        return matrix


@TRANSFORMS.register_module()
class CVTIORandomFlip(BaseTransform):
    """Mirrors a frame laterally (ego y → −y) with a given probability.

    All images are flipped, and calibration and label follow exactly, see :func:`mirror_camera` and
    :meth:`BEVLabel.mirrored`. The cameras keep their order, as the models know a camera by its calibration alone.

    Required and modified keys: ``imgs``, ``intrinsics``, ``cam_from_ego`` and, if the label is loaded, ``gt_bev``.
    Added: ``flip``, whether the frame is mirrored; a label that is loaded later follows it.

    Args:
        prob: probability of a flip; 0 and 1 for test-time augmentation.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob: expected a probability from 0 to 1, got {prob}')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirrors the frame, or leaves it as it is."""
        flip = bool(np.random.rand() < self.prob)
        if flip:
            results['imgs'] = [cv2.flip(img, 1) for img in results['imgs']]
            widths = [img.shape[1] for img in results['imgs']]
            cameras = zip(results['intrinsics'], results['cam_from_ego'], widths, strict=True)
            mirrored = zip(*(mirror_camera(*camera) for camera in cameras), strict=True)
            results['intrinsics'], results['cam_from_ego'] = map(np.stack, mirrored)
            if 'gt_bev' in results:
                results['gt_bev'] = results['gt_bev'].mirrored()
        results['flip'] = results.get('flip', False) != flip
        return results
