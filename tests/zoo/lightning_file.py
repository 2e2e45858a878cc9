"""Files shaped as the original PyTorch Lightning checkpoints, from their key lists.

``data/original_*_keys.tsv`` hold every key and shape in the ``state_dict`` of CVT's public vehicle checkpoint and of
the CVT-IO runs' (N = 5, shared weights).
"""

from __future__ import annotations

import csv
import sys
import types
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

DATA = Path(__file__).with_name('data')
SHARED = 'backbone.encoder.self_attends.0.'


def key_list(name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of ``original_<name>_keys.tsv``."""
    with (DATA / f'original_{name}_keys.tsv').open(newline='') as file:
        rows = list(csv.DictReader(file, delimiter='\t'))
    return {r['key']: () if r['shape'] == 'scalar' else tuple(map(int, r['shape'].split('×'))) for r in rows}


def original_state(config: str) -> dict[str, Tensor]:
    """Random weights of the original of a config: each tensor another one, variances positive."""
    shapes = key_list('cvt' if config == 'cvt' else 'cvt_io')
    size = {'cvt_io_v1_1': 10, 'cvt_io_v2_1': 10, 'cvt_io_v2_3': 10, 'cvt_io_v2_5': 3, 'cvt_io_v2_8': 3}.get(config, 5)
    if config != 'cvt':
        shapes['backbone.encoder.latent_array.learned_array'] = (128, size, size)
    if config == 'cvt_io_v2_3':  # six sets of weights
        block = {key.removeprefix(SHARED): shape for key, shape in shapes.items() if key.startswith(SHARED)}
        for i in range(6):
            shapes |= {f'backbone.encoder.self_attends.{i}.{key}': shape for key, shape in block.items()}
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.rand(shape, generator=generator) if shape else torch.tensor(1407) for key, shape in shapes.items()
    }


def foreign_classes() -> dict[str, type]:
    """Stand-ins for the classes whose objects such files hold, under their real names."""
    names = {
        'omegaconf.dictconfig': ('DictConfig', object),
        'omegaconf.listconfig': ('ListConfig', object),
        'omegaconf.base': ('ContainerMetadata', object),
        'pytorch_lightning.utilities.parsing': ('AttributeDict', dict),
    }
    return {module: type(name, (base,), {'__module__': module}) for module, (name, base) in names.items()}


def save_lightning(path: Path, state: dict[str, Tensor]) -> Path:
    """Writes a checkpoint as Lightning does, with settings, optimizer and loop states beside the weights."""
    classes = foreign_classes()
    packages = {'omegaconf', 'pytorch_lightning', 'pytorch_lightning.utilities'}
    modules = {name: types.ModuleType(name) for name in packages | set(classes)}
    for name, cls in classes.items():
        setattr(modules[name], cls.__name__, cls)
    config, items, metadata, attributes = (cls() for cls in classes.values())
    vars(config).update(_content={'lr': 4e-3, 'layers': items}, _metadata=metadata, _parent=None)
    vars(items).update(_content=[1, 2])
    attributes['cfg'] = config
    parameter = torch.nn.Parameter(torch.zeros(3))
    content = {
        'epoch': 14,
        'global_step': 30_000,
        'pytorch-lightning_version': '1.5.10',
        'state_dict': state,
        'callbacks': {'ModelCheckpoint': {'best_model_score': torch.tensor(0.3), 'dirpath': Path('logs')}},
        'optimizer_states': [torch.optim.AdamW([parameter]).state_dict()],
        'hyper_parameters': attributes,
    }
    with mock.patch.dict(sys.modules, modules):
        torch.save(content, path)
    return path
