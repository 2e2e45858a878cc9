import importlib
from contextlib import contextmanager, nullcontext
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from projects.CVT_IO.cvt_io.models.layers import joint_attention, plain_forward
from tests.models.cases import TOLERANCE, error, random_grid

module = importlib.import_module('projects.CVT_IO.cvt_io.models.layers.joint_attention')


@contextmanager
def another_pytorch():
    """One without the private operators."""
    with mock.patch.object(module, '_flash', None):
        yield


MODES = [nullcontext, plain_forward, another_pytorch]


def triple(cameras, queries=7, keys=5, dtype=torch.float64, scale=1.0):
    """Queries (2, n, 2, Q, 8), keys and values (2, n, 2, K, 8)."""
    query = scale * random_grid(2, cameras, 2, queries, 8, seed=1)
    return [
        x.to(dtype).requires_grad_() for x in (query, *(random_grid(2, cameras, 2, keys, 8, seed=i) for i in (2, 3)))
    ]


def by_definition(query, key, value):
    """A softmax over the tokens of all cameras."""
    scores = torch.cat([q @ k.mT for q, k in zip(query.unbind(1), key.unbind(1), strict=True)], -1) / 8**0.5
    return scores.softmax(-1) @ torch.cat([*value.unbind(1)], -2)


def assert_like_the_definition(inputs, exact, mode, tolerance, of_gradients):
    """Output and gradients, which have the inputs' type."""
    with mode():
        actual = joint_attention(*inputs)
    expected = by_definition(*exact)
    assert actual.dtype == inputs[0].dtype
    assert error(actual, expected) < tolerance
    cotangent = random_grid(*expected.shape, seed=4)
    wanted = torch.autograd.grad((expected * cotangent).sum(), exact)
    found = torch.autograd.grad((actual * cotangent.to(actual.dtype)).sum(), inputs)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == actual.dtype
        assert error(one, other) < of_gradients


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('cameras', [1, 2, 3, 6])
def test_output_and_gradients(cameras, mode, dtype):
    assert_like_the_definition(triple(cameras, dtype=dtype), triple(cameras), mode, TOLERANCE[dtype], TOLERANCE[dtype])


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('mode', MODES)
def test_scores_of_a_thousand_are_no_trouble(mode, dtype):
    inputs, exact = triple(4, dtype=dtype, scale=300.0), triple(4, scale=300.0)
    assert (exact[0] @ exact[1].mT / 8**0.5).abs().max() > 1000
    # Scores of 1000 are known to 1000 · 2⁻²⁴ in float32, and the weights to as much.
    tolerance = 1e-3 if dtype == torch.float32 else 1e-10
    assert_like_the_definition(inputs, exact, mode, tolerance, tolerance)


@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize('mode', MODES)
def test_half_precision(mode, dtype, tolerance):
    """As autocast gives it."""
    assert_like_the_definition(triple(3, dtype=dtype), triple(3), mode, tolerance, 2 * tolerance)


class _Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operator makes."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_the_scores_are_never_in_memory():
    inputs = triple(3, queries=64, keys=80)
    with _Largest() as seen:
        joint_attention(*inputs).sum().backward()
    assert seen.elements < 2 * 2 * 64 * 80
    with _Largest() as seen, plain_forward():
        joint_attention(*inputs)
    assert seen.elements >= 2 * 2 * 64 * 80  # those of one camera: the test can tell


def test_keys_that_are_the_same_for_every_camera():
    query, key, value = triple(3)
    one = joint_attention(query, key[:, :1], value[:, :1])
    assert error(one, by_definition(query, *(x[:, :1].expand_as(x) for x in (key, value)))) < 1e-12
