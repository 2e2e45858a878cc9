"""The one place where a prediction becomes a picture."""

from __future__ import annotations

import numpy as np
from mmdet3d.structures import Det3DDataSample

from ..datasets import CVTIOLoadImages
from ..datasets.fit import CVTIOFitImages
from ..geometry import BEVGrid
from ..labels.groups import LabelGroup
from ..visualization.panels import WIDTH, View, sample_panel


def draw_prediction(
    sample: Det3DDataSample, size: tuple[int, int], group: LabelGroup, grid: BEVGrid, threshold: float
) -> np.ndarray:
    """A panel of a frame: against the truth if the sample has it, else of the prediction alone.

    Args:
        sample: with ``pred_bev``, perhaps ``gt_bev``, and metainfo ``images`` of a :class:`Source`.
        size: (height, width) of the model's images.
        group: the first label group, which is drawn.
        grid: the BEV grid.
        threshold: of the probability.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        DataError: an image is no longer there.
    """
    return sample_panel(_sharp_views(sample.images, size), sample, group, 0, grid, threshold)


def _sharp_views(images: list[dict], size: tuple[int, int]) -> list[View]:
    """What the model saw, of the files' own sharpness: the same part of each image, at the panel's width."""
    photos = CVTIOLoadImages(any_colour=True).transform(dict(images=images))
    fitted = CVTIOFitImages((round(WIDTH * size[0] / size[1]), WIDTH)).transform(photos)
    names = [image['camera'] for image in images]
    parts = zip(fitted['imgs'], fitted['intrinsics'], fitted['cam_from_ego'], names, strict=True)
    return [View(*part) for part in parts]
