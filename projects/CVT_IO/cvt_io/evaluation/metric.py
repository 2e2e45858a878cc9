"""IoU of BEV segmentation over a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmdet3d.registry import METRICS
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ..errors import DataError
from ..labels.groups import build_label_groups
from .iou import confusion_counts, iou


@METRICS.register_module()
class CVTIOIoUMetric(BaseMetric):
    """IoU of each label group from the sums of TP, FP and FN over the whole split.

    Reports ``<group>/IoU@0.50`` (ignoring pixels below the group's minimum visibility) and
    ``<group>/IoU@0.50_all_pixels`` for each threshold.

    Args:
        label_groups: see :func:`build_label_groups`; in the order of the predicted maps.
        thresholds: probability thresholds.
        **kwargs: passed to mmengine's ``BaseMetric``.

    Source: Zhou & Krähenbühl, Cross-View Transformers, CVPR 2022, section 4 and public code.
    """

    def __init__(
        self, label_groups: Mapping[str, Mapping], thresholds: Sequence[float] = (0.4, 0.5), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.groups = build_label_groups(label_groups)
        self.thresholds = tuple(thresholds)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Compares ``pred_bev.scores`` (groups, h, w) of each sample with its ``gt_bev``."""
        for sample in data_samples:
            counts = self._count(sample['pred_bev']['scores'], sample['gt_bev'])
            self.results.append((sample['sample_token'], counts))

    def evaluate(self, size: int) -> dict[str, float]:
        """Computes IoU over the frames of all processes, counting each frame once.

        mmengine's implementation truncates the gathered list to ``size``, which requires one particular sampler order,
        and may gather through files in a shared folder.

        Args:
            size: number of frames in the split.

        Raises:
            DataError: the number of frames differs from ``size``; raised on all processes.
        """
        # Samplers repeat frames to give each process the same number, so duplicates are removed by token.
        results = [result for part in all_gather_object(self.results) for result in part]
        self.results.clear()
        frames, seen = dict(results), Counter(token for token, _ in results)
        times = size // max(len(frames), 1)  # 1 unless the split is in a RepeatDataset
        if len(frames) * times != size or min(seen.values()) < times:
            raise DataError(
                f'{type(self).__name__}: expected {size} frames of different sample_token, got {len(frames)}'
            )
        metrics = self.compute_metrics([*frames.values()])
        return {f'{self.prefix}/{name}' if self.prefix else name: value for name, value in metrics.items()}

    def _count(self, scores: Tensor, gt_bev: dict) -> Tensor:
        """Counts (groups, 2, thresholds, 3) int64, with the visibility mask and over all pixels."""
        thresholds = torch.tensor(self.thresholds)
        counts = []
        for group, score in zip(self.groups, scores, strict=True):
            target = group.target(gt_bev['classes'])
            for keep in (group.keep(gt_bev['visibility']), torch.ones_like(target)):
                counts.append(confusion_counts(score, target, keep, thresholds))
        return torch.stack(counts).view(len(self.groups), 2, len(self.thresholds), 3).cpu()

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Args: results, one tensor of counts per frame. Returns: IoU by name, in [0, 1]."""
        scores = iou(torch.stack(results).sum(0))
        keys = _keys([group.name for group in self.groups], self.thresholds)
        return dict(zip(keys, scores.flatten().tolist(), strict=True))


def metric_keys(
    label_groups: Mapping[str, Mapping], thresholds: Sequence[float] = (0.4, 0.5), prefix: str | None = None
) -> list[str]:
    """Names of the metrics that a :class:`CVTIOIoUMetric` of these arguments reports, in its order."""
    return [f'{prefix}/{key}' if prefix else key for key in _keys(label_groups, thresholds)]


def _keys(groups: Iterable[str], thresholds: Sequence[float]) -> list[str]:
    return [
        f'{group}/IoU@{_text(threshold)}{suffix}'
        for group in groups
        for suffix in ('', '_all_pixels')
        for threshold in thresholds
    ]


def _text(threshold: float) -> str:
    """Two digits, or as many as tell it from others."""
    text = f'{threshold:.2f}'
    return text if float(text) == threshold else f'{threshold:g}'
