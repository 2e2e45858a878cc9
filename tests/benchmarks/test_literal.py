"""The literal models are the measure of the benchmark: they have to be the same models as ours."""

import contextlib
import copy

import pytest
import torch

from projects.CVT_IO.benchmarks.literal import build_literal
from projects.CVT_IO.cvt_io.models.layers import cross_view, plain_forward
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config
from tests.models.cases import error, random_weights, surround_rig
from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG

CVT_TOY = REPO / 'configs/toy/cvt_toy.py'
CVT = {key: value for key, value in TINY_OPTIONS.items() if key != 'model.neck.depth'}
V1 = {'model.neck.latents_per_camera': True}
# Few latents of many channels, as in the real models: the keys and values are absorbed.
WIDE = {
    'model.neck.dim': 64,
    'model.neck.head_dim': 16,
    'model.neck.latent_size': 2,
    'model.bev_decoder.in_channels': 64,
}
KINDS = {
    'cvt': (CVT_TOY, CVT),
    'v1': (TOY_CONFIG, TINY_OPTIONS | V1),
    'v2': (TOY_CONFIG, TINY_OPTIONS),
    'v1_absorbed': (TOY_CONFIG, TINY_OPTIONS | V1 | WIDE),
    'v2_absorbed': (TOY_CONFIG, TINY_OPTIONS | WIDE),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def pair(kind):
    """Ours and the literal one, with the same random weights, in float64."""
    path, options = KINDS[kind]
    cfg = load_config(str(path), options)
    torch.manual_seed(0)
    ours, literal = build_model(cfg).double(), build_literal(cfg).double()
    random_weights(ours)
    literal.load_state_dict(copy.deepcopy(ours.state_dict()))
    return ours, literal.eval()


@pytest.fixture
def inputs():
    calibration = surround_rig(2, 3, (48, 112))
    imgs = torch.randn(2, 3, 3, 48, 112, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return [imgs, calibration.intrinsics, calibration.cam_from_ego]


@pytest.fixture
def absorbed(monkeypatch):
    """One entry for each call of the absorbed form."""
    calls = []
    usual = cross_view.absorbed_attention
    monkeypatch.setattr(cross_view, 'absorbed_attention', lambda *args: calls.append(args) or usual(*args))
    return calls


@pytest.mark.parametrize('mode', [contextlib.nullcontext, plain_forward])
def test_logits(mode, kind, pair, inputs, absorbed):
    ours, literal = pair
    with torch.inference_mode(), mode():
        expected, actual = literal.bev_logits(*inputs), ours.bev_logits(*inputs)
    assert expected.std() > 1e-2
    assert error(actual, expected) < 1e-10
    scales = 2 if kind.endswith('_absorbed') and mode is not plain_forward else 0
    assert len(absorbed) == scales


def test_logits_in_float32(pair, inputs):
    expected, actual = (model.float().bev_logits(*(x.float() for x in inputs)) for model in pair)
    assert error(actual, expected) < 1e-5


def test_gradients_in_training(pair, inputs):
    """A training step with batch statistics and, by the same random numbers, drop-connect."""
    gradients = []
    for model in pair:
        model.train()
        torch.manual_seed(1)
        model.bev_logits(*inputs).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    ours, literal = gradients
    assert ours.keys() == literal.keys()
    for name, grad in literal.items():
        assert error(ours[name], grad) < 1e-9, name
    for name, value in pair[0].state_dict().items():
        assert error(value, pair[1].state_dict()[name]) < 1e-10, name


def test_mixed_precision_trains(pair, inputs):
    ours = pair[0].float().train()
    with torch.autocast('cpu', torch.bfloat16):
        logits = ours.bev_logits(*(x.float() for x in inputs))
    logits.float().square().mean().backward()
    assert [name for name, p in ours.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize('kind', ['v1_absorbed'])  # it has all forms of attention
def test_compiled_training_is_the_same(pair, inputs):
    """In one graph, without a break."""
    ours = pair[0].train()
    usual = copy.deepcopy(ours)
    torch._dynamo.reset()
    torch.manual_seed(1)
    actual = torch.compile(ours.bev_logits, backend='eager', fullgraph=True)(*inputs)
    torch.manual_seed(1)
    assert error(actual, usual.bev_logits(*inputs)) < 1e-10
