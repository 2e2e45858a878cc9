"""The metric over several samples, groups and processes."""

from __future__ import annotations

import pytest
import torch
from mmdet3d.registry import METRICS
from mmdet3d.structures import Det3DDataSample
from mmengine.structures import BaseDataElement

import projects.CVT_IO.cvt_io  # noqa: F401

GROUPS = dict(car=dict(classes=['car'], min_visibility=2), road=dict(classes=['lane', 'road_segment']))


def sample(scores, car, road, visibility) -> dict:
    classes = torch.zeros(12, 1, 4, dtype=torch.uint8)
    classes[4, 0] = torch.tensor(car)
    classes[1, 0] = torch.tensor(road)
    return Det3DDataSample(
        pred_bev=BaseDataElement(scores=torch.tensor(scores)[:, None]),
        gt_bev=BaseDataElement(classes=classes, visibility=torch.tensor([visibility], dtype=torch.uint8)),
    ).to_dict()


def samples() -> list[dict]:
    return [
        # car@0.5: hit, miss (hidden, visibility 1), false alarm, true negative; road: all four hit.
        sample([[0.6, 0.2, 0.7, 0.1], [0.9, 0.9, 0.9, 0.9]], [1, 1, 0, 0], [1, 1, 1, 1], [3, 1, 255, 255]),
        # car@0.5: false alarm on a hidden pixel, hit; road: two false alarms.
        sample([[0.8, 0.45, 0.1, 0.9], [0.1, 0.1, 0.8, 0.8]], [0, 1, 0, 1], [0, 0, 0, 0], [1, 4, 255, 2]),
    ]


def metric():
    return METRICS.build(dict(type='CVTIOIoUMetric', label_groups=GROUPS, thresholds=(0.4, 0.5)))


def test_by_hand():
    evaluator = metric()
    evaluator.process({}, samples())
    results = evaluator.evaluate(2)
    # car@0.50, masked: hits 1 + 1, false 1 + 0, missed 0 + 1 (.45) → 2/4. All pixels: hits 2, false 1 + 1, missed 1 + 1
    # → 2/6. @0.40, masked: the .45 is a hit: 3/4; all: 3/(3 + 2 + 1). Road: hits 4, false 2 → 4/6.
    expected = {
        'car/IoU@0.50': 2 / 4,
        'car/IoU@0.50_all_pixels': 2 / 6,
        'car/IoU@0.40': 3 / 4,
        'car/IoU@0.40_all_pixels': 3 / 6,
        'road/IoU@0.50': 4 / 6,
        'road/IoU@0.50_all_pixels': 4 / 6,
        'road/IoU@0.40': 4 / 6,
        'road/IoU@0.40_all_pixels': 4 / 6,
    }
    assert results == pytest.approx(expected, abs=1e-6)


def test_sums_counts_rather_than_averaging_samples():
    evaluator = metric()
    evaluator.process({}, samples()[:1])
    first = evaluator.evaluate(1)['car/IoU@0.50']
    evaluator = metric()
    evaluator.process({}, samples()[1:])
    second = evaluator.evaluate(1)['car/IoU@0.50']
    # Hits/union: 1/2 and 1/2 here, but over both 2/4; with a third, empty sample the mean of samples would fall.
    evaluator = metric()
    empty = sample([[0.0] * 4] * 2, [0] * 4, [0] * 4, [255] * 4)
    evaluator.process({}, [*samples(), empty])
    assert (first, second) == (pytest.approx(0.5), pytest.approx(0.5))
    assert evaluator.evaluate(3)['car/IoU@0.50'] == pytest.approx(0.5)


def test_unknown_class_is_refused():
    with pytest.raises(ValueError, match=r'label_groups\.x.*cat'):
        METRICS.build(dict(type='CVTIOIoUMetric', label_groups=dict(x=dict(classes=['cat']))))
