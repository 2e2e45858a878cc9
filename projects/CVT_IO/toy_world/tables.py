"""nuScenes' thirteen tables, record by record."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import numpy as np
from pyquaternion import Quaternion

from .catalogue import ATTRIBUTES, CATEGORIES, attribute_of
from .rig import CAMERAS, LIDAR
from .scene import FRAME_INTERVAL, Annotation, Scene
from .seeding import digest

TABLES = (
    'category', 'attribute', 'visibility', 'instance', 'sensor', 'calibrated_sensor', 'ego_pose', 'log', 'scene',
    'sample', 'sample_data', 'sample_annotation', 'map',
)  # fmt: skip
Records = dict[str, list[dict[str, Any]]]
_VISIBILITY_LEVELS = ((0, 40), (40, 60), (60, 80), (80, 100))


def visibility_token(visible: int, covered: int) -> str:
    """nuScenes' token of a visible share: '1' below 40 %, '2' below 60 %, '3' below 80 %, else '4'.

    Args:
        visible: number of pixels in which the object is visible, over all cameras.
        covered: number including occluded pixels; the token is '1' if there are none.
    """
    if not covered:
        return '1'
    return str(1 + sum(100 * visible >= high * covered for _, high in _VISIBILITY_LEVELS[:-1]))


def static_tables(seed: int) -> Records:
    """The tables that do not depend on scenes."""
    return {
        'category': [
            {'token': digest(seed, 'category', name), 'name': name, 'description': text, 'index': index}
            for index, (name, text) in enumerate(CATEGORIES.items(), start=1)
        ],
        'attribute': [
            {'token': digest(seed, 'attribute', name), 'name': name, 'description': text}
            for name, text in ATTRIBUTES.items()
        ],
        'visibility': [
            {
                'token': str(level),
                'level': f'v{low}-{high}',
                'description': f'Between {low} % and {high} % of the object are visible.',
            }
            for level, (low, high) in enumerate(_VISIBILITY_LEVELS, start=1)
        ],
        'sensor': [
            {
                'token': digest(seed, 'sensor', channel),
                'channel': channel,
                'modality': 'lidar' if channel == LIDAR else 'camera',
            }
            for channel in (*CAMERAS, LIDAR)
        ],
    }


def log_tables(seed: int, scenes: list[dict[str, Any]]) -> Records:
    """The tables ``log`` and ``map``, from the ``log`` record of each scene.

    Args:
        seed: of the world.
        scenes: log records, repeated where scenes share a log.
    """
    logs = list({record['token']: record for record in scenes}.values())
    return {
        'log': logs,
        'map': [
            {
                'category': 'semantic_prior',
                'token': digest(seed, 'map', location),
                'filename': map_mask_name(location),
                'log_tokens': [log['token'] for log in logs if log['location'] == location],
            }
            for location in sorted({log['location'] for log in logs})
        ],
    }


def map_mask_name(location: str) -> str:
    """Path of a location's map mask below the data root."""
    return f'maps/{digest("map mask", location)}.png'


def image_name(scene: Scene, frame: int, channel: str) -> str:
    """Path of a sensor's file below the data root, named as nuScenes names it."""
    suffix = 'pcd.bin' if channel == LIDAR else 'jpg'
    timestamp = scene.frames[frame].poses[channel].timestamp
    return f'samples/{channel}/{_logfile(scene)}__{channel}__{timestamp}.{suffix}'


def scene_tables(scene: Scene, visible: list[np.ndarray], covered: list[np.ndarray]) -> Records:
    """All records of one scene.

    Args:
        scene: the scene.
        visible: for each frame, visible pixels (annotations,) of the objects, over all cameras.
        covered: for each frame, pixels (annotations,) including occluded ones.
    """
    records: Records = {name: [] for name in TABLES}
    records['log'].append(_log(scene))
    records['scene'].append(_scene(scene))
    for channel, calibration in scene.rig.items():
        records['calibrated_sensor'].append(
            {
                'token': _calibration_token(scene, channel),
                'sensor_token': digest(scene.seed, 'sensor', channel),
                'translation': list(calibration.translation),
                'rotation': list(calibration.rotation),
                'camera_intrinsic': [list(row) for row in calibration.intrinsics or ()],
            }
        )
    for k in range(len(scene.frames)):
        _add_sample(records, scene, k)
        for a, annotation in enumerate(scene.frames[k].annotations):
            seen, whole = int(visible[k][a]), int(covered[k][a])
            records['sample_annotation'].append(_annotation(scene, k, annotation, seen, whole))
    _link_instances(records, scene)
    return records


def _logfile(scene: Scene) -> str:
    """nuScenes' name of a log: vehicle, date and local time."""
    rng_free = int(digest(scene.seed, 'logfile', scene.log)[:8], 16)
    boston = scene.network.location.startswith('boston')
    zone = timezone(timedelta(hours=-4 if boston else 8))
    start = datetime(2018, 6, 1, 9, tzinfo=zone) + timedelta(minutes=rng_free % (150 * 24 * 60))
    return f'{"n008" if boston else "n015"}-{start:%Y-%m-%d-%H-%M-%S%z}'


