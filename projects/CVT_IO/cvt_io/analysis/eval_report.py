"""Statistics of a data set, and scores of a model by distance and by visibility."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..evaluation.breakdown import BANDS, VISIBILITIES, Breakdown
from ..evaluation.iou import iou
from ..fileio.atomic import write_json, write_result
from ..geometry import BEVGrid
from ..labels.codec import StoredLabel
from .figures import COLORS, DPI, save_figure
from .markdown import markdown_table, show

TOKEN_NAMES = {1: '0–40', 2: '40–60', 3: '60–80', 4: '80–100'}  # percent of the vehicle that is visible
_HISTOGRAM_STEP = 5  # metres


class DatasetStatistics:
    """Vehicles in the labels of a data set that cover at least one cell of the grid.

    Attributes:
        per_frame: number of vehicles in each frame.
        distances: distance from the ego to the centre of each vehicle in metres.
        visibility: number of vehicles by visibility token.
    """

    def __init__(self, grid: BEVGrid) -> None:
        self.grid = grid
        self.per_frame: list[int] = []
        self.distances: list[float] = []
        self.visibility: Counter[int] = Counter()

    def add(self, label: StoredLabel) -> None:
        """Adds a frame. A vehicle completely covered by others in the label has no cell."""
        shown = np.unique(label.instances[label.instances > 0]).astype(int) - 1
        vehicles = np.array(label.vehicles, float).reshape(-1, 3)[shown]
        centres = np.column_stack([vehicles[:, :2], np.ones(len(vehicles))]) @ self.grid.ego_from_pixels.T
        self.per_frame.append(len(vehicles))
        self.distances += np.linalg.norm(centres[:, :2], axis=1).tolist()
        self.visibility.update(vehicles[:, 2].astype(int).tolist())

    def as_data(self) -> dict[str, Any]:
        """Plain values for JSON."""
        per_frame = np.array(self.per_frame or [0])
        far = max([*self.distances, BANDS[-1][1]])
        counts, edges = np.histogram(self.distances, np.arange(0, far + _HISTOGRAM_STEP, _HISTOGRAM_STEP))
        return dict(
            frames=len(self.per_frame),
            vehicles=len(self.distances),
            vehicles_per_frame=dict(
                mean=float(per_frame.mean()), median=float(np.median(per_frame)), max=int(per_frame.max())
            ),
            distance=dict(edges_m=edges.tolist(), vehicles=counts.tolist()),
            visibility={str(token): self.visibility[token] for token in VISIBILITIES},
        )


def scores_as_data(breakdown: Breakdown, of_vehicles: bool) -> dict[str, Any]:
    """Counts and scores for JSON; those by visibility only for vehicles, as other classes have none."""
    data = dict(
        overall=_scores(breakdown.overall),
        by_distance_m={f'{low}-{high}': _scores(breakdown.by_band[low, high]) for low, high in breakdown.bands},
    )
    if of_vehicles:
        data['by_visibility'] = {str(token): _scores(counts) for token, counts in breakdown.by_visibility.items()}
    return data


def markdown(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    dataset, threshold = report['dataset'], report['threshold']
    per_frame = dataset['vehicles_per_frame']
    lines = [
        f'# {report["config"]}: {report["checkpoint"]}',
        '',
        f'{dataset["frames"]} frames with {dataset["vehicles"]} vehicles on the grid; per frame: '
        f'mean {per_frame["mean"]:.1f}, median {per_frame["median"]:g}, maximum {per_frame["max"]}.',
        '',
        *markdown_table(
            ('visibility', 'vehicles'),
            [(f'{token}: {TOKEN_NAMES[int(token)]} %', n) for token, n in dataset['visibility'].items()],
        ),
    ]
    for name, scores in report['groups'].items():
        lines += ['', f'## {name}', '', f'IoU@{threshold:.2f} {show(scores["overall"]["iou"])}', '']
        rows = [(f'{band} m', show(s['iou']), show(s['recall'])) for band, s in scores['by_distance_m'].items()]
        lines += markdown_table(('distance', 'IoU', 'recall'), rows)
        if 'by_visibility' in scores:
            rows = [
                (f'{token}: {TOKEN_NAMES[int(token)]} %', show(s['iou']), show(s['recall']))
                for token, s in scores['by_visibility'].items()
            ]
            lines += ['', *markdown_table(('visibility', 'IoU, others ignored', 'recall'), rows)]
    lines += [
        '',
        'By distance: cells by their distance from the ego, ignoring low visibility as the main metric does. By '
        'visibility: recall is over the cells of vehicles of that visibility; IoU ignores vehicles of any other '
        'visibility and counts all false positives, as they have none.',
    ]
    return '\n'.join(lines) + '\n'


def plot_report(report: dict[str, Any], statistics: DatasetStatistics) -> Figure:
    """Plots statistics of the data set in the first row, and scores of each label group in the following rows."""
    groups = report['groups']
    figure, axes = plt.subplots(
        1 + len(groups), 3, figsize=(10, 3.25 * (1 + len(groups))), dpi=DPI, layout='constrained'
    )
    most = max(statistics.per_frame, default=0)
    axes[0, 0].hist(statistics.per_frame, np.arange(-0.5, most + 1.5), color=COLORS[1])
    axes[0, 0].set(xlabel='vehicles in a frame', ylabel='frames')
    distance = report['dataset']['distance']
    axes[0, 1].stairs(distance['vehicles'], distance['edges_m'], fill=True, color=COLORS[1])
    axes[0, 1].set(xlabel='distance of the centre [m]', ylabel='vehicles')
    visibility = report['dataset']['visibility']
    axes[0, 2].bar([TOKEN_NAMES[int(token)] for token in visibility], list(visibility.values()), color=COLORS[1])
    axes[0, 2].set(xlabel='visibility [%]', ylabel='vehicles')
    for row, (name, scores) in zip(axes[1:], groups.items(), strict=True):
        _plot_scores(row, f'{name}, probability ≥ {report["threshold"]:.2f}', scores)
    for ax in axes.flat:
        ax.spines[['top', 'right']].set_visible(False)
    axes[1, 0].legend(loc='upper left', frameon=False, ncols=2)
    title = f'{report["config"]}: {report["dataset"]["frames"]} frames'
    figure.suptitle(title, x=0.01, ha='left', fontweight='bold', parse_math=False)
    return figure


def write_report(folder: Path, report: dict[str, Any], statistics: DatasetStatistics) -> None:
    """Writes report.json, report.md and report.png."""
    write_json(folder / 'report.json', report)
    write_result(folder / 'report.md', markdown(report).encode())
    figure = plot_report(report, statistics)
    save_figure(figure, folder / 'report.png')
    plt.close(figure)


def _scores(counts: Tensor) -> dict[str, Any]:
    hits, false, missed = counts.tolist()
    recall = hits / (hits + missed) if hits + missed else None
    value = iou(torch.as_tensor(counts)).item() if hits + false + missed else None
    return dict(tp=hits, fp=false, fn=missed, iou=value, recall=recall)


def _plot_scores(axes: Sequence[Axes], label: str, scores: dict[str, Any]) -> None:
    """Plots scores of a label group: overall, by distance, and by visibility if available."""
    _bars(axes[0], ['all'], [scores['overall']], label)
    _bars(axes[1], [*scores['by_distance_m']], [*scores['by_distance_m'].values()], 'distance [m]')
    if 'by_visibility' in scores:
        tokens = [TOKEN_NAMES[int(token)] for token in scores['by_visibility']]
        _bars(axes[2], tokens, [*scores['by_visibility'].values()], 'visibility [%]; IoU: others ignored')
    else:
        axes[2].set_axis_off()


def _bars(ax: Axes, names: Sequence[str], scores: Sequence[dict[str, Any]], label: str) -> None:
    """Draws IoU and recall side by side; undefined values have no bar."""
    for i, (key, text, color) in enumerate((('iou', 'IoU', COLORS[1]), ('recall', 'recall', COLORS[4]))):
        values = [np.nan if score[key] is None else score[key] for score in scores]
        bars = ax.bar(np.arange(len(names)) + 0.4 * i - 0.2, values, 0.38, color=color, label=text)
        ax.bar_label(bars, ['' if np.isnan(value) else f'{value:.2f}' for value in values], fontsize=8)
    ax.set_xticks(np.arange(len(names)), names)
    ax.set_xlim(-0.7, len(names) - 0.3)
    ax.set_xlabel(label, parse_math=False)
    ax.set_ylim(0, 1.12)
