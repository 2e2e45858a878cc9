"""Writes the graph as ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from mmengine.config import Config

from ..fileio.checkpoint import load_weights
from ..runtime.config import build_model
from .extras import DeployError, require
from .graph import (
    INPUTS,
    OUTPUT,
    GraphOptions,
    dynamic_shapes,
    trace,
)
from .info import GraphInfo

if TYPE_CHECKING:
    from onnx import ModelProto

DEFAULT_OPSET = 20  # the first with GELU
#: What PyTorch 2.13's exporter translates to and its converter goes on to without a loss.
OPSETS = range(18, 26)
PLAIN = GraphOptions()
_LOUD = ('torch.onnx', 'torch.export', 'onnxscript', 'onnx_ir')


def export_onnx(
    cfg: Config, checkpoint: str | None, options: GraphOptions = PLAIN, opset: int = DEFAULT_OPSET
) -> bytes:
    """An ONNX file's content.

    Inputs are ``imgs`` (b, n, 3, H, W), ``intrinsics`` (b, n, 3, 3) and ``cam_from_ego`` (b, n, 4, 4), the output is
    ``logits`` (b, outputs, h, w), all float32 but for ``imgs`` with ``uint8``. The file has passed ONNX's checker, and
    says in its metadata what :class:`GraphInfo` holds.

    Args:
        cfg: config.
        checkpoint: its checkpoint, or ``None`` for random weights, which take the same time.
        options: see there.
        opset: one of :data:`OPSETS`.

    Raises:
        DeployError: ONNX or its scripts are not installed, or the opset is not among those.
        CheckpointError: the checkpoint is not this config's.
    """
    onnx = require('onnx')
    require('onnxscript')
    if opset not in OPSETS:
        raise DeployError(f'opset {opset}: expected {OPSETS[0]} to {OPSETS[-1]}')
    model = build_model(cfg)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    with _quiet():
        program = torch.onnx.export(
            trace(cfg, model, options),
            dynamo=True,
            input_names=[*INPUTS],
            output_names=[OUTPUT],
            dynamic_shapes=dynamic_shapes(options),
            opset_version=opset,
            verbose=False,
        )
    assert program is not None  # as it is with dynamo
    proto = program.model_proto
    _anonymise(proto)
    onnx.helper.set_model_props(proto, GraphInfo.from_config(cfg, options).to_metadata())
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def _anonymise(proto: ModelProto) -> None:
    """Takes out what the exporter notes of each node: source lines with this machine's paths."""
    del proto.graph.metadata_props[:]
    for item in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del item.metadata_props[:]
        item.doc_string = ''


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages and constants that are none of a user's concern."""
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
