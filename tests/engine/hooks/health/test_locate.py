"""Where NaN comes from, and how spread attention is."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.nn import functional as F

from projects.CVT_IO.cvt_io.engine.hooks.health.entropy import attention_entropy
from projects.CVT_IO.cvt_io.engine.hooks.health.locate import locate, parameter_norm
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
    assert locate(model, batch) == 'neck.decode.cam_embed.weight is not finite'
    assert not parameter_norm(model).isfinite()


def test_input(case):
    model, batch = case
    batch['inputs']['cam_from_ego'][0][2, 1, 0] = math.nan
    assert locate(model, batch) == 'the input cam_from_ego is not finite'


def test_output(case):
    """Children end before their parents, so the innermost module is named."""
    model, batch = case
    model.neck.encode.cross_views[1].bottlenecks[0].conv2.register_forward_hook(lambda m, i, out: out * math.nan)
    found = 'neck.encode.cross_views.1.bottlenecks.0.conv2 is the first module whose output is not finite'
    assert locate(model, batch) == found


def test_gradient(case):
    """It travels backwards from the BEV decoder's input, so the last parameter before that is named."""
    model, batch = case
    model.bev_decoder.register_full_backward_hook(lambda m, grads, _: tuple(grad * math.nan for grad in grads))
    assert locate(model, batch).startswith('the gradient of neck.decode.cross_attend.postnorm.')


def test_running_statistic(case):
    """Batch statistics are used in training, so nothing else is broken."""
    model, batch = case
    name, statistic = next((n, b) for n, b in model.named_buffers() if n.endswith('running_var'))
    statistic[0] = math.nan
    assert locate(model, batch) == f'{name} is not finite'
    assert not parameter_norm(model).isfinite()


def test_largest_gradients_and_nothing_left_behind(case):
    model, batch = case
    model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    drawn = torch.random.get_rng_state()
    found = locate(model, batch)
    assert found.startswith('largest gradients in ') and found.endswith(' of the squared norm')
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(value.grad is None for value in model.parameters()) and not any(m.training for m in model.modules())


def test_parameter_norm(case):
    model, _ = case
    naive = math.sqrt(sum(float((value.detach().double() ** 2).sum()) for value in model.parameters()))
    assert float(parameter_norm(model)) == pytest.approx(naive, rel=1e-5)


def test_entropy_of_an_untrained_model_is_near_its_largest(case):
    """Keys are of norm sqrt(d) and projections small: attention is nearly even."""
    model, batch = case
    inputs = model.data_preprocessor(batch, False)['inputs']
    training = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert 0.9 < attention_entropy(model, inputs) <= 1
    assert [module.training for module in model.modules()] == training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_entropy_against_a_naive_one(case, monkeypatch):
    """From the queries and keys of the second scale, which is made the sharper one: Σ −w·ln w, in float64."""
    model, batch = case
    block = model.neck.encode.cross_views[1].cross_attend
    with torch.no_grad():
        block.to_q[1].weight *= 30
    inputs, calls = model.data_preprocessor(batch, False)['inputs'], []
    block.register_forward_pre_hook(lambda block, args: calls.append(args[:2]))
    found = attention_entropy(model, inputs)
    (query, key), entropies = calls[0], []
    block.requires_grad_(False)
    tokens = key[0].flatten(-2).transpose(-2, -1).flatten(0, 1)  # n·K d
    q = F.linear(block.to_q[0](query[0, 0].flatten(-2).T), block.to_q[1].weight, block.to_q[1].bias)
    k = F.linear(block.to_k[0](tokens), block.to_k[1].weight, block.to_k[1].bias)
    for head in range(block.heads):
        width = slice(head * len(q[0]) // block.heads, (head + 1) * len(q[0]) // block.heads)
        scores = (q[:, width].double() @ k[:, width].double().T) / math.sqrt(len(q[0]) / block.heads)
        for weights in scores.softmax(-1):
            entropies.append(float(-(weights * weights.clamp(min=1e-300).log()).sum()) / math.log(len(k)))
    assert found == pytest.approx(sum(entropies) / len(entropies), abs=1e-5) and found < 0.9


def test_entropy_of_a_model_without_cross_views(case):
    model, batch = case
    inputs = model.data_preprocessor(batch, False)['inputs']
    model.neck.forward = lambda features, rig: torch.zeros(1, 16, 12, 12)
    assert attention_entropy(model, inputs) is None
