"""mmengine's data set wrappers around ours, in every loader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.datasets.wrappers import first_part, parts_of
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels.description import DatasetDescription
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert
from projects.CVT_IO.cvt_io.runtime.config import build_dataset, load_config, require_data
from projects.CVT_IO.toy_world import generate_toy_world
from tests.tiny import TINY_GRID, TINY_OPTIONS, TOY_CONFIG, as_arguments
from tests.tools.in_process import run_tool

PARTS = """
_base_ = '{base}'
train = dict(type='CVTIONuScenesDataset', data_root='{world}', ann_file='cvt_io_infos_train.json',
             bev_grid={{{{_base_.bev_grid}}}}, pipeline={{{{_base_.pipeline}}}})
other = dict(train, data_root='{other}')
val = dict(train, ann_file='cvt_io_infos_val.json', test_mode=True)
train_dataloader = dict(dataset=dict(_delete_=True, {train}))
val_dataloader = dict(dataset=dict(_delete_=True, {val}))
test_dataloader = val_dataloader
"""
CONCAT = "type='ConcatDataset', datasets=[train, other]"
BOTH_VAL = "type='ConcatDataset', datasets=[val, dict(val, data_root='{other}')]"
WRAPPED = {
    'concatenated': (CONCAT, BOTH_VAL, 12, 6),
    'repeated': ("type='RepeatDataset', times=2, dataset=train", "type='RepeatDataset', times=2, dataset=val", 12, 6),
    'balanced': ("type='ClassBalancedDataset', oversample_thr=1.0, dataset=train", '**val', None, 3),
    'nested': (f"type='CVTIOSeededDataset', dataset=dict(type='RepeatDataset', times=3, dataset=dict({CONCAT}))",
               '**val', 36, 3),
}  # fmt: skip


@pytest.fixture(scope='module')
def other(tmp_path_factory) -> Path:
    """Another world, without map."""
    root = tmp_path_factory.mktemp('other') / 'world'
    generate_toy_world(root, scenes=3, frames=3, image_size=(90, 160), seed=7, progress=False)
    convert(root, DatasetDescription(name='other', version='v1.0-mini', map=False), grid=TINY_GRID, progress=False)
    return root


def write_config(folder: Path, world: Path, other: Path, train: str, val: str) -> Path:
    path = folder / 'wrapped.py'
    val = val.replace('{other}', str(other))
    path.write_text(PARTS.format(base=TOY_CONFIG, world=world, other=other, train=train, val=val))
    return path


@pytest.mark.parametrize('name', WRAPPED)
def test_trained_validated_and_tested(toy_root, other, tmp_path, name):
    train, val, train_frames, val_frames = WRAPPED[name]
    config = write_config(tmp_path, toy_root, other, train, val)
    cfg = load_config(str(config))
    lengths = [len(build_dataset(cfg, f'{loader}_dataloader')) for loader in ('train', 'val')]
    assert lengths[1] == val_frames and (lengths[0] == train_frames or (train_frames is None and lengths[0] > 6))
    short = TINY_OPTIONS | {'train_cfg.max_iters': 2, 'param_scheduler.total_steps': 3}
    words = ('--work-dir', tmp_path / 'work', '--cfg-options', *as_arguments(short))
    assert run_tool('tools/train.py', config, *words) is None
    out = tmp_path / 'work/result.json'
    show = ('--out', out, '--show-dir', 'panels')
    assert run_tool('tools/test.py', config, tmp_path / 'work/iter_2.pth', *show, *words) is None
    assert 0 <= json.loads(out.read_text())['vehicle/IoU@0.50'] <= 1
    assert [*tmp_path.glob('work/*/panels/*.png')]


def test_repeated_validation_frames_count_once(toy_root, other, tmp_path):
    checkpoint, results = None, []
    short = TINY_OPTIONS | {'train_cfg.max_iters': 1, 'param_scheduler.total_steps': 2}
    for times in (1, 3):
        val = f"type='RepeatDataset', times={times}, dataset=val"
        config = write_config(tmp_path, toy_root, other, '**train', val)
        words = ('--work-dir', tmp_path / f'{times}', '--cfg-options', *as_arguments(short))
        if checkpoint is None:
            assert run_tool('tools/train.py', config, *words) is None
            checkpoint = tmp_path / '1/iter_1.pth'
        out = tmp_path / f'{times}.json'
        assert run_tool('tools/test.py', config, checkpoint, '--out', out, *words) is None
        scores = json.loads(out.read_text())
        results.append({key: value for key, value in scores.items() if 'IoU' in key})
    assert results[0] == results[1] and results[0]


def test_each_part_is_checked_at_the_start(toy_root, other, tmp_path):
    cfg = load_config(str(write_config(tmp_path, toy_root, tmp_path / 'nowhere', CONCAT, '**val')))
    with pytest.raises(DataError, match=r'nowhere/cvt_io_infos_train\.json: no prepared data'):
        require_data(cfg, 'train_dataloader')
    config = write_config(tmp_path, toy_root, other, CONCAT, '**val')
    with config.open('a') as file:
        file.write("label_groups = dict(_delete_=True, vehicle=dict(classes=['lane']))\n")
    with pytest.raises(DataError, match=r'infos_train\.json: label group vehicle: expected labels with lane'):
        require_data(load_config(str(config)), 'train_dataloader')


def test_parts_of_configs_and_data_sets(toy_root, other, tmp_path):
    nested = WRAPPED['nested'][0]
    cfg = load_config(str(write_config(tmp_path, toy_root, other, nested, '**val')))
    roots = [str(toy_root), str(other)]
    assert [part.data_root for part in parts_of(cfg.train_dataloader.dataset)] == roots
    dataset = build_dataset(
        load_config(str(write_config(tmp_path, toy_root, other, CONCAT, '**val'))), 'train_dataloader'
    )
    assert [part.data_root for part in parts_of(dataset)] == roots
    assert first_part(dataset).get_cat_ids(0) and first_part(first_part(dataset)) is first_part(dataset)
