"""The table of the benchmark toy-1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..cvt_io.analysis.complexity import count_complexity
from ..cvt_io.analysis.logs import Run
from ..cvt_io.analysis.markdown import markdown_table
from ..cvt_io.analysis.train_time import train_time
from ..cvt_io.runtime.batches import image_size
from ..cvt_io.runtime.config import build_model, load_config
from .toy_runs import ToyRun

_KEYS = ('vehicle/IoU@0.50', 'vehicle/IoU@0.40')
_HEADER = (
    'model', 'seed', 'peak rate', 'Params', 'GMAC', 's/step', 'unseen scenes', 'other world', 'images of other frames',
)  # fmt: skip


def summary(run: ToyRun, log: Run, tests: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The figures of a finished run.

    Args:
        run: the run.
        log: its log, whose last validation is that of the unseen scenes.
        tests: metrics of further tests by name.
    """
    cfg = load_config(str(run.config))
    complexity = count_complexity(build_model(cfg), image_size(cfg))
    metrics = dict(unseen=log.validation[max(log.validation)], **tests)
    return dict(
        model=run.model,
        seed=run.seed,
        lr=cfg.optim_wrapper.optimizer.lr,
        params=complexity.params,
        gmac=complexity.macs / 1e9,
        seconds_per_step=train_time(log).median,
        iou={name: [values[key] for key in _KEYS] for name, values in metrics.items()},
    )


def markdown(results: Mapping[str, Mapping[str, Any]], floors: Mapping[str, float], steps: int) -> str:
    """A Markdown table.

    Args:
        results: :func:`summary` of each run.
        floors: IoU of the best input-independent map, ``unseen`` and ``other_world``.
        steps: of each training.
    """
    lines = markdown_table(_HEADER, map(_cells, results.values()))
    known = f'{floors["unseen"]:.3f} | {floors["other_world"]:.3f}'
    lines += [
        f'| best input-independent map | | | | | | {known} | |',
        '',
        f'IoU@0.50 (@0.40) of vehicles after {steps:,} steps of 8 frames.',
    ]
    return '\n'.join(lines) + '\n'


def _cells(result: Mapping[str, Any]) -> list[str]:
    ious = [result['iou'][name] for name in ('unseen', 'other_world', 'other_frames')]
    return [
        f'`{result["model"]}`',
        str(result['seed']),
        f'{result["lr"]:g}',
        f'{result["params"]:,}',
        f'{result["gmac"]:.3f}',
        f'{result["seconds_per_step"]:.2f}',
        *('{:.3f} ({:.3f})'.format(*iou) for iou in ious),
    ]
