"""Drawing primitives for cameras, labels and predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..geometry import BEVGrid
from ..labels.classes import CLASSES

# Okabe & Ito's colours, which are safe for colour-blind readers; the pink is adjusted to differ from the greys.
HIT, FALSE, MISSED = (0, 158, 115), (230, 159, 0), (204, 110, 200)
PREDICTED, THRESHOLD = (86, 180, 233), (240, 228, 66)
BACKGROUND, ROAD, INK, FAINT = (24, 26, 32), (58, 62, 72), (235, 235, 235), (110, 114, 124)
LEFT_OUT = (200, 203, 210)
NOT_FINITE = (255, 0, 255)
GAP, LINE = 8, 28  # pixels between pictures, and height of a line of text
#: Map layers below predictions, in drawing order; barely lighter than the ground.
LAYERS: dict[str, tuple[int, int, int]] = {
    'road_segment': ROAD,
    'lane': (48, 51, 61),
    'lane_divider': (74, 78, 89),
    'road_divider': (92, 96, 107),
}


def ground_mask(
    size: tuple[int, int], mask: np.ndarray, grid: BEVGrid, intrinsics: np.ndarray, cam_from_ego: np.ndarray
) -> np.ndarray:
    """Pixels whose ray meets the ground plane (ego z = 0) inside a mask.

    Args:
        size: (H, W) of the image.
        mask: (h, w) bool, BEV cells.
        grid: grid of the mask.
        intrinsics: (3, 3) of the image.
        cam_from_ego: (4, 4).

    Returns:
        (H, W) bool.
    """
    image_from_bev = intrinsics @ cam_from_ego[:3][:, [0, 1, 3]] @ grid.ego_from_pixels
    pixels = np.stack(np.broadcast_arrays(*np.ogrid[: size[0], : size[1]], 1.0), -1)[..., [1, 0, 2]]  # x, y, 1
    column, row, inverse_depth = np.moveaxis(pixels @ np.linalg.inv(image_from_bev).T, -1, 0)
    ahead = inverse_depth > 1e-6  # the ground behind the camera projects above the horizon
    cells = np.stack([column, row], -1)[ahead] / inverse_depth[ahead][:, None]
    inside = np.all((cells > -0.5) & (cells < np.array(mask.shape[::-1]) - 0.5), axis=-1)
    cells = np.round(cells[inside]).astype(int)
    ys, xs = (index[inside] for index in np.nonzero(ahead))
    found = np.zeros(size, bool)
    found[ys, xs] = mask[cells[:, 1], cells[:, 0]]
    return found


def tint(img: np.ndarray, where: np.ndarray, color: Sequence[int]) -> np.ndarray:
    """Copy of an image (H, W, 3) uint8, tinted where the mask (H, W) is set."""
    result = img.copy()
    result[where] = (0.45 * img[where] + 0.55 * np.asarray(color)).astype(np.uint8)
    return result


def outline(img: np.ndarray, where: np.ndarray, color: Sequence[int], thickness: int = 2) -> None:
    """Draws the border of a mask (H, W) into an image (H, W, 3) uint8."""
    contours, _ = cv2.findContours(where.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(img, contours, -1, tuple(color), thickness, cv2.LINE_AA)


def bev_prediction(score: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Draws probabilities (h, w) over a ground (h, w, 3) uint8: blue at 0.5, white at 1, magenta where not finite.

    Returns:
        (h, w, 3) uint8.
    """
    finite = np.isfinite(score)
    score = np.where(finite, score, 0)[..., None]
    below, above = np.clip(2 * score, 0, 1), np.clip(2 * score - 1, 0, 1)
    blue = ground * (1 - below) + np.asarray(PREDICTED) * below
    canvas = (blue * (1 - above) + 255 * above).round().astype(np.uint8)
    canvas[~finite] = NOT_FINITE
    return canvas


