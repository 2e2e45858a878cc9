"""Options that stand for several, and one clear line about everything that is wrong with a config."""

from __future__ import annotations

import argparse

import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import ConfigError, build_dataset, build_model, load_config, require_data
from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG

CONFIG = str(REPO / 'configs/cvt_io_v2_2.py')


def test_without_workers_none_persist():
    cfg = load_config(CONFIG, {'train_dataloader.num_workers': 0})
    assert not cfg.train_dataloader.persistent_workers and cfg.val_dataloader.persistent_workers


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [((), 'work_dirs/cvt_io_v2_2'), (({'work_dir': 'a'},), 'a'), (({'work_dir': 'a'}, 'b'), 'b')],
)
def test_work_dir(arguments, expected):
    assert load_config(CONFIG, *arguments).work_dir == expected


def test_missing_data_names_the_grid(tmp_path):
    cfg = load_config(str(TOY_CONFIG), {'data_root': str(tmp_path)})
    with pytest.raises(DataError, match=r'create_data\.py toy .*--bev-size 48 48 --bev-metres 48 48'):
        require_data(cfg, 'train_dataloader')


def test_validation_may_be_off(tmp_path):
    options = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None, 'data_root': str(tmp_path)}
    require_data(load_config(CONFIG, options), 'val_dataloader')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = (1,\n', 'SyntaxError: .* line 1'),
        ('a = b', "NameError: name 'b' is not defined"),
        ("_base_ = ['gone.py']", r"FileNotFoundError: .*gone\.py'"),
        ("custom_imports = dict(imports=['gone'], allow_failed_imports=False)", 'ImportError: Failed to import gone$'),
        ('a = 1', 'model: expected a dict with a type, found None$'),
        ("model = dict(type='A')", 'expected one of train_dataloader, val_dataloader, test_dataloader, found none$'),
        ("model = dict(type='A')\nval_dataloader = 3", r'val_dataloader\.dataset: expected a dict with a type'),
    ],
)
def test_broken_config_is_one_line(tmp_path, text, message):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf'(?s)^{path}.*: {message}') as error:
        load_config(str(path))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('none.py', None, 'no such config'),
        ('.', None, 'no such config'),
        ('x.txt', 'hello', 'Only py/yml'),
        ('x.json', '[1, 2', 'JSON'),
    ],
)
def test_no_config(tmp_path, name, text, message):
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=f'{tmp_path / name}.*: .*{message}'):
        load_config(str(tmp_path / name))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'model.neck.depth.x': 3}, 'depth is a dict in the child config'),
        ({'train_dataloader.dataset.pipeline.9.type': 'A'}, 'Index 9 exceeds'),
        ({'model': 3}, 'model: expected a dict with a type, found 3'),
        ({'train_dataloader': 3}, 'train_dataloader.dataset: expected a dict with a type'),
        ({'max_iters': 3.5}, 'max_iters: expected a whole number, got 3.5'),
    ],
)
def test_option_that_does_not_fit(options, message):
    with pytest.raises(ConfigError, match=f'{CONFIG}: .*{message}'):
        load_config(CONFIG, options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'model.neck.depht': 3}, "model: TypeError: .*CVTIOLatentNeck.* argument 'depht'"),
        ({'model.neck.type': 'Foo'}, 'model: KeyError: Foo is not in the mmdet3d::model registry'),
        (
            {'model': dict(type='CVTIOFocalLoss', _delete_=True)},
            'model: expected a CVTIOSegmentor, found CVTIOFocalLoss',
        ),
        ({'model.backbone.arch': 'b99'}, 'model: ValueError: backbone.arch: expected one of'),
    ],
)
def test_wrong_model(options, message):
    with pytest.raises(ConfigError, match=f'{TOY_CONFIG}: {message}'):
        build_model(load_config(str(TOY_CONFIG), options))


def test_model_is_the_configs():
    model = build_model(load_config(str(TOY_CONFIG), TINY_OPTIONS))
    assert sum(p.numel() for p in model.neck.latent_array.parameters()) == 5 * 5 * 16  # latents × TINY_OPTIONS' dim


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'anfile': 3}, "TypeError: .* argument 'anfile'"),
        ({'type': 'Foo'}, 'KeyError: Foo is not in the mmdet3d::dataset registry'),
        ({'bev_grid.sise': 3}, 'ValueError: BEV grid: unknown keys'),
        ({'pipeline.1.sze': 3}, "TypeError: CVTIOResizeCrop.* argument 'sze'"),
    ],
)
def test_wrong_data_set(options, message):
    dataset = 'train_dataloader.dataset'
    cfg = load_config(CONFIG, {f'{dataset}.{key}': value for key, value in options.items()})
    with pytest.raises(ConfigError, match=f'{CONFIG}: {dataset}: {message}'):
        require_data(cfg, 'train_dataloader')


def test_no_data_loader():
    with pytest.raises(ConfigError, match=r'no val_dataloader$'):
        build_dataset(load_config(CONFIG, {'val_dataloader': None}), 'val_dataloader')


@pytest.mark.parametrize('word', ['novalue', 'a=[1,(2', 'a=1 novalue'])
def test_words_that_are_no_options(word, capsys):
    parser = argparse.ArgumentParser()
    cli.add_cfg_options(parser)
    assert parser.parse_args(['--cfg-options', 'a=1', 'b=x,y']).cfg_options == {'a': 1, 'b': ['x', 'y']}
    with pytest.raises(SystemExit, match='2'):
        parser.parse_args(['--cfg-options', *word.split()])
    assert f'error: argument --cfg-options: expected key=value …, got {word}\n' in capsys.readouterr().err
