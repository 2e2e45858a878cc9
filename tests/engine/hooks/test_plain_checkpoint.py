"""Checkpoints hold nothing but tensors and plain containers, with every kind of scheduler."""

from __future__ import annotations

import pytest
import torch
from mmengine.logging import HistoryBuffer

from tests.tiny import NO_VALIDATION, tiny_config, train_tiny

SCHEDULERS = {
    'one cycle': dict(type='CVTIOOneCycleLR', total_steps=5, by_epoch=False),
    'cosine': dict(type='CosineAnnealingLR', T_max=4, by_epoch=False),
    'linear': dict(type='LinearLR', end=4, by_epoch=False),
    'step': dict(type='MultiStepLR', milestones=[1, 3], by_epoch=False),
}


@pytest.mark.parametrize('name', SCHEDULERS)
def test_loads_weights_only_and_continues(toy_root, tmp_path, name):
    def train(**options):
        config = tiny_config(toy_root, tmp_path, **NO_VALIDATION, **options)
        config.param_scheduler = SCHEDULERS[name]
        return train_tiny(config)

    first = train(train_cfg__max_iters=2)
    path = tmp_path / 'iter_2.pth'
    assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
    checkpoint = torch.load(path, weights_only=True)
    assert {'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers'} <= set(checkpoint)

    losses = first.message_hub.get_scalar('train/loss').data[0].copy()
    resumed = train(resume=True).message_hub.get_scalar('train/loss')
    assert isinstance(resumed, HistoryBuffer)
    assert resumed.data[0][:2].tolist() == losses.tolist() and len(resumed.data[0]) == 4
