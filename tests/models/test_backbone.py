import contextlib
import re

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from mmdet.models.backbones.efficientnet import EfficientNet as MMDetEfficientNet
from mmengine.model.utils import revert_sync_batchnorm
from torch import Tensor, nn

from projects.CVT_IO.cvt_io.models import CVTIOEfficientNet
from projects.CVT_IO.cvt_io.models.backbone import ChannelsLastMean
from projects.CVT_IO.cvt_io.models.layers.norm_swish import ConvNormSwish
from tests.models.cases import error, random_grid, random_weights

# Names of efficientnet_pytorch → of mmdet, which the project keeps.
RENAMES = [
    (r'^_conv_stem\.', 'stem.conv.'),
    (r'^_bn0\.', 'stem.bn.'),
    (r'_expand_conv\.', 'expand_conv.conv.'),
    (r'_bn0\.', 'expand_conv.bn.'),
    (r'_depthwise_conv\.', 'depthwise_conv.conv.'),
    (r'_bn1\.', 'depthwise_conv.bn.'),
    (r'_se_reduce\.', 'se.conv1.conv.'),
    (r'_se_expand\.', 'se.conv2.conv.'),
    (r'_project_conv\.', 'linear_conv.conv.'),
    (r'_bn2\.', 'linear_conv.bn.'),
]


def renamed(name: str) -> str:
    for pattern, new in RENAMES:
        name = re.sub(pattern, new, name)
    return name


def parts_of(backbone: CVTIOEfficientNet) -> dict[str, nn.Module]:
    return {'stem': backbone.layers[0]} | {f'_blocks.{i}': block for i, block in enumerate(backbone.blocks())}


def copy_weights(reference: EfficientNet, backbone: CVTIOEfficientNet) -> None:
    """Fills every tensor of the backbone from the reference."""
    weights = {renamed(name): tensor for name, tensor in reference.state_dict().items()}
    for prefix, part in parts_of(backbone).items():
        own = {k[len(prefix) + 1 :]: v for k, v in weights.items() if k.startswith(f'{prefix}.')}
        part.load_state_dict(own)  # strict: no name more or less on either side


def pair(
    arch: str, padding: str, out_blocks: tuple[int, ...], dtype: torch.dtype = torch.float64, **kwargs
) -> tuple[EfficientNet, CVTIOEfficientNet]:
    # The nominal input of the architecture (380 pixels for b4) is the reference's default; None makes it dynamic.
    size = {} if padding == 'static' else dict(image_size=None)
    reference = random_weights(EfficientNet.from_name(f'efficientnet-{arch}', **size), seed=1).to(dtype)
    backbone = CVTIOEfficientNet(arch, out_blocks, padding, **kwargs).to(dtype)
    copy_weights(reference, backbone)
    backbone.eval()
    return reference, backbone


class _SeenError(Exception):
    """Ends the reference's forward pass after the last tap."""


def taps(reference: EfficientNet, imgs: Tensor, out_blocks: tuple[int, ...]) -> list[Tensor]:
    """The reference's own forward pass, watched."""
    outputs: dict[int, Tensor] = {}

    def watch(index: int, output: Tensor) -> None:
        outputs[index] = output
        if index == max(out_blocks):
            raise _SeenError

    handles = [
        reference._blocks[i].register_forward_hook(lambda _, __, output, i=i: watch(i, output)) for i in out_blocks
    ]
    with contextlib.suppress(_SeenError):
        reference.extract_features(imgs)
    for handle in handles:
        handle.remove()
    return [outputs[i] for i in out_blocks]


@torch.no_grad()
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize('padding', ['static', 'dynamic'])
def test_b4_equals_the_reference_at_full_size(dtype, tolerance, padding):
    reference, backbone = pair('b4', padding, (2, 10), dtype)
    imgs = random_grid(1, 3, 224, 480).to(dtype)
    actual = backbone(imgs)
    assert [tuple(f.shape) for f in actual] == [(1, 32, 56, 120), (1, 112, 14, 30)]
    for one, other in zip(actual, taps(reference, imgs, (2, 10)), strict=True):
        assert ((one - other).abs().max() / other.abs().max()).item() < tolerance


@torch.no_grad()
@pytest.mark.parametrize(
    'arch, padding, size, out_blocks',
    [
        ('b4', 'static', (97, 131), (2, 10)),
        ('b4', 'dynamic', (97, 131), (2, 10)),
        ('b4', 'dynamic', (72, 160), (31,)),
        ('b0', 'static', (64, 96), (0, 4, 10)),
        ('b0', 'dynamic', (75, 93), (10, 2)),
        ('b0', 'static', (75, 93), (15, 0)),
        ('b2', 'static', (72, 160), (1, 9)),
    ],
)
def test_other_inputs_architectures_and_taps(arch, padding, size, out_blocks):
    reference, backbone = pair(arch, padding, out_blocks)
    imgs = random_grid(2, 3, *size)
    actual, expected = backbone(imgs), taps(reference, imgs, out_blocks)
    for one, other in zip(actual, expected, strict=True):
        assert error(one, other) < 1e-9