def _log(scene: Scene) -> dict[str, Any]:
    logfile = _logfile(scene)
    vehicle, date = logfile.split('-', 1)
    return {
        'token': digest(scene.seed, 'log', scene.log),
        'logfile': logfile,
        'vehicle': vehicle,
        'date_captured': date[:10],
        'location': scene.network.location,
    }


def _scene(scene: Scene) -> dict[str, Any]:
    last = len(scene.frames) - 1
    return {
        'token': scene.token('scene'),
        'log_token': digest(scene.seed, 'log', scene.log),
        'nbr_samples': len(scene.frames),
        'first_sample_token': scene.token('sample', 0),
        'last_sample_token': scene.token('sample', last),
        'name': scene.name,
        'description': f'Toy world, {scene.weather.name}, drive of {FRAME_INTERVAL * last:g} s',
    }


def _calibration_token(scene: Scene, channel: str) -> str:
    return scene.token('calibrated_sensor', channel)


def _neighbours(scene: Scene, k: int, *identity: object) -> dict[str, str]:
    """``prev`` and ``next`` of a record that exists once per frame."""
    return {
        'prev': scene.token(*map(str, identity), k - 1) if k else '',
        'next': scene.token(*map(str, identity), k + 1) if k + 1 < len(scene.frames) else '',
    }


def _add_sample(records: Records, scene: Scene, k: int) -> None:
    """Key frame ``k``: its sample, and the ego pose and sample_data of every sensor."""
    poses = scene.frames[k].poses
    sample = scene.token('sample', k)
    records['sample'].append(
        {
            'token': sample,
            'timestamp': poses[LIDAR].timestamp,
            **_neighbours(scene, k, 'sample'),
            'scene_token': scene.token('scene'),
        }
    )
    height, width = scene.image_size
    for channel, pose in poses.items():
        token = scene.token('sample_data', channel, k)
        records['ego_pose'].append(
            {
                'token': token,
                'timestamp': pose.timestamp,
                'rotation': list(pose.rotation),
                'translation': list(pose.translation),
            }
        )
        records['sample_data'].append(
            {
                'token': token,
                'sample_token': sample,
                'ego_pose_token': token,
                'calibrated_sensor_token': _calibration_token(scene, channel),
                'timestamp': pose.timestamp,
                'fileformat': 'pcd' if channel == LIDAR else 'jpg',
                'is_key_frame': True,
                'height': 0 if channel == LIDAR else height,
                'width': 0 if channel == LIDAR else width,
                'filename': image_name(scene, k, channel),
                **_neighbours(scene, k, 'sample_data', channel),
            }
        )


def _annotation(scene: Scene, k: int, annotation: Annotation, seen: int, whole: int) -> dict[str, Any]:
    """One sample_annotation; ``prev`` and ``next`` are filled in by :func:`_link_instances`."""
    actor = scene.actors[annotation.actor]
    x, y, heading = annotation.pose
    attribute = attribute_of(actor.kind.category, annotation.speed, parked=actor.path is None)
    distance = np.hypot(*np.subtract(scene.frames[k].poses[LIDAR].translation[:2], (x, y)))
    # Roughly the number of lidar points on the visible surface.
    area = (actor.size[0] + actor.size[1]) * actor.size[2]
    points = int(600 * area / max(distance, 3.0) ** 2 * (seen / whole if whole else 0.2))
    return {
        'token': scene.annotation_token(k, annotation.actor),
        'sample_token': scene.token('sample', k),
        'instance_token': scene.token('instance', annotation.actor),
        'visibility_token': visibility_token(seen, whole),
        'attribute_tokens': [digest(scene.seed, 'attribute', attribute)] if attribute else [],
        'translation': [x, y, round(actor.size[2] / 2, 4)],
        'size': list(actor.size),
        'rotation': [round(float(q), 12) for q in Quaternion(axis=(0, 0, 1), radians=heading).elements],
        'prev': '',
        'next': '',
        'num_lidar_pts': points,
        'num_radar_pts': min(points // 20, 5) if actor.kind.category.startswith('vehicle') else 0,
    }


def _link_instances(records: Records, scene: Scene) -> None:
    """Chains the annotations of each object and adds its instance."""
    chains: dict[str, list[dict[str, Any]]] = {}
    for record in records['sample_annotation']:
        chains.setdefault(record['instance_token'], []).append(record)
    categories = {scene.token('instance', k): actor.kind.category for k, actor in enumerate(scene.actors)}
    for token, chain in chains.items():
        for before, after in pairwise(chain):
            before['next'], after['prev'] = after['token'], before['token']
        records['instance'].append(
            {
                'token': token,
                'category_token': digest(scene.seed, 'category', categories[token]),
                'nbr_annotations': len(chain),
                'first_annotation_token': chain[0]['token'],
                'last_annotation_token': chain[-1]['token'],
            }
        )
