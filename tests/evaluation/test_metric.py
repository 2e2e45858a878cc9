"""The metric over several samples, groups and processes."""

from __future__ import annotations

from itertools import count

import pytest
import torch
from mmdet3d.registry import METRICS
from mmdet3d.structures import Det3DDataSample
from mmengine.dist import get_rank
from mmengine.structures import BaseDataElement

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.evaluation.metric import metric_keys
from tests.team import run_team

TOKENS = count()
GROUPS = dict(car=dict(classes=['car'], min_visibility=2), road=dict(classes=['lane', 'road_segment']))


def sample(scores, car, road, visibility) -> dict:
    classes = torch.zeros(12, 1, 4, dtype=torch.uint8)
    classes[4, 0] = torch.tensor(car)
    classes[1, 0] = torch.tensor(road)
    return Det3DDataSample(
        metainfo=dict(sample_token=f'frame {next(TOKENS)}'),
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


def metric(**kwargs):
    return METRICS.build(dict(type='CVTIOIoUMetric', label_groups=GROUPS, thresholds=(0.4, 0.5)) | kwargs)


def test_by_hand():
    """Counts are summed: an empty sample changes nothing. Each evaluation starts again."""
    evaluator = metric(prefix='night')
    # car@0.50, masked: hits 1 + 1, false 1 + 0, missed 0 + 1 (.45) → 2/4. All pixels: hits 2, false 1 + 1, missed 1 + 1
    # → 2/6. @0.40, masked: the .45 is a hit: 3/4; all: 3/(3 + 2 + 1). Road: hits 4, false 2 → 4/6.
    expected = {
        'car/IoU@0.50': 2 / 4,
        'car/IoU@0.50_all_pixels': 2 / 6,
        'car/IoU@0.40': 3 / 4,
        'car/IoU@0.40_all_pixels': 3 / 6,
        **{f'road/IoU@0.{digits}{pixels}': 4 / 6 for digits in ('40', '50') for pixels in ('', '_all_pixels')},
    }
    expected = {f'night/{key}': value for key, value in expected.items()}
    empty = sample([[0.0] * 4] * 2, [0] * 4, [0] * 4, [255] * 4)
    for more in ([], [empty], []):
        evaluator.process({}, [*samples(), *more])
        assert evaluator.evaluate(2 + len(more)) == pytest.approx(expected, abs=1e-6)


def numbered(number: int) -> dict:
    """One of the two samples under any name."""
    return samples()[number % 2] | dict(sample_token=f'frame {number}')


def dealt_out(shares: list[list[int]], size: int) -> dict[str, float] | str:
    """What a process finds that has counted its share of the frames, or the error."""
    evaluator = metric()
    for number in shares[get_rank()]:
        evaluator.process({}, [numbered(number)])
    try:
        return evaluator.evaluate(size)
    except DataError as error:
        return str(error)


@pytest.mark.parametrize(
    'shares',
    [
        [[0, 2, 4], [1, 3, 0]],  # of mmengine's sampler, which repeats frames so that all have as many
        [[0, 2, 4], [1, 3]],
        [[3, 1], [4, 2, 0, 3]],  # in any order
        [[0, 1, 2, 3, 4], []],
        [[0, 3], [1, 4], [2, 0]],
    ],
)
def test_processes_count_each_frame_once(shares):
    evaluator = metric()
    evaluator.process({}, [numbered(number) for number in range(5)])
    assert run_team(len(shares), dealt_out, shares, 5) == [evaluator.evaluate(5)] * len(shares)


@pytest.mark.parametrize(('frames', 'size'), [((0, 1), 3), ((0, 1, 1), 3), ((0, 1, 2), 2), ((), 1)])
def test_a_frame_too_few_or_too_many_is_an_error(frames, size):
    evaluator = metric()
    evaluator.process({}, [numbered(number) for number in frames])
    found = len(set(frames))
    with pytest.raises(DataError, match=f'expected {size} frames of different sample_token, got {found}'):
        evaluator.evaluate(size)


def test_a_lost_frame_is_an_error_of_all_processes():
    messages = run_team(2, dealt_out, [[0, 2], [1]], 4)
    assert len(messages) == 2 and all('expected 4 frames' in message for message in messages)


def test_unknown_class_is_refused():
    with pytest.raises(ValueError, match=r'label_groups\.x.*cat'):
        metric(label_groups=dict(x=dict(classes=['cat'])))


def test_thresholds_that_two_digits_do_not_tell_apart():
    thresholds = (0.4, 0.5, 0.501, 0.125)
    keys = [*metric(thresholds=thresholds).compute_metrics([torch.ones(len(GROUPS), 2, 4, 3)])]
    assert keys == metric_keys(GROUPS, thresholds) and len({*keys}) == len(GROUPS) * 2 * 4
    expected = [f'car/IoU@{text}' for text in ('0.40', '0.50', '0.501', '0.125')]
    assert [key for key in keys if key.startswith('car/') and 'all' not in key] == expected
