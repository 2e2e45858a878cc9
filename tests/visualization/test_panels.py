"""A panel of a sample whose answer is known."""

from __future__ import annotations

import numpy as np
import torch
from mmdet3d.structures import Det3DDataSample
from mmengine.structures import BaseDataElement

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.groups import LabelGroup
from projects.CVT_IO.cvt_io.visualization import painter
from projects.CVT_IO.cvt_io.visualization.panels import sample_panel
from tests.visualization.test_painter import INTRINSICS, camera


def test_colours_by_hand():
    """On an 8 × 8 grid: road on the left half; a car that is hit, one that is missed, one hidden, and a false alarm."""
    classes, visibility = torch.zeros(12, 8, 8, dtype=torch.uint8), torch.full((8, 8), 255, dtype=torch.uint8)
    scores = torch.zeros(1, 8, 8)
    classes[1, :, :4] = 1
    for row, token in ((0, 4), (2, 3), (4, 1)):
        classes[4, row, 0:2] = 1
        visibility[row, 0:2] = token
    scores[0, 0, 0:2] = 1.0
    scores[0, 6, 6:8] = 1.0
    sample = Det3DDataSample(
        metainfo=dict(scene_name='s', sample_token='t', intrinsics=INTRINSICS[None], cam_from_ego=camera(0)[None])
    )
    sample.gt_bev = BaseDataElement(classes=classes, visibility=visibility)
    sample.pred_bev = BaseDataElement(scores=scores)
    picture = sample_panel(
        np.zeros((1, 3, 24, 48), np.uint8), sample, LabelGroup('car', (4,), 2), 0, BEVGrid((8, 8), (8.0, 8.0))
    )

    def cell(panel: int, row: int, column: int) -> tuple[int, ...]:
        side = 424  # of a map, which has a line of text below and 8 pixels between
        y = picture.shape[0] - 28 - side + (row + 0.5) * side / 8
        return tuple(picture[int(y), int(8 + panel * (side + 8) + (column + 0.5) * side / 8)])

    truth, prediction, errors = 0, 1, 2
    assert cell(truth, 0, 0) == cell(truth, 2, 1) == painter.TRUTH
    assert cell(truth, 4, 0) == painter.FAINT
    assert [cell(truth, 7, column) for column in (1, 3, 5)] == [painter.ROAD, painter.ROAD, painter.BACKGROUND]
    assert cell(prediction, 0, 0) == cell(prediction, 6, 6) == painter.PREDICTED
    assert cell(prediction, 2, 0) == painter.ROAD
    assert cell(errors, 0, 0) == painter.HIT
    assert cell(errors, 2, 0) == painter.MISSED
    assert cell(errors, 4, 0) == painter.ROAD  # left out
    assert cell(errors, 6, 6) == painter.FALSE
