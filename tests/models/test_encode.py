import pytest
import torch

from projects.CVT_IO.cvt_io.models.layers import LearnedGrid
from projects.CVT_IO.cvt_io.models.neck.encode import Encode
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

ATTENTION = dict(heads=2, head_dim=8)


def features_of(cameras: int) -> list[torch.Tensor]:
    return [random_grid(2, cameras, 5, 3, 5, seed=1), random_grid(2, cameras, 7, 2, 3, seed=2)]


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('make_rig, cameras, latent_size', [(surround_rig, 6, (2, 2)), (generic_rig, 3, (2, 3))])
def test_one_grid_for_all_cameras_equals_the_naive_encode(dtype, make_rig, cameras, latent_size):
    encode = random_weights(Encode((5, 7), 16, ATTENTION, (2, 2)).to(dtype))
    latents, features, calibration = random_grid(16, *latent_size), features_of(cameras), make_rig(2, cameras)
    actual = encode(
        latents.expand(2, -1, -1, -1).to(dtype), [f.to(dtype) for f in features], rig_of(calibration, dtype)
    )
    expected = naive.encode(weights_of(encode), latents, features, calibration, 2, per_camera=False)
    assert error(actual, expected[:, 0]) < TOLERANCE[dtype]


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('make_rig, cameras, latent_size', [(surround_rig, 4, (2, 3)), (generic_rig, 1, (3, 2))])
def test_a_grid_per_camera_equals_the_naive_encode(dtype, make_rig, cameras, latent_size):
    """v1: every camera is a batch item of its own, with a rig of one camera."""
    encode = random_weights(Encode((5, 7), 16, ATTENTION, (2, 2)).to(dtype))
    latents, features, calibration = random_grid(16, *latent_size), features_of(cameras), make_rig(2, cameras)
    actual = encode(
        latents.expand(2 * cameras, -1, -1, -1).to(dtype),
        [f.flatten(0, 1)[:, None].to(dtype) for f in features],
        rig_of(calibration, dtype).per_camera(),
    )
    expected = naive.encode(weights_of(encode), latents, features, calibration, 2, per_camera=True)
    assert error(actual.unflatten(0, (2, cameras)), expected) < TOLERANCE[dtype]


def test_rig_per_camera_keeps_sample_and_camera_order():
    calibration = generic_rig(2, 3)
    rig = rig_of(calibration)
    alone = rig.per_camera()
    for b in range(2):
        for n in range(3):
            assert torch.equal(alone.pixels_to_cam[3 * b + n, 0], rig.pixels_to_cam[b, n])
            assert torch.equal(alone.ego_from_cam[3 * b + n, 0], rig.ego_from_cam[b, n])
    assert alone.pixels_to_cam.shape == (6, 1, 3, 3)


def test_latent_array():
    torch.manual_seed(0)
    array = LearnedGrid(128, (10, 10))
    values = array.features.detach()
    # 12,800 draws: the standard errors of mean and deviation are 0.009 and 0.006.
    assert values.mean().item() == pytest.approx(0, abs=0.04)
    assert values.std().item() == pytest.approx(1, abs=0.027)
    assert torch.equal(array(3), values[None].repeat(3, 1, 1, 1))
