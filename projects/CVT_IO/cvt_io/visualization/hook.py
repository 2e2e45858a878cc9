"""Panels of predictions during testing and validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmdet3d.registry import HOOKS
from mmdet3d.structures import Det3DDataSample
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from ..datasets import CVTIONuScenesDataset
from ..datasets.wrappers import first_part
from ..models import unwrap_model
from .panels import model_views, sample_panel, short_token
from .scene import channel_of, frame_name, write_picture


@HOOKS.register_module()
class CVTIOVisualizationHook(Hook):
    """Draws panels of one label group: test samples to a folder, validation samples to the visualizer.

    Args:
        draw: whether to draw test samples.
        interval: draw every ``interval``-th test sample of this process.
        show: whether to open each panel in a window.
        wait_time: seconds for which a window stays open.
        test_out_dir: output folder, relative to the run's timestamped folder; if None, no files are written.
        val_panels: number of samples, evenly spaced over the main process's share, that each validation adds to the
            visualizer's backends such as TensorBoard; 0 for none.
        group: name of the label group; defaults to the first.
        **_: ignored; mmdet3d's ``test.py`` sets options of other tasks.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 1,
        show: bool = False,
        wait_time: float = 2.0,
        test_out_dir: str | None = None,
        val_panels: int = 4,
        group: str | None = None,
        **_: object,
    ) -> None:
        self.draw = draw
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.test_out_dir = test_out_dir
        self.val_panels = val_panels
        self.group = group
        self._tested = self._validated = 0

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[Det3DDataSample]
    ) -> None:
        """Draws the samples of a batch."""
        if not self.draw:
            return
        inputs = data_batch['inputs']
        if isinstance(inputs, list):  # the variants of test-time augmentation, the first one being that of the outputs
            inputs = inputs[0]
        for imgs, sample in zip(inputs['imgs'], outputs, strict=True):
            if self._tested % self.interval == 0:
                picture = self._panel(runner, runner.test_dataloader.dataset, imgs, sample)
                self._output(runner, f'{frame_name(sample.scene_name, sample.sample_token)}.png', picture)
            self._tested += 1

    def before_val_epoch(self, runner: Runner) -> None:
        """Resets the counter, so that each validation draws the same samples."""
        self._validated = 0

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[Det3DDataSample]
    ) -> None:
        """Draws the selected samples of a batch."""
        if not self.val_panels or not is_main_process():
            return
        dataset = runner.val_dataloader.dataset
        distance = max(len(dataset) // (self.val_panels * get_world_size()), 1)
        for imgs, sample in zip(data_batch['inputs']['imgs'], outputs, strict=True):
            number, rest = divmod(self._validated, distance)
            if rest == 0 and number < self.val_panels:
                picture = self._panel(runner, dataset, imgs, sample)
                # No slash: the local backend would treat it as a folder that does not exist.
                name = frame_name(sample.scene_name, short_token(sample.sample_token))
                runner.visualizer.add_image(f'val_{name}', picture, runner.iter)
            self._validated += 1

    def _panel(
        self, runner: Runner, dataset: CVTIONuScenesDataset, imgs: Tensor, sample: Det3DDataSample
    ) -> np.ndarray:
        model = unwrap_model(runner.model)
        dataset = first_part(dataset)
        names = getattr(dataset, 'cameras', None) or dataset.metainfo.get('cameras', ())
        channel = channel_of(model.head.groups, self.group)
        views = model_views(imgs, sample, names)
        return sample_panel(views, sample, model.head.groups[channel], channel, dataset.bev_grid)

    def _output(self, runner: Runner, name: str, picture: np.ndarray) -> None:
        if self.test_out_dir is not None:
            write_picture(Path(runner.work_dir, runner.timestamp, self.test_out_dir, name), picture)
        if self.show:
            runner.visualizer.show(picture, win_name=name, wait_time=self.wait_time)
