import math

import pytest
import torch

from projects.CVT_IO.cvt_io.models.layers.latent_block import LatentBlock, LayerScale
from tests.models import naive, naive_v3
from tests.models.cases import TOLERANCE, error, random_grid, random_weights, weights_of


def block_of(seed: int = 0) -> LatentBlock:
    block = random_weights(LatentBlock(12, heads=3), seed)
    block.logit_scale.data.copy_(torch.tensor([math.log(10), 0.5, 7.0]))  # the last one is beyond the limit of 100
    return block


INPUTS = random_grid(2, 5, 12, seed=1), random_grid(2, 7, 12, seed=2), random_grid(2, 12, seed=3)


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_equals_the_naive_block(dtype):
    block = block_of().to(dtype)
    x, context, scales = INPUTS
    actual = block(x.to(dtype), context.to(dtype), scales.to(dtype))
    assert error(actual, naive_v3.latent_block(weights_of(block), *INPUTS, 3)) < TOLERANCE[dtype]


def test_gradients_equal_the_naive_ones():
    block = block_of().double()
    names = [name for name, _ in block.named_parameters() if name != 'logit_scale']
    x, context, scales = (tensor.clone().requires_grad_() for tensor in INPUTS)
    factor = random_grid(2, 5, 12, seed=5)
    loss = (block(x, context, scales) * factor).sum()
    actual = torch.autograd.grad(loss, [x, context, scales, *map(block.get_parameter, names)])
    tensors = {name: tensor.detach().requires_grad_(name in names) for name, tensor in block.state_dict().items()}
    loss = (naive_v3.latent_block(naive.Weights(tensors), x, context, scales, 3) * factor).sum()
    expected = torch.autograd.grad(loss, [x, context, scales, *(tensors[name] for name in names)])
    for name, found, wanted in zip(['x', 'context', 'scales', *names], actual, expected, strict=True):
        assert error(found, wanted) < 1e-9, name


def test_gradcheck_of_the_temperature():
    """Of a head that is at its limit, there is none."""
    block = block_of().double()

    def function(logit_scale):
        return torch.func.functional_call(block, dict(logit_scale=logit_scale), INPUTS)

    assert torch.autograd.gradcheck(function, block.logit_scale.detach().clone().requires_grad_())
    block(*INPUTS).sum().backward()
    assert (block.logit_scale.grad != 0).tolist() == [True, True, False]


def test_logits_are_bounded_by_the_temperature():
    """However large the weights are."""
    block = block_of()
    for layer in (block.to_q, block.to_k):
        layer.weight.data *= 1e3
    x, context, _ = (tensor.float() for tensor in INPUTS)
    query, key = block.queries_and_keys(x, context)
    logits = (query @ key.transpose(-2, -1)).abs().amax(dim=(0, 2, 3))
    assert (logits <= torch.tensor([10, math.exp(0.5), 100]) * 1.0001).all()


def test_at_the_start():
    block = LatentBlock(12, heads=3)
    assert block.logit_scale.exp().tolist() == pytest.approx([10] * 3)
    (first, second) = LayerScale(12, 2)()
    assert first.shape == second.shape == (2, 12) and (first == 0.1).all() and (second == 0.1).all()
    assert (LayerScale(12, initial=1.0).factors == 1).all()


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match=r'heads=5.*divisor of dim=12'):
        LatentBlock(12, heads=5)
