"""The three necks against naive ones, and what holds for all of them."""

import pytest
import torch
from torch import nn

from projects.CVT_IO.cvt_io.models import (
    CVTIOCrossViewNeck,
    CVTIOFuse,
    CVTIOLatentNeck,
    CVTIOLiftNeck,
    CVTIOSubPixelHead,
)
from projects.CVT_IO.cvt_io.models.layers import plain_forward
from tests.models import naive, naive_v3
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
    sample_of,
    surround_rig,
    weights_of,
)

LIFT = dict(channels=5, heights=(0.0, 2.0), cameras=2)
LATENTS = dict(size=(2, 3), depth=2, shared=True, heads=2)
DTYPES = pytest.mark.parametrize('dtype', TOLERANCE)


def cvt(grid: naive.Grid) -> CVTIOCrossViewNeck:
    return random_weights(CVTIOCrossViewNeck((5, 7), grid_settings(grid), downsample=8, dim=16, heads=2, head_dim=8))


def latent_neck(grid: naive.Grid, **kwargs) -> CVTIOLatentNeck:
    settings = dict(dim=16, latent_size=(2, 3), depth=2, heads=2, head_dim=8) | kwargs
    return random_weights(CVTIOLatentNeck((5, 7), grid_settings(grid), downsample=8, **settings))


def v1(grid: naive.Grid) -> CVTIOLatentNeck:
    return latent_neck(grid, latents_per_camera=True)


def v3(grid: naive.Grid, lift: dict | None = LIFT, latents: dict | None = LATENTS) -> CVTIOLiftNeck:
    return random_weights(CVTIOLiftNeck((5, 7), grid_settings(grid), dim=8, lift=lift, latents=latents))


NECKS = pytest.mark.parametrize('make_neck', [cvt, v1, latent_neck, v3], ids=['cvt', 'v1', 'v2', 'v3'])


def run(neck: nn.Module, features: list[torch.Tensor], calibration: naive.Calibration) -> torch.Tensor:
    dtype = next(neck.parameters()).dtype
    return neck([f.to(dtype) for f in features], rig_of(calibration, dtype))


@DTYPES
@pytest.mark.parametrize(
    'grid, make_rig, cameras',
    [(SQUARE, surround_rig, 6), (WIDE, generic_rig, 3), (TALL, surround_rig, 4), (WIDE, surround_rig, 1)],
)
def test_cvt_equals_the_naive_neck(dtype, grid, make_rig, cameras):
    neck, features, calibration = cvt(grid).to(dtype), features_of(cameras), make_rig(2, cameras)
    expected = naive.cvt_neck(weights_of(neck), features, calibration, grid, 2)
    assert expected.shape == (2, 16, *grid.coarse)
    assert error(run(neck, features, calibration), expected) < TOLERANCE[dtype]


@DTYPES
@pytest.mark.parametrize('per_camera', [False, True], ids=['v2', 'v1'])
@pytest.mark.parametrize(
    'grid, make_rig, cameras, depth, shared',
    [
        (SQUARE, surround_rig, 6, 1, True),
        (WIDE, generic_rig, 3, 2, False),
        (TALL, surround_rig, 4, 2, True),
        (WIDE, surround_rig, 1, 2, True),
    ],
)
def test_v1_and_v2_equal_the_naive_neck(dtype, per_camera, grid, make_rig, cameras, depth, shared):
    neck = latent_neck(grid, depth=depth, shared=shared, latents_per_camera=per_camera).to(dtype)
    features, calibration = features_of(cameras), make_rig(2, cameras)
    expected = naive.latent_neck(weights_of(neck), features, calibration, grid, 2, depth, shared, per_camera)
    assert expected.shape == (2, 16, *grid.coarse)
    assert error(run(neck, features, calibration), expected) < TOLERANCE[dtype]


