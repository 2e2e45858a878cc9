"""A map of a scene, stitched from the predictions of its frames with the ego poses."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmdet3d.structures import Det3DDataSample
from PIL import Image, ImageDraw

from ..geometry import BEVGrid
from ..labels.groups import LabelGroup
from . import painter
from .key import probability_bar

_LONGEST = 1000  # pixels of a drawn map's longer side
_SURE = 1e-4  # minimum distance of probabilities from 0 and 1, where log-odds are infinite
_KEY = 400  # width of the column to the right of the map, in pixels


class StitchedMap:
    """Fuses BEV predictions in the world frame by averaging, per cell, the log-odds of all frames that cover it.

    The mean is used instead of the sum because errors of frames half a second apart are correlated; a sum would be
    overconfident. Row 0 is the largest world y, column 0 the smallest world x. Moving objects leave a trail.

    Args:
        grid: grid of the predictions.
        poses: world_from_ego (4, 4) of all frames to be added; they determine the map's extent.
        metres_per_cell: cell size of the map; None uses the grid's, or a smaller one that gives 1000 cells on the
            longer side.
    """

    def __init__(self, grid: BEVGrid, poses: Sequence[np.ndarray], metres_per_cell: float | None = None) -> None:
        self.grid = grid
        self.poses = [np.asarray(pose) for pose in poses]
        height, width = grid.size
        corners = np.array([[x - 0.5, y - 0.5, 1] for x in (0, width) for y in (0, height)])
        ends = np.concatenate([corners @ self._world_from_bev(pose).T for pose in self.poses])[:, :2]
        self.west, self.north = ends[:, 0].min(), ends[:, 1].max()
        extent = np.ptp(ends, axis=0)
        cells = (grid.metres[0] / height, grid.metres[1] / width)
        self.metres_per_cell = metres_per_cell or min(*cells, extent.max() / _LONGEST)
        columns, rows = np.ceil(extent / self.metres_per_cell - 1e-6).astype(int)
        self.size = (int(rows), int(columns))
        self._sum = np.zeros(self.size, np.float32)
        self._frames = np.zeros(self.size, np.float32)
        self.ground = painter.road_map(np.zeros(self.size, bool))
        self.truth: np.ndarray | None = None

    def add(
        self, score: np.ndarray, pose: np.ndarray, ground: np.ndarray | None = None, truth: np.ndarray | None = None
    ) -> None:
        """Adds a frame.

        Args:
            score: (h, w) probabilities.
            pose: world_from_ego (4, 4).
            ground: (h, w, 3) uint8 background; later frames cover earlier ones.
            truth: (h, w) bool; the map's ``truth`` is the union over all frames.
        """
        bev_from_map = np.linalg.inv(self._map_from_world() @ self._world_from_bev(np.asarray(pose)))
        score = np.clip(score.astype(np.float32), _SURE, 1 - _SURE)
        reached = self._warp(np.ones(self.grid.size, np.uint8), bev_from_map, cv2.INTER_NEAREST) > 0
        log_odds = self._warp(np.log(score / (1 - score)), bev_from_map, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
        self._sum += np.where(reached, log_odds, 0)
        self._frames += reached
        if ground is not None:
            self.ground[reached] = self._warp(ground, bev_from_map, cv2.INTER_NEAREST)[reached]
        if truth is not None:
            seen = self._warp(truth.astype(np.uint8), bev_from_map, cv2.INTER_NEAREST) > 0
            self.truth = seen if self.truth is None else self.truth | seen

    @property
    def reached(self) -> np.ndarray:
        """Cells covered by at least one frame, (rows, columns) bool."""
        return self._frames > 0

    @property
    def probability(self) -> np.ndarray:
        """(rows, columns) float32 in [0, 1]; 0 where there is no frame."""
        mean = self._sum / np.maximum(self._frames, 1)
        return np.where(self.reached, 1 / (1 + np.exp(-mean)), 0).astype(np.float32)

    def trajectory(self) -> np.ndarray:
        """Ego positions (frames, 2) as (column, row)."""
        places = np.array([[*pose[:2, 3], 1] for pose in self.poses])
        return (places @ self._map_from_world().T)[:, :2]

    def _map_from_world(self) -> np.ndarray:
        """(3, 3): world metres (x, y, 1) → map cells (column, row, 1), whole numbers at the cells' centres."""
        scale = 1 / self.metres_per_cell
        return np.array([[scale, 0, -self.west * scale - 0.5], [0, -scale, self.north * scale - 0.5], [0, 0, 1]])

    def _world_from_bev(self, pose: np.ndarray) -> np.ndarray:
        """(3, 3): cells of a frame's grid (column, row, 1) → world metres (x, y, 1)."""
        return pose[np.ix_([0, 1, 3], [0, 1, 3])] @ self.grid.ego_from_pixels

    def _warp(
        self, bev: np.ndarray, bev_from_map: np.ndarray, interpolation: int, border: int = cv2.BORDER_CONSTANT
    ) -> np.ndarray:
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(bev, bev_from_map[:2], self.size[::-1], flags=flags, borderMode=border)


