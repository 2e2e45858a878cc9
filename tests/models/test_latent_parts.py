"""Encode, process and decode of v1 and v2."""

import pytest
import torch

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.models.neck.decode import Decode
from projects.CVT_IO.cvt_io.models.neck.encode import Encode
from projects.CVT_IO.cvt_io.models.neck.process import Process
from tests.models import naive
from tests.models.cases import (
    SQUARE,
    TALL,
    TOLERANCE,
    WIDE,
    camera_subset,
    error,
    features_of,
    generic_rig,
    grid_settings,
    random_grid,
    random_weights,
    rig_of,
    surround_rig,
    weights_of,
)

ATTENTION = dict(heads=2, head_dim=8)
DTYPES = pytest.mark.parametrize('dtype', TOLERANCE)


@DTYPES
@pytest.mark.parametrize(
    'per_camera, make_rig, cameras, latent_size',
    [
        (False, surround_rig, 6, (2, 2)),
        (False, generic_rig, 3, (2, 3)),
        (True, surround_rig, 4, (2, 3)),
        (True, generic_rig, 1, (3, 2)),
    ],
)
def test_encode_equals_the_naive_one(dtype, per_camera, make_rig, cameras, latent_size):
    """v1: every camera is a batch item of its own, with a rig of one camera."""
    encode = random_weights(Encode((5, 7), 16, ATTENTION, (2, 2)).to(dtype))
    latents, calibration = random_grid(16, *latent_size), make_rig(2, cameras)
    features, rig = [f.to(dtype) for f in features_of(cameras)], rig_of(calibration, dtype)
    if per_camera:
        features, rig = [f.flatten(0, 1)[:, None] for f in features], rig.per_camera()
    actual = encode(latents.expand(len(features[0]), -1, -1, -1).to(dtype), features, rig)
    expected = naive.encode(weights_of(encode), latents, features_of(cameras), calibration, 2, per_camera)
    assert error(actual, expected.flatten(0, 1)) < TOLERANCE[dtype]


def test_rig_per_camera_keeps_sample_and_camera_order():
    rig = rig_of(generic_rig(2, 3))
    alone = rig.per_camera()
    assert alone.pixels_to_cam.shape == (6, 1, 3, 3)
    assert torch.equal(alone.pixels_to_cam, torch.cat([*rig.pixels_to_cam])[:, None])
    assert torch.equal(alone.ego_from_cam, torch.cat([*rig.ego_from_cam])[:, None])


@DTYPES
@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('depth', [1, 3])
def test_process_equals_the_naive_one(dtype, shared, depth):
    process, latents = random_weights(Process(16, depth, shared, ATTENTION).to(dtype)), random_grid(3, 16, 2, 3)
    w, actual = weights_of(process), process(latents.to(dtype))
    assert error(actual, naive.process(w, latents[:, None], depth, shared, 2)[:, 0]) < TOLERANCE[dtype]
    if depth > 1 and not shared:  # the parity could not tell them apart if the separate weights were all alike
        assert error(actual, naive.process(w, latents[:, None], depth, True, 2)[:, 0]) > 1e-2


@pytest.mark.parametrize('shared, sets', [(True, 1), (False, 6)])
def test_parameters_of_process(shared, sets):
    """A block has three LayerNorm(128) + Linear(128, 128): 3·(256 + 16,512); Linear(128, 128): 16,512; two more
    LayerNorms: 512; an MLP: 128·256 + 256 + 256·128 + 128 = 65,920.
    """
    assert sum(p.numel() for p in Process(128, 6, shared, {}).parameters()) == sets * 133_248


def decode_of(grid: naive.Grid) -> Decode:
    return random_weights(Decode(16, BEVGrid(**grid_settings(grid)), grid.coarse, ATTENTION))


@DTYPES
@pytest.mark.parametrize('per_camera', [True, False])
@pytest.mark.parametrize(
    'grid, make_rig, cameras',
    [(SQUARE, surround_rig, 6), (WIDE, generic_rig, 3), (TALL, surround_rig, 4), (WIDE, surround_rig, 1)],
)
def test_decode_equals_the_naive_one(dtype, per_camera, grid, make_rig, cameras):
    decode, calibration = decode_of(grid).to(dtype), make_rig(2, cameras)
    latents = random_grid(2, cameras if per_camera else 1, 16, 2, 3)
    expected = naive.decode(weights_of(decode), latents, grid, calibration, 2)
    assert expected.shape == (2, 16, *grid.coarse)
    assert error(decode(latents.to(dtype), rig_of(calibration, dtype)), expected) < TOLERANCE[dtype]


def test_decode_has_a_query_for_each_camera_and_knows_no_intrinsics():
    """v2: the one grid is seen n times, by n different queries; a single camera's query gives another answer."""
    decode, latents, calibration = decode_of(SQUARE), random_grid(2, 1, 16, 2, 3).float(), surround_rig(2, 3)
    before = decode(latents, rig_of(calibration))
    assert error(decode(latents, rig_of(camera_subset(calibration, [0]))), before) > 1e-3
    calibration.intrinsics[..., 0, 0] *= 2
    assert torch.equal(decode(latents, rig_of(calibration)), before)
