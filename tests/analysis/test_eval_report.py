"""Statistics and tables of a report, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from projects.CVT_IO.cvt_io.analysis.eval_report import (
    DatasetStatistics,
    markdown,
    plot_report,
    scores_as_data,
    write_report,
)
from projects.CVT_IO.cvt_io.evaluation.breakdown import Breakdown
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.codec import StoredLabel
from projects.CVT_IO.cvt_io.labels.groups import LabelGroup

GRID = BEVGrid((10, 10), (40.0, 40.0))  # 4 m a cell, the ego at column 5, row 5
#: Column, row and token. Distances: 3 cells of 4 m ahead = 12; 3 and 4 cells = 20; the third has no cell.
VEHICLES = [(5.0, 2.0, 4), (8.0, 9.0, 1), (5.0, 5.0, 4)]


def statistics() -> DatasetStatistics:
    """A frame with two vehicles, one without."""
    instances = np.zeros(GRID.size, np.uint16)
    instances[2, 5], instances[9, 8] = 1, 2
    found = DatasetStatistics(GRID)
    found.add(StoredLabel(np.zeros(GRID.size, np.uint16), instances, VEHICLES, GRID))
    found.add(StoredLabel(np.zeros(GRID.size, np.uint16), np.zeros(GRID.size, np.uint16), [], GRID))
    return found


def report(of_vehicles: bool = True) -> dict:
    breakdown = Breakdown(GRID, LabelGroup('vehicle', (4,), 2), 0.5)
    breakdown.overall = torch.tensor([2, 1, 1])
    breakdown.by_band[0, 20] = torch.tensor([2, 0, 2])
    breakdown.by_visibility[1] = torch.tensor([1, 3, 0])
    groups = dict(vehicle=scores_as_data(breakdown, of_vehicles))
    return dict(config='c', checkpoint='c.pth', threshold=0.5, dataset=statistics().as_data(), groups=groups)


def test_statistics_by_hand():
    data = statistics().as_data()
    assert (data['frames'], data['vehicles']) == (2, 2)
    assert data['vehicles_per_frame'] == dict(mean=1.0, median=1.0, max=2)
    assert statistics().distances == pytest.approx([12, 20])
    assert data['distance']['edges_m'] == [*range(0, 51, 5)]
    assert data['distance']['vehicles'] == [0, 0, 1, 0, 1, 0, 0, 0, 0, 0]
    assert data['visibility'] == {'1': 1, '2': 0, '3': 0, '4': 1}


def test_scores_by_hand():
    """2 / (2 + 1 + 1) and 2 / 4 and 1 / 4; recall 2/3, 2/4 and 1/1; nothing to find gives no score."""
    scores = report()['groups']['vehicle']
    assert scores['overall'] == dict(tp=2, fp=1, fn=1, iou=pytest.approx(0.5), recall=pytest.approx(2 / 3))
    assert [*scores['by_distance_m']] == ['0-20', '20-35']  # the grid reaches 28.3 m
    near, far = scores['by_distance_m'].values()
    assert (near['iou'], near['recall']) == (pytest.approx(0.5), 0.5)
    assert (far['iou'], far['recall']) == (None, None)
    hidden = scores['by_visibility']['1']
    assert (hidden['iou'], hidden['recall']) == (pytest.approx(0.25), 1.0)


def test_markdown():
    lines = markdown(report()).splitlines()
    assert lines[2] == '2 frames with 2 vehicles on the grid; per frame: mean 1.0, median 1, maximum 2.'
    for row in (
        '| 4: 80–100 % | 1 |',
        'IoU@0.50 0.500',
        '| 0-20 m | 0.500 | 0.500 |',
        '| 20-35 m | – | – |',
        '| 1: 0–40 % | 0.250 | 1.000 |',
    ):
        assert row in lines


def test_plot_shows_the_figures():
    """A row for each group, whose names are not formulas."""
    data = report()
    data['groups'][r'$\road$'] = report(of_vehicles=False)['groups']['vehicle']
    figure = plot_report(data | dict(config=r'$\no$'), statistics())
    distance = figure.axes[4]
    heights = [patch.get_height() for patch in distance.patches]
    assert [heights[0], heights[2]] == pytest.approx([0.5, 0.5]) and np.isnan([heights[1], heights[3]]).all()
    assert [label.get_text() for label in distance.get_xticklabels()] == ['0-20', '20-35']
    assert [ax.get_xlabel().replace('\\$', '$') for ax in figure.axes[3::3]] == [
        f'{name}, probability ≥ 0.50' for name in data['groups']
    ]
    assert [ax.axison for ax in figure.axes[5::3]] == [True, False]
    figure.canvas.draw()
    plt.close(figure)


@pytest.mark.parametrize('of_vehicles', [True, False])
def test_files(tmp_path, of_vehicles):
    data = report(of_vehicles)
    assert ('by_visibility' in data['groups']['vehicle']) == ('others ignored' in markdown(data)) == of_vehicles
    write_report(tmp_path / 'new', data, statistics())
    assert json.loads((tmp_path / 'new/report.json').read_text()) == json.loads(json.dumps(data))
    assert (tmp_path / 'new/report.md').read_text() == markdown(data)
    assert Image.open(tmp_path / 'new/report.png').width == 1400
