"""Fitting images of any size to the size of a model."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from ..geometry import resize_crop_intrinsics
from .resample import resize_bilinear


@TRANSFORMS.register_module()
class CVTIOFitImages(BaseTransform):
    """Scales each image to the model's width, then crops it or pads it with black rows at the top.

    For nuScenes' 1600 × 900 images this equals ``CVTIOResizeCrop``: 480 × 270, top 46 rows cut off. Heights are
    rounded to whole rows, and the intrinsics are updated accordingly.

    Required and modified keys: ``imgs``, ``intrinsics``. Appends to ``notes`` what was done for each image size.

    Args:
        size: (height, width) of the output.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.height, self.width = size

    def transform(self, results: dict) -> dict:
        """Fits all images."""
        imgs, matrices, notes = [], [], {}
        for img, matrix in zip(results['imgs'], results['intrinsics'], strict=True):
            before = img.shape[:2]
            height = max(round(before[0] * self.width / before[1]), 1)
            surplus = height - self.height
            fitted = resize_bilinear(img, height, self.width, max(surplus, 0))
            imgs.append(cv2.copyMakeBorder(fitted, max(-surplus, 0), 0, 0, 0, cv2.BORDER_CONSTANT))
            scale = (self.width / before[1], height / before[0])
            matrices.append(resize_crop_intrinsics(matrix, scale, (0, surplus)))
            notes[before] = _note(before, (height, self.width), surplus)
        results['imgs'] = imgs
        results['intrinsics'] = np.stack(matrices)
        results['notes'] = [*results.get('notes', ()), *notes.values()]
        return results


def _note(before: tuple[int, ...], resized: tuple[int, int], surplus: int) -> str:
    text = f'images of {before[1]} × {before[0]}: resized to {resized[1]} × {resized[0]}'
    if surplus > 0:
        return f'{text}, top {surplus} rows cut off'
    return f'{text}, {-surplus} black rows added at the top' if surplus else text
