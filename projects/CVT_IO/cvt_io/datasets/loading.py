"""Pipeline steps that read files."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from ..fileio.checks import camera_matrix, pose
from ..geometry import is_pinhole, is_rigid
from ..labels.codec import read_label
from .decoding import REDUCTIONS, DecodedOnDemand, EncodedImage


@TRANSFORMS.register_module()
class CVTIOLoadImages(BaseTransform):
    """Reads a frame's images, with the pixels that Pillow gives, and their calibration.

    Required: ``images``, a list of ``dict(path, intrinsics, cam_from_ego)``, with ``width`` and ``height`` if images
    must have a certain size. Added: ``imgs``, a sequence of (H, W, 3) uint8 RGB, each decoded when it is asked for;
    ``intrinsics`` (n, 3, 3) and ``cam_from_ego`` (n, 4, 4), float64.

    Args:
        reduction: 2, 4 or 8 decodes JPEGs at 1/2, 1/4 or 1/8 of their size, by libjpeg's scaled inverse transform; the
            intrinsics follow. The pixels then are *not* those of a full decode: at 2, on 1600 × 900 frames resized to
            480 × 270, they differ by 0.5 levels of 255 on average and by up to some 20 at sharp edges. The images
            should not become smaller than the pipeline needs them.
        any_colour: whether greyscale images (as colour ones of equal channels), palettes and images with alpha (which
            is dropped) are taken. nuScenes has 8-bit colour images only: there another one is a damaged or foreign
            file. CMYK and 16 bits are never taken, as their conversion would be a guess.

    Raises:
        DataError: a file is missing, is not an image or not of the size or the colours expected, or the calibration is
            impossible for it; if its header is in order, broken pixels are found only when it is decoded.
        ValueError: the reduction is none of these.
    """

    def __init__(self, reduction: int = 1, any_colour: bool = False) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(f'reduction: expected one of {tuple(REDUCTIONS)}, got {reduction!r}')
        self.reduction = reduction
        self.any_colour = any_colour

    def transform(self, results: dict) -> dict:
        """Adds the images and calibration."""
        images = results['images']
        files = [self._read(image) for image in images]
        results['imgs'] = DecodedOnDemand(files)
        for key in ('intrinsics', 'cam_from_ego'):
            results[key] = np.array([image[key] for image in images], dtype=np.float64)
        sizes = np.array([file.size for file in files])
        if not (is_pinhole(results['intrinsics'], sizes).all() and is_rigid(results['cam_from_ego']).all()):
            for image, file in zip(images, files, strict=True):
                camera_matrix(np.asarray(image['intrinsics']), f'{file.path}: intrinsics', file.size)
                pose(np.asarray(image['cam_from_ego']), f'{file.path}: cam_from_ego')
        for file, matrix in zip(files, results['intrinsics'], strict=True):
            matrix[:2] /= file.reduction
        return results

    def _read(self, image: dict) -> EncodedImage:
        size = (image['width'], image['height']) if 'width' in image and 'height' in image else None
        return EncodedImage.read(image['path'], self.reduction, size, self.any_colour)


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
