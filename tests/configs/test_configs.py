"""Every shipped config builds, and the eleven of the notes are what the notes say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config

from projects.CVT_IO.cvt_io.runtime.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'

# name: all parameters, N, L, shared, lr. Parameters: by hand, backbone 340,160; an attention block 133,248; …; the
# figures are those of the notes' models, counted with all convolutions and bare parameters.
NOTES = {
    'cvt': (1_080_194, None, None, None, 4e-3),
    'cvt_io_v1_1': (1_359_618, 10, 6, True, 4e-3),
    'cvt_io_v2_1': (1_359_618, 10, 6, True, 4e-3),
    'cvt_io_v2_2': (1_350_018, 5, 6, True, 4e-3),
    'cvt_io_v2_3': (2_025_858, 10, 6, False, 4e-3),
    'cvt_io_v2_4': (2_025_858, 10, 6, False, 1e-3),
    'cvt_io_v2_5': (1_347_970, 3, 1, True, 4e-3),
    'cvt_io_v2_6': (1_350_018, 5, 12, True, 4e-3),
    'cvt_io_v2_7': (1_350_018, 5, 10, True, 2e-3),
    'cvt_io_v2_8': (1_347_970, 3, 6, True, 4e-3),
    'cvt_io_v2_9': (1_350_018, 5, 4, True, 4e-3),
}

# name: outputs, size of the BEV grid.
OTHERS = {
    'cvt_road': (1, (200, 200)),
    'cvt_io_v2_2_road': (1, (200, 200)),
    'cvt_io_v2_2_joint': (5, (200, 200)),
    'cvt_io_v2_2_100x50': (2, (400, 200)),
    'toy/cvt_io_v2_2_toy': (2, (48, 48)),
    'toy/cvt_toy': (2, (48, 48)),
    'cvt_io_v3_road': (1, (200, 200)),
    'cvt_io_v3_joint': (5, (200, 200)),
    'cvt_io_v3_b40': (2, (200, 200)),
} | {
    f'{folder}cvt_io_v3{part}{toy}': (2, size)
    for part in ('', '_no_lift', '_no_latents', '_no_gate')
    for folder, toy, size in (('', '', (200, 200)), ('toy/', '_toy', (48, 48)))
}


def build(name: str) -> tuple[Config, torch.nn.Module]:
    config = Config.fromfile(CONFIGS / f'{name}.py')
    return config, MODELS.build(config.model)


@pytest.mark.parametrize('name', NOTES)
def test_variant_is_the_notes(name):
    parameters, latents, passes, shared, rate = NOTES[name]
    config, model = build(name)
    assert sum(p.numel() for p in model.parameters()) == parameters
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (rate, 1e-7)
    assert config.optim_wrapper.clip_grad == dict(max_norm=5.0)
    assert (config.train_cfg.max_iters, config.param_scheduler.total_steps) == (100_000, 100_001)
    assert config.train_dataloader.batch_size == 10
    assert config.train_cfg.base_batch_size == config.auto_scale_lr.base_batch_size == 20
    assert config.randomness.seed == 2022
    if name != 'cvt':
        assert model.neck.latent_array.features.shape == (128, latents, latents)
        assert model.neck.process.depth == passes
        assert len(model.neck.process.self_attends) == (1 if shared else passes)
        assert model.neck.latents_per_camera == (name == 'cvt_io_v1_1')


@pytest.mark.parametrize('name', NOTES)
def test_toy_variant(name):
    """The same model with half the channels, a quarter of the rate, and the budget that all share."""
    full, (toy, _) = Config.fromfile(CONFIGS / f'{name}.py'), build(f'toy/{name}_toy')
    assert toy.optim_wrapper.optimizer.lr == full.optim_wrapper.optimizer.lr / 4
    changed = dict(in_channels=(24, 40), dim=64, head_dim=16, downsample=4, bev_grid=toy.bev_grid)
    assert toy.model.neck == full.model.neck | changed
    cvt = Config.fromfile(CONFIGS / 'toy/cvt_toy.py')
    assert {key for key in cvt if toy[key] != cvt[key]} <= {'model', 'optim_wrapper'} and toy.keys() == cvt.keys()


def test_every_variant_is_a_few_lines():
    for name in NOTES:
        lines = (CONFIGS / f'{name}.py').read_text().splitlines()
        assert sum(bool(line) and not line.startswith('#') for line in lines) <= 4, name


@pytest.mark.parametrize('name', OTHERS)
def test_other_settings(name):
    outputs, size = OTHERS[name]
    config, model = build(name)
    for loader in (config.train_dataloader, config.test_dataloader):
        assert tuple(loader.dataset.bev_grid['size']) == size
    images, intrinsics, poses = torch.rand(1, 2, 3, 64, 96), torch.eye(3).expand(1, 2, 3, 3), torch.eye(4)
    with torch.no_grad():
        logits = model.eval().bev_logits(images, intrinsics, poses.expand(1, 2, 4, 4))
    assert logits.shape == (1, outputs, *size)


def test_recipe_of_v3():
    """As many samples as in the notes' recipe, in steps of 40; all images and flips before packing, none in tests."""
    config, notes = (load_config(str(CONFIGS / f'{name}.py')) for name in ('cvt_io_v3_b40', 'cvt_io_v3'))
    train, base = config.train_cfg, notes.train_cfg
    assert train.max_iters * train.base_batch_size == base.max_iters * base.base_batch_size
    assert train.val_interval == config.default_hooks.checkpoint.interval == 28_130 // 40
    assert config.train_cfg.base_batch_size == config.auto_scale_lr.base_batch_size == 8 * 5
    steps = [step['type'] for step in config.train_dataloader.dataset.pipeline]
    assert steps[1:3] == ['CVTIOResizeCrop', 'CVTIOGeometricAugment'] and steps[-2:] == [
        *('CVTIORandomFlip', 'CVTIOPackInputs')
    ]
    assert config.model == notes.model and config.test_dataloader == notes.test_dataloader


