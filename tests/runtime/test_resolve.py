"""Settings that are given once reach every place, and contradictions are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS

from projects.CVT_IO.cvt_io.errors import ConfigError
from projects.CVT_IO.cvt_io.runtime import shared_settings
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config
from projects.CVT_IO.cvt_io.runtime.resolve import resolve_config
from projects.CVT_IO.cvt_io.runtime.runner import CVTIORunner
from tests.tiny import REPO

CONFIG = REPO / 'configs/cvt_io_v2_2.py'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
EVALUATORS = ('val_evaluator', 'test_evaluator')
GRID = dict(size=[50, 60], metres=[50.0, 60.0])
PEDESTRIAN = dict(pedestrian=dict(classes=['pedestrian']))
#: The head's centre output is the vehicles'.
NO_CENTER = 'model = dict(head=dict(center_group=None, loss_center=None))\n'


@pytest.fixture
def leaf(tmp_path):
    """Writes a config on top of another one."""

    def write(text: str, base: Path = CONFIG, name: str = 'leaf.py') -> Path:
        path = tmp_path / name
        path.write_text(f'_base_ = [{str(base)!r}]\n{text}\n')
        return path

    return write


def places(cfg: Config) -> dict[str, list]:
    """The values of each setting at all places that read it."""
    datasets = [cfg[loader].dataset for loader in LOADERS]
    return dict(
        data_root=[dataset.data_root for dataset in datasets],
        pipeline=[len(dataset.pipeline) for dataset in datasets],
        image_size=[[*dataset.pipeline[1]['size']] for dataset in datasets],
        bev_grid=[[*grid['size']] for grid in (cfg.model.neck.bev_grid, *(dataset.bev_grid for dataset in datasets))],
        label_groups=[[*part.label_groups] for part in (cfg.model.head, *(cfg[name] for name in EVALUATORS))],
        max_iters=[cfg.train_cfg.max_iters, cfg.param_scheduler.total_steps - 1],
    )


SETTINGS = {
    'data_root': ("data_root = 'here'", 'here'),
    'pipeline': ("pipeline = [*_base_.pipeline[:3], dict(type='CVTIOStrongAugment'), _base_.pipeline[3]]", 5),
    'image_size': ('image_size = (112, 240)', [112, 240]),
    'bev_grid': (f'bev_grid = {GRID}', [50, 60]),
    'label_groups': (f'label_groups = dict(_delete_=True, **{PEDESTRIAN})\n{NO_CENTER}', ['pedestrian']),
    'max_iters': ('max_iters = 70', 70),
}


@pytest.mark.parametrize('setting', SETTINGS)
def test_leaf_sets_once(leaf, setting, capsys):
    text, expected = SETTINGS[setting]
    cfg = load_config(str(leaf(text)))
    before = places(load_config(str(CONFIG)))
    found = places(cfg)
    assert found.pop(setting) == [expected] * len(before.pop(setting)) and found == before
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if f'leaf.py: {setting} = ' in line and ' also ' in line] == told != []


@pytest.mark.parametrize('setting', SETTINGS)
def test_leaf_of_a_leaf_inherits(leaf, setting):
    parent = leaf(SETTINGS[setting][0], name='parent.py')
    assert places(load_config(str(leaf('', parent)))) == places(load_config(str(parent)))


OPTIONS = [
    ('data_root', {'data_root': 'here'}, 'here'),
    ('image_size', {'image_size': [112, 240]}, [112, 240]),
    ('bev_grid', {'bev_grid.size': [50, 60]}, [50, 60]),
    ('label_groups', {'label_groups.pedestrian.classes': ['pedestrian']}, ['vehicle', 'pedestrian']),
    ('max_iters', {'max_iters': 70}, 70),
]


@pytest.mark.parametrize(('setting', 'options', 'expected'), OPTIONS)
def test_option_sets_once(setting, options, expected, capsys):
    found = places(load_config(str(CONFIG), options))
    before = places(load_config(str(CONFIG)))
    assert found.pop(setting) == [expected] * len(before.pop(setting)) and found == before
    assert capsys.readouterr().err == ''  # it is what was asked for


def test_option_for_a_step_of_every_pipeline():
    cfg = load_config(str(CONFIG), {'pipeline.1.top_crop': 23})
    assert [cfg[loader].dataset.pipeline[1].top_crop for loader in LOADERS] == [23] * 3


def test_option_overrides_what_a_leaf_keeps_apart():
    """Also where it is the base's own value."""
    augmented = REPO / 'configs/cvt_io_v2_2_augmented.py'
    assert places(load_config(str(augmented)))['pipeline'] == [6, 4, 4]
    assert places(load_config(str(augmented), {'pipeline.1.top_crop': 46}))['pipeline'] == [4, 4, 4]


