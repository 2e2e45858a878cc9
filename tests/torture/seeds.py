"""Small valid files of every kind that is read."""

from __future__ import annotations

import io
import json
import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import openvino
import torch
from PIL import Image

from projects.CVT_IO.cvt_io.deploy.graph import GraphOptions
from projects.CVT_IO.cvt_io.deploy.info import GraphInfo
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.codec import StoredLabel, encode_label
from projects.CVT_IO.cvt_io.labels.description import CAMERAS, DatasetDescription
from projects.CVT_IO.cvt_io.labels.frame import Camera, Frame
from projects.CVT_IO.cvt_io.labels.infos import write_infos
from projects.CVT_IO.cvt_io.runtime.config import load_config
from tests.tiny import TOY_CONFIG

GRID = BEVGrid((8, 8), (8.0, 8.0))
_INTRINSICS = [[20.0, 0.0, 16.0], [0.0, 20.0, 12.0], [0.0, 0.0, 1.0]]
#: x ahead, y left, z up → x right, y down, z ahead.
_CAM_FROM_EGO = [[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.5], [1.0, 0.0, 0.0, -1.0], [0.0, 0.0, 0.0, 1.0]]
_EGO_FROM_CAM = [[0.0, 0.0, 1.0, 1.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 1.5], [0.0, 0.0, 0.0, 1.0]]
_EYE = np.eye(4).tolist()


def infos(folder: Path) -> list[bytes]:
    """Our infos: a split with two frames of two cameras."""
    add_images(folder)
    cameras = tuple(
        Camera(name, f'{name}.jpg', 32, 24, np.array(_INTRINSICS), np.array(_CAM_FROM_EGO)) for name in CAMERAS
    )
    frames = [Frame(token, 'scene-0001', 'town', 1, np.eye(4), cameras, ()) for token in ('first', 'second')]
    path = folder / 'seed.json'
    write_infos(path, frames, DatasetDescription(version='v1.0-mini', cameras=CAMERAS), 'val')
    return [path.read_bytes()]


def rigs(folder: Path) -> list[bytes]:
    """Rig files, with either direction of the pose."""
    add_images(folder)
    return [
        json.dumps(
            {
                'cameras': {name: {'intrinsics': _INTRINSICS, key: pose} for name in CAMERAS},
                'frames': [{'token': 'first', 'scene': 'drive', 'images': {name: f'{name}.jpg' for name in CAMERAS}}],
            }
        ).encode()
        for key, pose in (('cam_from_ego', _CAM_FROM_EGO), ('ego_from_cam', _EGO_FROM_CAM))
    ]


def labels(folder: Path) -> list[bytes]:
    """Label files, with and without vehicles."""
    instances = np.zeros(GRID.size, np.uint16)
    empty = StoredLabel(instances, instances, [], GRID)
    instances = instances.copy()
    instances[2:4, 3:5], instances[6, 6] = 1, 2
    full = StoredLabel((instances > 0).astype(np.uint16) * 5, instances, [(3.5, 2.5, 4), (6.0, 6.0, 1)], GRID, 'abc')
    return [encode_label(label) for label in (empty, full)]


def images(folder: Path) -> list[bytes]:
    """Images as cameras have them and as they may come: JPEG of several kinds, PNG, GIF, BMP."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
    kinds: list[tuple[Image.Image, dict[str, Any]]] = [
        (image, dict(format='JPEG')),
        (image, dict(format='JPEG', progressive=True)),
        (image.convert('L'), dict(format='JPEG')),
        (image.convert('CMYK'), dict(format='JPEG')),
        (image, dict(format='PNG')),
        (image.convert('P'), dict(format='GIF')),
        (image, dict(format='BMP')),
    ]
    return [_saved(picture, options) for picture, options in kinds]


def add_images(folder: Path) -> None:
    """The images that infos and rigs name."""
    for name in CAMERAS:
        (folder / f'{name}.jpg').write_bytes(images(folder)[0])


def graphs(folder: Path) -> list[bytes]:
    """An ONNX graph of one operator with the metadata of an exported model."""
    value = onnx.helper.make_tensor_value_info('x', onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node('Identity', ['x'], ['y'])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], 'g', [value], [value]))
    info = GraphInfo.from_config(load_config(str(TOY_CONFIG)), GraphOptions())
    onnx.helper.set_model_props(model, info.to_metadata())
    return [model.SerializeToString()]


def irs(folder: Path) -> list[bytes]:
    """The same graph as OpenVINO's IR; its weights stay next to where the readers find it."""
    (folder / 'x.onnx').write_bytes(graphs(folder)[0])
    openvino.save_model(openvino.convert_model(folder / 'x.onnx'), folder / 'x.xml')
    return [(folder / 'x.xml').read_bytes()]


