"""Predictions of a split in one file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet3d.registry import METRICS
from mmengine.dist import all_gather_object, is_main_process
from mmengine.evaluator import BaseMetric

from ..fileio.atomic import write_result


@METRICS.register_module()
class CVTIOPredictions(BaseMetric):
    """Writes the predicted maps of all frames to an ``.npz`` file, which ``numpy.load`` reads without pickle.

    Arrays, in the order of their frames: ``sample_token`` (n,) str; ``scores`` (n, groups, h, w) float16,
    probabilities in [0, 1]; ``center`` (n, h, w) float16, if the head predicts it; ``label_groups`` (groups,) str.

    Args:
        out_file: the file.
        label_groups: whose names the file has, in the order of the predicted maps.
        **kwargs: of mmengine's ``BaseMetric``.
    """

    def __init__(self, out_file: str, label_groups: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.out_file = Path(out_file)
        self.names = [*label_groups]

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keeps ``pred_bev.scores`` (groups, h, w) and ``.center`` (h, w) of each sample."""
        for sample in data_samples:
            maps = {key: sample['pred_bev'][key] for key in ('scores', 'center') if key in sample['pred_bev']}
            arrays = {key: value.cpu().numpy().astype(np.float16) for key, value in maps.items()}
            self.results.append((sample['sample_token'], arrays))

    def evaluate(self, size: int) -> dict[str, float]:
        """Writes the frames of all processes, each once; there are no metrics."""
        frames = {token: maps for part in all_gather_object(self.results) for token, maps in part}
        self.results.clear()
        if is_main_process():
            self.compute_metrics([*frames.items()])
        return {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Writes (token, maps) of each frame."""
        arrays = {key: np.stack([maps[key] for _, maps in results]) for key in results[0][1]}
        buffer = io.BytesIO()
        tokens = np.array([token for token, _ in results])
        np.savez_compressed(buffer, sample_token=tokens, label_groups=np.array(self.names), **arrays)
        write_result(self.out_file, buffer.getvalue())
        return {}
