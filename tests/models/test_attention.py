import pytest
import torch
from torch import nn

from projects.CVT_IO.cvt_io.models.layers import CrossAttention
from tests.models import naive
from tests.models.cases import TOLERANCE, error, random_grid, random_weights, weights_of

DTYPES = pytest.mark.parametrize('dtype', TOLERANCE)


@DTYPES
@pytest.mark.parametrize('with_skip', [True, False])
@pytest.mark.parametrize('cameras, heads, head_dim', [(1, 4, 4), (3, 2, 8), (4, 3, 2), (6, 2, 8)])
def test_block_equals_the_naive_one(dtype, with_skip, cameras, heads, head_dim):
    block = random_weights(CrossAttention(16, heads, head_dim).to(dtype))
    query, key, value = (
        random_grid(2, cameras, 16, 2, 3, seed=1),
        random_grid(2, cameras, 16, 3, 5, seed=2),
        random_grid(2, cameras, 16, 3, 5, seed=3),
    )
    skip = random_grid(2, 16, 2, 3, seed=4) if with_skip else None
    expected = naive.attention(weights_of(block), query, key, value, skip, heads)
    actual = block(*(x if x is None else x.to(dtype) for x in (query, key, value, skip)))
    assert actual.dtype == dtype
    assert error(actual, expected) < TOLERANCE[dtype]
    if cameras > 1:  # the comparison can tell a softmax per camera
        per_camera = naive.attention(weights_of(block), query, key, value, skip, heads, joint=False)
        assert error(actual, per_camera) > 1e-2


@pytest.mark.parametrize('shared', ['query', 'latents'])
def test_camera_axis_of_one_is_the_same_for_every_camera(shared):
    """v2's encode shares the query, its decode shares keys and values."""
    block = random_weights(CrossAttention(16, 2, 8).double())
    query, tokens = random_grid(2, 3, 16, 2, 3, seed=1), random_grid(2, 3, 16, 3, 5, seed=2)
    if shared == 'query':
        query = query[:, :1]
        wide = query.repeat(1, 3, 1, 1, 1), tokens, tokens
        actual = block(query, tokens, tokens)
    else:
        tokens = tokens[:, :1]
        wide = query, tokens.repeat(1, 3, 1, 1, 1), tokens.repeat(1, 3, 1, 1, 1)
        actual = block(query, tokens, tokens)
    assert error(actual, naive.attention(weights_of(block), *wide, None, 2)) < 1e-10


def test_gradients_equal_those_of_the_naive_block():
    block = random_weights(CrossAttention(8, 2, 3).double()).train()
    tensors = [random_grid(2, 3, 8, 1, 2, seed=1), random_grid(2, 3, 8, 2, 2, seed=2)]
    tensors += [random_grid(2, 3, 8, 2, 2, seed=3), random_grid(2, 8, 1, 2, seed=4)]
    tensors = [x.requires_grad_() for x in tensors]
    wanted = [*tensors, *block.parameters()]
    cotangent = random_grid(2, 8, 1, 2, seed=5)
    actual = torch.autograd.grad((block(*tensors) * cotangent).sum(), wanted)
    weights = naive.Weights(dict(block.named_parameters()))
    expected = torch.autograd.grad((naive.attention(weights, *tensors, heads=2) * cotangent).sum(), wanted)
    assert (
        len(actual) == 4 + 2 * 11
    )  # inputs; weight and bias of 3 LayerNorms and Linears, proj, prenorm, 2 MLP layers, postnorm
    for one, other in zip(actual, expected, strict=True):
        assert error(one, other) < 1e-10


def test_layer_norms_and_gelu_are_the_defined_ones():
    block = CrossAttention(8)
    norms = [m for m in block.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 5
    assert {norm.eps for norm in norms} == {1e-5}
    assert [m.approximate for m in block.modules() if isinstance(m, nn.GELU)] == ['none']
