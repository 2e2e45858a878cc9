"""Pipeline steps that read files."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from mmengine.fileio import get

from ..labels.codec import read_label
from ..labels.errors import DataError


@TRANSFORMS.register_module()
class CVTIOLoadImages(BaseTransform):
    """Reads a frame's images with Pillow, and their calibration.

    Required: ``images``, a list of ``dict(path, intrinsics, cam_from_ego)``. Added: ``imgs``, a list of (H, W, 3) uint8
    RGB; ``intrinsics`` (n, 3, 3) and ``cam_from_ego`` (n, 4, 4), float64.

    Raises:
        DataError: a file is missing or is not an image.
    """

    def transform(self, results: dict) -> dict:
        """Adds the images and calibration."""
        results['imgs'] = [self._read(image['path']) for image in results['images']]
        for key in ('intrinsics', 'cam_from_ego'):
            results[key] = np.array([image[key] for image in results['images']], dtype=np.float64)
        return results

    @staticmethod
    def _read(path: str) -> np.ndarray:
        try:
            return mmcv.imfrombytes(get(path), channel_order='rgb', backend='pillow')
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f'{path}: expected an image, found {type(error).__name__}: {error}') from error


@TRANSFORMS.register_module()
class CVTIOLoadBEVLabel(BaseTransform):
    """Reads a frame's BEV label.

    Required: ``label``, a path, and ``bev_grid``, the grid that it must have. Added: ``gt_bev``, a ``BEVLabel``.

    Raises:
        DataError: the label is missing, broken or of another grid.
    """

    def transform(self, results: dict) -> dict:
        """Adds the label."""
        results['gt_bev'] = read_label(results['label'], results['bev_grid'])
        return results
