"""A road network as nuScenes' map expansion (version 1.3) and as the binary mask of the devkit's ``MapMask``."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from PIL import Image
from shapely.geometry import Polygon
from shapely.ops import unary_union

from . import markings
from .roads import LANE_WIDTH, Lane, Road, RoadNetwork
from .seeding import digest

_LAYERS = (
    'polygon', 'line', 'node', 'drivable_area', 'road_segment', 'road_block', 'lane', 'ped_crossing', 'walkway',
    'stop_line', 'carpark_area', 'road_divider', 'lane_divider', 'traffic_light', 'lane_connector',
)  # fmt: skip


def map_expansion(network: RoadNetwork, seed: int) -> dict[str, Any]:
    """Builds the map expansion of a network.

    Returns:
        All layers that the devkit's ``NuScenesMap`` reads, ``arcline_path_3``, ``connectivity``, ``canvas_edge`` in
        metres and ``version``. Coordinates are rounded to 0.1 mm.
    """
    return _Expansion(network, seed).build()


class _Expansion:
    """Collects the records layer by layer; a record's token derives from its layer and its place in it."""

    def __init__(self, network: RoadNetwork, seed: int) -> None:
        self.network = network
        self.seed = seed
        self.layers: dict[str, list[dict[str, Any]]] = {name: [] for name in _LAYERS}
        self.lane_tokens: dict[str, str] = {}
        self.area_tokens: list[str] = []

    def build(self) -> dict[str, Any]:
        """Fills all layers."""
        self._drivable_areas()
        for road in self.network.roads:
            self._road(road)
        for area in self.network.junctions:
            self._segment(area, is_intersection=True)
        for walkway in self.network.walkways:
            self.add('walkway', polygon_token=self.polygon(walkway))
        for lane in self.network.lanes:
            self._lane(lane)
        for turn in self.network.turns:
            self.lane_tokens[turn.name] = self.add('lane_connector', polygon_token=self.polygon(turn.polygon()))
        return {
            'version': '1.3',
            'canvas_edge': list(self.network.canvas),
            **self.layers,
            'arcline_path_3': {self.lane_tokens[lane.name]: _arclines(lane) for lane in self._all_lanes()},
            'connectivity': self._connectivity(),
        }

    def add(self, layer: str, **values: Any) -> str:
        """Appends a record and returns its token."""
        token = digest(self.seed, 'map', self.network.location, layer, len(self.layers[layer]))
        self.layers[layer].append({'token': token, **values})
        return token

    def nodes(self, points: np.ndarray) -> list[str]:
        """One node per point (N, 2)."""
        return [self.add('node', x=round(float(x), 4), y=round(float(y), 4)) for x, y in points]

    def line(self, points: np.ndarray) -> str:
        """A line through ``points`` (N, 2)."""
        return self.add('line', node_tokens=self.nodes(points))

    def polygon(self, shape: Polygon | np.ndarray) -> str:
        """A polygon with its holes."""
        shape = shape if isinstance(shape, Polygon) else Polygon(shape)
        holes = [{'node_tokens': self.nodes(np.array(ring.coords)[:-1])} for ring in shape.interiors]
        return self.add('polygon', exterior_node_tokens=self.nodes(np.array(shape.exterior.coords)[:-1]), holes=holes)

    def _all_lanes(self) -> list[Lane]:
        return [*self.network.lanes, *self.network.turns]

    def _drivable_areas(self) -> None:
        """One record for the whole town, as roads and junctions all touch."""
        parts = getattr(drivable_area(self.network), 'geoms', None) or [drivable_area(self.network)]
        self.add('drivable_area', polygon_tokens=[self.polygon(part) for part in parts])

    def _segment(self, area: Polygon, is_intersection: bool) -> str:
        return self.add(
            'road_segment',
            polygon_token=self.polygon(area),
            is_intersection=is_intersection,
            drivable_area_token=self.layers['drivable_area'][0]['token'],
        )

    def _road(self, road: Road) -> None:
        segment = self._segment(road.polygon(), is_intersection=False)
        for points in markings.road_dividers(road):
            self.add('road_divider', line_token=self.line(points), road_segment_token=segment)
        for points, kind in markings.lane_dividers(road):
            line = self.line(points)
            nodes = self.layers['line'][-1]['node_tokens']
            segments = [{'node_token': node, 'segment_type': kind} for node in nodes]
            self.add('lane_divider', line_token=line, lane_divider_segments=segments)
        blocks = [self._block(road, outline, segment) for outline in markings.direction_halves(road, self.network.side)]
        zebras = [
            self.add('ped_crossing', polygon_token=self.polygon(outline), road_segment_token=segment)
            for outline in markings.crossings(road)
        ]
        for outline, block, zebra in zip(
            markings.stop_lines(road, self.network.side), blocks, reversed(zebras), strict=True
        ):
            self._stop_line(outline, block, zebra)
        for outline, block in zip(markings.parking_strips(road), blocks, strict=True):
            heading = float(road.centre.headings[0])
            self.add('carpark_area', polygon_token=self.polygon(outline), orientation=heading, road_block_token=block)

    def _block(self, road: Road, outline: np.ndarray, segment: str) -> str:
        count = len(outline) // 2
        first, last = self.line(outline[[0, -1]]), self.line(outline[[count - 1, count]])
        return self.add(
            'road_block',
            polygon_token=self.polygon(outline),
            from_edge_line_token=first,
            to_edge_line_token=last,
            road_segment_token=segment,
        )

    def _stop_line(self, outline: np.ndarray, block: str, zebra: str) -> None:
        """A traffic light at the line, and the line that obeys it and guards the zebra crossing."""
        x, y = outline.mean(axis=0)
        light = self.add(
            'traffic_light',
            line_token=self.line(outline[[0, -1]]),
            traffic_light_type='VERTICAL',
            from_road_block_token=block,
            items=[
                {'color': color, 'shape': 'CIRCLE', 'rel_pos': dict(zip(('tx', 'ty', 'tz', 'rx', 'ry', 'rz'),
                 (0.0, 0.0, height, 0.0, 0.0, 0.0), strict=True)), 'to_road_block_tokens': []}
                for color, height in (('RED', 0.6), ('YELLOW', 0.3), ('GREEN', 0.0))
            ],
            pose={'tx': round(float(x), 4), 'ty': round(float(y), 4), 'tz': 0.0, 'rx': 0.0, 'ry': 0.0, 'rz': 0.0},
        )  # fmt: skip
        self.add(
            'stop_line',
            polygon_token=self.polygon(outline),
            stop_line_type='TRAFFIC_LIGHT',
            ped_crossing_tokens=[zebra],
            traffic_light_tokens=[light],
            road_block_token=block,
        )

    def _lane(self, lane: Lane) -> None:
        edges = [lane.path.beside(lateral) for lateral in (LANE_WIDTH / 2, -LANE_WIDTH / 2)]
        dividers = []
        for points in edges:
            nodes = self.nodes(points[[0, -1]])
            dividers.append([{'node_token': node, 'segment_type': 'NIL'} for node in nodes])
        self.lane_tokens[lane.name] = self.add(
            'lane',
            polygon_token=self.polygon(lane.polygon()),
            lane_type='CAR',
            from_edge_line_token=self.line(np.array([edges[0][0], edges[1][0]])),
            to_edge_line_token=self.line(np.array([edges[0][-1], edges[1][-1]])),
            left_lane_divider_segments=dividers[0],
            right_lane_divider_segments=dividers[1],
        )

    def _connectivity(self) -> dict[str, dict[str, list[str]]]:
        links: dict[str, dict[str, list[str]]] = {
            self.lane_tokens[lane.name]: {'incoming': [], 'outgoing': []} for lane in self._all_lanes()
        }
        for lane in self._all_lanes():
            for successor in lane.successors:
                links[self.lane_tokens[lane.name]]['outgoing'].append(self.lane_tokens[successor.name])
                links[self.lane_tokens[successor.name]]['incoming'].append(self.lane_tokens[lane.name])
        return links


