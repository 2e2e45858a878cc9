"""Drawing a prediction of the inferencer."""

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
    """Draws a panel of a frame, compared with the ground truth if the sample has it.

    Args:
        sample: sample with ``pred_bev``, optionally ``gt_bev``, and metainfo ``images`` of a :class:`Source`.
        size: (height, width) of the model's images.
        group: the first label group of the model.
        grid: the BEV grid.
        threshold: probability threshold.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        DataError: an image no longer exists.
    """
    return sample_panel(_sharp_views(sample.images, size), sample, group, 0, grid, threshold)


def _sharp_views(images: list[dict], size: tuple[int, int]) -> list[View]:
    """The model's field of view, taken from the image files at the panel's width."""
    photos = CVTIOLoadImages(any_colour=True).transform(dict(images=images))
    fitted = CVTIOFitImages((round(WIDTH * size[0] / size[1]), WIDTH)).transform(photos)
    names = [image['camera'] for image in images]
    parts = zip(fitted['imgs'], fitted['intrinsics'], fitted['cam_from_ego'], names, strict=True)
    return [View(*part) for part in parts]
