import copy

import pytest
import torch
from mmcv.cnn import ConvModule, fuse_conv_bn
from torch import nn

from projects.CVT_IO.cvt_io.models.layers.norm_swish import ConvNormSwish
from tests.models.cases import error, random_grid, random_weights


def usual() -> ConvModule:
    norm_cfg = dict(type='BN', eps=1e-3, momentum=0.0199)
    return random_weights(ConvModule(3, 5, 3, padding=1, norm_cfg=norm_cfg, act_cfg=dict(type='SiLU')).double())


def lean(module: ConvModule) -> ConvNormSwish:
    out = copy.deepcopy(module)
    out.__class__ = ConvNormSwish
    return out


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('training', [False, True])
def test_output_gradients_and_statistics(training, channels_last):
    one, other = usual().train(training), lean(usual()).train(training)
    cotangent = random_grid(2, 5, 6, 7, seed=2)
    found = []
    for module in (one, other):
        x = random_grid(2, 3, 6, 7, seed=1)
        x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
        out = module(x.requires_grad_())
        found.append([out, *torch.autograd.grad((out * cotangent).sum(), [x, *module.parameters()])])
    for expected, actual in zip(*found, strict=True):
        assert error(actual, expected) < 1e-12
    for name, value in one.state_dict().items():
        assert error(other.state_dict()[name].double(), value.double()) < 1e-12, name
    assert one.bn.num_batches_tracked == (1 if training else 0)


def test_gradcheck():
    module = lean(usual()).train()
    assert torch.autograd.gradcheck(module, [random_grid(2, 3, 3, 4).requires_grad_()], atol=1e-6)


def kept_bytes(module: nn.Module) -> int:
    """Of distinct tensors that are kept for the backward pass, parameters aside."""
    x, seen = random_grid(2, 3, 32, 32).requires_grad_(), {}
    own = {parameter.data_ptr() for parameter in module.parameters()}

    def pack(tensor):
        seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(x)
    assert out.requires_grad
    return sum(size for pointer, size in seen.items() if pointer not in own)


def test_the_norms_output_is_not_kept():
    output = 2 * 5 * 32 * 32 * 8
    saved = kept_bytes(usual().train()) - kept_bytes(lean(usual()).train())
    assert output <= saved < 1.1 * output


def test_frozen_norm_in_training():
    one, other = usual().train(), lean(usual()).train()
    one.bn.eval(), other.bn.eval()
    x = random_grid(2, 3, 4, 4).requires_grad_()
    assert torch.equal(one(x), other(x))
    assert other.bn.num_batches_tracked == 0


def test_without_gradients_statistics_move_all_the_same():
    one, other = usual().train(), lean(usual()).train()
    with torch.no_grad():
        assert error(other(random_grid(2, 3, 4, 4)), one(random_grid(2, 3, 4, 4))) < 1e-12
    assert error(other.bn.running_mean, one.bn.running_mean) < 1e-12


def test_folded_norm_keeps_the_swish():
    module = lean(usual())
    expected = module(random_grid(2, 3, 4, 4))
    fused = fuse_conv_bn(copy.deepcopy(module))
    assert isinstance(fused.bn, nn.Identity)
    assert error(fused(random_grid(2, 3, 4, 4)), expected) < 1e-12


def test_synchronised_norm_keeps_the_swish():
    module = nn.SyncBatchNorm.convert_sync_batchnorm(lean(usual()))
    assert type(module.bn) is nn.SyncBatchNorm
    x = random_grid(2, 3, 4, 4)
    assert error(module.eval()(x), lean(usual())(x)) < 1e-12
