import pytest
import torch

from projects.CVT_IO.cvt_io.models.layers import ImageTokens
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

RIGS = pytest.mark.parametrize('make_rig', [surround_rig, generic_rig])
DTYPES = pytest.mark.parametrize('dtype', TOLERANCE)


@DTYPES
@RIGS
@pytest.mark.parametrize('cameras, size', [(1, (3, 5)), (4, (2, 3)), (6, (3, 5)), (3, (1, 4))])
def test_rays_equal_the_naive_ones(dtype, make_rig, cameras, size):
    calibration = make_rig(2, cameras)
    rig = rig_of(calibration, dtype)
    rays = rig.pixel_rays(size)
    assert rays.shape == (2, cameras, 4, *size)
    assert error(rig.camera_centres(), naive.camera_centres(calibration)) < TOLERANCE[dtype]
    assert error(rays, naive.pixel_rays(calibration, size)) < TOLERANCE[dtype]


def test_rays_of_a_forward_camera_by_hand():
    """f = 100, principal point in the middle of 80×40; the camera looks along ego x from (1, 2, 3)."""
    intrinsics = torch.tensor([[[[100.0, 0, 40], [0, 100, 20], [0, 0, 1]]]])
    # Camera x = −ego y + 2, camera y = −ego z + 3, camera z = ego x − 1.
    cam_from_ego = torch.tensor([[[[0.0, -1, 0, 2], [0, 0, -1, 3], [1, 0, 0, -1], [0, 0, 0, 1]]]])
    rig = rig_of(naive.Calibration(intrinsics, cam_from_ego, (40, 80)))
    rays = rig.pixel_rays((3, 3))[0, 0]
    assert rig.camera_centres().flatten().tolist() == pytest.approx([1, 2, 3, 1])
    # The middle: 1 m ahead. The top left corner, pixel (0, 0): 0.4 m to the left (+y), 0.2 m up.
    assert rays[:, 1, 1].tolist() == pytest.approx([2, 2, 3, 1], abs=1e-6)
    assert rays[:, 0, 0].tolist() == pytest.approx([2, 2.4, 3.2, 1], abs=1e-6)
    # The last cell lies on pixel (80, 40), not on (79, 39).
    assert rays[:, 2, 2].tolist() == pytest.approx([2, 1.6, 2.8, 1], abs=1e-6)


@DTYPES
@RIGS
@pytest.mark.parametrize('cameras, size', [(1, (3, 5)), (3, (2, 3)), (4, (3, 2)), (6, (3, 5))])
def test_keys_and_values_equal_the_naive_ones(dtype, make_rig, cameras, size):
    tokens = random_weights(ImageTokens(7, 16).to(dtype))
    calibration, features = make_rig(2, cameras), random_grid(2, cameras, 7, *size)
    actual = tokens(features.to(dtype), rig_of(calibration, dtype))
    expected = naive.image_tokens(weights_of(tokens), features, calibration)
    for one, other in zip(actual, expected, strict=True):
        assert error(one, other) < TOLERANCE[dtype]


def test_values_know_nothing_of_the_calibration():
    tokens = random_weights(ImageTokens(7, 16))
    features = random_grid(2, 3, 7, 2, 3).float()
    key, value = tokens(features, rig_of(surround_rig(2, 3)))
    other_key, other_value = tokens(features, rig_of(generic_rig(2, 3)))
    assert torch.equal(value, other_value)
    assert error(key, other_key) > 1e-2


def test_embedding_scales_with_small_norms_as_defined():
    """With an embedded length of l the embedding has length l / (l + 1e-7)."""
    tokens = random_weights(ImageTokens(7, 16).double())
    tokens.feature_proj[2].weight.data.zero_()
    tokens.img_embed.weight.data *= 1e-7
    tokens.cam_embed.weight.data *= 1e-7
    calibration, features = surround_rig(1, 2), random_grid(1, 2, 7, 2, 3)
    key, _ = tokens(features, rig_of(calibration, torch.float64))
    expected, _ = naive.image_tokens(weights_of(tokens), features, calibration)
    assert error(key, expected) < 1e-10
    assert (key.norm(dim=2) < 0.99).all()
