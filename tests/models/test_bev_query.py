import pytest
import torch

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.models.layers import BEVPosition, LearnedGrid, per_image
from tests.models import naive
from tests.models.cases import (
    SQUARE,
    TALL,
    TOLERANCE,
    WIDE,
    error,
    generic_rig,
    grid_settings,
    random_weights,
    rig_of,
    surround_rig,
)

GRIDS = pytest.mark.parametrize('grid', [SQUARE, WIDE, TALL], ids=['square', 'wide', 'tall'])


def position_of(grid: naive.Grid, dim: int = 16) -> BEVPosition:
    return BEVPosition(dim, BEVGrid(**grid_settings(grid)), grid.coarse)


@pytest.mark.parametrize(
    'grid',
    [
        SQUARE,
        WIDE,
        TALL,
        naive.Grid((200, 200), (100.0, 100.0), (25, 25)),
        naive.Grid((400, 200), (100.0, 50.0), (50, 25)),
        naive.Grid((120, 56), (61.0, 33.0), (15, 7), offset=0.3),
    ],
)
def test_metric_coordinates_equal_the_naive_ones(grid):
    ego_xy = position_of(grid).ego_xy
    assert ego_xy.shape == (2, *grid.coarse)
    assert ego_xy.numpy() == pytest.approx(naive.bev_ego(grid).numpy(), abs=1e-5)


def test_metric_coordinates_by_hand():
    """100 m × 100 m: cell (0, 0) is 50 m ahead and 50 m left, the last one 50 m behind and 50 m right."""
    ego_xy = position_of(naive.Grid((200, 200), (100.0, 100.0), (25, 25))).ego_xy
    assert ego_xy[:, 0, 0].tolist() == [50, 50]
    assert ego_xy[:, 0, 24].tolist() == [50, -50]
    assert ego_xy[:, 24, 0].tolist() == [-50, 50]
    assert ego_xy[:, 12, 12].tolist() == pytest.approx([0, 0], abs=1e-5)
    assert ego_xy[:, 6, 18].tolist() == pytest.approx([25, -25])


@GRIDS
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('make_rig, cameras', [(surround_rig, 6), (generic_rig, 1), (generic_rig, 3)])
def test_position_embedding_equals_the_naive_one(grid, dtype, make_rig, cameras):
    position = random_weights(position_of(grid).to(dtype))
    cam_embed = random_weights(torch.nn.Conv2d(4, 16, 1, bias=False).to(dtype), seed=1)
    calibration = make_rig(2, cameras)
    actual = position(per_image(cam_embed, rig_of(calibration, dtype).camera_centres()))
    embed, centre = (naive.Weights(m.state_dict()) for m in (position.bev_embed, cam_embed))
    expected = naive.bev_query(embed, centre, torch.zeros(2, 16, *grid.coarse), grid, calibration)
    assert error(actual, expected) < TOLERANCE[dtype]


def test_prior_starts_as_standard_normal_and_repeats_for_the_batch():
    torch.manual_seed(0)
    prior = LearnedGrid(128, (25, 25))
    values = prior.features.detach()
    assert torch.equal(prior(3), values[None].repeat(3, 1, 1, 1))
    # 80,000 draws: the standard errors of mean and deviation are 0.0035 and 0.0025.
    assert values.mean().item() == pytest.approx(0, abs=0.015)
    assert values.std().item() == pytest.approx(1, abs=0.011)
    assert values.abs().max() > 3.5  # not uniform


def test_coordinates_are_no_part_of_the_weights():
    assert list(position_of(SQUARE).state_dict()) == ['bev_embed.weight', 'bev_embed.bias']
