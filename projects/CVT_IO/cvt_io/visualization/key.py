"""The key of a panel: the meaning of its colours, and the frame's IoU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from ..labels.groups import LabelGroup
from . import painter

_MARGIN, _SWATCH = 20, 18  # pixels
_OF_ERRORS = (
    ('true positive: found', painter.HIT),
    ('false positive: nothing there', painter.FALSE),
    ('false negative: missed', painter.MISSED),
)


def panel_key(
    size: tuple[int, int],
    group: LabelGroup,
    threshold: float,
    predicted: np.ndarray,
    truth: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """Draws the key.

    Args:
        size: (width, height) in pixels.
        group: the label group.
        threshold: probability threshold.
        predicted: (h, w) bool.
        truth: target and kept cells, (h, w) bool each, or None.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    canvas = Image.new('RGB', size, painter.BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    y = 4
    if truth is not None:
        iou = frame_iou(predicted, *truth)
        text = f'{group.name} IoU@{threshold:.2f}  ' + ('–' if iou is None else f'{iou:.2f}')
        draw.text((_MARGIN, y), text, painter.INK, painter.font(26))
        left_out = [('too little visible: left out', painter.LEFT_OUT)] * (group.min_visibility > 0)
        y = _swatches(draw, 'Truth and errors', [*_OF_ERRORS, *left_out], y + 46)
    y = probability_bar(canvas, (_MARGIN, y + 8), size[0] - 2 * _MARGIN - 8, threshold)
    images = [('predicted', painter.PREDICTED)] + [('truth: outline', painter.INK)] * (truth is not None)
    y = _swatches(draw, 'On the ground in the images', images, y + 8)
    layers = [(layer.replace('_', ' '), color) for layer, color in painter.LAYERS.items()] * (truth is not None)
    _swatches(draw, 'Map; the arrow is the ego, ahead is up', layers, y + 8)
    return np.asarray(canvas)


def frame_iou(predicted: np.ndarray, target: np.ndarray, keep: np.ndarray) -> float | None:
    """IoU over the kept cells of a frame, masks (h, w); None for an empty union."""
    union = ((predicted | target) & keep).sum()
    return float((predicted & target & keep).sum() / union) if union else None


def probability_bar(canvas: Image.Image, corner: tuple[int, int], width: int, threshold: float) -> int:
    """Draws a colour bar for probabilities with a mark at the threshold; returns its bottom (y)."""
    draw, (x, y) = ImageDraw.Draw(canvas), corner
    draw.text(corner, f'Probability; outline: from {threshold:.2f} on', painter.INK, painter.font())
    score = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (_SWATCH, width))
    bar = painter.bev_prediction(score, painter.road_map(np.zeros(score.shape, bool)))
    canvas.paste(Image.fromarray(bar), (x, y + 26))
    mark = x + threshold * (width - 1)
    draw.line([(mark, y + 22), (mark, y + 26 + _SWATCH + 3)], painter.THRESHOLD, 2)
    for share, anchor in ((0.0, 'la'), (0.5, 'ma'), (1.0, 'ra')):
        draw.text((x + share * width, y + 48), f'{share:g}', painter.INK, painter.font(15), anchor=anchor)
    return y + 70


def _swatches(draw: ImageDraw.ImageDraw, heading: str, entries: Sequence[tuple[str, Sequence[int]]], y: int) -> int:
    """Draws a heading and named colours, in two columns if the names are short; returns their bottom (y)."""
    draw.text((_MARGIN, y), heading, painter.INK, painter.font())
    columns = 1 if max((len(name) for name, _ in entries), default=0) > 20 else 2
    for i, (name, color) in enumerate(entries):
        left, top = _MARGIN + i % columns * 200, y + 27 + i // columns * 25
        draw.rectangle([left, top, left + _SWATCH, top + _SWATCH], tuple(color), painter.FAINT)
        draw.text((left + _SWATCH + 10, top - 2), name, painter.INK, painter.font())
    return y + 27 + -(-len(entries) // columns) * 25
