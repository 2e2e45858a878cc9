"""A panel of one predicted frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from mmdet3d.structures import Det3DDataSample
from torch import Tensor

from ..geometry import BEVGrid, resize_crop_intrinsics
from ..labels.groups import LabelGroup
from . import painter
from .key import panel_key

WIDTH = 456  # pixels of a camera and of a map; the panel has 1400


@dataclass(frozen=True)
class View:
    """An image and its camera.

    Attributes:
        img: (H, W, 3) uint8 RGB.
        intrinsics: (3, 3) of this image.
        cam_from_ego: (4, 4).
        name: name of the camera.
    """

    img: np.ndarray
    intrinsics: np.ndarray
    cam_from_ego: np.ndarray
    name: str = ''


def model_views(imgs: Tensor, sample: Det3DDataSample, names: Sequence[str] = ()) -> list[View]:
    """Views of the model's input: images (n, 3, H, W) uint8 RGB, calibration from the sample's metainfo."""
    pictures = [np.ascontiguousarray(img.transpose(1, 2, 0)) for img in imgs.cpu().numpy()]
    names = names if len(names) == len(pictures) else [''] * len(pictures)
    return [View(*parts) for parts in zip(pictures, sample.intrinsics, sample.cam_from_ego, names, strict=True)]


def short_token(token: str) -> str:
    """First eight characters of a nuScenes token, enough to find it; other names in full."""
    return token[:8] if re.fullmatch('[0-9a-f]{32}', token) else token


def in_places(views: Sequence[View]) -> list[View]:
    """Sorts views as seen from the car: front cameras, then rear cameras, each from left to right."""
    axes = [view.cam_from_ego[2, :3] for view in views]  # optical axis in the ego frame
    return [views[i] for i in sorted(range(len(views)), key=lambda i: (axes[i][0] < 0, -axes[i][1]))]


def sample_panel(
    views: Sequence[View],
    sample: Det3DDataSample,
    group: LabelGroup,
    channel: int,
    grid: BEVGrid,
    threshold: float = 0.5,
    note: str = '',
) -> np.ndarray:
    """Draws all cameras with the prediction on the ground, the BEV probability, hits and errors, and a key.

    Args:
        views: the cameras; their images may be larger than the model's input.
        sample: sample with ``pred_bev`` and optionally ``gt_bev``.
        group: the label group to show.
        channel: index of the group in ``pred_bev.scores``.
        grid: the BEV grid.
        threshold: probability threshold.
        note: text appended to the title.

    Returns:
        (height, 1400, 3) uint8 RGB.
    """
    score = sample.pred_bev.scores[channel].cpu().numpy()
    predicted, ground, truth = score >= threshold, painter.road_map(np.zeros(score.shape, bool)), None
    if 'gt_bev' in sample:
        classes, visibility = sample.gt_bev.classes.cpu(), sample.gt_bev.visibility.cpu()
        ground = painter.map_layers(classes.numpy())
        truth = group.target(classes).numpy(), group.keep(visibility).numpy()
    probability = painter.enlarge(painter.bev_prediction(score, ground), WIDTH)
    painter.outline(probability, painter.enlarge(predicted.astype(np.uint8), WIDTH), painter.THRESHOLD)
    broken = 1 - float(np.isfinite(score).mean())
    maps = [(f'{group.name}: probability' + (f', {broken:.0%} NaN (magenta)' if broken else ''), probability)]
    if truth is not None:
        maps.append((f'{group.name}: truth and errors', painter.bev_errors(predicted, *truth, ground)))
    views = in_places(views)
    return painter.panel(
        [camera_picture(view, predicted, truth and truth[0] & truth[1], grid) for view in views],
        maps,
        '   '.join(filter(None, (sample.scene_name, short_token(sample.sample_token), note))),
        grid,
        [view.name for view in views],
        WIDTH,
        panel_key((WIDTH, WIDTH + painter.LINE), group, threshold, predicted, truth),
    )


def camera_picture(view: View, predicted: np.ndarray, truth: np.ndarray | None, grid: BEVGrid) -> np.ndarray:
    """Draws an image at the panel's width, with prediction (h, w) tinted and truth (h, w) outlined on the ground."""
    height, width = view.img.shape[:2]
    scale = WIDTH / width
    size = (WIDTH, round(height * scale))
    picture = cv2.resize(view.img, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    intrinsics = resize_crop_intrinsics(view.intrinsics, (scale, size[1] / height), (0, 0))

    def on_ground(mask: np.ndarray) -> np.ndarray:
        return painter.ground_mask(size[::-1], mask, grid, intrinsics, view.cam_from_ego)

    picture = painter.tint(picture, on_ground(predicted), painter.PREDICTED)
    if truth is not None:
        painter.outline(picture, on_ground(truth), painter.INK, 1)
    return picture
