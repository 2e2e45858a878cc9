import pytest
import torch

from projects.CVT_IO.cvt_io.models import CVTIOCrossViewNeck
from tests.models import naive
from tests.models.cases import (
    SQUARE,
    TALL,
    TOLERANCE,
    WIDE,
    camera_subset,
    error,
    generic_rig,
    random_grid,
    random_weights,
    rig_of,
    surround_rig,
    weights_of,
)


def neck_of(grid: naive.Grid) -> CVTIOCrossViewNeck:
    bev_grid = dict(size=grid.size, metres=grid.metres, offset=grid.offset)
    return random_weights(CVTIOCrossViewNeck((5, 7), bev_grid, downsample=8, dim=16, heads=2, head_dim=8))


def features_of(cameras: int) -> list[torch.Tensor]:
    return [random_grid(2, cameras, 5, 3, 5, seed=1), random_grid(2, cameras, 7, 2, 3, seed=2)]


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize(
    'grid, make_rig, cameras',
    [(SQUARE, surround_rig, 6), (WIDE, generic_rig, 3), (TALL, surround_rig, 4), (WIDE, surround_rig, 1)],
)
def test_whole_neck_equals_the_naive_one(dtype, grid, make_rig, cameras):
    neck = neck_of(grid).to(dtype)
    features, calibration = features_of(cameras), make_rig(2, cameras)
    actual = neck([f.to(dtype) for f in features], rig_of(calibration, dtype))
    assert actual.shape == (2, 16, *grid.coarse)
    assert error(actual, naive.cvt_neck(weights_of(neck), features, calibration, grid, 2)) < TOLERANCE[dtype]


def test_order_of_the_cameras_does_not_matter():
    neck = neck_of(WIDE).double()
    features, calibration, order = features_of(4), surround_rig(2, 4), [2, 0, 3, 1]
    before = neck(features, rig_of(calibration, torch.float64))
    after = neck([f[:, order] for f in features], rig_of(camera_subset(calibration, order), torch.float64))
    assert error(after, before) < 1e-12
    mixed = neck([f[:, order] for f in features], rig_of(calibration, torch.float64))
    assert error(mixed, before) > 1e-3


def test_samples_of_a_batch_do_not_mix():
    neck = neck_of(SQUARE).double()
    features, calibration = features_of(3), generic_rig(2, 3)
    both = neck(features, rig_of(calibration, torch.float64))
    for b in range(2):
        alone = naive.Calibration(
            calibration.intrinsics[b : b + 1], calibration.cam_from_ego[b : b + 1], calibration.image_size
        )
        one = neck([f[b : b + 1] for f in features], rig_of(alone, torch.float64))
        assert error(both[b : b + 1], one) < 1e-12


def test_every_parameter_gets_a_gradient():
    neck = neck_of(WIDE).train()
    neck([f.float() for f in features_of(3)], rig_of(surround_rig(2, 3))).square().mean().backward()
    assert [name for name, p in neck.named_parameters() if p.grad is None] == []


def test_a_grid_that_the_coarse_one_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r'(?s)bev_grid.*\(16, 20\).*8'):
        CVTIOCrossViewNeck((5, 7), dict(size=(16, 20), metres=(20, 16)), downsample=8)
