"""Targets for speed and memory, and their measurement.

Ratios are medians over rounds in which both sides are called in turn. Models are compared with the literal forward pass
or training step of ``cvt``, see :mod:`.literal`, and their outputs must equal the literal ones.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config

from ..cvt_io.analysis.latency import Timing, time_in_turn
from ..cvt_io.analysis.steps import inference_step, prepare_model, training_step
from ..cvt_io.deploy.graph import INPUTS, GraphOptions
from ..cvt_io.deploy.info import GraphInfo
from ..cvt_io.deploy.onnx_export import export_onnx
from ..cvt_io.deploy.runtimes import ONNXRUNTIME, OPENVINO_BF16, Run, open_runtime, why_not
from ..cvt_io.deploy.verify import evaluate, graph_inputs, largest_error
from ..cvt_io.geometry import BEVGrid
from ..cvt_io.models import CVTIOSegmentor
from ..cvt_io.runtime.batches import random_batch
from .literal import build_literal
from .plain_labels import label_steps
from .plain_loading import loading_steps

CPU = torch.device('cpu')
TOLERANCE = 1e-4
Step = Callable[[], Any]
_HEADER = '| | found | target | reached | medians |\n| --- | --: | --: | --- | --- |'
_REACHED = {True: 'yes', False: '**no**', None: 'not measured'}


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Attributes:
        what: the quantity and what it is relative to.
        found: measured value; ``None`` if it cannot be measured here, with the reason in ``note``.
        limit: target.
        at_least: whether the target is a lower bound.
        note: medians behind the ratio, or a remark.
    """

    what: str
    found: float | None
    limit: float
    at_least: bool = False
    note: str = ''

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; ``None`` without a value."""
        if self.found is None:
            return None
        return self.found >= self.limit if self.at_least else self.found <= self.limit


def markdown(results: Sequence[Result], machine: str, samples: int) -> str:
    """A table of results, followed by the measurement conditions."""
    rows = '\n'.join(_row(result) for result in results)
    return f'{_HEADER}\n{rows}\n\nMedians of {samples} rounds in which both sides are called in turn; {machine}.\n'


def _row(result: Result) -> str:
    found = '–' if result.found is None else f'{result.found:.3g}' if result.at_least else f'{result.found:.4f}'
    target = f'≥ {result.limit:g}' if result.at_least else f'≤ {result.limit:g}'
    return f'| {result.what} | {found} | {target} | {_REACHED[result.reached]} | {result.note} |'


def measure_inference(cfgs: Mapping[str, Config], samples: int) -> list[Result]:
    """Measures eager forward passes with folded BatchNorms: speed, memory, cost of further self-attention."""
    steps: dict[str, Step] = {}
    for name in ('cvt', 'cvt_io_v2_2', 'cvt_io_v2_6'):
        literal, ours = _inference_pair(cfgs[name])
        error = _largest_difference(literal(), ours())
        if error > TOLERANCE:
            raise ValueError(
                f'{name}: expected the literal logits within {TOLERANCE}, found a difference of {error:.1e}'
            )
        steps[name] = ours
        if name == 'cvt':
            steps['literal'] = literal
    timings = time_in_turn(steps, samples, CPU)
    passes = _ratio('cvt_io_v2_6 / cvt_io_v2_2 (L = 12 / L = 6)', timings, 'cvt_io_v2_6', 'cvt_io_v2_2', 1.03)
    return [
        _ratio('cvt_io_v2_2, eager fp32 / literal cvt', timings, 'cvt_io_v2_2', 'literal', 0.28),
        _ratio('cvt, eager fp32 / literal cvt', timings, 'cvt', 'literal', 0.55),
        _memory('cvt, peak memory / literal cvt', timings, 'cvt', 'literal', 0.35),
        passes,
    ]


def measure_runtimes(cfgs: Mapping[str, Config], samples: int) -> list[Result]:
    """Measures the exported ``cvt_io_v2_2`` in ONNX Runtime and OpenVINO."""
    limits = {ONNXRUNTIME: 0.14, OPENVINO_BF16: 0.08}
    cfg = cfgs['cvt_io_v2_2']
    model, batch = prepare_model(cfg, None, CPU), random_batch(cfg, 1)
    inputs = graph_inputs(model, batch, uint8=False)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(model.state_dict(), checkpoint := Path(folder) / 'weights.pth')
        graph = export_onnx(cfg, str(checkpoint))
    error = largest_error(open_runtime(ONNXRUNTIME, graph), model, [batch], uint8=False)
    if error > TOLERANCE:
        raise ValueError(
            f'{ONNXRUNTIME}: expected logits within {TOLERANCE} of PyTorch, found a difference of {error:.1e}'
        )
    steps: dict[str, Step] = {'literal': _inference_pair(cfgs['cvt'])[0]}
    missing = {name: reason for name in limits if (reason := why_not(name)) is not None}
    for name in limits.keys() - missing.keys():
        steps[name] = functools.partial(open_runtime(name, graph), inputs)
    timings = time_in_turn(steps, samples, CPU)
    results = []
    for name, limit in limits.items():
        what = f'cvt_io_v2_2, {name} / literal cvt'
        if name in missing:
            results.append(Result(what, None, limit, note=missing[name]))
        else:
            results.append(_ratio(what, timings, name, 'literal', limit))
    return results


def measure_bf16_iou(cfg: Config, checkpoint: str) -> Result:
    """Measures the effect of OpenVINO's bf16 on the IoU of a trained model on its test set."""
    what = f'{Path(cfg.filename).stem}, IoU@0.50, openvino-bf16 against PyTorch fp32'
    reason = why_not(OPENVINO_BF16)
    if reason is not None:
        return Result(what, None, 0.002, note=reason)
    options = GraphOptions()
    info = GraphInfo.from_config(cfg, options)
    runs = (
        _run_eagerly(prepare_model(cfg, checkpoint, CPU)),
        open_runtime(OPENVINO_BF16, export_onnx(cfg, checkpoint, options)),
    )
    exact, rounded = (evaluate(run, cfg, info)['vehicle/IoU@0.50'] for run in runs)
    return Result(what, abs(exact - rounded), 0.002, note=f'{exact:.4f} and {rounded:.4f}')


