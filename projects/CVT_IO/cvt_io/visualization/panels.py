"""A panel of one tested sample."""

from __future__ import annotations

import numpy as np
from mmdet3d.structures import Det3DDataSample

from ..geometry import BEVGrid
from ..labels.classes import ROAD
from ..labels.groups import LabelGroup
from . import painter


def sample_panel(
    imgs: np.ndarray, sample: Det3DDataSample, group: LabelGroup, channel: int, grid: BEVGrid, threshold: float = 0.5
) -> np.ndarray:
    """All cameras with the truth and prediction drawn on the ground; BEV truth, probability and errors.

    Args:
        imgs: (n, 3, H, W) uint8 RGB.
        sample: with metainfo ``intrinsics`` and ``cam_from_ego``, ``gt_bev`` and ``pred_bev``.
        group: the label group to show.
        channel: its index in ``pred_bev.scores``.
        grid: the BEV grid.
        threshold: of the probability.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    classes, visibility = sample.gt_bev.classes.cpu(), sample.gt_bev.visibility.cpu()
    target, keep = group.target(classes).numpy(), group.keep(visibility).numpy()
    road = (classes[list(ROAD)] != 0).any(0).numpy()
    score = sample.pred_bev.scores[channel].cpu().numpy()
    predicted = score >= threshold
    cameras = []
    for img, intrinsics, cam_from_ego in zip(imgs, sample.intrinsics, sample.cam_from_ego, strict=True):
        camera = np.ascontiguousarray(img.transpose(1, 2, 0))
        for mask, color in ((target, painter.TRUTH), (predicted, painter.PREDICTED)):
            camera = painter.ground_overlay(camera, mask, grid, intrinsics, cam_from_ego, color)
        cameras.append(camera)
    hits = (predicted & target & keep).sum()
    iou = hits / max(((predicted | target) & keep).sum(), 1)
    return painter.panel(
        cameras,
        [
            (f'truth: {group.name}; grey: left out', painter.bev_truth(target, keep, road)),
            ('prediction: probability', painter.bev_prediction(score, road)),
            ('green: hit, orange: false, pink: missed', painter.bev_errors(predicted, target, keep, road)),
        ],
        f'{sample.scene_name}  {sample.sample_token[:8]}   IoU@{threshold:.2f} {iou:.2f}   '
        'on the ground: truth yellow, prediction blue',
        grid,
    )
