"""Eight-bit quantisation of a graph: which layers, and what each costs in accuracy."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from ..datasets.wrappers import first_part, parts_of
from ..runtime.config import build_dataset, build_model, require_data
from .exported import RUNTIME_OF
from .extras import DeployError
from .info import GraphInfo
from .quantizers import Writer
from .runtimes import Run, open_runtime
from .verify import graph_inputs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

#: Default of the error that quantisation may cause, see :func:`relative_error`.
MAX_ERROR = 0.1
_NAME_LENGTH = {'backbone': 3, 'neck': 2}  # of a group; 1 for bev_decoder and head


def layer_groups(proto: ModelProto) -> dict[str, list[str]]:
    """Convolutions and linear layers that can be quantised, by part of the model.

    A part is for example ``backbone.layers.3``, ``neck.process`` or ``head``. Layers that do not depend on the images
    are not among them: these compute with calibration and positions.

    Args:
        proto: an exported graph after :func:`~.quantizers.compact`.

    Returns:
        Name of the part → names of the nodes, in the order of the graph.

    Raises:
        DeployError: there is none.
    """
    groups: dict[str, list[str]] = {}
    for node, name in _layers(proto.graph):
        parts = name.removeprefix('model.').replace('backbone.backbone.', 'backbone.', 1).split('.')
        group = 'backbone.se' if 'se' in parts else '.'.join(parts[: _NAME_LENGTH.get(parts[0], 1)])
        groups.setdefault(group, []).append(node.name)
    if not groups:
        raise DeployError('no convolution or linear layer found; was the graph exported by export_onnx.py?')
    return groups


def _layers(graph: GraphProto) -> Iterator[tuple[NodeProto, str]]:
    """Nodes with constant weights that depend on the images, and the names of their weights or biases."""
    constants = {tensor.name for tensor in graph.initializer}
    bias = {node.input[0]: node.input[1] for node in graph.node if node.op_type == 'Add' and node.input[1] in constants}
    bias |= {
        node.input[1]: node.input[0] for node in graph.node if node.op_type == 'Add' and node.input[0] in constants
    }
    from_images = {'imgs'}
    for node in graph.node:
        if not from_images.intersection(node.input):
            continue
        from_images.update(node.output)
        if node.op_type in ('Conv', 'MatMul') and node.input[1] in constants:
            # A linear layer is a product and a sum; only the bias has kept its name.
            names = node.input[1:] if node.op_type == 'Conv' else [bias.get(node.output[0], '')]
            name = next((name for name in names if name.startswith('model.')), None)
            if name is not None:
                yield node, name


def training_frames(
    cfg: Config, info: GraphInfo, counts: Sequence[int], seed: int
) -> list[list[dict[str, np.ndarray]]]:
    """Inputs of a graph from the training set, without augmentation, spread evenly over it. No labels are needed.

    Args:
        cfg: the config; the images are loaded by its test pipeline.
        info: metadata of the graph.
        counts: number of frames of each selection; at most that of the training set.
        seed: seed of the first selection, of one frame from each of ``count`` equal stretches; the next has seed + 1.

    Raises:
        DataError: the training set is not prepared, or has another number of cameras than the graph.
    """
    cfg = cfg.copy()
    pipeline = first_part(cfg.test_dataloader.dataset).pipeline
    for part in parts_of(cfg.train_dataloader.dataset):
        part.pipeline = [step for step in pipeline if step.type != 'CVTIOLoadBEVLabel']
        if part.type == 'CVTIONuScenesDataset':
            part.with_labels = False
    require_data(cfg, 'train_dataloader')
    dataset = build_dataset(cfg, 'train_dataloader')
    dataset.full_init()
    model = build_model(cfg)  # for its preprocessor
    selections = []
    for number, wanted in enumerate(counts):
        count = min(wanted, len(dataset))
        offsets = np.random.default_rng(seed + number).random(count)
        indices = ((np.arange(count) + offsets) * (len(dataset) / count)).astype(int)
        batches = (pseudo_collate([dataset[int(i)]]) for i in indices)
        selections.append([graph_inputs(model, batch, info.imgs == 'uint8') for batch in batches])
    cameras = selections[0][0]['imgs'].shape[1]
    if info.cameras not in (None, cameras):
        raise DeployError(f'the training set has {cameras} cameras, the graph {info.cameras}')
    return selections


def relative_error(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Root mean square of the logits' errors, as a fraction of the logits' standard deviation."""
    error = np.mean([np.mean(np.square(a - b)) for a, b in zip(found, expected, strict=True)])
    return float(np.sqrt(error) / np.std(np.stack(expected)))


def outputs(run: Run, frames: Sequence[Mapping[str, np.ndarray]]) -> list[np.ndarray]:
    """Logits of each frame."""
    return [run(frame) for frame in frames]


def sensitivity(
    write: Writer,
    suffix: str,
    groups: Mapping[str, Sequence[str]],
    frames: Sequence[Mapping[str, np.ndarray]],
    expected: Sequence[np.ndarray],
) -> Iterator[tuple[str, float]]:
    """Measures the error of the logits if a single group is quantised.

    Args:
        write: writes the graph with some layers quantised.
        suffix: of the file that it writes, see :data:`RUNTIME_OF`.
        groups: names of the nodes of each group.
        frames: inputs; others than those of the calibration.
        expected: logits of the graph in floating point for these frames.

    Yields:
        Group and :func:`relative_error`.
    """
    for group, nodes in groups.items():
        yield group, relative_error(outputs(run_quantised(write, suffix, nodes), frames), expected)


def run_quantised(write: Writer, suffix: str, nodes: Collection[str]) -> Run:
    """Quantises layers and loads the result."""
    with tempfile.TemporaryDirectory() as folder:
        write(nodes, path := Path(folder) / f'graph{suffix}')
        return open_runtime(RUNTIME_OF[suffix], path)


def keep_float(errors: Mapping[str, float], limit: float) -> list[str]:
    """Decides which groups stay in floating point.

    Rounding errors of different groups are independent, so their squares add up. The groups with the largest errors
    are kept in floating point until the root of the sum of the others' squares is at most ``limit``.

    Args:
        errors: :func:`relative_error` of each group, quantised alone.
        limit: what the error of the quantised graph may be.

    Returns:
        Groups to keep, that with the largest error first.
    """
    kept: list[str] = []
    left = sorted(errors, key=lambda group: errors[group])
    while left and not math.hypot(*(errors[group] for group in left)) <= limit:  # also with NaN
        kept.append(left.pop())
    return kept


def as_int8(info: GraphInfo) -> dict[str, str]:
    """Metadata of a graph after quantisation."""
    return replace(info, precision='int8').to_metadata()