def add_sample(
    stitched: StitchedMap, sample: Det3DDataSample, group: LabelGroup, channel: int, pose: np.ndarray
) -> None:
    """Adds a predicted frame: scores of a label group, and map layers and truth if the sample has a label."""
    ground = truth = None
    if 'gt_bev' in sample:
        classes = sample.gt_bev.classes.cpu()
        ground, truth = painter.map_layers(classes.numpy()), group.target(classes).numpy()
    stitched.add(sample.pred_bev.scores[channel].cpu().numpy(), pose, ground, truth)


def draw_stitched(stitched: StitchedMap, title: str, name: str, threshold: float = 0.5) -> np.ndarray:
    """Draws the map with the outline of the truth, the ego trajectory, a scale bar and a key.

    Args:
        stitched: map with all frames added.
        title: title of the picture.
        name: name of the label group.
        threshold: probability of the outline.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    probability = stitched.probability
    picture = painter.enlarge(painter.bev_prediction(probability, stitched.ground), _LONGEST)
    picture[painter.enlarge((~stitched.reached).astype(np.uint8), _LONGEST) > 0] = 0
    lines = [('way of the ego', painter.FALSE)]
    if stitched.truth is not None:
        painter.outline(picture, painter.enlarge(stitched.truth.astype(np.uint8), _LONGEST), painter.INK, 1)
        lines.insert(0, ('truth of any frame: outline', painter.INK))
    painter.outline(picture, painter.enlarge((probability >= threshold).astype(np.uint8), _LONGEST), painter.THRESHOLD)
    height, width = picture.shape[:2]
    canvas = Image.new('RGB', (width + _KEY, max(height, 420) + painter.GAP), painter.BACKGROUND)
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    pixels = _LONGEST / max(stitched.size)
    _draw_way(draw, (stitched.trajectory() + 0.5) * pixels)
    metres = stitched.size[0] * stitched.metres_per_cell
    painter.draw_scale(draw, 14, height - 16, pixels / stitched.metres_per_cell, metres)
    draw.text((width + 20, 8), title, painter.INK, painter.font(26))
    note = f'{name}: {len(stitched.poses)} frames, mean of the log-odds'
    draw.text((width + 20, 44), note, painter.INK, painter.font())
    _draw_key(canvas, width + 20, lines, threshold)
    return np.asarray(canvas)


def _draw_key(
    canvas: Image.Image, left: int, lines: Sequence[tuple[str, tuple[int, int, int]]], threshold: float
) -> None:
    """Draws the key, starting at pixel column ``left``."""
    draw = ImageDraw.Draw(canvas)
    y = probability_bar(canvas, (left, 88), _KEY - 48, threshold)
    for text, color in lines:
        draw.line([(left, y + 20), (left + 20, y + 20)], color, 3)
        draw.text((left + 30, y + 10), text, painter.INK, painter.font())
        y += 28
    draw.text((left, y + 16), 'World frame: x to the right, y up.\nBlack: in no frame.', painter.INK, painter.font())


def _draw_way(draw: ImageDraw.ImageDraw, points: np.ndarray) -> None:
    """Draws the trajectory: a line with dots, a ring at the start and an arrowhead at the end."""
    places = [tuple(point) for point in points]
    draw.line(places, painter.FALSE, 3, joint='curve')
    for x, y in places:
        draw.ellipse([x - 4, y - 4, x + 4, y + 4], painter.FALSE, painter.BACKGROUND)
    moved = np.flatnonzero(np.linalg.norm(points[-1] - points, axis=1) > 1)
    x, y = places[0]
    draw.ellipse([x - 8, y - 8, x + 8, y + 8], outline=painter.FALSE, width=3)
    if len(moved):
        ahead = points[-1] - points[moved[-1]]
        ahead /= np.linalg.norm(ahead)
        side = np.array([-ahead[1], ahead[0]])
        corners = [points[-1] + 14 * ahead, points[-1] - 6 * ahead + 9 * side, points[-1] - 6 * ahead - 9 * side]
        draw.polygon([tuple(corner) for corner in corners], painter.FALSE, painter.BACKGROUND)
