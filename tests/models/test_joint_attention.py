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
    """One query of one head of one sample at a time."""
    out = torch.zeros(2, 2, query.shape[3], 8, dtype=query.dtype)
    for b in range(2):
        for head in range(2):
            values = torch.cat([*value[b, :, head]])
            for q in range(query.shape[3]):
                scores = torch.cat([key[b, n, head] @ query[b, n, head, q] for n in range(query.shape[1])]) / 8**0.5
                out[b, head, q] = scores.softmax(0) @ values
    return out


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('cameras', [1, 2, 3, 6])
def test_output_and_gradients(cameras, mode, dtype):
    expected_inputs, inputs = triple(cameras), triple(cameras, dtype=dtype)
    expected = by_definition(*expected_inputs)
    with mode():
        actual = joint_attention(*inputs)
    assert actual.dtype == dtype
    assert error(actual, expected) < TOLERANCE[dtype]
    cotangent = random_grid(*expected.shape, seed=4)
    wanted = torch.autograd.grad((expected * cotangent).sum(), expected_inputs)
    found = torch.autograd.grad((actual * cotangent.to(dtype)).sum(), inputs)
    for one, other in zip(found, wanted, strict=True):
        assert error(one, other) < TOLERANCE[dtype]


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('mode', MODES)
def test_scores_of_a_thousand_are_no_trouble(mode, dtype):
    inputs, exact = triple(4, dtype=dtype, scale=300.0), triple(4, scale=300.0)
    scores = exact[0] @ exact[1].transpose(-2, -1) / 8**0.5
    assert scores.abs().max() > 1000
    with mode():
        actual, expected = joint_attention(*inputs), by_definition(*exact)
    # Scores of 1000 are known to 1000 · 2⁻²⁴ in float32, and the weights to as much.
    tolerance = 1e-3 if dtype == torch.float32 else 1e-10
    assert error(actual, expected) < tolerance
    wanted = torch.autograd.grad(expected.square().sum(), exact)
    for grad, other in zip(torch.autograd.grad(actual.square().sum(), inputs), wanted, strict=True):
        assert error(grad, other) < tolerance


@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize('mode', MODES)
def test_half_precision(mode, dtype, tolerance):
    """As autocast gives it: output and gradients have the inputs' type."""
    inputs, exact = triple(3, dtype=dtype), triple(3)
    with mode():
        actual, expected = joint_attention(*inputs), by_definition(*exact)
    assert actual.dtype == dtype
    assert error(actual, expected) < tolerance
    wanted = torch.autograd.grad(expected.square().sum(), exact)
    for grad, other in zip(torch.autograd.grad(actual.square().sum(), inputs), wanted, strict=True):
        assert grad.dtype == dtype
        assert error(grad, other) < 2 * tolerance


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


def test_weights_of_all_cameras_sum_to_one():
    query, key = random_grid(2, 4, 2, 6, 8, seed=1), random_grid(2, 4, 2, 5, 8, seed=2)
    ones = torch.ones(2, 4, 2, 5, 8, dtype=torch.float64)
    assert error(joint_attention(query, key, ones), torch.ones(2, 2, 6, 8)) < 1e-12


def test_weights_of_a_camera_depend_on_the_others():
    query, key = random_grid(2, 4, 2, 6, 8, seed=1), random_grid(2, 4, 2, 5, 8, seed=2)
    cameras = torch.eye(4, 8, dtype=torch.float64)  # values that say which camera they came from
    value = cameras.view(1, 4, 1, 1, 8).expand(2, 4, 2, 5, 8)
    before = joint_attention(query, key, value)
    louder = key.clone()
    louder[:, 2] = query[:, 2, :, :1]  # camera 2 now has keys along its own first query
    after = joint_attention(query, louder, value)
    assert (after[:, :, 0, 2] > before[:, :, 0, 2]).all()
    assert (after[:, :, 0, [0, 1, 3]] < before[:, :, 0, [0, 1, 3]]).all()
    # The others shrink by one common factor: a common normaliser.
    factor = after[:, :, 0, [0, 1, 3]] / before[:, :, 0, [0, 1, 3]]
    assert error(factor / factor[..., :1], torch.ones_like(factor)) < 1e-12
    assert (factor > 1e-3).all()
