"""The one-cycle schedule against PyTorch's, step by step."""

from __future__ import annotations

import torch
from mmdet3d.registry import PARAM_SCHEDULERS
from mmengine.config import Config

from tests.tiny import REPO


def test_matches_torch_at_every_step():
    config = Config.fromfile(REPO / 'configs/cvt_io_v2_7.py')

    def optimizer():
        return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=config.optim_wrapper.optimizer.lr)

    ours, theirs = optimizer(), optimizer()
    scheduler = PARAM_SCHEDULERS.build(dict(config.param_scheduler), default_args=dict(optimizer=ours))
    reference = torch.optim.lr_scheduler.OneCycleLR(
        theirs,
        max_lr=2e-3,
        total_steps=100_001,
        pct_start=0.3,
        div_factor=10,
        final_div_factor=10,
        cycle_momentum=False,
    )
    worst, rates = 0.0, []
    for _ in range(100_000):
        rates.append(ours.param_groups[0]['lr'])
        worst = max(worst, abs(rates[-1] - theirs.param_groups[0]['lr']))
        for opt, schedule in ((ours, scheduler), (theirs, reference)):
            opt.step()
            schedule.step()
    assert worst < 1e-15
    # From lr/10 up to lr at 30 %, down to lr/100.
    assert abs(rates[0] - 2e-4) < 1e-12
    assert abs(max(rates) - 2e-3) < 1e-9 and abs(rates.index(max(rates)) - 30_000) <= 1
    assert abs(rates[-1] - 2e-5) < 1e-9
    assert ours.param_groups[0]['betas'] == (0.9, 0.999)


def test_peak_is_the_optimizers_rate():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    PARAM_SCHEDULERS.build(
        dict(type='CVTIOOneCycleLR', total_steps=10, div_factor=10.0, by_epoch=False),
        default_args=dict(optimizer=optimizer),
    )
    assert abs(optimizer.param_groups[0]['lr'] - 0.05) < 1e-12
