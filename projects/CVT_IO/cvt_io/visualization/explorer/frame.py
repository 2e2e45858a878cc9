"""Data of one frame for the attention explorer's script: pictures, attention maps and BEV."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ...errors import DataError
from ...geometry import BEVGrid
from ...labels.classes import ROAD
from ...labels.groups import LabelGroup
from ...models.attention_maps import AttentionMaps
from ...models.neck.metric_maps import LiftSamples
from ..panels import View, short_token
from ..scene import photo_views

PICTURE_WIDTH = 480  # width of a camera picture in pixels
BUDGET = 5_300_000  # bytes of attention maps per frame; 7.1 MB in base64
#: Kinds of BEV pixels; drawing.js has the same constants.
NOTHING, ON_ROAD, LEFT_OUT, POSITIVE = range(4)


def explorer_frame(
    item: Mapping, info: dict, maps: AttentionMaps, group: LabelGroup, channel: int, grid: BEVGrid, budget: int = BUDGET
) -> dict[str, Any]:
    """Builds the data of a frame.

    Args:
        item: output of the data set's pipeline, with ``inputs`` and ``data_samples``; the label is optional.
        info: entry of the frame in the infos.
        maps: attention maps of this frame (b = 1).
        group: the label group to show.
        channel: index of the group in ``maps.logits``.
        grid: the BEV grid.
        budget: maximum size of the maps in bytes; if exceeded, 2×2 patches of the largest maps are merged.

    Returns:
        Plain containers. Maps are stored as rows of bytes, see :func:`quantise`.

    Raises:
        DataError: a picture cannot be read, or attention or logits are not finite.
    """
    if not all(values.isfinite().all() for values in (*maps.reads, maps.logits)):
        raise DataError(f'sample {info["sample_token"]}: expected finite attention and probabilities, found nan')
    scales, decode = [], None
    if maps.decode_by_reader is not None:
        latents = maps.decode_by_reader[0].flatten(2)  # m, P, g·Q
        decode = quantise(latents)
        budget -= latents.numel()
    for feature_size, merged, reads in merge_patches([read[0] for read in maps.reads], budget):
        rows = quantise(reads.transpose(0, 1).flatten(1, 2).flatten(2))  # m, g·Q, k·h·w
        scales.append(dict(feature_size=feature_size, merged=merged, size=list(reads.shape[-2:]), **rows))
    return dict(
        scene=info['scene_name'],
        token=info['sample_token'],
        short_token=short_token(info['sample_token']),
        cameras=camera_pictures(photo_views(info), item['inputs']),
        heads=maps.reads[0].shape[2],
        grids=maps.reads[0].shape[1],
        reader_size=list(maps.reader_size),
        scales=scales,
        decode=decode,
        samples=None if maps.samples is None else lift_points(maps.samples),
        bev=bev_maps(item['data_samples'], maps.logits[0, channel], group, grid)
        | dict(cells=list(maps.bev_size), tiled=maps.tiled),
    )


def merge_patches(reads: Sequence[Tensor], budget: int) -> list[tuple[list[int], int, Tensor]]:
    """Repeatedly sums 2×2 blocks of patches of the largest map until all maps fit into a budget.

    Args:
        reads: (…, h, w) each.
        budget: maximum total number of elements.

    Returns:
        For each map its original (h, w), the side of a merged patch in original patches, and the merged map.
    """
    found = [(list(read.shape[-2:]), 1, read) for read in reads]
    while sum(read.numel() for *_, read in found) > budget:
        largest = max(range(len(found)), key=lambda i: found[i][2].numel())
        size, side, read = found[largest]
        height, width = read.shape[-2:]
        if height == width == 1:
            break
        padded = F.pad(read, (0, width % 2, 0, height % 2))
        padded = padded.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2))
        found[largest] = size, 2 * side, padded.sum((-3, -1))
    return found


def quantise(rows: Tensor) -> dict[str, str]:
    """Quantises rows of non-negative weights (…, T) to bytes.

    Returns:
        ``levels`` (uint8) and ``peaks`` (float32, one per row) in base64, where weight = level / 255 · peak. The error
        is at most peak / 510, up to rounding.
    """
    weights = rows.float().cpu().numpy()
    peaks = weights.max(-1, keepdims=True).astype('<f4')
    levels = np.round(weights / np.maximum(peaks, np.finfo(np.float32).tiny) * 255).astype(np.uint8)
    return dict(levels=_base64(levels), peaks=_base64(peaks))


def lift_points(samples: LiftSamples) -> dict[str, Any]:
    """Samples of one frame (b = 1), those that count first: for each BEV cell as many as the richest one has.

    Returns:
        ``count`` of a cell, and in base64 ``camera`` and ``weight`` (0 to 255 for 0 to 1; 0 for no sample), uint8, and
        ``u`` and ``v`` (0 to 65535 for 0 to 1), uint16.
    """
    weight = np.round(samples.weight[0].cpu().numpy() * 255).clip(0, 255).astype(np.uint8)
    count = max(int((weight > 0).sum(-1).max()), 1)
    order = (-weight.astype(int)).argsort(-1, kind='stable')[:, :count]

    def chosen(x: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, order, -1)

    u, v = (np.round(x[0].float().cpu().numpy().clip(0, 1) * 65535).astype('<u2') for x in (samples.u, samples.v))
    camera = samples.camera[0].cpu().numpy().astype(np.uint8)
    packed = dict(camera=camera, u=u, v=v, weight=weight)
    return dict(count=count) | {name: _base64(chosen(values)) for name, values in packed.items()}


def camera_pictures(views: Sequence[View], inputs: Mapping[str, Tensor]) -> list[dict[str, str]]:
    """Name and JPEG of each camera; the model's field of view, cropped from the full-resolution image."""
    height, width = inputs['imgs'].shape[-2:]
    size = (PICTURE_WIDTH, round(PICTURE_WIDTH * height / width))
    pictures = []
    for view, intrinsics in zip(views, inputs['intrinsics'].double().numpy(), strict=True):
        # The crop follows from the two intrinsics, as the pipeline only scales and shifts.
        seen = np.linalg.inv(intrinsics @ np.linalg.inv(view.intrinsics)) @ [[0, width], [0, height], [1, 1]]
        (left, right), (top, bottom) = np.round(seen[:2]).astype(int)
        part = cv2.resize(view.img[max(top, 0) : bottom, max(left, 0) : right], size, interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode('.jpg', cv2.cvtColor(part, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
        pictures.append(dict(name=view.name, picture='data:image/jpeg;base64,' + _base64(jpeg)))
    return pictures


def bev_maps(sample: Any, logits: Tensor, group: LabelGroup, grid: BEVGrid) -> dict[str, Any]:
    """Probability of one output, logits (h, w), and the kind of each pixel if there is a label."""
    probability = logits.float().sigmoid().cpu().numpy()
    label, truth = sample.get('gt_bev'), None
    if label is not None:
        pixels = np.full(probability.shape, NOTHING, np.uint8)
        pixels[(label.classes[list(ROAD)] != 0).any(0).numpy()] = ON_ROAD
        target, keep = group.target(label.classes).numpy(), group.keep(label.visibility).numpy()
        pixels[target] = POSITIVE
        pixels[target & ~keep] = LEFT_OUT
        truth = _base64(pixels)
    return dict(
        group=group.name,
        size=list(grid.size),
        metres=list(grid.metres),
        ego=(grid.pixels_from_ego[:2, 2] + 0.5).tolist(),  # relative to the corner; integers are cell centres
        probability=_base64(np.round(probability * 255).astype(np.uint8)),
        truth=truth,
    )


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
