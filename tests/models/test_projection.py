import pytest
import torch

from projects.CVT_IO.cvt_io.models.layers.projection import MIN_DEPTH, project_points
from tests.models import naive_v3
from tests.models.cases import TOLERANCE, generic_rig, random_grid, rig_of, surround_rig
from tests.models.naive import Calibration


def straight(image_size=(20, 40)) -> Calibration:
    """One camera in the ego's origin that looks along x; focal length 10, principal point in the middle."""
    intrinsics = torch.tensor([[10.0, 0, 20], [0, 10, 10], [0, 0, 1]]).double()
    cam_from_ego = torch.tensor([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]).double()
    return Calibration(intrinsics[None, None], cam_from_ego[None, None], image_size)


def test_by_hand():
    """5 m ahead, 1 m left, 2 m up: pixel (20 − 10·1/5, 10 − 10·2/5) = (18, 6) of 40×20."""
    found = project_points(torch.tensor([[5.0, 1, 2]]), rig_of(straight()))
    assert (found.u.item(), found.v.item()) == pytest.approx((18 / 40, 6 / 20))
    assert found.depth.item() == 5 and found.seen.item()


@pytest.mark.parametrize(
    ('point', 'seen'),
    [
        ((5.0, 10.0, 0.0), True),  # on the left border: pixel 20 − 10·10/5 = 0
        ((5.0, 10.1, 0.0), False),
        ((5.0, 0.0, -5.0), True),  # on the lower border: pixel 10 + 10·5/5 = 20
        ((5.0, 0.0, -5.1), False),
        ((-5.0, 0.0, 0.0), False),  # behind: the pixel would be in the image
        ((0.0, 0.0, 0.0), False),  # in the camera
        ((MIN_DEPTH / 2, 0.0, 0.0), False),
        ((MIN_DEPTH * 2, 0.0, 0.0), True),
    ],
)
def test_what_is_seen(point, seen):
    found = project_points(torch.tensor([point]), rig_of(straight()))
    assert found.seen.item() == seen
    assert found.u.isfinite().all() and found.v.isfinite().all() and found.depth.item() >= MIN_DEPTH


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('make_rig', [surround_rig, generic_rig])
def test_equals_the_naive_projection(dtype, make_rig):
    calibration, points = make_rig(2, 3), 20 * random_grid(50, 3)
    found = project_points(points, rig_of(calibration, dtype))
    *expected, seen = naive_v3.seen_at(calibration, points)
    assert torch.equal(found.seen, seen) and 0 < seen.sum() < seen.numel()
    for value, wanted in zip((found.u, found.v, found.depth), expected, strict=True):
        assert value[seen].numpy() == pytest.approx(wanted[seen].numpy(), rel=10 * TOLERANCE[dtype])


def test_autocast_does_not_touch_it():
    rig, points = rig_of(surround_rig(1, 2)), 20 * random_grid(50, 3).float()
    with torch.autocast('cpu', torch.bfloat16):
        cast = project_points(points, rig)
    assert cast.u.dtype == cast.depth.dtype == torch.float32
    assert torch.equal(cast.u, project_points(points, rig).u)
