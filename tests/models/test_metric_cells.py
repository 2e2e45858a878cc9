import pytest
import torch

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.models.layers.metric_cells import MetricPosition, area_means, cell_centres, fourier_features
from tests.models import naive_v3
from tests.models.cases import SQUARE, TALL, WIDE, error, random_weights, weights_of


def bev_grid(grid) -> BEVGrid:
    return BEVGrid(grid.size, grid.metres, grid.offset)


def test_centres_by_hand():
    """4×2 cells of 2 m × 3 m: BEV pixel (r, c) is 4 − 2r ahead and 3 − 3c to the left; a cell of 2×1 pixels lies on
    rows ½ and 2½.
    """
    centres = cell_centres(BEVGrid((4, 2), (8.0, 6.0)), (2, 2))
    assert centres[0].tolist() == [[3.0, 3.0], [-1.0, -1.0]]
    assert centres[1].tolist() == [[3.0, 0.0], [3.0, 0.0]]


@pytest.mark.parametrize('grid', [SQUARE, WIDE, TALL])
@pytest.mark.parametrize('divisor', [1, 2, 4])
def test_centres_are_means_of_the_pixels_places(grid, divisor):
    size = grid.size[0] // divisor, grid.size[1] // divisor
    assert error(cell_centres(bev_grid(grid), size), naive_v3.cell_centres(grid, size)) < 1e-12


def test_area_means_by_hand():
    """Three cells into two parts of 1½ cells: the middle one counts in both by a third of the part."""
    assert error(area_means(3, 2), torch.tensor([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])) < 1e-7
    assert error(area_means(2, 4), torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])) == 0
    assert error(area_means(6, 3), torch.eye(3).repeat_interleave(2, 1) / 2) == 0


def test_area_means_equal_pytorch_s_where_parts_are_whole():
    x = torch.randn(1, 2, 12, 8)
    pooled = area_means(12, 3) @ x @ area_means(8, 2).T
    assert error(pooled, torch.nn.functional.adaptive_avg_pool2d(x, (3, 2))) < 1e-6


def test_fourier_features_by_hand():
    """x = ½, y = −¼ in two bands: angles π/2 and π, −π/4 and −π/2."""
    features = fourier_features(torch.tensor([[[0.5]], [[-0.25]]], dtype=torch.float64), bands=2)
    half = 0.5**0.5
    expected = torch.tensor([0.5, -0.25, 1, 0, -half, -1, 0, -1, half, 0]).double()
    assert error(features[0, 0], expected) < 1e-7


@pytest.mark.parametrize('grid', [SQUARE, WIDE, TALL])
def test_position_equals_the_naive_one(grid):
    module = random_weights(MetricPosition(6, bev_grid(grid), (2, 4))).double()
    assert error(module(), naive_v3.position(weights_of(module), grid, (2, 4))) < 1e-6


def test_position_at_the_start_is_almost_that_of_the_metres():
    torch.manual_seed(0)
    learned = MetricPosition(64, BEVGrid(), (16, 16)).learned
    assert learned.std().item() == pytest.approx(0.02, rel=0.05)
