"""The neck of ``cvt_io_v3``, and the whole model behind the backbone."""

import pytest
import torch

from projects.CVT_IO.cvt_io.models import CVTIOFuse, CVTIOLiftNeck, CVTIOSubPixelHead
from projects.CVT_IO.cvt_io.models.layers import plain_forward
from tests.models import naive, naive_v3
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

LIFT = dict(channels=5, heights=(0.0, 2.0), cameras=2)
LATENTS = dict(size=(2, 3), depth=2, shared=True, heads=2)


def neck_of(grid: naive.Grid, lift: dict | None = LIFT, latents: dict | None = LATENTS) -> CVTIOLiftNeck:
    bev_grid = dict(size=grid.size, metres=grid.metres, offset=grid.offset)
    return random_weights(CVTIOLiftNeck((5, 7), bev_grid, dim=8, lift=lift, latents=latents))


def features_of(cameras: int, batch: int = 2) -> list[torch.Tensor]:
    return [random_grid(batch, cameras, 5, 3, 5, seed=1), random_grid(batch, cameras, 7, 2, 3, seed=2)]


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize(
    ('grid', 'make_rig', 'cameras', 'lift', 'latents'),
    [
        (SQUARE, surround_rig, 6, LIFT, LATENTS),
        (WIDE, generic_rig, 3, LIFT, LATENTS | dict(shared=False)),
        (TALL, surround_rig, 1, LIFT | dict(gate=False), None),
        (WIDE, surround_rig, 2, None, LATENTS | dict(depth=1)),
    ],
    ids=['whole', 'own weights', 'no gate, no latents', 'no lift'],
)
def test_equals_the_naive_neck(dtype, grid, make_rig, cameras, lift, latents):
    neck = neck_of(grid, lift, latents).to(dtype)
    features, calibration = features_of(cameras), make_rig(2, cameras)
    actual = neck([f.to(dtype) for f in features], rig_of(calibration, dtype))
    expected = naive_v3.lift_neck(weights_of(neck), features, calibration, grid, lift, latents)
    assert actual.shape == (2, 2 + (5 if lift else 0), grid.size[0] // 2, grid.size[1] // 2)
    # Positions and shares of area are in float32 in the naive version too; its sines are not the same to the last bit.
    assert error(actual, expected) < max(TOLERANCE[dtype], 1e-6)


def test_the_plain_forward_is_the_same():
    neck, features = neck_of(WIDE).double(), features_of(3)
    rig = rig_of(surround_rig(2, 3), torch.float64)
    with plain_forward():
        plain = neck(features, rig)
    assert error(neck(features, rig), plain) < 1e-12


def test_order_of_the_cameras_does_not_matter_while_two_see_a_point():
    neck, features = neck_of(WIDE).double(), features_of(4)
    calibration, order = surround_rig(2, 4), [2, 0, 3, 1]
    before = neck(features, rig_of(calibration, torch.float64))
    moved = rig_of(camera_subset(calibration, order), torch.float64)
    assert error(neck([f[:, order] for f in features], moved), before) < 1e-12
    # Images and calibrations belong together.
    assert error(neck([f[:, order] for f in features], rig_of(calibration, torch.float64)), before) > 1e-3


def test_samples_of_a_batch_do_not_mix():
    neck, features, calibration = neck_of(SQUARE).double(), features_of(3), generic_rig(2, 3)
    both = neck(features, rig_of(calibration, torch.float64))
    for b in range(2):
        alone = naive.Calibration(
            calibration.intrinsics[b : b + 1], calibration.cam_from_ego[b : b + 1], calibration.image_size
        )
        assert error(neck([f[b : b + 1] for f in features], rig_of(alone, torch.float64)), both[b : b + 1]) < 1e-12


@pytest.mark.parametrize('cameras', [1, 2, 8])
def test_any_rig_and_image_size(cameras):
    neck = neck_of(SQUARE)
    for size in ((1, 1), (4, 9)):
        features = [random_grid(1, cameras, 5, *size).float(), random_grid(1, cameras, 7, 1, 2).float()]
        out = neck(features, rig_of(surround_rig(1, cameras)))
        assert out.shape == (1, 7, 8, 8) and out.isfinite().all()


@pytest.mark.parametrize('lift', [LIFT, None])
@pytest.mark.parametrize('latents', [LATENTS, LATENTS | dict(shared=False), None])
def test_every_parameter_gets_a_gradient(lift, latents):
    """None is left over (distributed training would refuse)."""
    if lift is None and latents is None:
        pytest.skip('refused, see below')
    neck = neck_of(WIDE, lift, latents).train()
    neck([f.float() for f in features_of(3)], rig_of(surround_rig(2, 3))).square().mean().backward()
    assert [name for name, p in neck.named_parameters() if p.grad is None] == []


def test_neither_lift_nor_latents_is_refused():
    with pytest.raises(ValueError, match='expected lift or latents, found neither'):
        neck_of(SQUARE, None, None)


def test_a_grid_that_the_mid_one_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r'\(18, 16\).*multiples of downsample=4'):
        neck_of(naive.Grid((18, 16), (18.0, 16.0), (2, 2)))


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_fuse_and_head_equal_the_naive_ones(dtype):
    groups = dict(vehicle=dict(classes=['car']), road=dict(classes=['lane']))
    loss = dict(type='CVTIOFocalLoss')
    fuse = random_weights(CVTIOFuse(7, 6)).to(dtype)
    head = random_weights(CVTIOSubPixelHead(6, groups, dict(focal=loss), loss_center=loss)).to(dtype)
    bev = random_grid(2, 7, 3, 4)
    expected = naive_v3.sub_pixel_logits(weights_of(fuse), weights_of(head), bev)
    assert expected.shape == (2, 3, 6, 8)
    assert error(head(fuse(bev.to(dtype))), expected) < TOLERANCE[dtype]