def test_road_setting():
    config, model = build('cvt_road')
    assert config.train_cfg.max_iters == 75_001
    losses = [(name, loss.gamma, loss.loss_weight) for name, loss in model.head.losses.items()]
    assert losses == [('focal', 2.0, 1.0), ('bce', 0.0, 0.1)]
    (group,) = model.head.groups
    assert (group.classes, group.min_visibility) == ((0, 1), 0)
    assert model.head.center_group is None


def test_vehicle_setting():
    _, model = build('cvt_io_v2_2')
    (group,) = model.head.groups
    assert (group.classes, group.min_visibility) == ((4, 5, 6, 7, 8, 10, 11), 2)
    assert [(loss.gamma, loss.loss_weight) for loss in model.head.losses.values()] == [(2.0, 1.0)]
    assert (model.head.loss_center.gamma, model.head.loss_center.loss_weight) == (2.0, 0.1)


@pytest.mark.parametrize('path', sorted((CONFIGS / '_base_').glob('*/*.py')), ids=lambda path: path.stem)
def test_bases_are_independent(path):
    """A base inherits from its own kind alone, and a key is in one kind only."""
    others = set().union(*map(_keys, {*path.parents[1].glob('*/*.py')} - {*path.parent.glob('*.py')}))
    assert _keys(path) and not _keys(path) & others


def _keys(path: Path) -> set[str]:
    return set(Config.fromfile(path).keys())


@pytest.mark.parametrize('name', [*NOTES, *OTHERS])
def test_shipped_configs_need_no_resolving(name):
    """Their settings are at every place already, so that mmengine's plain Runner trains the same."""
    path = str(CONFIGS / f'{name}.py')
    plain, resolved = Config.fromfile(path).to_dict(), load_config(path).to_dict()
    assert plain['default_hooks']['checkpoint'].pop('save_best') == 'auto'
    del resolved['default_hooks']['checkpoint']['save_best'], resolved['work_dir']
    assert plain == resolved


@pytest.mark.parametrize(
    'path', sorted({*CONFIGS.rglob('*.py')} - {CONFIGS / '_base_/toy_1.py'}), ids=lambda path: path.stem
)
def test_schedule_ends_with_the_run(path):
    config = Config.fromfile(path)
    if 'max_iters' in config:
        assert config.max_iters == config.train_cfg.max_iters == config.param_scheduler.total_steps - 1


def test_augmentations_are_of_training_only():
    config = Config.fromfile(CONFIGS / 'cvt_io_v2_2_augmented.py')
    plain = Config.fromfile(CONFIGS / 'cvt_io_v2_2.py')
    types = [step['type'] for step in config.train_dataloader.dataset.pipeline]
    assert types[2:4] == ['CVTIOStrongAugment', 'CVTIOGeometricAugment']
    assert types[:2] + types[4:] == [step['type'] for step in plain.train_dataloader.dataset.pipeline]
    assert config.val_dataloader == plain.val_dataloader


def test_every_config_is_covered():
    found = {str(p.relative_to(CONFIGS).with_suffix('')) for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts}
    toys = {f'toy/{name}_toy' for name in NOTES}
    assert found == {*NOTES, *OTHERS, *toys, 'cvt_io_v2_2_augmented'}
