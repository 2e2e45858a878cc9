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
    return ConvNormSwish(copy.deepcopy(module)).train(module.training)


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('mode', ['evaluation', 'training', 'frozen norm', 'without momentum', 'without gradients'])
def test_output_gradients_and_statistics(mode, channels_last):
    """Without momentum the statistics are PyTorch's plain average over all steps."""
    found = []
    for module in (usual(), lean(usual())):
        module.train(mode != 'evaluation')
        module.bn.train(mode not in ('evaluation', 'frozen norm'))
        if mode == 'without momentum':
            module.bn.momentum = None
            module(random_grid(2, 3, 6, 7, seed=3))
        x = random_grid(2, 3, 6, 7, seed=1)
        x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
        with torch.set_grad_enabled(mode != 'without gradients'):
            tensors = [module(x.requires_grad_())]
        if tensors[0].requires_grad:
            loss = (tensors[0] * random_grid(2, 5, 6, 7, seed=2)).sum()
            tensors += torch.autograd.grad(loss, [x, *module.parameters()])
        found.append([*tensors, *module.state_dict().values()])
    for expected, actual in zip(*found, strict=True):
        assert error(actual, expected) < 1e-12
    steps = {'evaluation': 0, 'frozen norm': 0, 'without momentum': 2}.get(mode, 1)
    assert module.bn.num_batches_tracked == steps


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


@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_mixed_precision(dtype, tolerance):
    """Activations in half precision, weights and statistics in float32."""
    exact, module = usual().train(), lean(usual()).float().train()
    x, cotangent = random_grid(2, 3, 6, 7, seed=1), random_grid(2, 5, 6, 7, seed=2)
    expected = exact(x)
    with torch.autocast('cpu', dtype):
        actual = module(x.float())
    assert actual.dtype == dtype
    assert error(actual, expected) < tolerance
    wanted = torch.autograd.grad((expected * cotangent).sum(), [*exact.parameters()])
    found = torch.autograd.grad((actual * cotangent.to(dtype)).sum(), [*module.parameters()])
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float32
        assert error(one, other) < 2 * tolerance
    assert error(module.bn.running_var, exact.bn.running_var) < tolerance


def test_one_value_has_no_variance():
    """As in PyTorch, and running statistics stay free of NaN."""
    module = lean(usual()).train()
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        module(random_grid(1, 3, 1, 1))
    assert module.bn.running_var.isfinite().all()


@pytest.mark.parametrize('name', ['conv.weight', 'bn.weight', 'bn.bias'])
def test_frozen_parameters(name):
    gradients = []
    for module in (usual().train(), lean(usual()).train()):
        module.get_parameter(name).requires_grad_(False)
        module(random_grid(2, 3, 4, 4)).square().sum().backward()
        gradients.append({key: parameter.grad for key, parameter in module.named_parameters() if key != name})
        assert module.get_parameter(name).grad is None
    for key, grad in gradients[0].items():
        assert error(gradients[1][key], grad) < 1e-12, key


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
