"""Where NaN comes from."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from mmengine.dataset import pseudo_collate

from projects.CVT_IO.cvt_io.engine.hooks.health.locate import locate
from projects.CVT_IO.cvt_io.models import CVTIOSegmentor
from projects.CVT_IO.cvt_io.runtime.config import build_dataset, build_model
from tests.tiny import tiny_config


@pytest.fixture
def case(toy_root: Path, tmp_path: Path) -> tuple[CVTIOSegmentor, dict]:
    """A tiny model in training mode, and a batch of one."""
    config = tiny_config(toy_root, tmp_path)
    torch.manual_seed(0)
    model, dataset = build_model(config).train(), build_dataset(config, 'train_dataloader')
    dataset.full_init()
    return model, pseudo_collate([dataset[0]])


def spoil(value: torch.Tensor, index: int | tuple[int, ...], number: float = math.nan) -> None:
    with torch.no_grad():
        value[index] = number


STATISTIC = 'backbone.layers.0.bn.running_var'
#: What breaks, and what is found: of modules the innermost, as children end before their parents; of gradients, which
#: travel backwards, the last parameter before the place; running statistics last, as training does not use them.
CASES = {
    'parameter': (
        lambda model, _: spoil(model.neck.decode.cam_embed.weight, 1, math.inf),
        'neck.decode.cam_embed.weight is not finite',
    ),
    'input': (
        lambda _, batch: spoil(batch['inputs']['cam_from_ego'][0], (2, 1, 0)),
        'the input cam_from_ego is not finite',
    ),
    'output': (
        lambda model, _: (
            model.neck.encode.cross_views[1]
            .bottlenecks[0]
            .conv2.register_forward_hook(lambda m, i, out: out * math.nan)
        ),
        'neck.encode.cross_views.1.bottlenecks.0.conv2 is the first module whose output is not finite',
    ),
    'gradient': (
        lambda model, _: model.bev_decoder.register_full_backward_hook(
            lambda m, grads, _: tuple(grad * math.nan for grad in grads)
        ),
        'the gradient of neck.decode.cross_attend.postnorm.',
    ),
    'running statistic': (lambda model, _: spoil(model.get_buffer(STATISTIC), 0), f'{STATISTIC} is not finite'),
}


@pytest.mark.parametrize('name', CASES)
def test_origin(case, name):
    model, batch = case
    harm, expected = CASES[name]
    harm(model, batch)
    assert locate(model, [batch]).startswith(expected)


def test_largest_gradients_and_nothing_left_behind(case):
    model, batch = case
    model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    drawn = torch.random.get_rng_state()
    found = locate(model, [batch])
    assert found.startswith('largest gradients in ') and found.endswith(' of the squared norm')
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(value.grad is None for value in model.parameters()) and not any(m.training for m in model.modules())


def test_all_accumulated_batches_are_searched(case):
    model, batch = case
    second = copy.deepcopy(batch)
    second['inputs']['cam_from_ego'][0][2, 1, 0] = math.nan
    assert locate(model, [batch, second]) == 'the input cam_from_ego is not finite'
    found = locate(model, [batch, batch])
    assert found.startswith('largest gradients in ')
