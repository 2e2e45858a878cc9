"""The one-cycle schedule against PyTorch's, step by step."""

from __future__ import annotations

import pytest
import torch
from mmdet3d.registry import PARAM_SCHEDULERS
from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from projects.CVT_IO.cvt_io.errors import DataError
from tests.tiny import REPO


def optimizer(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW([dict(params=[nn.Parameter(torch.zeros(1))], lr=rate) for rate in rates])


def ours(optim: object, steps: int, **options: object) -> object:
    config = dict(type='CVTIOOneCycleLR', total_steps=steps + 1, div_factor=10.0, final_div_factor=10.0, by_epoch=False)
    return PARAM_SCHEDULERS.build(config | options, default_args=dict(optimizer=optim))


def theirs(optim: torch.optim.Optimizer, steps: int, peaks: list[float]) -> object:
    return torch.optim.lr_scheduler.OneCycleLR(
        optim, peaks, total_steps=steps + 1, pct_start=0.3, div_factor=10, final_div_factor=10, cycle_momentum=False
    )


def rates(optim: torch.optim.Optimizer, schedule: object, steps: int) -> torch.Tensor:
    """(steps, groups): the rates of the next steps."""
    found = []
    for _ in range(steps):
        found.append([group['lr'] for group in optim.param_groups])
        optim.step()
        schedule.step()
    return torch.tensor(found, dtype=torch.float64)


def reference(steps: int, *peaks: float) -> torch.Tensor:
    optim = optimizer(*peaks)
    return rates(optim, theirs(optim, steps, [*peaks]), steps)


def test_shipped_schedule_matches_torch_at_every_step():
    config = Config.fromfile(REPO / 'configs/cvt_io_v2_7.py')
    optim = optimizer(config.optim_wrapper.optimizer.lr)
    schedule = PARAM_SCHEDULERS.build(dict(config.param_scheduler), default_args=dict(optimizer=optim))
    found, expected = rates(optim, schedule, 100_000), reference(100_000, 2e-3)
    assert (found - expected).abs().max() < 1e-15
    # From lr/10 up to lr at 30 %, down to lr/100.
    assert abs(found[0] - 2e-4) < 1e-12
    assert abs(found.max() - 2e-3) < 1e-9 and abs(found.argmax() - 30_000) <= 1
    assert abs(found[-1] - 2e-5) < 1e-9
    assert optim.param_groups[0]['betas'] == (0.9, 0.999)


def test_each_group_follows_its_own_rate():
    """Against PyTorch's schedule with a list of peaks; the frozen group is the first one."""
    peaks = (0.0, 4e-3, 4e-4)
    optim = optimizer(*peaks)
    found = rates(optim, ours(optim, 50), 50)
    assert (found - reference(50, *peaks)).abs().max() < 1e-15
    assert (found[:, 0] == 0).all() and found[:, 1].max() > 3.9e-3


@pytest.mark.parametrize('factor', [0.0, 0.1])
def test_lr_mult_of_a_part(factor):
    """``paramwise_cfg`` slows the backbone down or freezes it; the rest trains at its full rate."""
    model = nn.ModuleDict(dict(backbone=nn.Linear(1, 1), head=nn.Linear(1, 1)))
    build = DefaultOptimWrapperConstructor(
        dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.0)),
        dict(custom_keys={'backbone': dict(lr_mult=factor)}),
    )
    wrapper = build(model)
    schedule = ours(wrapper, 20)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    expected = reference(20, 4e-3 * factor, 4e-3)
    for step in range(20):
        for name, parameter in model.named_parameters():
            (group,) = (g for g in wrapper.optimizer.param_groups if any(p is parameter for p in g['params']))
            assert abs(group['lr'] - expected[step, int(name.startswith('head'))]) < 1e-15
        wrapper.update_params(sum(part(torch.ones(1, 1)).sum() for part in model.values()))
        schedule.step()
    still = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert still == ({'backbone.weight', 'backbone.bias'} if factor == 0 else set())


def test_given_peak():
    optim = optimizer(0.5, 0.5)
    ours(optim, 10, eta_max=[0.2, 0.4])
    assert [group['lr'] for group in optim.param_groups] == [pytest.approx(0.02), pytest.approx(0.04)]


@pytest.mark.parametrize(('steps', 'peaks'), [(80, (1e-3, 4e-3)), (25, (1e-3, 4e-3)), (40, (2e-3, 5e-3))])
def test_resumed_run_follows_the_curve_of_its_config(steps, peaks):
    """Longer, shorter, or with other rates: from the step after the checkpoint, PyTorch's curve of such a run."""
    first = optimizer(1e-3, 4e-3)
    schedule = ours(first, 40)
    rates(first, schedule, 20)
    second = optimizer(*peaks)
    resumed = ours(second, steps)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    found = rates(second, resumed, steps - 20)
    assert (found - reference(steps, *peaks)[20:]).abs().max() < 1e-15


def test_resuming_a_run_that_is_over_names_both_lengths():
    optim = optimizer(1e-3)
    schedule = ours(optim, 40)
    rates(optim, schedule, 20)
    with pytest.raises(DataError, match=r'max_iters: the run to be resumed has 20 of its 40 steps .* than the 10'):
        ours(optimizer(1e-3), 10).load_state_dict(schedule.state_dict())
