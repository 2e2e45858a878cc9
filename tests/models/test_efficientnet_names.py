"""Weights of other libraries: their names are the libraries' own, and the features are the same."""

from __future__ import annotations

import hashlib
import logging

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from torch import Tensor, nn

from projects.CVT_IO.cvt_io.models import CVTIOEfficientNet
from projects.CVT_IO.cvt_io.models.pretrained import PretrainedError
from tests.models.cases import error, random_grid, random_weights
from tests.models.test_backbone import taps

REPEATS = {'b0': (1, 2, 2, 3, 3, 4, 1), 'b4': (2, 4, 4, 6, 6, 8, 2)}  # blocks of each stage
PARTS = ('_expand_conv', '_bn0', '_depthwise_conv', '_bn1', '_se_reduce', '_se_expand', '_project_conv', '_bn2')
# Names of PARTS in a block that expands, and in one that does not, whose first two are missing.
TORCHVISION = ('0.0 0.1 1.0 1.1 2.fc1 2.fc2 3.0 3.1', '- - 0.0 0.1 1.fc1 1.fc2 2.0 2.1')
TIMM = (
    'conv_pw bn1 conv_dw bn2 se.conv_reduce se.conv_expand conv_pwl bn3',
    '- - conv_dw bn1 se.conv_reduce se.conv_expand conv_pw bn2',
)
ENDS = {
    'torchvision': dict(_conv_stem='features.0.0', _bn0='features.0.1', _conv_head='features.8.0', _bn1='features.8.1'),
    'timm': dict(_conv_stem='conv_stem', _bn0='bn1', _conv_head='conv_head', _bn1='bn2'),
}
CLASSIFIERS = dict(torchvision='classifier.1', timm='classifier')
# SHA-256 of the sorted names and shapes of torchvision 0.29.1 and of timm 1.0.31, whose tf_* have the same.
DIGESTS = {
    ('torchvision', 'b0'): '98a6d92c040c4bca',
    ('torchvision', 'b4'): 'f55c08c98724c959',
    ('timm', 'b0'): '9311fe3ac4384e5f',
    ('timm', 'b4'): '5fbc7603ab03e57f',
}
SYMMETRIC = dict(padding='symmetric', bn_eps=1e-5)


def renamed(weights: dict[str, Tensor], library: str, arch: str) -> dict[str, Tensor]:
    """A state dict of efficientnet_pytorch as the library would name it."""
    if library == 'efficientnet_pytorch':
        return weights
    places = [(stage, i) for stage, repeats in enumerate(REPEATS[arch]) for i in range(repeats)]
    found = {}
    for key, value in weights.items():
        part, _, leaf = key.rpartition('.')
        if part.startswith('_blocks.'):
            _, number, part = part.split('.')
            stage, i = places[int(number)]
            column = (TORCHVISION if library == 'torchvision' else TIMM)[stage == 0].split()[PARTS.index(part)]
            block = f'features.{stage + 1}.{i}.block' if library == 'torchvision' else f'blocks.{stage}.{i}'
            found[f'{block}.{column}.{leaf}'] = value
        else:
            found[f'{(ENDS[library] | {"_fc": CLASSIFIERS[library]})[part]}.{leaf}'] = value
    return found


def reference_of(arch: str, padding: str, bn_eps: float) -> EfficientNet:
    """With the padding of TensorFlow, or PyTorch's: half the kernel on all sides."""
    size = {} if padding == 'static' else dict(image_size=None)
    model = random_weights(EfficientNet.from_name(f'efficientnet-{arch}', **size), seed=1).double()
    for parent in [*model.modules()]:
        if isinstance(parent, nn.BatchNorm2d):
            parent.eps = bn_eps
        for name, conv in parent.named_children() if padding == 'symmetric' else ():
            if isinstance(conv, nn.Conv2d):
                shape = conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.kernel_size[0] // 2
                plain = nn.Conv2d(*shape, groups=conv.groups, bias=conv.bias is not None).double()
                plain.load_state_dict(conv.state_dict())
                setattr(parent, name, plain)
    return model


