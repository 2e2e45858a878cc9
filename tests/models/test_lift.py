"""The lift: both ways of computing it, against loops over cells, heights, cameras and tokens."""

import math

import pytest
import torch

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.models.layers import plain_forward
from projects.CVT_IO.cvt_io.models.neck.lift import Lift
from tests.models import naive, naive_v3
from tests.models.cases import (
    SQUARE,
    TALL,
    TOLERANCE,
    WIDE,
    camera_subset,
    error,
    generic_rig,
    grid_settings,
    random_grid,
    random_weights,
    rig_of,
    surround_rig,
    weights_of,
)
from tests.models.test_projection import straight

HEIGHTS = (0.0, 1.5, 2.5)
WAYS = pytest.mark.parametrize('plain', [False, True], ids=['sparse', 'dense'])


def half(grid: naive.Grid) -> tuple[int, int]:
    return grid.size[0] // 2, grid.size[1] // 2


def lift_of(grid: naive.Grid, **kwargs) -> Lift:
    """Of 6-channel tokens; the gate's means and spreads are of the size that depths have."""
    lift = random_weights(Lift(6, 5, BEVGrid(**grid_settings(grid)), half(grid), **dict(heights=HEIGHTS) | kwargs))
    if lift.to_depth is not None:
        lift.to_depth.weight.data *= 0.3
        lift.to_depth.bias.data.copy_(
            torch.tensor([math.log(8.0), 0.3]).repeat(len(lift.points) // math.prod(lift.size))
        )
    return lift


def run(lift: Lift, tokens: torch.Tensor, rig, plain: bool) -> torch.Tensor:
    if not plain:
        return lift(tokens, rig)
    with plain_forward():
        return lift(tokens, rig)


@pytest.mark.parametrize('dtype', TOLERANCE)
@WAYS
@pytest.mark.parametrize(
    ('grid', 'make_rig', 'n', 'cameras', 'gate'),
    [
        (SQUARE, surround_rig, 6, 2, True),
        (WIDE, generic_rig, 3, 2, True),
        (TALL, surround_rig, 1, 2, True),
        (TALL, generic_rig, 8, 3, False),
        (SQUARE, surround_rig, 4, 1, True),
    ],
)
def test_equals_the_naive_lift(dtype, plain, grid, make_rig, n, cameras, gate):
    lift = lift_of(grid, cameras=cameras, gate=gate).to(dtype)
    tokens, calibration = random_grid(2, n, 6, 3, 5), make_rig(2, n)
    actual = run(lift, tokens.to(dtype), rig_of(calibration, dtype), plain)
    w = weights_of(lift)
    raw = naive_v3.lift(w, tokens, calibration, grid, half(grid), HEIGHTS, cameras)
    assert (raw != 0).any() and (raw == 0).all(1).any()  # some cells are seen, others are not
    assert error(actual, naive_v3.norm_relu(w / 'norm', raw)) < TOLERANCE[dtype]


@WAYS
def test_gradients_equal_the_naive_ones(plain):
    lift = lift_of(SQUARE).double()
    calibration = surround_rig(2, 3)
    tokens = random_grid(2, 3, 6, 3, 5).requires_grad_()
    factor = random_grid(2, 5, *half(SQUARE), seed=5)
    names = ['to_value.weight', 'to_value.bias', 'to_depth.weight', 'to_depth.bias']
    leaves = [tokens, *(lift.get_parameter(name) for name in names)]
    loss = (run(lift, tokens, rig_of(calibration, torch.float64), plain) * factor).sum()
    actual = torch.autograd.grad(loss, leaves)

    tensors = {name: tensor.detach().requires_grad_(name in names) for name, tensor in lift.state_dict().items()}
    w = naive.Weights(tensors)
    raw = naive_v3.lift(w, tokens, calibration, SQUARE, half(SQUARE), HEIGHTS, 2)
    loss = (naive_v3.norm_relu(w / 'norm', raw) * factor).sum()
    expected = torch.autograd.grad(loss, [tokens, *(tensors[name] for name in names)])
    for name, found, wanted in zip(['tokens', *names], actual, expected, strict=True):
        assert wanted.abs().max() > 1e-3, name
        assert error(found, wanted) < 1e-10, name


@WAYS
def test_gradcheck(plain):
    """Against finite differences, in every weight and token."""
    lift = lift_of(naive.Grid((8, 8), (16.0, 16.0), (2, 2))).double()
    rig = rig_of(surround_rig(1, 3), torch.float64)

    def function(tokens, *weights):
        parameters = dict(zip(['to_value.weight', 'to_depth.weight', 'to_depth.bias'], weights, strict=True))
        return torch.func.functional_call(lift, parameters, (tokens, rig))

    weights = [lift.to_value.weight, lift.to_depth.weight, lift.to_depth.bias]
    inputs = [x.detach().clone().requires_grad_() for x in (random_grid(1, 3, 6, 2, 3), *weights)]
    with plain_forward() if plain else torch.enable_grad():
        assert torch.autograd.gradcheck(function, inputs)


@WAYS
def test_cells_that_no_camera_sees_are_exactly_zero(plain):
    """One camera that looks ahead: whatever lies behind it has the value of nothing."""
    lift = lift_of(SQUARE)
    tokens = (1e3 * random_grid(1, 1, 6, 3, 5).float()).requires_grad_()
    out = run(lift, tokens, rig_of(straight()), plain)
    nothing = naive_v3.norm_relu(weights_of(lift) / 'norm', torch.zeros(1, 5, 1, 1))
    behind = out[:, :, 5:]  # cells of 4 m, the rows' centres at 14, 10, 6, 2, −2, … m, less what half a pixel shifts
    assert error(behind, nothing.expand_as(behind).float()) < 1e-6
    behind.sum().backward()
    assert (tokens.grad == 0).all()


@WAYS
@pytest.mark.parametrize('ahead', [-1e3, -2.0, 0.0, 1e-12, 0.1])
def test_points_in_or_behind_a_camera_give_finite_gradients(plain, ahead):
    """The camera's plane runs through a row of cells, or lies beyond all: then no camera sees anything."""
    lift = lift_of(SQUARE).train()
    calibration = straight()
    row = lift.points.view(*half(SQUARE), len(HEIGHTS), 3)[3, 0, 0, 0].item()
    calibration.cam_from_ego[..., 2, 3] = ahead - row
    tokens = random_grid(1, 1, 6, 3, 5).float().requires_grad_()
    out = run(lift, tokens, rig_of(calibration), plain)
    out.square().sum().backward()
    gradients = [tokens.grad, *(p.grad for p in lift.parameters())]
    assert out.isfinite().all() and all(g.isfinite().all() for g in gradients)
    assert ahead > -1e3 or (tokens.grad == 0).all()


@WAYS
def test_the_first_cameras_count(plain):
    """Four times the same camera with other images: of two, the others' images do not matter."""
    lift = lift_of(TALL).double()
    calibration = camera_subset(surround_rig(1, 1), [0, 0, 0, 0])
    tokens = random_grid(1, 4, 6, 3, 5)
    before = run(lift, tokens, rig_of(calibration, torch.float64), plain)
    later, first = tokens.clone(), tokens.clone()
    later[:, 2:] += 1
    first[:, 1] += 1
    assert torch.equal(run(lift, later, rig_of(calibration, torch.float64), plain), before)
    assert error(run(lift, first, rig_of(calibration, torch.float64), plain), before) > 1e-2


def test_the_gate_is_wide_at_the_start():
    torch.manual_seed(0)
    lift = Lift(16, 5, BEVGrid(), (100, 100))
    (mean, log_spread), *_ = lift.values(random_grid(1, 1, 16, 2, 2).float()).depth[0, 0, 0, 0]
    assert mean.item() == pytest.approx(math.log(15)) and log_spread.item() == pytest.approx(0.7)


@WAYS
def test_autocast(plain):
    lift, tokens, rig = lift_of(SQUARE), random_grid(2, 4, 6, 3, 5).float(), rig_of(surround_rig(2, 4))
    expected = run(lift, tokens, rig, plain)
    with torch.autocast('cpu', torch.bfloat16):
        actual = run(lift, tokens, rig, plain)
    assert error(actual, expected) < 3e-2
