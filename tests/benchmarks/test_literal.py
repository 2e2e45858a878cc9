"""The literal models are the measure of the benchmark: they have to be the same models as ours."""

import copy

import pytest
import torch

from projects.CVT_IO.benchmarks.literal import build_literal
from projects.CVT_IO.cvt_io.engine.config import build_model, load_config
from tests.models.cases import error, random_weights
from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG

CVT_TOY = REPO / 'configs/toy/cvt_toy.py'
OPTIONS = TINY_OPTIONS | {'model.backbone.drop_connect_rate': 0.0}
V1 = {'model.neck.latents_per_camera': True}
CVT = {key: value for key, value in OPTIONS.items() if key != 'model.neck.depth'}


KINDS = {'cvt': (CVT_TOY, CVT), 'v1': (TOY_CONFIG, OPTIONS | V1), 'v2': (TOY_CONFIG, OPTIONS)}


@pytest.fixture(params=KINDS)
def pair(request):
    """Ours and the literal one, with the same random weights, in float64."""
    path, options = KINDS[request.param]
    cfg = load_config(str(path), options)
    ours, literal = build_model(cfg).double(), build_literal(cfg).double()
    random_weights(ours)
    literal.load_state_dict(copy.deepcopy(ours.state_dict()))
    return ours, literal.eval()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    intrinsics = torch.tensor([[40.0, 0, 56], [0, 40, 16], [0, 0, 1]]).repeat(2, 3, 1, 1)
    cam_from_ego = torch.eye(4).repeat(2, 3, 1, 1)
    cam_from_ego[..., :3, 3] = torch.randn(2, 3, 3, generator=generator)
    imgs = torch.randn(2, 3, 3, 48, 112, generator=generator)
    return [x.double() for x in (imgs, intrinsics, cam_from_ego)]


def test_logits(pair, inputs):
    ours, literal = pair
    with torch.inference_mode():
        expected, actual = literal.bev_logits(*inputs), ours.bev_logits(*inputs)
    assert expected.std() > 1e-2
    assert error(actual, expected) < 1e-10


def test_gradients_in_training(pair, inputs):
    gradients = []
    for model in pair:
        model.train()
        model.bev_logits(*inputs).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    ours, literal = gradients
    for name, grad in ours.items():
        assert error(grad, literal[name]) < 1e-9, name
    for name, value in pair[0].state_dict().items():
        if 'running' in name:
            assert error(value, pair[1].state_dict()[name]) < 1e-10, name
