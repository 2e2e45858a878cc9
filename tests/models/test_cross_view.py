import pytest
from torch import nn

from projects.CVT_IO.cvt_io.models.layers import CrossView
from tests.models import naive
from tests.models.cases import TOLERANCE, error, random_grid, random_weights, rig_of, surround_rig, weights_of

ATTENTION = dict(heads=2, head_dim=8)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('count', [0, 1, 2, 3])
def test_bottlenecks_equal_the_naive_ones(dtype, count):
    layers = random_weights(CrossView(7, 16, ATTENTION, count).to(dtype)).bottlenecks
    grid = random_grid(2, 16, 3, 4)
    assert error(layers(grid.to(dtype)), naive.bottlenecks(weights_of(layers), grid, count)) < TOLERANCE[dtype]


def test_bottleneck_layers():
    """d → d/4 → d/4 → d, convolutions without bias, each with a BatchNorm of eps 1e-5 and momentum 0.1."""
    (block,) = CrossView(7, 128, {}, 1).bottlenecks
    convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert [tuple(conv.weight.shape) for conv in convs] == [(32, 128, 1, 1), (32, 32, 3, 3), (128, 32, 1, 1)]
    assert [conv.bias for conv in convs] == [None] * 3
    assert [(type(norm), norm.eps, norm.momentum) for norm in norms] == [(nn.BatchNorm2d, 1e-5, 0.1)] * 3


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('cameras', [1, 3])
def test_one_scale_equals_the_naive_one(dtype, cameras):
    view = random_weights(CrossView(7, 16, ATTENTION, 2).to(dtype))
    calibration = surround_rig(2, cameras)
    query, skip = random_grid(2, cameras, 16, 2, 3, seed=1), random_grid(2, 16, 2, 3, seed=2)
    features = random_grid(2, cameras, 7, 3, 5, seed=3)
    actual = view(query.to(dtype), skip.to(dtype), features.to(dtype), rig_of(calibration, dtype))
    w = weights_of(view)
    key, value = naive.image_tokens(w / 'tokens', features, calibration)
    expected = naive.attention(w / 'cross_attend', query, key, value, skip, 2)
    expected = naive.bottlenecks(w / 'bottlenecks', expected)
    assert error(actual, expected) < TOLERANCE[dtype]
