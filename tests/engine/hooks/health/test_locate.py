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


def test_parameter(case):
    model, batch = case
    with torch.no_grad():
        model.neck.decode.cam_embed.weight[1] = math.inf
    assert locate(model, [batch]) == 'neck.decode.cam_embed.weight is not finite'


def test_input(case):
    model, batch = case
    batch['inputs']['cam_from_ego'][0][2, 1, 0] = math.nan
    assert locate(model, [batch]) == 'the input cam_from_ego is not finite'


def test_output(case):
    """Children end before their parents, so the innermost module is named."""
    model, batch = case
    model.neck.encode.cross_views[1].bottlenecks[0].conv2.register_forward_hook(lambda m, i, out: out * math.nan)
    found = 'neck.encode.cross_views.1.bottlenecks.0.conv2 is the first module whose output is not finite'
    assert locate(model, [batch]) == found


def test_gradient(case):
    """It travels backwards from the BEV decoder's input, so the last parameter before that is named."""
    model, batch = case
    model.bev_decoder.register_full_backward_hook(lambda m, grads, _: tuple(grad * math.nan for grad in grads))
    assert locate(model, [batch]).startswith('the gradient of neck.decode.cross_attend.postnorm.')


def test_running_statistic(case):
    """Batch statistics are used in training, so nothing else is broken."""
    model, batch = case
    name, statistic = next((n, b) for n, b in model.named_buffers() if n.endswith('running_var'))
    statistic[0] = math.nan
    assert locate(model, [batch]) == f'{name} is not finite'


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
