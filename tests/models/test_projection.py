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
    at, depth, seen = project_points(torch.tensor([[5.0, 1, 2]]), rig_of(straight()))
    assert at[0, 0, 0].tolist() == pytest.approx([18 / 40, 6 / 20])
    assert depth.item() == 5 and seen.item()


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
    at, depth, found = project_points(torch.tensor([point]), rig_of(straight()))
    assert found.item() == seen
    assert at.isfinite().all() and depth.item() >= MIN_DEPTH


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('make_rig', [surround_rig, generic_rig])
def test_equals_the_naive_projection(dtype, make_rig):
    calibration, points = make_rig(2, 3), 20 * random_grid(50, 3)
    at, depth, seen = project_points(points, rig_of(calibration, dtype))
    assert 0 < seen.sum() < seen.numel()
    for b in range(2):
        for p, n in zip(*torch.where(torch.ones(50, 3)), strict=True):
            expected = naive_v3.seen_at(calibration, b, n, points[p].tolist())
            assert seen[b, p, n] == (expected is not None)
            if expected is not None:
                found = [*at[b, p, n].tolist(), depth[b, p, n].item()]
                assert found == pytest.approx(expected, rel=100 * TOLERANCE[dtype])


def test_autocast_does_not_touch_it():
    rig, points = rig_of(surround_rig(1, 2)), 20 * random_grid(50, 3).float()
    with torch.autocast('cpu', torch.bfloat16):
        at, depth, _ = project_points(points, rig)
    assert at.dtype == depth.dtype == torch.float32
    assert torch.equal(at, project_points(points, rig)[0])
