"""Options that stand for several."""

from __future__ import annotations

import pytest

from projects.CVT_IO.cvt_io.engine.config import load_config, require_data
from projects.CVT_IO.cvt_io.labels.errors import DataError
from tests.tiny import REPO, TOY_CONFIG

CONFIG = str(REPO / 'configs/cvt_io_v2_2.py')


def test_data_root_moves_every_data_set():
    cfg = load_config(CONFIG, {'data_root': 'x', 'test_dataloader.dataset.data_root': 'y'})
    roots = [cfg[f'{split}_dataloader'].dataset.data_root for split in ('train', 'val', 'test')]
    assert roots == ['x', 'x', 'y'] and cfg.data_root == 'x'


def test_max_iters_moves_the_schedule():
    cfg = load_config(CONFIG, {'max_iters': 70})
    assert (cfg.train_cfg.max_iters, cfg.param_scheduler.total_steps) == (70, 71)


def test_without_workers_none_persist():
    cfg = load_config(CONFIG, {'train_dataloader.num_workers': 0})
    assert not cfg.train_dataloader.persistent_workers and cfg.val_dataloader.persistent_workers


def test_work_dir():
    assert load_config(CONFIG).work_dir == 'work_dirs/cvt_io_v2_2'
    assert load_config(CONFIG, {'work_dir': 'a'}).work_dir == 'a'
    assert load_config(CONFIG, {'work_dir': 'a'}, 'b').work_dir == 'b'


def test_missing_data_names_the_grid(tmp_path):
    cfg = load_config(str(TOY_CONFIG), {'data_root': str(tmp_path)})
    with pytest.raises(DataError, match=r'create_data\.py toy .*--bev-size 48 48 --bev-metres 48 48'):
        require_data(cfg, 'train_dataloader')


def test_validation_may_be_off(tmp_path):
    options = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None, 'data_root': str(tmp_path)}
    require_data(load_config(CONFIG, options), 'val_dataloader')
