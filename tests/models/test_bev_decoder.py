import pytest
import torch
from torch import nn

from projects.CVT_IO.cvt_io.models import CVTIOBEVDecoder
from projects.CVT_IO.cvt_io.models.bev_decoder import DecoderBlock
from tests.models import naive
from tests.models.cases import TOLERANCE, error, random_grid, random_weights, weights_of

DTYPES = pytest.mark.parametrize('dtype', TOLERANCE)


@DTYPES
@pytest.mark.parametrize('size, skip_size', [((3, 5), (3, 5)), ((4, 2), (2, 1)), ((6, 2), (3, 1)), ((1, 3), (1, 3))])
def test_block_equals_the_naive_one(dtype, size, skip_size):
    block = random_weights(DecoderBlock(6, 8, 10).to(dtype))
    grid, skip = random_grid(2, 6, *size, seed=1), random_grid(2, 10, *skip_size, seed=2)
    actual = block(grid.to(dtype), skip.to(dtype))
    expected = [naive.decoder_block(weights_of(block), grid[i], skip[i]) for i in range(2)]
    assert error(actual, torch.stack(expected)) < TOLERANCE[dtype]


@DTYPES
def test_chain_equals_the_naive_one(dtype):
    """Each block adds the chain's own input, not its predecessor's."""
    decoder = random_weights(CVTIOBEVDecoder(8, (8, 6, 4)).to(dtype))
    bev = random_grid(2, 8, 2, 1)
    actual = decoder(bev.to(dtype))
    assert actual.shape == (2, 4, 16, 8)
    assert error(actual, naive.bev_decoder(weights_of(decoder), bev, 3)) < TOLERANCE[dtype]


def test_bilinear_step_by_hand():
    """Two cells 0, 3 become 0, 1, 2, 3: the corner cells' centres stay on each other (align_corners)."""
    row = torch.tensor([[[[0.0, 3.0]]]])
    block = DecoderBlock(1, 2, 1)
    assert block.conv[0](row)[0, 0].tolist() == [[0, 1, 2, 3]] * 2
    assert naive.double_bilinear(row[0])[0].tolist() == [pytest.approx([0, 1, 2, 3])] * 2


def test_layers_of_the_full_decoder():
    decoder = CVTIOBEVDecoder()
    convs = {name: m for name, m in decoder.named_modules() if isinstance(m, nn.Conv2d)}
    shapes = [tuple(conv.weight.shape) for conv in convs.values()]
    assert shapes == [
        *[(64, 128, 3, 3), (128, 64, 1, 1), (128, 128, 1, 1)] * 2,
        *[(32, 128, 3, 3), (64, 32, 1, 1), (64, 128, 1, 1)],
    ]
    assert [conv.bias is not None for conv in convs.values()] == [False, False, True] * 3
    norms = [m for m in decoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert [(type(norm), norm.eps, norm.momentum) for norm in norms] == [(nn.BatchNorm2d, 1e-5, 0.1)] * 6