@DTYPES
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
def test_v3_equals_the_naive_neck(dtype, grid, make_rig, cameras, lift, latents):
    neck, features, calibration = v3(grid, lift, latents).to(dtype), features_of(cameras), make_rig(2, cameras)
    expected = naive_v3.lift_neck(weights_of(neck), features, calibration, grid, lift, latents)
    assert expected.shape == (2, 2 + (5 if lift else 0), grid.size[0] // 2, grid.size[1] // 2)
    # Positions and shares of area are in float32 in the naive version too; its sines are not the same to the last bit.
    assert error(run(neck, features, calibration), expected) < max(TOLERANCE[dtype], 1e-6)


def test_v1_and_v2_differ():
    neck = latent_neck(SQUARE).double()
    one_grid = run(neck, features_of(3), surround_rig(2, 3))
    neck.latents_per_camera = True
    assert error(run(neck, features_of(3), surround_rig(2, 3)), one_grid) > 1e-2


def test_the_plain_forward_is_the_same():
    neck = v3(WIDE).double()
    with plain_forward():
        plain = run(neck, features_of(3), surround_rig(2, 3))
    assert error(run(neck, features_of(3), surround_rig(2, 3)), plain) < 1e-12


@NECKS
def test_order_of_the_cameras_does_not_matter(make_neck):
    """In v3, while no more than two see a point. Images and calibrations belong together."""
    neck, features, calibration, order = make_neck(WIDE).double(), features_of(4), surround_rig(2, 4), [2, 0, 3, 1]
    before, moved = run(neck, features, calibration), [f[:, order] for f in features]
    assert error(run(neck, moved, camera_subset(calibration, order)), before) < 1e-12
    assert error(run(neck, moved, calibration), before) > 1e-3


@NECKS
def test_samples_of_a_batch_do_not_mix(make_neck):
    neck, features, calibration = make_neck(SQUARE).double(), features_of(3), generic_rig(2, 3)
    both = run(neck, features, calibration)
    for b in range(2):
        assert error(run(neck, [f[[b]] for f in features], sample_of(calibration, b)), both[[b]]) < 1e-12
    assert error(both[0], both[1]) > 1e-3


@pytest.mark.parametrize('cameras', [1, 2, 8])
def test_any_rig_and_image_size(cameras):
    for size in ((1, 1), (4, 9)):
        features = [random_grid(1, cameras, 5, *size), random_grid(1, cameras, 7, 1, 2)]
        out = run(v3(SQUARE), features, surround_rig(1, cameras))
        assert out.shape == (1, 7, 8, 8) and out.isfinite().all()


def latents_seen_by_decode(neck, features, calibration) -> torch.Tensor:
    seen = []
    handle = neck.decode.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    run(neck, features, calibration)
    handle.remove()
    return seen[0]


def with_another_image(camera: int) -> list[torch.Tensor]:
    """The features of four cameras, one of the first sample's changed."""
    features = features_of(4)
    for feature in features:
        feature[0, camera] += random_grid(*feature[0, camera].shape, seed=9)
    return features


@pytest.mark.parametrize('what', ['images', 'intrinsics', 'cam_from_ego'])
def test_v1_cameras_read_only_their_own_image_until_decode(what):
    neck, features, calibration = v1(SQUARE).double(), features_of(4), surround_rig(2, 4)
    before = latents_seen_by_decode(neck, features, calibration)
    assert before.shape == (2, 4, 16, 2, 3)
    if what == 'images':
        features = with_another_image(2)
    else:
        getattr(calibration, what)[0, 2] = getattr(surround_rig(2, 4, seed=9), what)[1, 3]
    after = latents_seen_by_decode(neck, features, calibration)
    changed = (after - before).abs().amax(dim=(2, 3, 4)) > 1e-9
    assert changed.tolist() == [[False, False, True, False], [False] * 4]


@pytest.mark.parametrize('camera', range(4))
def test_v2_latents_read_all_images(camera):
    neck, calibration = latent_neck(SQUARE).double(), surround_rig(2, 4)
    before = latents_seen_by_decode(neck, features_of(4), calibration)
    assert before.shape == (2, 1, 16, 2, 3)
    after = latents_seen_by_decode(neck, with_another_image(camera), calibration)
    assert ((after - before).abs().amax(dim=(1, 2, 3, 4)) > 1e-9).tolist() == [True, False]


@pytest.mark.parametrize('latent_size, shape', [(3, (3, 3)), ((2, 5), (2, 5)), ([4, 1], (4, 1))])
def test_latent_size_is_a_side_or_rows_and_columns(latent_size, shape):
    assert latent_neck(SQUARE, latent_size=latent_size).latent_array.features.shape == (16, *shape)


@pytest.mark.parametrize(
    'lift, latents',
    [
        (LIFT, LATENTS),
        (None, LATENTS),
        (LIFT, LATENTS | dict(shared=False)),
        (None, LATENTS | dict(shared=False)),
        (LIFT, None),
    ],
)
def test_every_parameter_of_v3_gets_a_gradient(lift, latents):
    """None is left over (distributed training would refuse)."""
    neck = v3(WIDE, lift, latents).train()
    run(neck, features_of(3), surround_rig(2, 3)).square().mean().backward()
    assert [name for name, p in neck.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: cvt(naive.Grid((16, 20), (20, 16), (2, 2))), r'(?s)bev_grid.*\(16, 20\).*8'),
        (lambda: latent_neck(naive.Grid((20, 16), (20, 16), (2, 2))), r'(?s)bev_grid.*\(20, 16\).*8'),
        (lambda: v3(naive.Grid((18, 16), (18.0, 16.0), (2, 2))), r'\(18, 16\).*multiples of downsample=4'),
        (lambda: v3(SQUARE, None, None), 'expected lift or latents, found neither'),
        (lambda: latent_neck(SQUARE, bottlenecks=(2,)), 'argument 2 is shorter'),  # one for each scale
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@DTYPES
def test_fuse_and_head_of_v3_equal_the_naive_ones(dtype):
    groups = dict(vehicle=dict(classes=['car']), road=dict(classes=['lane']))
    loss = dict(type='CVTIOFocalLoss')
    fuse = random_weights(CVTIOFuse(7, 6)).to(dtype)
    head = random_weights(CVTIOSubPixelHead(6, groups, dict(focal=loss), loss_center=loss)).to(dtype)
    bev = random_grid(2, 7, 3, 4)
    expected = naive_v3.sub_pixel_logits(weights_of(fuse), weights_of(head), bev)
    assert expected.shape == (2, 3, 6, 8)
    assert error(head(fuse(bev.to(dtype))), expected) < TOLERANCE[dtype]
