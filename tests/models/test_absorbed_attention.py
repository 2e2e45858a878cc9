import copy

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from projects.CVT_IO.cvt_io.models.layers import CrossAttention, ImageTokens, Rig, plain_forward
from projects.CVT_IO.cvt_io.models.layers.absorbed_attention import absorbed_attention, absorbing_pays
from projects.CVT_IO.cvt_io.models.layers.cross_view import CrossView
from tests.models import naive
from tests.models.cases import (
    TOLERANCE,
    error,
    generic_rig,
    random_grid,
    random_weights,
    rig_of,
    surround_rig,
    weights_of,
)

SIZE = (3, 5)


def tensors(cameras: int, batch: int = 1, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and features."""
    return random_grid(batch, 16, 2, 2, seed=1).to(dtype), random_grid(batch, cameras, 6, *SIZE, seed=2).to(dtype)


def view_of(dtype, channels=6, dim=16, heads=2, head_dim=4):
    return random_weights(CrossView(channels, dim, dict(heads=heads, head_dim=head_dim), bottlenecks=0).to(dtype))


def attend_plainly(view, query, features, rig):
    """What the layers make when each does its own part."""
    with plain_forward():
        return view(query[:, None], query, features, rig)


def attend_absorbed(view, query, features, rig):
    block = view.cross_attend
    return block.refine(absorbed_attention(block, view.tokens, query, features, rig), query.shape[-2:], query)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('make_rig', [surround_rig, generic_rig])
@pytest.mark.parametrize('cameras', [1, 3])
def test_equals_the_naive_attention(cameras, make_rig, dtype):
    view, calibration = view_of(dtype), make_rig(2, cameras)
    query, features = tensors(cameras, 2, torch.float64)
    key, value = naive.image_tokens(weights_of(view.tokens), features, calibration)
    wide = query[:, None].repeat(1, cameras, 1, 1, 1)
    expected = naive.attention(weights_of(view.cross_attend), wide, key, value, query, heads=2)
    actual = attend_absorbed(view, query.to(dtype), features.to(dtype), rig_of(calibration, dtype))
    assert actual.dtype == dtype
    assert error(actual, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize('training', [False, True])
def test_gradients_equal_those_of_the_plain_layers(training):
    view = view_of(torch.float64).train(training)
    other = copy.deepcopy(view)
    query, features = tensors(3, 2, torch.float64)
    rig, cotangent = rig_of(surround_rig(2, 3), torch.float64), random_grid(2, 16, 2, 2, seed=3)
    gradients = []
    for model, attend in ((view, attend_absorbed), (other, attend_plainly)):
        inputs = [query.clone().requires_grad_(), features.clone().requires_grad_()]
        out = attend(model, *inputs, rig)
        gradients.append(torch.autograd.grad((out * cotangent).sum(), [*inputs, *model.parameters()]))
    names = ['query', 'features', *(name for name, _ in view.named_parameters())]
    for name, one, expected in zip(names, *gradients, strict=True):
        assert error(one, expected) < 1e-10, name
        if not name.endswith(('to_k.0.bias', 'to_k.1.bias')):
            assert expected.abs().max() > 1e-6, name  # there is something to compare
    for name, value in view.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name  # running statistics


def test_the_keys_biases_have_a_gradient_of_zero():
    view = view_of(torch.float32).train()
    query, features = tensors(2)
    attend_absorbed(view, query, features, rig_of(surround_rig(1, 2))).square().sum().backward()
    for parameter in (view.cross_attend.to_k[0].bias, view.cross_attend.to_k[1].bias):
        assert parameter.grad is not None
        assert not parameter.grad.any()


def errors(view, calibration):
    """Of the absorbed and the plain form in float32, against the plain one in float64."""
    exact = copy.deepcopy(view).double()
    query, features = tensors(3, dtype=torch.float64)
    expected = attend_plainly(exact, query, features, rig_of(calibration, torch.float64))
    args = view, query.float(), features.float(), rig_of(calibration)
    return [error(attend(*args), expected) for attend in (attend_absorbed, attend_plainly)]


@pytest.mark.parametrize('scale', [1e-3, 1e3])
def test_tokens_far_from_unit_size(scale):
    """The statistics of the tokens are squares of sums: small and large ones must not lose their digits."""
    view = view_of(torch.float32)
    for projection in (view.tokens.feature_proj, view.tokens.feature_linear):
        projection[2].weight.data *= scale
    assert errors(view, surround_rig(1, 3))[0] < 1e-4


def test_differences_of_large_numbers():
    """Rays between places a kilometre away; variances of values whose channels are all nearly alike."""
    calibration, view = surround_rig(1, 3), view_of(torch.float32)
    calibration.cam_from_ego[..., :3, 3] *= 1000
    absorbed, plain = errors(view, calibration)
    assert absorbed < max(1e-5, 2 * plain)
    weight = view.tokens.feature_linear[2].weight.data
    weight.copy_(10 + 1e-2 * weight)
    absorbed, plain = errors(view, surround_rig(1, 3))
    assert absorbed < max(1e-4, 2 * plain)


def test_constant_tokens():
    """What is below zero is cut to tokens of zero: no division by nothing, forwards or backwards."""
    view = view_of(torch.float32)
    for projection in (view.tokens.feature_proj, view.tokens.feature_linear):
        projection[0].running_mean.zero_()
        projection[0].bias.data.fill_(-1)
    args = random_grid(1, 16, 2, 2, seed=1).float(), torch.zeros(1, 3, 6, *SIZE), rig_of(surround_rig(1, 3))
    actual = attend_absorbed(view, *args)
    assert error(actual, attend_plainly(view, *args)) < 1e-5
    actual.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in view.parameters())


@pytest.mark.parametrize('seed', range(4))
def test_variances_of_zero_may_come_out_negative(seed):
    """Tokens whose channels are all alike, of features and weights that are not: what is left is rounding."""
    view = view_of(torch.float32)
    activate, _, linear = view.tokens.feature_linear
    weight = random_grid(16, 6, seed=seed).float()
    linear.weight.data = (weight - weight.mean(1, keepdim=True))[..., None, None]  # 0 for six times the same
    activate.weight.data.zero_()
    activate.bias.data.fill_(1000)
    args = tensors(3)
    out = attend_absorbed(view, *args, rig_of(surround_rig(1, 3)))
    assert out.isfinite().all()
    out.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in view.parameters())


def test_any_matrix_will_do():
    """Nothing relies on a last row of 0 0 0 1."""
    view = view_of(torch.float64)
    matrices = random_grid(1, 2, 4, 4, seed=3)
    intrinsics = surround_rig(1, 2).intrinsics
    rig = Rig(torch.linalg.inv(intrinsics), matrices, (224, 480), intrinsics, torch.linalg.inv(matrices))
    query, features = random_grid(1, 16, 2, 2, seed=1), random_grid(1, 2, 6, *SIZE, seed=2)
    args = query, features, rig
    assert error(attend_absorbed(view, *args), attend_plainly(view, *args)) < 1e-10


@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 3e-2), (torch.float16, 5e-3)])
def test_mixed_precision_is_close(dtype, tolerance):
    view, rig = view_of(torch.float32), rig_of(surround_rig(1, 3))
    args = *tensors(3), rig
    expected = attend_absorbed(view, *args)
    with torch.autocast('cpu', dtype):
        actual = attend_absorbed(view, *args)
    assert error(actual, expected) < tolerance
    wanted, found = (torch.autograd.grad(out.square().sum(), view.parameters()) for out in (expected, actual.float()))
    for (name, _), one, other in zip(view.named_parameters(), found, wanted, strict=True):
        assert (one - other).norm() <= 3 * tolerance * other.norm(), name


def test_large_tokens_in_half_precision():
    """Squares of 300 and their sums are beyond float16, whose largest number is 65,504."""
    view, rig = view_of(torch.float32), rig_of(surround_rig(1, 3))
    for projection in (view.tokens.feature_proj, view.tokens.feature_linear):
        projection[2].weight.data *= 300
    args = *tensors(3), rig
    with torch.autocast('cpu', torch.float16):
        actual = attend_absorbed(view, *args)
    assert error(actual, attend_absorbed(view, *args)) < 1e-2


def macs(function, *args):
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        function(*args)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(
    'channels, grid',
    [(32, (3, 3)), (32, (10, 10)), (32, (40, 40)), (112, (5, 5)), (112, (4, 11)), (112, (8, 8)), (112, (10, 10))],
)
def test_the_cheaper_form_is_chosen(channels, grid):
    view = view_of(torch.float32, channels, 128, 4, 32)
    rig = rig_of(surround_rig(1, 2))
    args = view, random_grid(1, 128, *grid).float(), random_grid(1, 2, channels, 28, 60).float(), rig
    expected = macs(attend_absorbed, *args) < macs(attend_plainly, *args)
    assert absorbing_pays(view.cross_attend, grid[0] * grid[1], channels) is expected


def test_cross_view_chooses(monkeypatch):
    used = []
    monkeypatch.setattr(
        'projects.CVT_IO.cvt_io.models.layers.cross_view.absorbed_attention',
        lambda *args: used.append(args) or absorbed_attention(*args),
    )
    view, rig = view_of(torch.float32, 32, 128, 4, 32), rig_of(surround_rig(1, 2))
    features = random_grid(1, 2, 32, 6, 8).float()
    few, many = random_grid(1, 128, 5, 5).float(), random_grid(1, 128, 40, 40).float()
    view(few[:, None], few, features, rig)
    assert len(used) == 1
    view(many[:, None], many, features, rig)
    view(few[:, None].expand(-1, 2, -1, -1, -1), few, features, rig)  # queries of each camera's own
    with plain_forward():
        view(few[:, None], few, features, rig)
    assert len(used) == 1


def test_the_skip_need_not_be_the_query():
    view, rig = view_of(torch.float64, 32, 128, 4, 32), rig_of(surround_rig(1, 2), torch.float64)
    args = random_grid(1, 1, 128, 2, 2), random_grid(1, 128, 2, 2, seed=1), random_grid(1, 2, 32, *SIZE, seed=2), rig
    with plain_forward():
        expected = view(*args)
    assert error(view(*args), expected) < 1e-10


def test_parts_are_those_of_the_layers():
    block, tokens = CrossAttention(16, 2, 4), ImageTokens(6, 16)
    assert [type(part) for part in block.to_k] == [nn.LayerNorm, nn.Linear]
    assert [type(part) for part in tokens.feature_proj] == [nn.BatchNorm2d, nn.ReLU, nn.Conv2d]
