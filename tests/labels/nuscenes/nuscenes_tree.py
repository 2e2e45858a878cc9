"""A tiny random nuScenes tree, awkward on purpose, that the devkit loads too.

Rolled and pitched ego poses, boxes turned in 3-D and partly outside of the grid, overlapping vehicles, an emergency
vehicle, holes that cut earlier polygons, a bow-tie polygon, a line that crosses the square around the ego without a
node in it, a line without nodes, sweeps, radar, scenes of no split, tables in a scrambled order.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

VERSION = 'v1.0-mini'
CAMERAS = ('CAM_FRONT_LEFT', 'CAM_FRONT', 'CAM_FRONT_RIGHT', 'CAM_BACK_LEFT', 'CAM_BACK', 'CAM_BACK_RIGHT')
#: Scene, location and ego position in the map. 0061 and 0553 are of mini_train, 0103 of mini_val, 0001 of neither.
SCENES = (
    ('scene-0553', 'boston-seaport', (400.0, 500.0)),
    ('scene-0103', 'singapore-onenorth', (700.0, 600.0)),
    ('scene-0001', 'boston-seaport', (450.0, 480.0)),
    ('scene-0061', 'singapore-onenorth', (620.0, 650.0)),
)
CATEGORIES = (
    'vehicle.car',
    'vehicle.truck',
    'vehicle.bus.bendy',
    'vehicle.trailer',
    'vehicle.construction',
    'human.pedestrian.construction_worker',
    'vehicle.motorcycle',
    'vehicle.bicycle',
    'vehicle.emergency.police',
    'static_object.bicycle_rack',
    'movable_object.trafficcone',
)
_EMPTY_LAYERS = [
    'drivable_area', 'road_block', 'ped_crossing', 'walkway', 'stop_line', 'carpark_area', 'traffic_light',
    'lane_connector',
]  # fmt: skip


class Tables(dict):
    """Tables by name, filled record by record."""

    def add(self, table: str, **values) -> str:
        """Adds a record; returns its token."""
        records = self.setdefault(table, [])
        token = values.pop('token', f'{table}-{len(records)}')
        records.append({'token': token, **values})
        return token


def write_tree(
    root: Path, seed: int = 0, frames: int = 3, boxes: int = 60, version: str = VERSION, scenes: tuple = SCENES
) -> Tables:
    """Writes a tree; returns its tables."""
    rng = np.random.default_rng(seed)
    tables = Tables({name: [] for name in ('attribute', 'visibility', 'instance', 'sample_annotation')})
    sensors = {
        channel: tables.add('sensor', channel=channel, modality='camera' if channel in CAMERAS else 'lidar')
        for channel in (*CAMERAS, 'LIDAR_TOP', 'RADAR_FRONT')
    }
    categories = [tables.add('category', name=name, description='') for name in CATEGORIES]
    for name, location, position in scenes:
        _add_scene(tables, rng, sensors, categories, (name, location, position), frames, boxes)
    (root / 'maps/expansion').mkdir(parents=True)
    Image.new('L', (4, 4)).save(root / 'maps/mask.png')
    logs = [record['token'] for record in tables['log']]
    tables.add('map', log_tokens=logs, category='semantic_prior', filename='maps/mask.png')
    for table in ('sample_annotation', 'sample_data', 'ego_pose', 'sample'):
        rng.shuffle(tables[table])
    write_tables(root, tables, version)
    for record in tables['sample_data']:
        path = root / record['filename']
        path.parent.mkdir(parents=True, exist_ok=True)
        if record['is_key_frame']:
            path.touch()
    for location in {location for _, location, _ in scenes}:
        positions = [position for _, place, position in scenes if place == location]
        content = json.dumps(random_map(rng, np.mean(positions, axis=0)))
        (root / f'maps/expansion/{location}.json').write_text(content)
    return tables


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, temporary ones too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def write_tables(root: Path, tables: dict, version: str = VERSION) -> None:
    """Writes the tables' files."""
    (root / version).mkdir(parents=True, exist_ok=True)
    for name, records in tables.items():
        (root / version / f'{name}.json').write_text(json.dumps(records, indent=0))


def random_rotation(rng: np.random.Generator, tilt: float) -> list[float]:
    """Quaternion (w, x, y, z), not quite normalised: any heading, then up to about ``tilt`` radians of roll, pitch."""
    heading = rng.uniform(-np.pi, np.pi)
    q = np.array([np.cos(heading / 2), *rng.normal(0, tilt / 2, 2), np.sin(heading / 2)])
    return (q / np.linalg.norm(q) * (1 + 1e-7)).tolist()


def _add_pose(tables: Tables, rng: np.random.Generator, position: tuple[float, float]) -> str:
    translation = [*(np.array(position) + rng.normal(0, 2, 2)).tolist(), rng.normal()]
    return tables.add('ego_pose', timestamp=0, rotation=random_rotation(rng, 0.1), translation=translation)


