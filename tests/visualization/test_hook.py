"""Panels of a validation reach the visualizer's backends."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend, Visualizer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from projects.CVT_IO.cvt_io.labels.groups import LabelGroup
from projects.CVT_IO.cvt_io.visualization import CVTIOVisualizationHook
from tests.visualization.test_panels import GRID, GROUP, known_sample


class Dataset:
    """So many frames of one camera."""

    bev_grid = GRID

    def __init__(self, length: int) -> None:
        self.length = length
        self.metainfo = dict(cameras=('CAM_FRONT',))

    def __len__(self) -> int:
        return self.length


def runner_of(length: int, visualizer: Visualizer) -> SimpleNamespace:
    return SimpleNamespace(
        model=SimpleNamespace(head=SimpleNamespace(groups=(GROUP,))),
        val_dataloader=SimpleNamespace(dataset=Dataset(length)),
        visualizer=visualizer,
        iter=70,
    )


def validate(hook: CVTIOVisualizationHook, runner: SimpleNamespace, batch_size: int = 2) -> None:
    """One validation of samples that are named by their numbers."""
    hook.before_val_epoch(runner)
    length = len(runner.val_dataloader.dataset)
    for batch, start in enumerate(range(0, length, batch_size)):
        numbers = range(start, min(start + batch_size, length))
        samples = [known_sample() for _ in numbers]
        for number, sample in zip(numbers, samples, strict=True):
            sample.set_metainfo(dict(sample_token=str(number)))
        imgs = [torch.zeros(1, 3, 24, 48, dtype=torch.uint8)] * len(samples)
        hook.after_val_iter(runner, batch, dict(inputs=dict(imgs=imgs)), samples)


class Recorder:
    """Takes the place of a visualizer."""

    def __init__(self) -> None:
        self.images: list[tuple[str, int]] = []

    def add_image(self, name: str, image: np.ndarray, step: int) -> None:
        assert image.dtype == np.uint8 and image.shape[1:] == (1400, 3)
        self.images.append((name, step))


@pytest.mark.parametrize(
    ('length', 'panels', 'chosen'), [(9, 4, [0, 2, 4, 6]), (3, 4, [0, 1, 2]), (10, 2, [0, 5]), (5, 0, [])]
)
def test_few_samples_evenly_spread_and_the_same_each_time(length, panels, chosen):
    """Every ⌊length / panels⌋-th, or all where there are fewer."""
    hook, recorder = CVTIOVisualizationHook(val_panels=panels), Recorder()
    for _ in range(2):
        validate(hook, runner_of(length, recorder))
    assert recorder.images == [(f'val_s_{number}', 70) for number in chosen] * 2


def test_names_stay_inside_their_folder_and_tell_frames_apart():
    hook, recorder = CVTIOVisualizationHook(val_panels=2), Recorder()
    runner, samples = runner_of(2, recorder), [known_sample(), known_sample()]
    for sample, token in zip(samples, ('image-000123', 'image-000124'), strict=True):
        sample.set_metainfo(dict(scene_name='../<b>', sample_token=token))
    imgs = [torch.zeros(1, 3, 24, 48, dtype=torch.uint8)] * 2
    hook.before_val_epoch(runner)
    hook.after_val_iter(runner, 0, dict(inputs=dict(imgs=imgs)), samples)
    assert [name for name, _ in recorder.images] == [f'val___b__image-00012{n}' for n in (3, 4)]


def test_another_label_group():
    """Drawn is the channel of that group: probability 1 everywhere, which is white."""
    other = LabelGroup('lane', (0,))
    runner = runner_of(1, Recorder())
    runner.model.head.groups = (GROUP, other)
    sample, imgs = known_sample(), torch.zeros(1, 3, 24, 48, dtype=torch.uint8)
    sample.pred_bev.scores = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    pictures = [
        CVTIOVisualizationHook(group=name)._panel(runner, runner.val_dataloader.dataset, imgs, sample)
        for name in ('car', 'lane')
    ]
    whites = [(picture[-400:, :400] == 255).all(-1).mean() for picture in pictures]
    assert whites[0] < 0.01 and whites[1] > 0.8  # the scale and the ego hide some


def test_both_backends_get_them(tmp_path):
    visualizer = Visualizer(
        vis_backends=[LocalVisBackend(str(tmp_path)), TensorboardVisBackend(str(tmp_path / 'board'))],
        save_dir=str(tmp_path),
    )
    validate(CVTIOVisualizationHook(val_panels=1), runner_of(3, visualizer))
    visualizer.close()
    assert len([*tmp_path.rglob('val_s_0_70.png')]) == 1
    (events,) = tmp_path.rglob('events.out.tfevents*')
    board = EventAccumulator(str(events))
    board.Reload()
    assert board.Tags()['images'] == ['val_s_0'] and board.Images('val_s_0')[0].step == 70
