import pytest
import torch

from projects.CVT_IO.cvt_io.models.layers.ray_embedding import token_rays
from tests.models import naive_v3
from tests.models.cases import TOLERANCE, error, generic_rig, rig_of, surround_rig
from tests.models.test_projection import straight

SIZE = (2, 3)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('make_rig', [surround_rig, generic_rig])
def test_equals_the_naive_rays(dtype, make_rig):
    calibration = make_rig(2, 3)
    expected = naive_v3.token_rays(calibration, SIZE).movedim(2, -1).flatten(2, 3)
    assert error(token_rays(rig_of(calibration, dtype), SIZE), expected) < TOLERANCE[dtype]


def test_moments_say_which_line_it_is():
    """The same from any point of the ray: a camera that moves along it has the same direction and moment."""
    here, there = straight(), straight()
    here.cam_from_ego[..., 0, 3] = there.cam_from_ego[..., 0, 3] = 2  # to the side
    there.cam_from_ego[..., 2, 3] = -7  # ahead
    here, there = (token_rays(rig_of(c, torch.float64), (1, 1))[0, 0, 0] for c in (here, there))
    assert here[:3].tolist() == there[:3].tolist() == [1, 0, 0]
    assert error(here[6:], there[6:]) < 1e-12 and error(here[3:6], there[3:6]) > 0.5
