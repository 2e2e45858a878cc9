"""Throughput of a data loader."""

from __future__ import annotations

import time

import numpy as np
from mmengine.config import Config

from ..runtime.batches import build_loader


def time_loader(cfg: Config, samples: int, warm_up: int) -> dict[str, float | int | None]:
    """Times the training data loader.

    Args:
        cfg: config whose ``train_dataloader`` is timed, with its workers and batch size.
        samples: number of timed batches.
        warm_up: number of untimed batches while the workers start.

    Returns:
        Images and frames per second, and the median time between batches in ms.
    """
    loader = build_loader(cfg, 'train_dataloader')
    batches = iter(loader)
    for _ in range(warm_up):
        next(batches)
    times, images, frames = [time.perf_counter()], 0, 0
    for _ in range(samples):
        imgs = next(batches)['inputs']['imgs']
        times.append(time.perf_counter())
        frames += len(imgs)
        images += sum(len(frame) for frame in imgs)
    seconds = times[-1] - times[0]
    return {
        'images_per_second': images / seconds,
        'frames_per_second': frames / seconds,
        'median_ms': 1e3 * float(np.median(np.diff(times))),
        'samples': samples,
        'batch_size': loader.batch_size,
        'num_workers': loader.num_workers,
    }