def _add_scene(tables: Tables, rng, sensors: dict, categories: list[str], scene: tuple, frames: int, boxes: int):
    name, location, position = scene
    log = tables.add('log', logfile=name, vehicle='n', date_captured='', location=location)
    samples = [f'{name}-sample{i}' for i in range(frames)]
    ends = dict(first_sample_token=samples[0], last_sample_token=samples[-1])
    scene_token = tables.add('scene', name=name, log_token=log, nbr_samples=frames, description='', **ends)
    rig = {channel: _add_calibration(tables, rng, channel, token) for channel, token in sensors.items()}
    for i, sample in enumerate(samples):
        links = {'prev': samples[i - 1] if i else '', 'next': samples[i + 1] if i + 1 < frames else ''}
        tables.add('sample', token=sample, timestamp=1000 + i, scene_token=scene_token, **links)
        for channel, calibration in rig.items():
            for key in (False, True, False):
                width, height = (1600, 900) if channel in CAMERAS else (0, 0)
                folder = 'samples' if key else 'sweeps'
                tables.add(
                    'sample_data',
                    sample_token=sample,
                    ego_pose_token=_add_pose(tables, rng, position),
                    calibrated_sensor_token=calibration,
                    filename=f'{folder}/{channel}/{name}_{i}.jpg',
                    **dict(timestamp=1000 + i, is_key_frame=key, height=height, width=width),
                    **dict(fileformat='jpg', prev='', next=''),
                )
        for _ in range(boxes):
            _add_box(tables, rng, sample, categories[rng.integers(len(categories))], position)


def _add_calibration(tables: Tables, rng: np.random.Generator, channel: str, sensor: str) -> str:
    camera = [[1200 + rng.normal(), 0, 800], [0, 1200 + rng.normal(), 450], [0, 0, 1]]
    return tables.add(
        'calibrated_sensor',
        sensor_token=sensor,
        translation=rng.normal(size=3).tolist(),
        rotation=(q := rng.normal(size=4), (q / np.linalg.norm(q)).tolist())[1],
        camera_intrinsic=camera if channel in CAMERAS else [],
    )


def _add_box(tables: Tables, rng: np.random.Generator, sample: str, category: str, position: tuple) -> None:
    instance = tables.add('instance', category_token=category, nbr_annotations=1)
    unused = dict(prev='', next='', num_lidar_pts=0, num_radar_pts=0, attribute_tokens=[])
    tables.add(
        'sample_annotation',
        **dict(sample_token=sample, instance_token=instance, **unused),
        visibility_token=str(rng.integers(1, 5)),
        translation=[*(np.array(position) + rng.uniform(-60, 60, 2)).tolist(), rng.normal()],
        size=[rng.uniform(0.3, 3), rng.uniform(0.3, 12), rng.uniform(1, 4)],
        rotation=random_rotation(rng, 0.2),
    )


class MapBuilder:
    """Content of a map expansion file, filled shape by shape."""

    def __init__(self) -> None:
        layers = ('polygon', 'line', 'node', 'lane', 'road_segment', 'road_divider', 'lane_divider', *_EMPTY_LAYERS)
        self.content: dict = {'version': '1.3', 'canvas_edge': [2000, 2000], 'arcline_path_3': {}, 'connectivity': {}}
        self.content |= {layer: [] for layer in layers}

    def _add(self, layer: str, **values) -> str:
        token = f'{layer}-{len(self.content[layer])}'
        self.content[layer].append({'token': token, **values})
        return token

    def _nodes(self, points) -> list[str]:
        return [self._add('node', x=float(x), y=float(y)) for x, y in points]

    def polygon(self, layer: str, exterior, holes=()) -> None:
        """Adds a record of a polygon layer."""
        rings = [{'node_tokens': self._nodes(hole)} for hole in holes]
        polygon = self._add('polygon', exterior_node_tokens=self._nodes(exterior), holes=rings)
        self._add(layer, polygon_token=polygon, left_lane_divider_segments=[], right_lane_divider_segments=[])

    def line(self, layer: str, points) -> None:
        """Adds a record of a line layer."""
        self._add(layer, line_token=self._add('line', node_tokens=self._nodes(points)))


def random_map(rng: np.random.Generator, middle) -> dict:
    """Content of a map expansion file with shapes around a point, some of them far away."""
    builder = MapBuilder()
    for layer in ('lane', 'road_segment'):
        for i in range(40):
            center, radius = middle + rng.uniform(-250, 250, 2), rng.uniform(5, 60)
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 12)))
            ring = np.stack([np.cos(angles), np.sin(angles)], 1)
            star = center + ring * rng.uniform(0.6, 1, (len(angles), 1)) * radius
            holes = [center + 0.4 * radius * ring, []] if i % 3 == 0 else []
            builder.polygon(layer, star, holes)
        builder.polygon(layer, middle + np.array([[-20, -15], [10, 22], [10, -15], [-20, 22]]))  # A bow tie.
        wide = 10.0 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        builder.polygon(layer, middle + 40 + wide, [middle + 40 + 0.5 * wide, middle + 30 + 0.1 * wide])
    for layer in ('road_divider', 'lane_divider'):
        for _ in range(40):
            builder.line(layer, middle + rng.uniform(-250, 250, 2) + rng.normal(0, 30, (rng.integers(2, 7), 2)))
        builder.line(layer, middle + np.array([[-400, 3], [400, -8]]))  # Crosses the square without a node in it.
        builder.line(layer, [])
    return builder.content