@torch.no_grad()
def test_the_two_paddings_differ_at_full_size():
    """In block 6 alone (5×5, stride 2, fed 28×60): dynamic pads (1, 2), static-380 pads (2, 2)."""
    static = random_weights(CVTIOEfficientNet('b4', (5, 6), 'static').double(), seed=1)
    dynamic = random_weights(CVTIOEfficientNet('b4', (5, 6), 'dynamic').double())
    dynamic.load_state_dict(static.state_dict())
    imgs = random_grid(1, 3, 224, 480)
    before, after = zip(static(imgs), dynamic(imgs), strict=True)
    assert error(*before) < 1e-12
    assert error(*after) > 1e-2


@pytest.mark.parametrize('with_cp', [False, True])
def test_training_equals_the_reference_with_the_same_random_numbers(with_cp):
    """Batch statistics, drop-connect and running statistics, in a training step."""
    reference, backbone = pair('b4', 'static', (2, 10), with_cp=with_cp)
    for norm in reference.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 0.0199
    imgs = random_grid(6, 3, 40, 72)
    reference.train()
    backbone.train()
    torch.manual_seed(5)
    expected = taps(reference, imgs, (2, 10))
    torch.manual_seed(5)
    actual = backbone(imgs)
    for one, other in zip(actual, expected, strict=True):
        assert error(one, other) < 1e-9
    sum(f.square().mean() for f in actual).backward()
    sum(f.square().mean() for f in expected).backward()
    grads = {renamed(name): p.grad for name, p in reference.named_parameters()}
    state = {renamed(name): tensor for name, tensor in reference.state_dict().items()}
    for prefix, part in parts_of(backbone).items():
        for name, parameter in part.named_parameters():
            assert error(parameter.grad, grads[f'{prefix}.{name}']) < 1e-8, (prefix, name)
        for name, buffer in part.named_buffers():
            if name.endswith(('running_mean', 'running_var')):
                assert error(buffer, state[f'{prefix}.{name}']) < 1e-9, (prefix, name)


def test_drop_connect_really_drops():
    """The parity above would also hold if neither side dropped anything."""
    backbone = random_weights(CVTIOEfficientNet('b4', (10,)).double())
    backbone.train()
    imgs = random_grid(6, 3, 40, 72)
    torch.manual_seed(0)
    one = backbone(imgs)[0]
    torch.manual_seed(1)
    assert error(backbone(imgs)[0], one) > 1e-3
    backbone.eval()
    assert error(backbone(imgs)[0], backbone(imgs)[0]) == 0


@pytest.mark.parametrize('arch, total, rate', [('b4', 32, 0.2), ('b0', 16, 0.2), ('b4', 32, 0.5), ('b4', 32, 0.0)])
def test_drop_connect_rates(arch, total, rate):
    """rate · i / k at block i, k counting all blocks of the uncut architecture."""
    backbone = CVTIOEfficientNet(arch, (10,), drop_connect_rate=rate)
    actual = [getattr(block.drop_path, 'drop_prob', 0.0) for block in backbone.blocks()]
    assert actual == pytest.approx([rate * i / total for i in range(11)], rel=1e-12)


def norms_of(backbone: CVTIOEfficientNet) -> list[nn.BatchNorm2d]:
    return [m for m in backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def test_one_step_moves_the_running_mean_by_0_0199():
    backbone = CVTIOEfficientNet('b0', (0,), with_cp=True)
    backbone.train()
    imgs = random_grid(2, 3, 32, 32).float()
    module = backbone.blocks()[0].depthwise_conv
    seen = []
    module.conv.register_forward_hook(lambda _, __, output: seen.append(output.detach().mean((0, 2, 3))))
    backbone(imgs)[0].sum().backward()
    assert error(module.bn.running_mean, 0.0199 * seen[0]) < 1e-7
    assert len(seen) == 2  # the block was really computed twice


def test_parameter_count_and_norms():
    backbone = CVTIOEfficientNet('b4', (2, 10))
    assert sum(p.numel() for p in backbone.parameters()) == 340_160
    assert sum(p.numel() for norm in norms_of(backbone) for p in norm.parameters()) == 10_288
    assert {(type(norm), norm.eps, norm.momentum) for norm in norms_of(backbone)} == {(nn.BatchNorm2d, 1e-3, 0.0199)}
    assert all(p.requires_grad for p in backbone.parameters())
    assert len(backbone.blocks()) == 11


def test_conversion_to_synchronised_batch_norm_and_back():
    """``train.py --sync_bn`` and single-process evaluation."""
    backbone = random_weights(CVTIOEfficientNet('b0', (2,)))
    imgs = random_grid(1, 3, 32, 32).float()
    before = backbone(imgs)[0]
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(backbone)
    assert any(isinstance(m, nn.SyncBatchNorm) for m in synchronised.modules())
    assert error(revert_sync_batchnorm(synchronised)(imgs)[0], before) < 1e-6


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(padding='same'), r"backbone\.padding: expected one of static, dynamic, symmetric, got 'same'"),
        (dict(out_blocks=(2, 16)), r'backbone\.out_blocks.*16'),
        (dict(out_blocks=(2,), frozen_stages=4), r'backbone\.frozen_stages: expected 0 to 3, got 4'),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CVTIOEfficientNet('b0', **settings)


