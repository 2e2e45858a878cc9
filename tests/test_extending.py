"""The worked examples of docs/extending.md train and evaluate, taken from the page as they stand."""

from __future__ import annotations

import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet3d.registry import METRICS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from PIL import Image

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.layout import EXTRA_TAG, label_dir
from projects.CVT_IO.cvt_io.runtime.config import build_dataset, build_model, load_config

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs/extending.md').read_text()
FILES = dict(re.findall(r'^```python\n# (\S+\.py)\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with our configs and all files of the page, importable."""
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split('.')[0] == 'my_project']:
        monkeypatch.delitem(sys.modules, name)
    for registry, name in ((MODELS, 'MeanNeck'), (METRICS, 'RecallMetric')):
        registry.module_dict.pop(name, None)
    return tmp_path


def read(checkout: Path, name: str, data_root: Path) -> Config:
    options = {'data_root': str(data_root)}
    if 'init_cfg' in load_config(str(checkout / 'configs' / name)).model.backbone:
        options['model.backbone.init_cfg'] = None  # works offline
    cfg = load_config(str(checkout / 'configs' / name), options)
    for loader in ('train_dataloader', 'val_dataloader'):
        resize = next(step for step in cfg[loader].dataset.pipeline if step.type == 'CVTIOResizeCrop')
        resize.update(size=(64, 160), top_crop=16)  # small, to be quick
    return cfg


def train_and_evaluate(cfg: Config) -> tuple[torch.nn.Module, dict[str, float]]:
    """Gradients of one frame, then the metrics of one frame."""
    torch.manual_seed(0)
    model = build_model(cfg)
    dataset = build_dataset(cfg, 'train_dataloader')
    losses = model.train()(**model.data_preprocessor(pseudo_collate([dataset[0]]), training=True), mode='loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert math.isfinite(loss.item()) and loss > 0
    evaluator = Evaluator([METRICS.build(cfg.val_evaluator)])
    dataset = build_dataset(cfg, 'val_dataloader')
    evaluator.dataset_meta = dataset.metainfo
    with torch.no_grad():
        evaluator.process(model.eval().val_step(pseudo_collate([dataset[0]])))
    return model, evaluator.evaluate(1)


def has_gradient(module: torch.nn.Module) -> bool:
    return all(p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any() for p in module.parameters())


def test_label_group(checkout: Path, toy_root: Path) -> None:
    cfg = read(checkout, 'cvt_io_v2_2_people.py', toy_root)
    model, metrics = train_and_evaluate(cfg)
    assert [*metrics] == [f'people/IoU@{t}{suffix}' for suffix in ('', '_all_pixels') for t in ('0.40', '0.50')]
    assert [group.classes for group in model.head.groups] == [(9, 11, 10)]
    assert cfg.default_hooks.checkpoint.save_best in metrics


def test_neck(checkout: Path, toy_root: Path) -> None:
    model, metrics = train_and_evaluate(read(checkout, 'mean_neck.py', toy_root))
    assert type(model.neck).__name__ == 'MeanNeck' and has_gradient(model.neck)
    assert 'vehicle/IoU@0.50' in metrics


@pytest.mark.parametrize(
    ('name', 'shapes'),
    [
        ('cvt_io_v2_2_r50.py', [(1, 256, 56, 120), (1, 1024, 14, 30)]),
        ('cvt_io_v3_r50.py', [(1, 512, 28, 60), (1, 1024, 14, 30)]),
    ],
)
def test_backbone(checkout: Path, toy_root: Path, name: str, shapes: list) -> None:
    model, metrics = train_and_evaluate(read(checkout, name, toy_root))
    assert type(model.backbone).__name__ == 'ResNet' and has_gradient(model.backbone.layer3)
    assert [tuple(f.shape) for f in model.backbone(torch.zeros(1, 3, 224, 480))] == shapes
    assert 'vehicle/IoU@0.50' in metrics


def test_metric(checkout: Path, toy_root: Path) -> None:
    metric = METRICS.build(read(checkout, 'cvt_io_v2_2_recall.py', toy_root).val_evaluator)
    counts = torch.zeros(1, 2, 2, 3, dtype=torch.int64)
    counts[0, 0, 1] = torch.tensor([3, 5, 1])  # TP, FP, FN at 0.5
    metrics = metric.compute_metrics([counts, counts])
    assert metrics['vehicle/recall@0.50'] == 0.75
    assert metrics['vehicle/recall@0.40'] == 0
    assert metrics['vehicle/IoU@0.50'] == pytest.approx(6 / 18)


def test_data_source(checkout: Path, tmp_path: Path) -> None:
    from my_project.convert import convert

    root = tmp_path / 'drive'
    root.mkdir()
    Image.fromarray(np.full((60, 80, 3), 128, np.uint8)).save(root / '0.png')
    vehicles = np.zeros((200, 200), bool)
    vehicles[40:48, 90:94] = True
    camera_axes = [[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.5], [1.0, 0.0, 0.0, -1.7], [0.0, 0.0, 0.0, 1.0]]
    intrinsics = [[50.0, 0.0, 40.0], [0.0, 50.0, 30.0], [0.0, 0.0, 1.0]]
    image = dict(camera='front', path='0.png', width=80, height=60, intrinsics=intrinsics, cam_from_ego=camera_axes)
    frame = dict(scene='drive', timestamp=0, world_from_ego=np.eye(4).tolist(), images=[image], vehicles=vehicles)
    for split in ('train', 'val'):
        convert([dict(frame, token=split)], root, split, ['front'])
    assert (label_dir(root, EXTRA_TAG, BEVGrid()) / 'drive/train.png').is_file()

    cfg = read(checkout, 'cvt_io_v2_2_mine.py', root)
    item = build_dataset(cfg, 'train_dataloader')[0]
    label = item['data_samples'].gt_bev
    assert item['inputs']['imgs'].shape == (1, 3, 64, 160)
    assert label.classes[4].numpy().astype(bool).tolist() == vehicles.tolist() and label.classes.sum() == vehicles.sum()
    _, metrics = train_and_evaluate(cfg)
    assert 'vehicle/IoU@0.50' in metrics


def test_every_file_of_the_page_is_used() -> None:
    source = Path(__file__).read_text()
    modules = {name for name in FILES if name.startswith('my_project/')}
    assert len(FILES) == 9 and len(modules) == 3
    assert [name for name in set(FILES) - modules if Path(name).name not in source] == []