def load(weights: dict[str, Tensor], tmp_path, arch: str = 'b0', **settings) -> CVTIOEfficientNet:
    """With the prefix of the shipped configs, which these libraries do not have."""
    torch.save(weights, tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'), prefix='backbone.')
    backbone = CVTIOEfficientNet(arch, (2, 10), init_cfg=init_cfg, **settings).double()
    backbone.init_weights()
    backbone.eval()
    return backbone


@pytest.mark.parametrize(('library', 'arch'), DIGESTS)
def test_names_of_these_tests_are_the_libraries(library, arch):
    found = renamed(EfficientNet.from_name(f'efficientnet-{arch}').state_dict(), library, arch)
    text = '\n'.join(f'{name} {tuple(value.shape)}' for name, value in sorted(found.items()))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[library, arch]


@pytest.mark.parametrize(
    ('library', 'arch', 'padding', 'bn_eps'),
    [
        ('torchvision', 'b0', 'symmetric', 1e-5),
        ('torchvision', 'b4', 'symmetric', 1e-5),
        ('timm', 'b0', 'symmetric', 1e-5),
        ('timm', 'b4', 'dynamic', 1e-3),
        ('timm', 'b0', 'static', 1e-3),
        ('efficientnet_pytorch', 'b4', 'static', 1e-3),
    ],
)
@torch.no_grad()
def test_features_are_the_same(library, arch, padding, bn_eps, tmp_path):
    reference, imgs = reference_of(arch, padding, bn_eps), random_grid(1, 3, 97, 131)
    weights = renamed(reference.state_dict(), library, arch)
    backbone = load(weights, tmp_path, arch, padding=padding, bn_eps=bn_eps)
    for one, other in zip(backbone(imgs), taps(reference, imgs, (2, 10)), strict=True):
        assert error(one, other) < 1e-9
    counters = [value for name, value in backbone.state_dict().items() if name.endswith('num_batches_tracked')]
    assert counters and all(value == 0 for value in counters)


@pytest.mark.parametrize(
    ('library', 'arch', 'settings', 'remedy'),
    [
        ('torchvision', 'b0', {}, 'model.backbone.padding=symmetric model.backbone.bn_eps=1e-05, found'),
        ('torchvision', 'b5', SYMMETRIC, 'model.backbone.padding=symmetric model.backbone.bn_eps=0.001, found'),
        ('timm', 'b0', dict(padding='symmetric'), 'bn_eps=1e-05 or model.backbone.padding=static model'),
        ('efficientnet_pytorch', 'b0', SYMMETRIC, 'model.backbone.padding=dynamic model.backbone.bn_eps=0.001, found'),
    ],
)
def test_another_padding_or_epsilon_is_refused(library, arch, settings, remedy, tmp_path):
    weights = renamed(EfficientNet.from_name('efficientnet-b0').state_dict(), library, 'b0')
    with pytest.raises(PretrainedError, match=f'weights.pth: weights of {library} need --cfg-options') as caught:
        load(weights, tmp_path, arch, **settings)
    assert remedy in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('library', ['torchvision', 'timm'])
@pytest.mark.parametrize('missing', ['layers.0.bn.running_var', 'layers.3.0.se.conv2.conv.bias', 'b4'])
def test_half_of_the_weights_is_refused(library, missing, tmp_path):
    theirs = {
        'layers.0.bn.running_var': '_bn0.running_var',
        'layers.3.0.se.conv2.conv.bias': '_blocks.3._se_expand.bias',
    }
    arch = 'b4' if missing == 'b4' else 'b0'
    weights = EfficientNet.from_name('efficientnet-b0').state_dict()
    weights = {key: value for key, value in weights.items() if key != theirs.get(missing)}
    with pytest.raises(PretrainedError) as caught:
        load(renamed(weights, library, 'b0'), tmp_path, arch, **SYMMETRIC)
    message = str(caught.value)
    assert f'an EfficientNet-{arch} of OpenMMLab, torchvision, timm' in message and f'names of {library}' in message
    assert missing == 'b4' or (f"{missing!r} in mmdet's names" in message and ' 1 of ' in message)


def test_timms_two_variants_cannot_be_told_apart(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        'projects.CVT_IO.cvt_io.models.backbone.print_log', lambda text, **kwargs: said.append((text, kwargs))
    )
    load(renamed(EfficientNet.from_name('efficientnet-b0').state_dict(), 'timm', 'b0'), tmp_path, **SYMMETRIC)
    ((text, kwargs),) = said
    assert kwargs['level'] == logging.WARNING and text.endswith("the backbone has ('symmetric', 1e-05)")
