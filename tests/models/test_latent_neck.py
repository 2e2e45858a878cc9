import pytest
import torch

from projects.CVT_IO.cvt_io.models import CVTIOLatentNeck
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


def neck_of(grid: naive.Grid, **kwargs) -> CVTIOLatentNeck:
    bev_grid = dict(size=grid.size, metres=grid.metres, offset=grid.offset)
    settings = dict(dim=16, latent_size=(2, 3), depth=2, heads=2, head_dim=8) | kwargs
    return random_weights(CVTIOLatentNeck((5, 7), bev_grid, downsample=8, **settings))


def features_of(cameras: int) -> list[torch.Tensor]:
    return [random_grid(2, cameras, 5, 3, 5, seed=1), random_grid(2, cameras, 7, 2, 3, seed=2)]


@pytest.mark.parametrize('dtype', TOLERANCE)
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
def test_whole_neck_equals_the_naive_one(dtype, per_camera, grid, make_rig, cameras, depth, shared):
    neck = neck_of(grid, depth=depth, shared=shared, latents_per_camera=per_camera).to(dtype)
    features, calibration = features_of(cameras), make_rig(2, cameras)
    actual = neck([f.to(dtype) for f in features], rig_of(calibration, dtype))
    expected = naive.latent_neck(weights_of(neck), features, calibration, grid, 2, depth, shared, per_camera)
    assert actual.shape == (2, 16, *grid.coarse)
    assert error(actual, expected) < TOLERANCE[dtype]


def test_the_two_variants_differ():
    neck = neck_of(SQUARE).double()
    features, rig = features_of(3), rig_of(surround_rig(2, 3), torch.float64)
    one_grid = neck(features, rig)
    neck.latents_per_camera = True
    assert error(neck(features, rig), one_grid) > 1e-2


@pytest.mark.parametrize('per_camera', [False, True], ids=['v2', 'v1'])
def test_order_of_the_cameras_does_not_matter(per_camera):
    neck = neck_of(WIDE, latents_per_camera=per_camera).double()
    features, calibration, order = features_of(4), surround_rig(2, 4), [2, 0, 3, 1]
    before = neck(features, rig_of(calibration, torch.float64))
    after = neck([f[:, order] for f in features], rig_of(camera_subset(calibration, order), torch.float64))
    assert error(after, before) < 1e-12
    # Images and calibrations belong together.
    mixed = neck([f[:, order] for f in features], rig_of(calibration, torch.float64))
    assert error(mixed, before) > 1e-3


@pytest.mark.parametrize('per_camera', [False, True], ids=['v2', 'v1'])
def test_samples_of_a_batch_do_not_mix(per_camera):
    neck = neck_of(SQUARE, latents_per_camera=per_camera).double()
    features, calibration = features_of(3), generic_rig(2, 3)
    both = neck(features, rig_of(calibration, torch.float64))
    for b in range(2):
        alone = naive.Calibration(
            calibration.intrinsics[b : b + 1], calibration.cam_from_ego[b : b + 1], calibration.image_size
        )
        one = neck([f[b : b + 1] for f in features], rig_of(alone, torch.float64))
        assert error(both[b : b + 1], one) < 1e-12
    assert error(both[0], both[1]) > 1e-3


def latents_seen_by_decode(neck, features, calibration) -> torch.Tensor:
    seen = []
    handle = neck.decode.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    neck(features, rig_of(calibration, torch.float64))
    handle.remove()
    return seen[0]


@pytest.mark.parametrize('what', ['images', 'intrinsics', 'cam_from_ego'])
def test_v1_cameras_read_only_their_own_image_until_decode(what):
    neck = neck_of(SQUARE, latents_per_camera=True).double()
    features, calibration = features_of(4), surround_rig(2, 4)
    before = latents_seen_by_decode(neck, features, calibration)
    assert before.shape == (2, 4, 16, 2, 3)
    if what == 'images':
        for feature in features:
            feature[0, 2] += random_grid(*feature[0, 2].shape, seed=9)
    else:
        other = surround_rig(2, 4, seed=9)
        getattr(calibration, what)[0, 2] = getattr(other, what)[1, 3]
    after = latents_seen_by_decode(neck, features, calibration)
    changed = (after - before).abs().amax(dim=(2, 3, 4)) > 1e-9
    assert changed.tolist() == [[False, False, True, False], [False] * 4]


def test_v2_latents_read_all_images():
    neck = neck_of(SQUARE).double()
    calibration = surround_rig(2, 4)
    before = latents_seen_by_decode(neck, features_of(4), calibration)
    assert before.shape == (2, 1, 16, 2, 3)
    for camera in range(4):
        features = features_of(4)
        for feature in features:
            feature[0, camera] += random_grid(*feature[0, camera].shape, seed=9)
        changed = (latents_seen_by_decode(neck, features, calibration) - before).abs().amax(dim=(1, 2, 3, 4)) > 1e-9
        assert changed.tolist() == [True, False]


@pytest.mark.parametrize('latent_size, shape', [(3, (3, 3)), ((2, 5), (2, 5)), ([4, 1], (4, 1))])
def test_latent_size_is_a_side_or_rows_and_columns(latent_size, shape):
    assert neck_of(SQUARE, latent_size=latent_size).latent_array.features.shape == (16, *shape)


def test_every_parameter_gets_a_gradient():
    """None is left over (distributed training would refuse)."""
    neck = neck_of(WIDE).train()
    neck([f.float() for f in features_of(3)], rig_of(surround_rig(2, 3))).square().mean().backward()
    assert [name for name, p in neck.named_parameters() if p.grad is None] == []


def test_a_grid_that_the_coarse_one_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r'(?s)bev_grid.*\(20, 16\).*8'):
        CVTIOLatentNeck((5, 7), dict(size=(20, 16), metres=(20, 16)), downsample=8)


def test_a_count_of_bottlenecks_other_than_of_scales_is_refused():
    with pytest.raises(ValueError):
        CVTIOLatentNeck((5, 7), dict(size=(16, 16), metres=(16, 16)), dim=16, bottlenecks=(2,))
