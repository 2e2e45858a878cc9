"""Transforms that read files."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from ..fileio.checks import camera_matrix, pose
from ..geometry import is_pinhole, is_rigid
from ..labels.codec import expand
from ..labels.nuscenes.label_maker import stored_label
from .decoding import REDUCTIONS, DecodedOnDemand, EncodedImage


@TRANSFORMS.register_module()
class CVTIOLoadImages(BaseTransform):
    """Loads the images of a frame, with the same pixels as Pillow, and their calibration.

    Required: ``images``, a list of ``dict(path, intrinsics, cam_from_ego)``, optionally with the expected ``width`` and
    ``height``. Added: ``imgs``, a sequence of (H, W, 3) uint8 RGB images, each decoded on access; ``intrinsics``
    (n, 3, 3) and ``cam_from_ego`` (n, 4, 4), float64.

    Args:
        reduction: 2, 4 or 8 decodes JPEGs at 1/2, 1/4 or 1/8 of their size with libjpeg's scaled inverse transform, and
            scales the intrinsics. The pixels differ from a full decode: at 2, for 1600 × 900 images resized to
            480 × 270, by 0.5 of 255 levels on average and by up to 20 at sharp edges. The reduced images should not be
            smaller than the size that the pipeline resizes to.
        any_colour: whether to accept greyscale, palette and alpha images (alpha is dropped). nuScenes has only 8-bit
            RGB, so anything else there is a damaged or foreign file. CMYK and 16-bit images are always rejected.

    Raises:
        DataError: a file is missing, not an image, or not of the expected size or colour mode, or its calibration is
            invalid. Damaged pixel data is detected on decoding.
        ValueError: ``reduction`` is not 1, 2, 4 or 8.
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
    """Loads the BEV label of a frame.

    Required: ``label``, a path, or ``annotations`` and ``world_from_ego`` to draw a label of; and ``bev_grid``, the
    expected grid. Added: ``gt_bev``, a ``BEVLabel``, mirrored if ``flip`` says that the images are.

    Raises:
        DataError: the label is missing, broken or of another grid.
    """

    def transform(self, results: dict) -> dict:
        """Adds the label."""
        label = expand(stored_label(results, results['bev_grid']))
        results['gt_bev'] = label.mirrored() if results.get('flip', False) else label
        return results
