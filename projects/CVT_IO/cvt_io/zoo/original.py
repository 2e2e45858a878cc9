"""Conversion of checkpoints of the original PyTorch Lightning code (CVT and the CVT-IO runs)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from ..errors import DataError
from ..fileio.checkpoint import read_checkpoint
from ..models import CVTIOEfficientNet, CVTIOSegmentor
from ..models.efficientnet_names import BLOCK_PARTS, LIBRARIES

_ATTENTION = r'(cross_attend\..+)'
_TOKENS = r'((?:feature_linear|feature_proj|img_embed|cam_embed)\..+)'

# Original name → ours, tried in this order, without the prefix of the Lightning module. In CVT, the BEV embedding of
# each scale is part of the cross-view module; here it is separate.
_RULES: tuple[tuple[str, str], ...] = (
    (rf'encoder\.cross_views\.(\d+)\.{_TOKENS}', r'{reader}.cross_views.\1.tokens.\2'),
    (rf'encoder\.cross_views\.(\d+)\.{_ATTENTION}', r'{reader}.cross_views.\1.\2'),
    (r'encoder\.cross_views\.(\d+)\.bev_embed\.(.+)', r'neck.positions.\1.bev_embed.\2'),
    (r'encoder\.layers\.(\d+)\.(.+)', r'{reader}.cross_views.\1.bottlenecks.\2'),
    (r'encoder\.bev_embedding\.learned_features', r'neck.prior.features'),
    (r'encoder\.latent_array\.learned_array', r'neck.latent_array.features'),
    (r'encoder\.(self_attends\..+)', r'neck.process.\1'),
    (r'decoder\.bev_embedding\.learned_features', r'neck.decode.prior.features'),
    (r'decoder\.cross_attens\.0\.bev_embed\.(.+)', r'neck.decode.position.bev_embed.\1'),
    (r'decoder\.cross_attens\.0\.(cam_embed\..+)', r'neck.decode.\1'),
    (rf'decoder\.cross_attens\.0\.{_ATTENTION}', r'neck.decode.\1'),
    (r'decoder\.(layers\..+)', r'bev_decoder.\1'),
    (r'(to_logits\..+)', r'head.\1'),
)
_PREFIX = 'backbone.'
_BACKBONE = re.compile(r'encoder\.backbone\.layers\.(\d+)\.(\d+)\.(.+)')
_STEM = {'0': 'conv', '1': 'bn'}
# First blocks of the original layers 1, 2 and 3, and mmdet's names of the parts of a block.
_FIRST_BLOCKS = {'1': 0, '2': 3, '3': 7}
_BLOCK_PARTS = dict(zip(LIBRARIES['efficientnet_pytorch'].parts, BLOCK_PARTS, strict=True))


def convert_original(path: str | Path, model: CVTIOSegmentor) -> dict[str, Tensor]:
    """Weights of an original checkpoint under our names.

    Args:
        path: the Lightning file, or a file with only its ``state_dict``.
        model: the model that the weights are for.

    Returns:
        A state dict that fits the model exactly.

    Raises:
        DataError: the file is broken, or keys or shapes do not match; all of them are listed.
    """
    state = read_checkpoint(path, strict=False)['state_dict']
    converted: dict[str, Tensor] = {}
    unknown = []
    for key, value in state.items():
        name = our_name(key, model)
        if name is None or name in converted:
            unknown.append(f'{key} {_shape(value)}')
        else:
            converted[name] = value.clone()
    _require_fit(path, converted, unknown, model.state_dict())
    return converted


def our_name(key: str, model: CVTIOSegmentor) -> str | None:
    """Our name of an original key; ``None`` if it does not belong to any part of the model."""
    if not key.startswith(_PREFIX):
        return None
    key = key.removeprefix(_PREFIX)
    match = _BACKBONE.fullmatch(key)
    if match:
        return _backbone_name(match[1], match[2], match[3], model.backbone)
    reader = 'neck.encode' if hasattr(model.neck, 'encode') else 'neck'
    for pattern, ours in _RULES:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(ours.replace('{reader}', reader))
    return None


def _backbone_name(layer: str, index: str, rest: str, backbone: CVTIOEfficientNet) -> str | None:
    part, _, leaf = rest.partition('.')
    if layer == '0':
        return f'backbone.layers.0.{_STEM[index]}.{rest}' if index in _STEM else None
    if layer not in _FIRST_BLOCKS or part not in _BLOCK_PARTS:
        return None
    number = _FIRST_BLOCKS[layer] + int(index)
    names = [f'{s}.{i}' for s, stage in enumerate(backbone.layers) if s for i, _ in enumerate(stage.children())]
    return f'backbone.layers.{names[number]}.{_BLOCK_PARTS[part]}.{leaf}' if number < len(names) else None


def _require_fit(
    path: str | Path, converted: Mapping[str, Tensor], unknown: Iterable[str], wanted: Mapping[str, Tensor]
) -> None:
    problems = [f'  left over in the file: {entry}' for entry in unknown]
    problems += [f'  of another model: {key} {_shape(converted[key])}' for key in converted if key not in wanted]
    problems += [f'  missing in the file: {key} {_shape(wanted[key])}' for key in wanted if key not in converted]
    problems += [
        f'  other shape: {key}: expected {_shape(wanted[key])}, found {_shape(converted[key])}'
        for key in converted
        if key in wanted and converted[key].shape != wanted[key].shape
    ]
    if problems:
        raise DataError(
            f'{path}: {len(problems)} keys do not fit the config; is it the one of this checkpoint?\n'
            + '\n'.join(problems)
        )


def _shape(tensor: Tensor) -> str:
    return '×'.join(map(str, tensor.shape)) or 'scalar'