def test_own_place_wins_over_the_top_level(leaf):
    path = leaf("data_root = 'here'\ntest_dataloader = dict(dataset=dict(data_root='there'))")
    assert places(load_config(str(path)))['data_root'] == ['here', 'here', 'there']
    options = {'data_root': 'x', 'val_dataloader.dataset.data_root': 'y'}
    assert places(load_config(str(path), options))['data_root'] == ['x', 'y', 'x']


def test_places_given_without_the_top_level(leaf):
    """A config that sets every place, as in stock mmdet3d, overrides the base's top-level key."""
    texts = [f"{loader} = dict(dataset=dict(data_root='here'))" for loader in LOADERS]
    cfg = load_config(str(leaf('\n'.join(texts))))
    assert places(cfg)['data_root'] == ['here'] * 3 and cfg.data_root == 'here'
    cfg = load_config(str(CONFIG), {'train_cfg.max_iters': 70})
    assert places(cfg)['max_iters'] == [70, 70] and cfg.max_iters == 70


def test_pipeline_of_one_loader_in_a_variable_of_that_name(leaf):
    text = "pipeline = [*_base_.pipeline[:3], dict(type='CVTIOStrongAugment'), _base_.pipeline[3]]"
    path = leaf(f'{text}\ntrain_dataloader = dict(dataset=dict(pipeline=pipeline))')
    assert places(load_config(str(path)))['pipeline'] == [5, 4, 4]


def test_wrapped_data_set(leaf):
    inner = "dict(type='CVTIONuScenesDataset', ann_file='a.json', data_root='old', bev_grid=_base_.bev_grid)"
    outer = f"dict(_delete_=True, type='ConcatDataset', datasets=[{inner}])"
    cfg = load_config(str(leaf(f'train_dataloader = dict(dataset={outer})')), {'data_root': 'here', 'bev_grid': GRID})
    (dataset,) = cfg.train_dataloader.dataset.datasets
    assert dataset.data_root == 'here' and dataset.bev_grid == GRID


def test_config_without_a_base_follows_its_top_level(tmp_path):
    path = tmp_path / 'dumped.py'
    load_config(str(CONFIG)).dump(str(path))
    text = re.sub('^data_root ?=.*', "data_root = 'here'", path.read_text(), flags=re.MULTILINE)
    path.write_text(re.sub('^max_iters ?=.*', 'max_iters = 70', text, flags=re.MULTILINE))
    found = places(load_config(str(path)))
    assert found['data_root'] == ['here'] * 3 and found['max_iters'] == [70, 70]


@pytest.mark.parametrize('options', [{}, {'data_root': 'x'}, {'max_iters': 70, 'param_scheduler.total_steps': 100_001}])
def test_resolving_again_changes_nothing(options):
    cfg = load_config(str(CONFIG), options)
    before = cfg.to_dict()
    assert resolve_config(cfg).to_dict() == before


def test_change_of_a_resolved_config():
    cfg = load_config(str(CONFIG))
    cfg.label_groups = PEDESTRIAN
    resolve_config(cfg)
    assert places(cfg)['label_groups'] == [['pedestrian']] * 3
    assert cfg.default_hooks.checkpoint.save_best == 'pedestrian/IoU@0.50'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'model.head.label_groups.car.classes': ['car']},
            r'model\.head\.label_groups and val_evaluator\.label_groups contradict each other \(.*car.*\): '
            'set label_groups once, at the top level',
        ),
        (
            {'test_evaluator.label_groups.vehicle.classes': ['car']},
            r'model\.head\.label_groups and test_evaluator\.label_groups contradict each other',
        ),
        (
            {'val_dataloader.dataset.bev_grid.size': (50, 50)},
            r'model\.neck\.bev_grid and val_dataloader\.dataset\.bev_grid contradict each other .* set bev_grid once',
        ),
        (
            {'bev_grid.size': (50, 50), 'model.neck.bev_grid.size': (60, 60)},
            r'model\.neck\.bev_grid and train_dataloader\.dataset\.bev_grid contradict',
        ),
        ({'label_groups.vehicle.classes': ['car', 'car']}, r'label_groups\.vehicle\.classes: expected each class once'),
        ({'label_groups.vehicle.classes': ['cat']}, r'label_groups\.vehicle: expected classes \(some of lane, '),
        ({'max_iters': 0}, 'max_iters: expected a whole number'),
    ],
)
def test_contradiction_is_refused(options, message):
    with pytest.raises(ConfigError, match=f'^{CONFIG}: .*{message}') as error:
        load_config(str(CONFIG), options)
    assert '\n' not in str(error.value)


