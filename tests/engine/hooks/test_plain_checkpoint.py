"""Checkpoints hold nothing but tensors and plain containers, with every kind of scheduler."""

from __future__ import annotations

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from tests.tiny import tiny_config

SCHEDULERS = {
    'one cycle': dict(type='CVTIOOneCycleLR', total_steps=5, by_epoch=False),
    'cosine': dict(type='CosineAnnealingLR', T_max=4, by_epoch=False),
    'linear': dict(type='LinearLR', end=4, by_epoch=False),
    'step': dict(type='MultiStepLR', milestones=[1, 3], by_epoch=False),
}


@pytest.mark.parametrize('name', SCHEDULERS)
def test_loads_weights_only_and_continues(toy_root, tmp_path, name):
    def runner(**options):
        config = tiny_config(toy_root, tmp_path, val_cfg=None, val_dataloader=None, val_evaluator=None, **options)
        config.param_scheduler = SCHEDULERS[name]
        config.experiment_name = f'plain_{name}_{len(options)}'
        return Runner.from_cfg(config)

    first = runner(train_cfg__max_iters=2)
    first.train()
    path = tmp_path / 'iter_2.pth'
    assert torch.serialization.get_unsafe_globals_in_checkpoint(path) == []
    checkpoint = torch.load(path, weights_only=True)
    assert {'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers'} <= set(checkpoint)

    second = runner(resume=True)
    losses = first.message_hub.get_scalar('train/loss').data[0]
    second.train()
    resumed = second.message_hub.get_scalar('train/loss')
    assert isinstance(resumed, HistoryBuffer)
    assert resumed.data[0][:2].tolist() == losses.tolist() and len(resumed.data[0]) == 4


def test_a_checkpoint_that_runs_code_is_refused(toy_root, tmp_path):
    trap = tmp_path / 'was_run'

    class Trap:
        def __reduce__(self):
            return (open, (str(trap), 'w'))

    torch.save(dict(state_dict={}, meta=Trap()), tmp_path / 'evil.pth')
    config = tiny_config(toy_root, tmp_path / 'work', load_from=str(tmp_path / 'evil.pth'))
    config.experiment_name = 'evil'
    with pytest.raises(Exception, match=r'[Ww]eights.only|Unsupported'):
        Runner.from_cfg(config).train()
    assert not trap.exists()
