"""Draws one frame: its cameras, the labels and the prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..geometry import BEVGrid

# Okabe & Ito's colours, which colour-blind readers can tell apart.
HIT, FALSE, MISSED = (0, 158, 115), (230, 159, 0), (204, 121, 167)
PREDICTED, TRUTH = (86, 180, 233), (240, 228, 66)
BACKGROUND, ROAD, INK, FAINT = (24, 26, 32), (58, 62, 72), (235, 235, 235), (110, 114, 124)
GAP, LINE = 8, 28  # pixels between pictures, and of a line of text


def ground_overlay(
    img: np.ndarray, mask: np.ndarray, grid: BEVGrid, intrinsics: np.ndarray, cam_from_ego: np.ndarray, color: Sequence
) -> np.ndarray:
    """Tints the pixels whose ray meets the ground (ego z = 0) in a cell of the mask.

    Args:
        img: (H, W, 3) uint8 RGB.
        mask: (h, w) bool, BEV cells.
        grid: the mask's grid.
        intrinsics: (3, 3) of the image.
        cam_from_ego: (4, 4).
        color: RGB of the tint.

    Returns:
        (H, W, 3) uint8.
    """
    image_from_bev = intrinsics @ cam_from_ego[:3][:, [0, 1, 3]] @ grid.ego_from_pixels
    height, width = img.shape[:2]
    pixels = np.stack(np.broadcast_arrays(*np.ogrid[:height, :width], 1.0), -1)[..., [1, 0, 2]]  # x, y, 1
    column, row, inverse_depth = np.moveaxis(pixels @ np.linalg.inv(image_from_bev).T, -1, 0)
    ahead = inverse_depth > 1e-6  # the ground behind the camera projects above the horizon
    cells = np.stack([column, row], -1)[ahead] / inverse_depth[ahead][:, None]
    inside = np.all((cells > -0.5) & (cells < np.array(mask.shape[::-1]) - 0.5), axis=-1)
    cells = np.round(cells[inside]).astype(int)
    ys, xs = (index[inside] for index in np.nonzero(ahead))
    tinted = np.zeros((height, width), bool)
    tinted[ys, xs] = mask[cells[:, 1], cells[:, 0]]
    result = img.copy()
    result[tinted] = (0.45 * img[tinted] + 0.55 * np.asarray(color)).astype(np.uint8)
    return result


def bev_truth(target: np.ndarray, keep: np.ndarray, road: np.ndarray) -> np.ndarray:
    """Label map: (h, w) bool masks → (h, w, 3) uint8; left-out pixels are faint."""
    canvas = road_map(road)
    canvas[target] = TRUTH
    canvas[target & ~keep] = FAINT
    return canvas


def bev_prediction(score: np.ndarray, road: np.ndarray) -> np.ndarray:
    """Probability map: (h, w) in [0, 1] → (h, w, 3) uint8."""
    share = score[..., None]
    return (road_map(road) * (1 - share) + np.asarray(PREDICTED) * share).astype(np.uint8)


def bev_errors(predicted: np.ndarray, target: np.ndarray, keep: np.ndarray, road: np.ndarray) -> np.ndarray:
    """Hits, false alarms and misses: (h, w) bool masks → (h, w, 3) uint8."""
    canvas = road_map(road)
    for mask, color in ((predicted & target, HIT), (predicted & ~target, FALSE), (~predicted & target, MISSED)):
        canvas[mask & keep] = color
    return canvas


def road_map(road: np.ndarray) -> np.ndarray:
    """Ground of a BEV map: (h, w) bool road → (h, w, 3) uint8."""
    canvas = np.full((*road.shape, 3), BACKGROUND, np.uint8)
    canvas[road] = ROAD
    return canvas


def panel(
    cameras: Sequence[np.ndarray],
    bevs: Sequence[tuple[str, np.ndarray]],
    title: str,
    grid: BEVGrid,
    names: Sequence[str] = (),
    width: int = 424,
) -> np.ndarray:
    """Lays out a title, the cameras (three in a row), and the BEV maps with their captions.

    Args:
        cameras: each (H, W, 3) uint8 RGB, one size.
        bevs: (caption, (h, w, 3) uint8 RGB).
        title: first line.
        grid: of the maps.
        names: of the cameras.
        width: of a camera and of a map, in pixels.

    Returns:
        (height, 3 · width + 32, 3) uint8 RGB.
    """
    height = round(width * cameras[0].shape[0] / cameras[0].shape[1])
    rows = -(-len(cameras) // 3)
    top = GAP + LINE + rows * (height + GAP)
    canvas = Image.new('RGB', (3 * (width + GAP) + GAP, top + bool(bevs) * (width + LINE)), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, GAP), title, INK, _font())
    for i, camera in enumerate(cameras):
        corner = (GAP + i % 3 * (width + GAP), GAP + LINE + i // 3 * (height + GAP))
        canvas.paste(Image.fromarray(cv2.resize(camera, (width, height), interpolation=cv2.INTER_LINEAR)), corner)
        if names:
            draw.text((corner[0] + 5, corner[1] + 3), names[i], INK, _font(), stroke_width=2, stroke_fill=BACKGROUND)
    for i, (caption, bev) in enumerate(bevs):
        scale = width / max(bev.shape[:2])
        size = (round(bev.shape[1] * scale), round(bev.shape[0] * scale))
        corner = (GAP + i * (width + GAP), top)
        canvas.paste(Image.fromarray(cv2.resize(bev, size, interpolation=cv2.INTER_NEAREST)), corner)
        _draw_ego(draw, *(corner + scale * grid.pixels_from_ego[:2, 2]))
        _draw_scale(draw, corner[0] + 10, corner[1] + size[1] - 14, size[1] / grid.metres[0], grid.metres[0])
        draw.text((corner[0], top + width + 3), caption, INK, _font())
    return np.asarray(canvas)


def legend(columns: Sequence[Sequence[tuple[str, Sequence[int]]]], width: int) -> np.ndarray:
    """A strip to go below a :func:`panel`: for each of its maps, names beside their colours, three in a row.

    Args:
        columns: (name, RGB) of each colour, for each map.
        width: the panel's ``width``.

    Returns:
        (height, 3 · width + 32, 3) uint8 RGB.
    """
    rows = -(-max(map(len, columns)) // 3)
    canvas = Image.new('RGB', (3 * (width + GAP) + GAP, rows * LINE + GAP), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for column, entries in enumerate(columns):
        for i, (name, color) in enumerate(entries):
            x, y = GAP + column * (width + GAP) + i % 3 * (width // 3), i // 3 * LINE + 4
            draw.rectangle([x, y, x + 18, y + 18], tuple(color), INK)
            draw.text((x + 26, y - 1), name, INK, _font())
    return np.asarray(canvas)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=17)


def _draw_ego(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    """A small arrow that points ahead."""
    draw.polygon([(x, y - 8), (x - 5, y + 6), (x + 5, y + 6)], fill=INK)


def _draw_scale(draw: ImageDraw.ImageDraw, x: float, y: float, pixels_per_metre: float, extent: float) -> None:
    """A bar of a round number of metres, at most a fifth of the map's extent."""
    power = 10 ** math.floor(math.log10(extent / 5))
    metres = max(power * digit for digit in (1, 2, 5) if power * digit <= extent / 5)
    end = x + metres * pixels_per_metre
    draw.line([(x, y - 4), (x, y), (end, y), (end, y - 4)], INK, 2)
    draw.text((end + 6, y - 13), f'{metres:g} m', INK, _font())