def test_loss_may_mask_other_pixels_than_the_metric():
    cfg = load_config(str(CONFIG), {'model.head.label_groups.vehicle.min_visibility': 0})
    assert [part.label_groups.vehicle.min_visibility for part in (cfg.model.head, cfg.val_evaluator)] == [0, 2]


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({}, 'vehicle/IoU@0.50'),
        ({'val_evaluator.thresholds': [0.3, 0.45]}, 'vehicle/IoU@0.30'),
        ({'val_evaluator.prefix': 'val'}, 'val/vehicle/IoU@0.50'),
        ({'val_evaluator.type': 'Other'}, 'auto'),
        ({'default_hooks.checkpoint.save_best': None}, None),
        ({'default_hooks.checkpoint.save_best': ['vehicle/IoU@0.40_all_pixels']}, ['vehicle/IoU@0.40_all_pixels']),
        ({'default_hooks.checkpoint': None}, None),
    ],
)
def test_best_checkpoint_follows_the_task(options, expected):
    hook = load_config(str(CONFIG), options).default_hooks.checkpoint
    assert (hook and hook.save_best) == expected and (hook is None or hook.rule == 'greater')


@pytest.mark.parametrize('name', ['cvt_road', 'cvt_io_v2_2_joint'])
def test_best_checkpoint_of_other_tasks(name):
    cfg = load_config(str(REPO / f'configs/{name}.py'))
    assert cfg.default_hooks.checkpoint.save_best == f'{next(iter(cfg.label_groups))}/IoU@0.50'


def test_best_checkpoint_by_an_unknown_metric():
    with pytest.raises(ConfigError, match=r"save_best: expected 'auto' or one of .*vehicle/IoU@0\.50.*found 'road/"):
        load_config(str(CONFIG), {'default_hooks.checkpoint.save_best': 'road/IoU@0.50'})


def test_center_output_of_another_task_names_the_way_out():
    cfg = load_config(str(CONFIG), {'label_groups._delete_': True, 'label_groups.bus.classes': ['bus']})
    with pytest.raises(ConfigError, match=r"center_group='vehicle': .*\['bus'\].* center_group=None"):
        build_model(cfg)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'model.backbone.arch': 'b2'}, r'in_channels: expected \(24, 88\), the channels of this backbone, found'),
        ({'model.backbone.out_blocks': (2, 10, 20)}, r'in_channels: expected \(32, 112, 160\)'),
    ],
)
def test_neck_that_does_not_take_the_backbones_channels(options, message):
    with pytest.raises(ConfigError, match=f'^{CONFIG}: model.neck.{message}'):
        build_model(load_config(str(CONFIG), options))


def test_documented_settings():
    table = re.findall(r'^\| `(\w+)` \| .* \| (yes|no|in .* only) \|$', (REPO / 'docs/configs.md').read_text(), re.M)
    assert table == [
        (setting.key, {None: 'yes', shared_settings._grid: 'no'}.get(setting.agreement, 'in `min_visibility` only'))
        for setting in shared_settings.SETTINGS
    ]


class SettingsError(Exception):
    """Carries what a Runner would have been built from."""


def test_stock_tools_resolve_too(leaf, monkeypatch):
    """What mmdet3d's tools do: read, merge their options, look the runner up."""

    def caught(self, **settings):
        raise SettingsError(settings)

    monkeypatch.setattr(CVTIORunner, '__init__', caught)
    cfg = Config.fromfile(leaf(f'bev_grid = {GRID}'))
    cfg.merge_from_dict({'data_root': 'here', 'test_dataloader.dataset.data_root': 'there'})
    cfg.work_dir = 'work'
    with pytest.raises(SettingsError) as error:
        RUNNERS.build(cfg)
    (settings,) = error.value.args
    assert [settings[loader].dataset.data_root for loader in LOADERS] == ['here', 'here', 'there']
    assert settings['model'].neck.bev_grid == settings['val_dataloader'].dataset.bev_grid == GRID
