import pytest
import torch

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.models.neck.decode import Decode
from tests.models import naive
from tests.models.cases import (
    SQUARE,
    TALL,
    TOLERANCE,
    WIDE,
    error,
    generic_rig,
    random_grid,
    random_weights,
    rig_of,
    surround_rig,
    weights_of,
)

CASES = [(SQUARE, surround_rig, 6), (WIDE, generic_rig, 3), (TALL, surround_rig, 4), (WIDE, surround_rig, 1)]


def decode_of(grid: naive.Grid) -> Decode:
    return Decode(16, BEVGrid(grid.size, grid.metres, grid.offset), grid.coarse, dict(heads=2, head_dim=8))


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('per_camera', [True, False])
@pytest.mark.parametrize('grid, make_rig, cameras', CASES)
def test_decode_equals_the_naive_one(dtype, per_camera, grid, make_rig, cameras):
    decode = random_weights(decode_of(grid).to(dtype))
    calibration = make_rig(2, cameras)
    latents = random_grid(2, cameras if per_camera else 1, 16, 2, 3)
    actual = decode(latents.to(dtype), rig_of(calibration, dtype))
    expected = naive.decode(weights_of(decode), latents, grid, calibration, 2)
    assert actual.shape == (2, 16, *grid.coarse)
    assert error(actual, expected) < TOLERANCE[dtype]


def test_cameras_of_equal_latents_still_differ_by_their_queries():
    """v2: the one grid is seen n times, by n different queries; a single camera's query gives another answer."""
    decode = random_weights(decode_of(SQUARE).double())
    latents, calibration = random_grid(2, 1, 16, 2, 3), surround_rig(2, 3)
    both = decode(latents, rig_of(calibration, torch.float64))
    one = naive.Calibration(calibration.intrinsics[:, :1], calibration.cam_from_ego[:, :1], calibration.image_size)
    assert error(both, decode(latents, rig_of(one, torch.float64))) > 1e-3


def test_intrinsics_do_not_matter():
    decode = random_weights(decode_of(SQUARE))
    latents, calibration = random_grid(2, 1, 16, 2, 3).float(), surround_rig(2, 3)
    before = decode(latents, rig_of(calibration))
    calibration.intrinsics[..., 0, 0] *= 2
    assert error(decode(latents, rig_of(calibration)), before) == 0