def _saved(image: Image.Image, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def checkpoints(folder: Path) -> list[bytes]:
    """Files of torch.save: mmengine's keys, a plain state dict, and the format before PyTorch 1.6."""
    state = OrderedDict(weight=torch.arange(6.0).view(2, 3), half=torch.ones(3).half(), count=torch.tensor(7))
    content = {
        'meta': {'iter': 5, 'cfg': 'a = 1', 'dataset_meta': {'classes': ('a', 'b')}},
        'state_dict': state,
        'optimizer': {'state': {0: {'step': torch.tensor(5.0)}}, 'param_groups': [{'lr': 1e-3, 'params': [0]}]},
    }
    return [_torch_saved(content), _torch_saved(state), _torch_saved(state, _use_new_zipfile_serialization=False)]


def _torch_saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


#: Of each rule of the conversion one.
_ORIGINAL = (
    'encoder.backbone.layers.0.0.weight', 'encoder.backbone.layers.1.0._bn1.weight',
    'encoder.latent_array.learned_array', 'encoder.cross_views.0.cross_attend.to_q.0.weight',
    'encoder.self_attends.0.x', 'decoder.layers.0.x', 'to_logits.0.x',
)  # fmt: skip


def originals(folder: Path) -> list[bytes]:
    """A Lightning checkpoint with objects of classes that are not here, views, and a parameter; and its state alone."""
    state = {f'backbone.{name}': torch.arange(6.0).view(2, 3) for name in _ORIGINAL}
    foreign = type('AttributeDict', (dict,), {'__module__': 'pytorch_lightning.utilities.parsing'})
    name = foreign.__module__
    module = types.ModuleType(name)
    module.AttributeDict = foreign  # type: ignore[attr-defined]
    content = {
        'epoch': 14,
        'pytorch-lightning_version': '1.5.10',
        'state_dict': state,
        'callbacks': {'ModelCheckpoint': {'dirpath': Path('logs')}},
        'optimizer_states': [{'state': {}, 'lr': torch.arange(6.0).view(2, 3)[:, ::2]}],
        'hyper_parameters': foreign(lr=4e-3),
        'parameter': torch.nn.Parameter(torch.zeros(3)),
    }
    with mock.patch.dict(sys.modules, {name: module, 'pytorch_lightning': types.ModuleType('pytorch_lightning')}):
        return [_torch_saved(content), _torch_saved(state)]


def mmdet3d_trees() -> list[dict[str, Any]]:
    """What mmdet3d's info files hold: with lists as its tools write them, and with arrays."""
    images = {
        name: {'img_path': f'{name}.jpg', 'cam2img': _INTRINSICS, 'cam2ego': _EGO_FROM_CAM, 'lidar2cam': _CAM_FROM_EGO}
        for name in CAMERAS
    }
    entry = {'sample_idx': 0, 'token': 'first', 'ego2global': _EYE, 'images': images}
    arrays = entry | {
        'ego2global': np.eye(4, dtype=np.float32),
        'lidar_points': {'lidar2ego': np.eye(4, dtype='>f8')},
        'images': {name: image | {'cam2img': np.array(_INTRINSICS)} for name, image in images.items()},
        'timestamp': np.float64(1.5),
    }
    return [
        {'metainfo': {'dataset': 'nuscenes'}, 'data_list': [entry | {'lidar_points': {'lidar2ego': _EYE}}]},
        {'metainfo': {'dataset': 'nuscenes'}, 'data_list': [entry, arrays]},
    ]


def mmdet3d_pickles(folder: Path) -> list[bytes]:
    """Info pickles by several protocols."""
    add_images(folder)
    return [pickle.dumps(tree, protocol) for tree in mmdet3d_trees() for protocol in (0, 2, 4, 5)]
