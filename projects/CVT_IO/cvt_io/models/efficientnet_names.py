"""EfficientNet weights under the names of other libraries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

#: mmdet's names of the parts of a block; the first two only exist in blocks that expand.
BLOCK_PARTS = (
    *('expand_conv.conv', 'expand_conv.bn', 'depthwise_conv.conv', 'depthwise_conv.bn'),
    *('se.conv1.conv', 'se.conv2.conv', 'linear_conv.conv', 'linear_conv.bn'),
)
_STEM_PARTS = ('layers.0.conv', 'layers.0.bn')


@dataclass(frozen=True)
class Library:
    """Names of a library.

    Attributes:
        stem: names of the stem's convolution and BatchNorm.
        block: pattern of a block's name.
        parts: the :data:`BLOCK_PARTS` of a block that expands.
        plain: those of a block that does not.
        settings: ``padding`` and ``bn_eps`` that its weights are trained with.
    """

    stem: tuple[str, str]
    block: str
    parts: tuple[str, ...]
    plain: tuple[str, ...]
    settings: tuple[tuple[str, float], ...]


TF_PADDING = (('static', 1e-3), ('dynamic', 1e-3))
LIBRARIES = {
    'torchvision': Library(
        ('features.0.0', 'features.0.1'),
        r'features\.\d+\.\d+\.block',
        ('0.0', '0.1', '1.0', '1.1', '2.fc1', '2.fc2', '3.0', '3.1'),
        ('0.0', '0.1', '1.fc1', '1.fc2', '2.0', '2.1'),
        (('symmetric', 1e-5),),
    ),
    'timm': Library(
        ('conv_stem', 'bn1'),
        r'blocks\.\d+\.\d+',
        ('conv_pw', 'bn1', 'conv_dw', 'bn2', 'se.conv_reduce', 'se.conv_expand', 'conv_pwl', 'bn3'),
        ('conv_dw', 'bn1', 'se.conv_reduce', 'se.conv_expand', 'conv_pw', 'bn2'),
        (('symmetric', 1e-5), *TF_PADDING),  # the variants tf_* have the latter
    ),
    'efficientnet_pytorch': Library(
        ('_conv_stem', '_bn0'),
        r'_blocks\.\d+',
        ('_expand_conv', '_bn0', '_depthwise_conv', '_bn1', '_se_reduce', '_se_expand', '_project_conv', '_bn2'),
        ('_depthwise_conv', '_bn1', '_se_reduce', '_se_expand', '_project_conv', '_bn2'),
        TF_PADDING,
    ),
}


def library_of(weights: Mapping[str, Tensor]) -> str | None:
    """The library among :data:`LIBRARIES` whose names a state dict has."""
    return next((name for name, library in LIBRARIES.items() if f'{library.stem[0]}.weight' in weights), None)


def under_our_names(weights: Mapping[str, Tensor], library: Library, blocks: Sequence[str]) -> dict[str, Tensor]:
    """Renames weights; drops those of other parts.

    Args:
        weights: state dict of the library's model.
        library: its names.
        blocks: our names of the blocks, in order; the network may be truncated.
    """
    renames = dict(zip(library.stem, _STEM_PARTS, strict=True))
    found = {match[0] for key in weights if (match := re.match(rf'{library.block}(?=\.)', key))}
    for theirs, ours in zip(sorted(found, key=_numbers), blocks, strict=False):
        expands = all(f'{theirs}.{part}.weight' in weights for part in library.parts)
        names = library.parts if expands else library.plain
        renames |= {f'{theirs}.{a}': f'{ours}.{b}' for a, b in zip(names, BLOCK_PARTS[-len(names) :], strict=True)}
    split = {key: key.rpartition('.') for key in weights}
    return {f'{renames[part]}.{leaf}': weights[key] for key, (part, _, leaf) in split.items() if part in renames}


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r'\d+', name)]
