import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from projects.CVT_IO.cvt_io.models.layers import plain_forward
from projects.CVT_IO.cvt_io.models.layers.plain import is_plain
from projects.CVT_IO.cvt_io.models.layers.same_pad import SamePadConv2d
from tests.models.cases import error, random_grid, random_weights


def test_the_switch_goes_back():
    assert not is_plain()
    with plain_forward():
        assert is_plain()
        with plain_forward():
            assert is_plain()
        assert is_plain()
    assert not is_plain()
    with pytest.raises(ValueError, match='inside'), plain_forward():
        raise ValueError('inside')
    assert not is_plain()


def test_dilated_kernels_keep_their_reach():
    conv = random_weights(SamePadConv2d(1, 1, 3, 2, dilation=2).double())
    x = random_grid(1, 1, 10, 10)
    # Reach 5, ⌈10 / 2⌉ = 5 cells: 4·2 + 5 − 10 = 3 cells of padding, 1 before and 2 behind.
    padded = torch.nn.functional.pad(x, (1, 2, 1, 2))
    expected = torch.nn.functional.conv2d(padded, conv.weight, conv.bias, stride=2, dilation=2)
    assert error(conv(x), expected) < 1e-12


@pytest.mark.parametrize('static_size', [None, 9])
@pytest.mark.parametrize('size', [(8, 8), (7, 9), (8, 11), (5, 6)])
@pytest.mark.parametrize('kernel, stride', [(3, 1), (3, 2), (5, 2), (1, 1), (2, 2)])
def test_padding_the_kernel_is_padding_the_image(kernel, stride, size, static_size):
    conv = random_weights(SamePadConv2d(4, 4, kernel, stride, groups=4).double())
    conv.static_size = static_size
    x = random_grid(2, 4, *size).requires_grad_()
    fast = conv(x)
    with plain_forward():
        plain = conv(x)
    assert error(fast, plain) < 1e-12
    gradients = [torch.autograd.grad(out.square().sum(), [x, conv.weight]) for out in (fast, plain)]
    for one, other in zip(*gradients, strict=True):
        assert error(one, other) < 1e-12


def test_the_plain_kernel_is_counted_without_padding():
    conv, x = SamePadConv2d(1, 1, 3, 2), random_grid(1, 1, 8, 8).float()  # pads 0 and 1
    with plain_forward(), FlopCounterMode(display=False) as counter:
        conv(x)
    assert counter.get_total_flops() == 2 * 4 * 4 * 3 * 3