def bev_errors(predicted: np.ndarray, target: np.ndarray, keep: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Draws hits, false alarms, misses and ignored targets, (h, w) bool masks, over (h, w, 3) uint8."""
    canvas = ground.copy()
    for mask, color in ((predicted & target, HIT), (predicted & ~target, FALSE), (~predicted & target, MISSED)):
        canvas[mask & keep] = color
    canvas[target & ~keep] = LEFT_OUT
    return canvas


def map_layers(classes: np.ndarray) -> np.ndarray:
    """Draws the map layers of label planes (12, h, w) → (h, w, 3) uint8."""
    canvas = road_map(np.zeros(classes.shape[1:], bool))
    for name, color in LAYERS.items():
        canvas[classes[CLASSES.index(name)] != 0] = color
    return canvas


def enlarge(bev: np.ndarray, side: int) -> np.ndarray:
    """Enlarges a map (h, w[, 3]) to ``side`` pixels on its longer side, without interpolation."""
    scale = side / max(bev.shape[:2])
    size = (round(bev.shape[1] * scale), round(bev.shape[0] * scale))
    return cv2.resize(bev, size, interpolation=cv2.INTER_NEAREST)


def road_map(road: np.ndarray) -> np.ndarray:
    """Draws a road mask (h, w) → (h, w, 3) uint8."""
    canvas = np.full((*road.shape, 3), BACKGROUND, np.uint8)
    canvas[road] = ROAD
    return canvas


def panel(
    cameras: Sequence[np.ndarray],
    bevs: Sequence[tuple[str, np.ndarray]],
    title: str,
    grid: BEVGrid,
    names: Sequence[str] = (),
    width: int = 456,
    key: np.ndarray | None = None,
) -> np.ndarray:
    """Lays out a title, the cameras (three per row), and the BEV maps with their captions.

    Args:
        cameras: (H, W, 3) uint8 RGB each; shapes may differ.
        bevs: (caption, (h, w, 3) uint8 RGB) of each map.
        title: first line.
        grid: grid of the maps.
        names: camera names.
        width: width of a camera and of a map in pixels.
        key: (H, W, 3) uint8 RGB, placed to the right of the maps.

    Returns:
        (height, 3 · width + 32, 3) uint8 RGB.
    """
    heights = [round(width * camera.shape[0] / camera.shape[1]) for camera in cameras]
    height = max(heights)
    rows = -(-len(cameras) // 3)
    top = GAP + LINE + rows * (height + GAP)
    canvas = Image.new('RGB', (3 * (width + GAP) + GAP, top + bool(bevs) * (width + LINE)), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, GAP), title, INK, font())
    for i, camera in enumerate(cameras):
        corner = (GAP + i % 3 * (width + GAP), GAP + LINE + i // 3 * (height + GAP))
        camera = cv2.resize(camera, (width, heights[i]), interpolation=cv2.INTER_LINEAR)
        canvas.paste(Image.fromarray(camera), corner)
        if names:
            draw.text((corner[0] + 5, corner[1] + 3), names[i], INK, font(), stroke_width=2, stroke_fill=BACKGROUND)
    for i, (caption, bev) in enumerate(bevs):
        bev = enlarge(bev, width)
        corner = (GAP + i * (width + GAP), top)
        canvas.paste(Image.fromarray(bev), corner)
        _draw_ego(draw, *(corner + width / max(grid.size) * (grid.pixels_from_ego[:2, 2] + 0.5)))
        draw_scale(draw, corner[0] + 10, corner[1] + len(bev) - 14, len(bev) / grid.metres[0], grid.metres[0])
        draw.text((corner[0], top + width + 3), caption, INK, font())
    if key is not None:
        canvas.paste(Image.fromarray(key), (GAP + len(bevs) * (width + GAP), top))
    return np.asarray(canvas)


def legend(columns: Sequence[Sequence[tuple[str, Sequence[int]]]], width: int) -> np.ndarray:
    """A strip below a :func:`panel` with the named colours of each map, three per row.

    Args:
        columns: (name, RGB) of each colour, for each map.
        width: ``width`` of the panel.

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
            draw.text((x + 26, y - 1), name, INK, font())
    return np.asarray(canvas)


def font(size: int = 17) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font."""
    return ImageFont.load_default(size=size)


def _draw_ego(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    """A small arrow that points ahead."""
    draw.polygon([(x, y - 8), (x - 5, y + 6), (x + 5, y + 6)], fill=INK)


def draw_scale(draw: ImageDraw.ImageDraw, x: float, y: float, pixels_per_metre: float, extent: float) -> None:
    """Draws a scale bar of a round number of metres, at most a fifth of the map's extent."""
    power = 10 ** math.floor(math.log10(extent / 5))
    metres = max(power * digit for digit in (1, 2, 5) if power * digit <= extent / 5)
    end = x + metres * pixels_per_metre
    draw.line([(x, y - 4), (x, y), (end, y), (end, y - 4)], INK, 2)
    draw.text((end + 6, y - 13), f'{metres:g} m', INK, font(), stroke_width=2, stroke_fill=BACKGROUND)