def drivable_area(network: RoadNetwork) -> Polygon:
    """Union of roads and junctions; medians are holes."""
    return unary_union([road.polygon() for road in network.roads] + network.junctions)


def map_mask_png(network: RoadNetwork) -> bytes:
    """The drivable area and sidewalks as PNG: 255 inside, 0 outside, 10 pixels per metre, north up."""
    width, height = (round(10 * edge) for edge in network.canvas)
    mask = np.zeros((height, width), dtype=np.uint8)
    for shape in (*(getattr(drivable_area(network), 'geoms', None) or [drivable_area(network)]), *network.walkways):
        rings = [np.array(ring.coords) for ring in (shape.exterior, *shape.interiors)]
        pixels = [np.round(ring * (10, -10) + (0, height)).astype(np.int32) for ring in rings]
        cv2.fillPoly(mask, pixels, (255,))
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, 'PNG', compress_level=1)
    return stream.getvalue()


def _arclines(lane: Lane) -> list[dict[str, Any]]:
    """The lane's centre as nuScenes' arc-line paths: here one straight stretch between each two points."""
    poses = [[round(float(v), 6) for v in pose] for pose in _straight_poses(lane)]
    lengths = np.linalg.norm(np.diff(lane.path.points, axis=0), axis=1)
    return [
        {
            'start_pose': start,
            'end_pose': [*end[:2], start[2]],
            'shape': 'LSR',
            'radius': 1000.0,
            'segment_length': [0.0, round(float(length), 6), 0.0],
        }
        for start, end, length in zip(poses[:-1], poses[1:], lengths, strict=True)
    ]


def _straight_poses(lane: Lane) -> np.ndarray:
    """The path's points with the direction to the next one, (N, 3); the last keeps the direction before it."""
    steps = np.diff(lane.path.points, axis=0)
    headings = np.arctan2(steps[:, 1], steps[:, 0])
    return np.column_stack([lane.path.points, np.append(headings, headings[-1])])
