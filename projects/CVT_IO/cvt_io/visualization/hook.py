"""Writes panels while testing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmdet3d.registry import HOOKS
from mmdet3d.structures import Det3DDataSample
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from PIL import Image

from .panels import sample_panel


@HOOKS.register_module()
class CVTIOVisualizationHook(Hook):
    """Writes a PNG panel of the first label group for each ``interval``-th tested sample.

    Args:
        draw: whether to do anything.
        interval: of samples of this process.
        show: whether to open each panel in a window.
        wait_time: seconds a window stays.
        test_out_dir: folder of the panels, below the run's timestamped folder; nothing is written without.
        **_: what mmdet3d's stock ``test.py`` sets for other tasks.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 1,
        show: bool = False,
        wait_time: float = 2.0,
        test_out_dir: str | None = None,
        **_: object,
    ) -> None:
        self.draw = draw
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.test_out_dir = test_out_dir
        self._count = 0

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[Det3DDataSample]
    ) -> None:
        """Draws the samples of a batch."""
        if not self.draw:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        grid = runner.test_dataloader.dataset.bev_grid
        for imgs, sample in zip(data_batch['inputs']['imgs'], outputs, strict=True):
            if self._count % self.interval == 0:
                picture = sample_panel(imgs.numpy(), sample, model.head.groups[0], 0, grid)
                self._output(runner, f'{sample.scene_name}_{sample.sample_token}.png', picture)
            self._count += 1

    def _output(self, runner: Runner, name: str, picture: np.ndarray) -> None:
        if self.test_out_dir is not None:
            folder = Path(runner.work_dir, runner.timestamp, self.test_out_dir)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / name)
        if self.show:
            runner.visualizer.show(picture, win_name=name, wait_time=self.wait_time)
