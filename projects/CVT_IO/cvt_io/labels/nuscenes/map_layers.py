"""Drawing of the map on label planes: lane and road polygons, road and lane dividers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, compress, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely

from ...errors import DataError
from ...fileio.records import Record, as_records, read_json
from ...geometry import BEVGrid
from ..classes import CLASSES, LINE_LAYERS, MAP_CLASSES, POLYGON_LAYERS
from .raster import cells_of, covered_area, pixels_from_world

#: Records are drawn if they reach into the square of ± this many metres around the ego vehicle.
RADIUS = 150.0


@dataclass(frozen=True)
class Polygons:
    """Polygons of a layer in the order of the map, with a spatial index.

    Attributes:
        shapes: shapely polygons.
        rings: closed rings [(n, 2), …] of each polygon in metres, exterior first.
        tree: index over the shapes.
    """

    shapes: np.ndarray
    rings: list[list[np.ndarray]]
    tree: shapely.STRtree

    @classmethod
    def of(cls, shapes: Iterable[shapely.Polygon]) -> Polygons:
        """Builds the index."""
        array = np.array(list(shapes), dtype=object)
        rings = [[shapely.get_coordinates(ring) for ring in shapely.get_rings(shape)] for shape in array]
        return cls(array, rings, shapely.STRtree(array))

    def near(self, square: shapely.Polygon, area: shapely.Polygon) -> list[list[np.ndarray]]:
        """Rings of the polygons that intersect a square and may reach into an area, in the order of the map."""
        # The tree is queried by bounding box only: its predicates use prepared geometries, which can treat invalid
        # polygons differently from the plain test.
        candidates = np.sort(self.tree.query(area))
        return [self.rings[index] for index in candidates[shapely.intersects(self.shapes[candidates], square)]]


@dataclass(frozen=True)
class Lines:
    """Lines of a layer in the order of the map, with a spatial index.

    Attributes:
        paths: node coordinates (n, 2) in metres of each line.
        tree: index over them.
    """

    paths: list[np.ndarray]
    tree: shapely.STRtree

    @classmethod
    def of(cls, paths: Iterable[np.ndarray]) -> Lines:
        """Builds the index."""
        paths = list(paths)
        return cls(paths, shapely.STRtree([shapely.LineString(path) for path in paths]))

    def near(self, lower: np.ndarray, upper: np.ndarray, area: shapely.Polygon) -> list[np.ndarray]:
        """Lines with a node strictly between two corners (2,) that may reach into an area, in the order of the map."""
        paths = [self.paths[index] for index in np.sort(self.tree.query(area))]
        if not paths:
            return []
        nodes = np.concatenate(paths)
        inside = ((nodes > lower) & (nodes < upper)).all(axis=1)
        starts = np.cumsum([0, *(len(path) for path in paths[:-1])])
        return list(compress(paths, np.logical_or.reduceat(inside, starts)))


@dataclass(frozen=True)
class MapLayers:
    """The layers of a map that labels need.

    Attributes:
        polygons: polygons by layer, those of ``POLYGON_LAYERS`` that the map has.
        lines: lines by layer, those of ``LINE_LAYERS`` that the map has.
        digest: digest of the map file.
    """

    polygons: dict[str, Polygons]
    lines: dict[str, Lines]
    digest: str

    @classmethod
    def from_file(cls, path: Path) -> MapLayers:
        """Reads a map expansion file of any version; the layers that labels need are the same in all of them.

        Raises:
            DataError: the file is missing or unreadable, has none of the layers, or a key or token in it is missing.
        """
        content = read_json(path)
        layers = [layer for layer in MAP_CLASSES if isinstance(content, dict) and layer in content]
        if not layers:
            raise DataError(f'{path}: expected a map expansion with the layers {", ".join(MAP_CLASSES)}, found none')
        reader = _MapReader(path, content)
        polygons = {layer: Polygons.of(reader.polygons(layer)) for layer in POLYGON_LAYERS if layer in layers}
        lines = {layer: Lines.of(reader.lines(layer)) for layer in LINE_LAYERS if layer in layers}
        return cls(polygons, lines, hashlib.sha256(path.read_bytes()).hexdigest())

    @property
    def missing(self) -> list[str]:
        """Layers that the map lacks."""
        return [layer for layer in MAP_CLASSES if layer not in self.polygons | self.lines]

    def draw(self, world_from_ego: np.ndarray, grid: BEVGrid) -> np.ndarray:
        """Class bits (h, w) uint16 of classes 0–3 around a flat ego pose (4, 4).

        Polygons are drawn record by record, exterior with 1 and then its holes with 0, so that a hole may cut an
        earlier polygon; lines are drawn whole if one of their nodes lies strictly inside the square.
        """
        lower, upper = world_from_ego[:2, 3] - RADIUS, world_from_ego[:2, 3] + RADIUS
        square = shapely.box(*lower, *upper)
        # Everything else lies outside the grid.
        area = shapely.box(*np.concatenate(covered_area(grid, world_from_ego)))
        matrix = pixels_from_world(grid, world_from_ego)
        planes = np.zeros((len(POLYGON_LAYERS) + len(LINE_LAYERS), *grid.size), np.uint8)
        for layer, polygons in self.polygons.items():
            index = CLASSES.index(layer)
            _fill(planes[index], polygons.near(square, area), matrix, 1 << index)
        for layer, lines in self.lines.items():
            index = CLASSES.index(layer)
            cells = cells_of(lines.near(lower, upper, area), matrix)
            cv2.polylines(planes[index], cells, False, (1 << index,), thickness=1)
        return np.bitwise_or.reduce(planes).astype(np.uint16)


def _fill(plane: np.ndarray, polygons: Sequence[list[np.ndarray]], matrix: np.ndarray, value: int) -> None:
    """Draws polygons in order on a plane (h, w) uint8."""
    cells = iter(cells_of(list(chain.from_iterable(polygons)), matrix))
    for rings in polygons:
        exterior, *holes = islice(cells, len(rings))
        cv2.fillPoly(plane, [exterior], (value,))
        if holes:
            cv2.fillPoly(plane, holes, (0,))


class _MapReader:
    """Resolves the tokens of a map file."""

    def __init__(self, path: Path, content: Record) -> None:
        self.path = path
        self.content = content
        self.nodes = {node['token']: (node['x'], node['y']) for node in self._layer('node', 'x', 'y')}
        self.outlines = {r['token']: r for r in self._layer('polygon', 'exterior_node_tokens', 'holes')}
        self.paths = {r['token']: r for r in self._layer('line', 'node_tokens')}

    def polygons(self, layer: str) -> Iterable[shapely.Polygon]:
        """Polygons of a layer, record by record; empty holes are skipped as in the devkit."""
        for record in self._layer(layer, 'polygon_token'):
            outline = self._get(self.outlines, 'polygon', record['polygon_token'])
            holes = as_records(outline['holes'], ('node_tokens',), self.path, f'holes of polygon {outline["token"]!r}')
            exterior = self._coordinates(outline['exterior_node_tokens'])
            try:
                yield shapely.Polygon(
                    exterior, [self._coordinates(h['node_tokens']) for h in holes if h['node_tokens']]
                )
            except (ValueError, TypeError) as error:
                raise DataError(f'{self.path}: invalid polygon {outline["token"]!r}: {error}') from error

    def lines(self, layer: str) -> Iterable[np.ndarray]:
        """Node coordinates (n, 2) of the lines of a layer, record by record."""
        for record in self._layer(layer, 'line_token'):
            nodes = self._get(self.paths, 'line', record['line_token'])['node_tokens']
            # Some lines in the real maps have no nodes.
            if len(nodes) > 1:
                yield self._coordinates(nodes)

    def _layer(self, layer: str, *keys: str) -> list[Record]:
        if layer not in self.content:
            raise DataError(f'{self.path}: no layer {layer!r} in this map')
        return as_records(self.content[layer], ('token', *keys), self.path, f'layer {layer!r}')

    def _get(self, records: dict[str, Any], layer: str, token: str) -> Any:
        if token not in records:
            raise DataError(f'{self.path}: layer {layer!r} has no token {token!r}, which a record refers to')
        return records[token]

    def _coordinates(self, tokens: list[str]) -> np.ndarray:
        points = [self._get(self.nodes, 'node', token) for token in tokens]
        try:
            return np.array(points, dtype=np.float64).reshape(-1, 2)
        except (ValueError, TypeError) as error:
            raise DataError(f'{self.path}: expected x and y of nodes {tokens} to be numbers, got {points}') from error
