"""Export to ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from mmengine.config import Config

from ..runtime.config import build_model
from .extras import DeployError, require
from .graph import INPUTS, OUTPUT, GraphOptions, dynamic_shapes, trace
from .info import GraphInfo
from .opset17 import to_opset17

if TYPE_CHECKING:
    from onnx import ModelProto

DEFAULT_OPSET = 20  # the first with GELU
OPSETS = range(17, 26)
_LOWEST = 18  # PyTorch 2.13's exporter and version converter support 18 to 25
PLAIN = GraphOptions()
_LOUD = ('torch.onnx', 'torch.export', 'onnxscript', 'onnx_ir')


def export_onnx(
    cfg: Config, checkpoint: str | None, options: GraphOptions = PLAIN, opset: int = DEFAULT_OPSET
) -> bytes:
    """Exports a model and returns the content of the ONNX file.

    Inputs are ``imgs`` (b, n, 3, H, W), ``intrinsics`` (b, n, 3, 3) and ``cam_from_ego`` (b, n, 4, 4), the output is
    ``logits`` (b, outputs, h, w), all float32 except for ``imgs`` with ``uint8``. The model is validated by ONNX's
    checker and carries :class:`GraphInfo` as metadata.

    Args:
        cfg: the config.
        checkpoint: its checkpoint, or ``None`` for random weights, e.g. for benchmarks.
        options: options of the graph.
        opset: one of :data:`OPSETS`.

    Raises:
        DeployError: ``onnx`` or ``onnxscript`` is not installed, or the opset is not supported.
        CheckpointError: the checkpoint does not fit the config.
    """
    onnx = require('onnx')
    require('onnxscript')
    if opset not in OPSETS:
        raise DeployError(f'opset {opset}: expected {OPSETS[0]} to {OPSETS[-1]}')
    if options.dynamic_cameras and cfg.model.neck.type != 'CVTIOLiftNeck':
        raise DeployError(f'dynamic cameras: expected a CVTIOLiftNeck, found a {cfg.model.neck.type}')
    model = build_model(cfg, checkpoint)
    with _quiet():
        program = torch.onnx.export(
            trace(cfg, model, options),
            dynamo=True,
            input_names=[*INPUTS],
            output_names=[OUTPUT],
            dynamic_shapes=dynamic_shapes(options),
            opset_version=max(opset, _LOWEST),
            verbose=False,
        )
    assert program is not None  # noqa: S101 - guaranteed with dynamo=True
    proto = program.model_proto
    if opset < _LOWEST:
        to_opset17(proto)
    _anonymise(proto)
    onnx.helper.set_model_props(proto, GraphInfo.from_config(cfg, options).to_metadata())
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def _anonymise(proto: ModelProto) -> None:
    """Removes the exporter's annotations, which contain source lines and local paths."""
    del proto.graph.metadata_props[:]
    for item in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del item.metadata_props[:]
        item.doc_string = ''


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's warnings and log messages, which do not concern users."""
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