def measure_training(cfgs: Mapping[str, Config], samples: int) -> list[Result]:
    """Measures a training step of ``cvt_io_v2_2`` with two samples."""
    steps: dict[str, Step] = {}
    for name, cfg, model in (
        ('literal', cfgs['cvt'], build_literal(cfgs['cvt'])),
        ('ours', cfgs['cvt_io_v2_2'], prepare_model(cfgs['cvt_io_v2_2'], None, CPU)),
    ):
        steps[name] = training_step(model, cfg, random_batch(cfg, 2))
    timings = time_in_turn(steps, samples, CPU, warm_up=1)
    return [
        _ratio('cvt_io_v2_2, training step, batch 2 / literal cvt', timings, 'ours', 'literal', 0.36),
        _memory('cvt_io_v2_2, peak memory of training / literal cvt', timings, 'ours', 'literal', 1.0),
    ]


def measure_data(cfg: Config, root: Path, version: str, frames: int, samples: int) -> list[Result]:
    """Measures labels and images of some frames on one core against the reference implementations."""
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        labels = time_in_turn(label_steps(root, version, BEVGrid.from_dict(cfg.bev_grid), frames), samples, CPU)
        loading = time_in_turn(loading_steps(cfg, root, frames), samples, CPU)
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)
    return [
        _speed_up('labels per second and core / devkit', labels, 'ours, planes', 10, frames),
        _speed_up('images loaded per second and core / Pillow', loading, 'ours', 1.5, frames),
    ]


def _run_eagerly(model: CVTIOSegmentor) -> Run:
    """PyTorch with the interface of a runtime."""
    model.eval()

    @torch.inference_mode()
    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return model.bev_logits(*(torch.from_numpy(inputs[name]) for name in INPUTS)).numpy()

    return run


def _inference_pair(cfg: Config) -> tuple[Step, Step]:
    """The literal model and ours with the same weights and images."""
    ours, literal = prepare_model(cfg, None, CPU), build_literal(cfg)
    literal.load_state_dict(ours.state_dict())
    batches = [random_batch(cfg, 1)]
    return inference_step(literal, batches, CPU), inference_step(ours, batches, CPU, fuse=True)


def _largest_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def _ratio(what: str, timings: Mapping[str, Timing], name: str, base: str, limit: float) -> Result:
    one, other = timings[name], timings[base]
    note = f'{1e3 * np.median(one.seconds):.0f} ms / {1e3 * np.median(other.seconds):.0f} ms'
    return Result(what, float(np.median(np.divide(one.seconds, other.seconds))), limit, note=note)


def _speed_up(what: str, timings: Mapping[str, Timing], name: str, limit: float, frames: int) -> Result:
    plain, ours = timings['plain'].seconds, timings[name].seconds
    note = f'{1e3 * np.median(plain) / frames:.1f} ms and {1e3 * np.median(ours) / frames:.1f} ms per frame'
    return Result(what, float(np.median(np.divide(plain, ours))), limit, at_least=True, note=note)


def _memory(what: str, timings: Mapping[str, Timing], name: str, base: str, limit: float) -> Result:
    one, other = timings[name].peak_bytes, timings[base].peak_bytes
    if one is None or other is None:
        return Result(what, None, limit, note='cannot be measured on this system')
    return Result(what, one / other, limit, note=f'{one / 2**20:.0f} MiB / {other / 2**20:.0f} MiB')