@pytest.mark.parametrize('with_cp', [False, True])
def test_image_by_image_is_the_same_as_the_batch(with_cp):
    """In evaluation; with gradients, as for finetuning with frozen statistics."""
    backbone = random_weights(CVTIOEfficientNet('b0', (0, 3), with_cp=with_cp).double())
    imgs = random_grid(3, 3, 32, 48).requires_grad_()
    batches = []
    backbone.layers[0].register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    actual = backbone(imgs)
    assert batches == [1, 1, 1]
    wanted = [imgs, *backbone.parameters()]
    gradients = torch.autograd.grad(sum(f.square().mean() for f in actual), wanted)
    backbone.train()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
        if hasattr(module, 'drop_path'):
            module.drop_path = torch.nn.Identity()
    expected = backbone(imgs)
    assert batches == [1, 1, 1, 3]
    for one, other in zip(actual, expected, strict=True):
        assert error(one, other) < 1e-12
    for one, other in zip(
        gradients, torch.autograd.grad(sum(f.square().mean() for f in expected), wanted), strict=True
    ):
        assert error(one, other) < 1e-12


def test_no_images():
    backbone = CVTIOEfficientNet('b0', (0, 3)).eval()
    assert [tuple(f.shape) for f in backbone(torch.empty(0, 3, 32, 48))] == [(0, 16, 16, 24), (0, 40, 4, 6)]


@pytest.mark.parametrize('stages', [0, 1, 2, 3])
@pytest.mark.parametrize('norm_eval', [False, True])
def test_frozen_as_in_mmdet(stages, norm_eval):
    """The same parameters and norms stand still as in mmdet's own class."""
    backbone = CVTIOEfficientNet('b0', (0, 2), frozen_stages=stages, norm_eval=norm_eval)
    reference = MMDetEfficientNet('b0', frozen_stages=stages, norm_eval=norm_eval)
    reference.train()  # returns nothing
    trained = {name for name, parameter in reference.named_parameters() if parameter.requires_grad}
    own = dict(backbone.named_parameters())
    assert {name for name in own if own[name].requires_grad} == trained & own.keys()  # already before train()
    backbone.train()
    modes = {name: norm.training for name, norm in reference.named_modules() if isinstance(norm, nn.BatchNorm2d)}
    norms = {name: norm for name, norm in backbone.named_modules() if isinstance(norm, nn.BatchNorm2d)}
    assert {name: norm.training for name, norm in norms.items()} == {name: modes[name] for name in norms}
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad] or [torch.zeros(1)], lr=0.1)
    loss = sum(
        (feature * torch.arange(feature.numel()).view_as(feature)).mean()
        for feature in backbone(random_grid(2, 3, 48, 64).float())
    )
    if loss.requires_grad:
        loss.backward()
    optimizer.step()
    moved = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    running = {f'{name}.{key}' for name, norm in norms.items() if norm.training for key, _ in norm.named_buffers()}
    assert running <= moved <= trained | running
    assert bool(moved & trained) == bool(trained & own.keys())


def test_lean_layers():
    """One swish after the stem and after each expansion and depthwise convolution; one mean in each block."""
    backbone = CVTIOEfficientNet('b0', (2,))
    kinds = [type(module) for module in backbone.modules()]
    assert kinds.count(ConvNormSwish) == 1 + 1 + 2 + 2  # b0's first block does not expand
    assert kinds.count(ChannelsLastMean) == 3


@pytest.mark.parametrize('training', [False, True])
def test_channels_last(training):
    """Throughout, and so are the gradients that the mean sends back."""
    backbone = CVTIOEfficientNet('b0', (0, 3)).train(training)
    outputs = backbone(random_grid(2, 3, 32, 48).float())
    assert all(f.is_contiguous(memory_format=torch.channels_last) for f in outputs)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_mean_of_many(dtype, training):
    """6,400 times 16 is more than float16 can hold."""
    mean = ChannelsLastMean().train(training)
    assert torch.equal(mean(torch.full((2, 3, 80, 80), 16, dtype=dtype)), torch.full((2, 3, 1, 1), 16, dtype=dtype))
    x = random_grid(2, 3, 8, 9)
    assert error(mean(x), x.mean((2, 3), keepdim=True)) < 1e-12


@torch.no_grad()
def test_a_compiled_graph_holds_the_batch():
    """It does not grow with the number of images."""
    backbone, sizes = CVTIOEfficientNet('b0', (0,)).eval(), []

    def note(graph: torch.fx.GraphModule, _: object) -> object:
        sizes.append(len(graph.graph.nodes))
        return graph.forward

    for count in (1, 3):
        torch._dynamo.reset()
        torch.compile(backbone, backend=note, fullgraph=True, dynamic=False)(random_grid(count, 3, 32, 32).float())
    assert sizes[0] == sizes[1]
