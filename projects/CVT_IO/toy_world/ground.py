"""The ground of a scene: a raster painted from the map geometry and projected to cameras by homographies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from shapely.geometry import Polygon, box

from . import markings
from .paths import Path
from .roads import Road, RoadNetwork
from .weather import Weather

PIXELS_PER_METRE = 10
MATERIALS = {
    'grass': (86, 122, 58),
    'sidewalk': (172, 160, 146),
    'asphalt': (84, 86, 92),
    'parking': (102, 100, 98),
    'kerb': (196, 194, 188),
    'white': (232, 232, 228),
    'yellow': (226, 178, 40),
}
_SUBPIXEL_BITS = 4
_COARSE = 4  # the far ground is taken from a raster shrunk by this, or it would flicker
_FAR, _HAZE = 16.0, 40.0  # metres from which the coarse raster is used, and from which haze sets in


@dataclass(frozen=True)
class GroundView:
    """The ground around one key frame, with shadows.

    Attributes:
        levels: rasters (H, W, 3) uint8, each with its ``raster_from_world`` (3, 3): fine and coarse.
        beyond: colour (R, G, B) outside of the rasters.
    """

    levels: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    beyond: tuple[int, int, int]


class Ground:
    """The ground of one scene.

    Args:
        network: whose roads are painted.
        bounds: (x0, y0, x1, y1) in metres.
        weather: lights the ground.
        rng: for its texture.
    """

    def __init__(
        self,
        network: RoadNetwork,
        bounds: tuple[float, float, float, float],
        weather: Weather,
        rng: np.random.Generator,
    ) -> None:
        self.bounds = bounds
        x0, y0, x1, y1 = bounds
        shape = (round((y1 - y0) * PIXELS_PER_METRE), round((x1 - x0) * PIXELS_PER_METRE))
        p = PIXELS_PER_METRE
        # Pixel centres are at whole numbers; north is up.
        self.raster_from_world = np.array([[p, 0, -p * x0 - 0.5], [0, -p, p * y1 - 0.5], [0, 0, 1]], dtype=np.float64)
        self.weather = weather
        self.light = weather.light(np.array([0.0, 0.0, 1.0]))
        raster = np.empty((*shape, 3), dtype=np.uint8)
        raster[:] = MATERIALS['grass']
        self._paint(raster, network)
        self.raster = cv2.convertScaleAbs(_textured(raster, rng), alpha=self.light)

    def view(self, x: float, y: float, reach: float, shadows: Sequence[np.ndarray]) -> GroundView:
        """The ground within ``reach`` metres of (x, y), under ``shadows``, outlines (N, 2) in the world."""
        centre = self.raster_from_world @ (x, y, 1.0)
        low = np.maximum(np.floor(centre[:2] - reach * PIXELS_PER_METRE), 0).astype(int)
        high = np.ceil(centre[:2] + reach * PIXELS_PER_METRE).astype(int)
        high = np.minimum(high, self.raster.shape[1::-1])
        high -= (high - low) % _COARSE  # so that whole blocks of pixels are averaged below, which is fast
        fine = self.raster[low[1] : high[1], low[0] : high[0]]
        fine_from_world = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ self.raster_from_world
        if shadows:
            dark = cv2.convertScaleAbs(fine, alpha=self.weather.shadow)
            mask = np.zeros(fine.shape[:2], dtype=np.uint8)
            for outline in shadows:
                cv2.fillConvexPoly(mask, _fixed_point(outline, fine_from_world), (255,), shift=_SUBPIXEL_BITS)
            fine = cv2.copyTo(dark, mask, fine.copy())
        height, width = fine.shape[:2]
        coarse = cv2.resize(fine, (width // _COARSE, height // _COARSE), interpolation=cv2.INTER_AREA)
        scale = 1 / _COARSE
        shrink = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])
        red, green, blue = (min(round(channel * self.light), 255) for channel in MATERIALS['grass'])
        return GroundView(((fine, fine_from_world), (coarse, shrink @ fine_from_world)), (red, green, blue))

    def _paint(self, raster: np.ndarray, network: RoadNetwork) -> None:
        """Paints everything within the bounds, from bottom to top."""
        window = box(*self.bounds)
        roads = [road for road in network.roads if road.polygon().intersects(window)]
        junctions = [area for area in network.junctions if area.intersects(window)]
        for walkway in network.walkways:
            if walkway.intersects(window):
                self._fill(raster, walkway, 'sidewalk')
        areas = [*(road.polygon() for road in roads), *junctions]
        for area in areas:
            self._outline(raster, area)
        for area in areas:
            self._fill(raster, area, 'asphalt')
        for road in roads:
            self._paint_markings(raster, road, network.side)

    def _paint_markings(self, raster: np.ndarray, road: Road, side: int) -> None:
        for outline in markings.parking_strips(road):
            self._fill(raster, outline, 'parking')
        for outline in (*markings.zebra_stripes(road), *markings.stop_lines(road, side)):
            self._fill(raster, outline, 'white')
        for points, kind in markings.lane_dividers(road):
            self._stripe(raster, points, 'white', 0.15, dashed=kind.startswith('DASHED'))
        for points in markings.road_dividers(road):
            self._stripe(raster, points, 'yellow', 0.2)

    def _fill(self, raster: np.ndarray, area: Polygon | np.ndarray, material: str) -> None:
        rings = (
            [area] if isinstance(area, np.ndarray) else [np.array(r.coords) for r in (area.exterior, *area.interiors)]
        )
        outlines = [_fixed_point(ring, self.raster_from_world) for ring in rings]
        cv2.fillPoly(raster, outlines, MATERIALS[material], cv2.LINE_AA, _SUBPIXEL_BITS)

    def _outline(self, raster: np.ndarray, area: Polygon) -> None:
        """Kerbstones, half of them under the asphalt that is painted next."""
        rings = [np.array(ring.coords) for ring in (area.exterior, *area.interiors)]
        outlines = [_fixed_point(ring, self.raster_from_world) for ring in rings]
        cv2.polylines(raster, outlines, True, MATERIALS['kerb'], 4, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _stripe(
        self, raster: np.ndarray, points: np.ndarray, material: str, width: float, dashed: bool = False
    ) -> None:
        path = Path(points)
        starts = np.arange(1.0, path.length - 3.0, 7.0) if dashed else [0.0]
        for start in starts:
            part = path.between(start, start + 3.0) if dashed else path
            self._fill(raster, part.band(-width / 2, width / 2), material)


def paint_ground(
    image: np.ndarray, view: GroundView, intrinsics: np.ndarray, cam_from_world: np.ndarray, weather: Weather
) -> None:
    """Fills an image with the sky and the plane z = 0.

    Args:
        image: (H, W, 3) uint8, overwritten.
        view: the ground around.
        intrinsics: (3, 3).
        cam_from_world: (4, 4).
        weather: colours of sky and haze.
    """
    height, width = image.shape[:2]
    pixels_from_plane = intrinsics @ cam_from_world[:3, [0, 1, 3]]
    # A pixel times this is the inverse depth of the ground there, positive below the horizon.
    slope_x, slope_y, constant = cv2.invert(pixels_from_plane)[1][2]

    def rows(depth: float) -> np.ndarray:
        return (1 / depth - constant - slope_x * np.array([0.0, width - 1.0])) / slope_y

    horizon, haze, far = rows(np.inf), rows(_HAZE), rows(_FAR)
    top = int(np.clip(np.floor(horizon.min()), 0, height))
    middle = int(np.clip(np.ceil(far.mean()), top, height))
    hazy = int(np.clip(np.ceil(haze.max()), top, height))
    sky = _sky(weather, np.arange(hazy) - horizon.mean(), intrinsics[1, 1])
    image[:top] = sky[:top]
    for (raster, raster_from_world), first, last in ((view.levels[1], top, middle), (view.levels[0], middle, height)):
        if last > first:
            shift = np.array([[1, 0, 0], [0, 1, -first], [0, 0, 1]], dtype=np.float64)
            mapping = shift @ pixels_from_plane @ cv2.invert(raster_from_world)[1]
            image[first:last] = cv2.warpPerspective(
                raster, mapping, (width, last - first), flags=cv2.INTER_LINEAR, borderValue=view.beyond
            )
    if hazy > top:
        y, x = np.ogrid[top:hazy, :width]
        depth_inverse = (slope_x * x + slope_y * y + constant).astype(np.float32)
        veil = np.clip(1 - _HAZE * depth_inverse, 0, 1)[..., None]
        image[top:hazy] = image[top:hazy] * (1 - veil) + sky[top:] * veil


def _sky(weather: Weather, below_horizon: np.ndarray, focal: float) -> np.ndarray:
    """Colours (N, 1, 3) of rows, given their distance in pixels below the horizon."""
    height = np.clip(-below_horizon / (0.35 * focal), 0, 1)[:, None, None] ** 0.7
    return ((1 - height) * np.array(weather.horizon) + height * np.array(weather.zenith)).astype(np.float32)


def _fixed_point(points: np.ndarray, raster_from_world: np.ndarray) -> np.ndarray:
    """World points (N, 2) as OpenCV's fixed-point pixels, int32."""
    pixels = points @ raster_from_world[:2, :2].T + raster_from_world[:2, 2]
    return np.round(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _textured(raster: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The raster with grain and stains, stronger on grass."""
    grain = rng.normal(0.0, 0.045, (512, 512))
    # Blurred noise that wraps around, so that the tile repeats without seams.
    stains = np.fft.irfft2(np.fft.rfft2(rng.normal(0.0, 1.0, (512, 512))) * _low_pass(512, 14.0), s=(512, 512))
    tile = 1 + grain + 0.06 * stains / stains.std()
    repeats = [-(-size // 512) for size in raster.shape[:2]]
    tile = np.tile((100 * tile).astype(np.uint8), repeats)[: raster.shape[0], : raster.shape[1]]
    is_grass = (raster == np.array(MATERIALS['grass'], dtype=np.uint8)).all(axis=2)
    tile = np.where(is_grass, np.clip(2 * tile.astype(np.int16) - 100, 0, 255).astype(np.uint8), tile)
    return cv2.multiply(raster, cv2.merge([tile] * 3), scale=0.01)


def _low_pass(size: int, width: float) -> np.ndarray:
    """Gaussian filter of ``width`` pixels in the frequencies of numpy's rfft2."""
    squares = np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size) ** 2
    return np.exp(-2 * (np.pi * width) ** 2 * squares)
