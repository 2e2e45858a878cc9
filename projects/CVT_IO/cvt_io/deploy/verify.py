"""Comparison of an exported graph with PyTorch, and its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from mmdet3d.registry import METRICS
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from tqdm import tqdm

from ..models import CVTIOSegmentor
from ..runtime.batches import build_loader
from ..runtime.config import build_model
from .graph import INPUTS
from .info import GraphInfo
from .runtimes import Run

#: Maximum absolute difference of a logit from PyTorch, by precision.
TOLERANCES = {'fp32': 1e-4, 'fp16': 5e-2}


def graph_inputs(model: CVTIOSegmentor, batch: Mapping[str, Any], uint8: bool) -> dict[str, np.ndarray]:
    """Converts a batch of the data loader to inputs of a graph."""
    inputs = dict(model.data_preprocessor(dict(batch))['inputs'])
    if uint8:
        inputs['imgs'] = torch.stack([*batch['inputs']['imgs']])
    return {name: np.ascontiguousarray(inputs[name].numpy()) for name in INPUTS}


@torch.inference_mode()
def largest_error(run: Run, model: CVTIOSegmentor, batches: Iterable[Mapping[str, Any]], uint8: bool) -> float:
    """Maximum absolute difference between the logits of a graph and of the PyTorch model.

    Args:
        run: the graph.
        model: the model; not fused, so that the folding of BatchNorms is verified too.
        batches: batches of the data loader.
        uint8: whether the graph takes uint8 images.
    """
    model.eval()
    errors = [0.0]
    for batch in batches:
        expected = model.bev_logits(**model.data_preprocessor(dict(batch))['inputs']).numpy()
        errors.append(float(np.abs(run(graph_inputs(model, batch, uint8)) - expected).max()))
    return float(np.max(errors))  # unlike max(), propagates NaN


@torch.inference_mode()
def evaluate(run: Run, cfg: Config, info: GraphInfo, checkpoint: str | None = None) -> dict[str, float]:
    """Computes the config's metrics on its test set with a graph.

    Args:
        run: the graph.
        cfg: the config, whose data set, pipeline and evaluator are used.
        info: metadata of the graph.
        checkpoint: weights of the PyTorch model, to which the logits are compared.

    Returns:
        The metrics and, with a checkpoint, the largest and the root mean square difference of a logit.
    """
    model = build_model(cfg, checkpoint).eval()  # its preprocessor and head; the weights only for comparison
    differences = []
    loader = build_loader(cfg, 'test_dataloader', **({} if info.batch is None else dict(batch_size=info.batch)))
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    evaluator = Evaluator([METRICS.build(dict(part)) for part in evaluators])
    frames = 0
    for batch in tqdm(loader, desc='test', unit='batch'):
        logits = torch.from_numpy(run(graph_inputs(model, batch, info.imgs == 'uint8')))
        if checkpoint is not None:
            difference = logits - model.bev_logits(**model.data_preprocessor(dict(batch))['inputs'])
            differences.append((difference.abs().max().item(), difference.square().mean().item()))
        samples = model.head.predict(logits, batch['data_samples'])
        evaluator.process(samples, batch)
        frames += len(samples)
    metrics = evaluator.evaluate(frames)
    if differences:
        largest, squared = np.max(differences, axis=0)[0], np.mean(differences, axis=0)[1]
        metrics |= {'logits/largest_difference': float(largest), 'logits/rms_difference': float(np.sqrt(squared))}
    return metrics
