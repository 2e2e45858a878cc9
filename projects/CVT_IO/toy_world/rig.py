"""The ego vehicle's sensors, calibrated similarly to nuScenes, and its pose over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyquaternion import Quaternion

from ..cvt_io.geometry import invert_rigid, pose_matrix
from .paths import Path
from .seeding import generator

LIDAR = 'LIDAR_TOP'
NATIVE_SIZE = (900, 1600)  # height and width that the focal lengths below belong to


@dataclass(frozen=True)
class _Mount:
    """Yaw in degrees, translation in metres, focal length and principal point in pixels, delay to the lidar in ms."""

    yaw: float
    translation: tuple[float, float, float]
    focal: float
    centre: tuple[float, float]
    delay: float


# In the order in which nuScenes' lidar sweeps past the cameras, but for the names' usual order.
_MOUNTS = {
    'CAM_FRONT_LEFT': _Mount(55.0, (1.52, 0.495, 1.51), 1272.0, (826.0, 480.0), -43.0),
    'CAM_FRONT': _Mount(0.0, (1.70, 0.015, 1.51), 1266.0, (816.0, 491.0), -35.0),
    'CAM_FRONT_RIGHT': _Mount(-55.0, (1.55, -0.495, 1.50), 1261.0, (808.0, 495.0), -27.0),
    'CAM_BACK_LEFT': _Mount(110.0, (1.03, 0.485, 1.59), 1257.0, (792.0, 493.0), 6.0),
    'CAM_BACK': _Mount(180.0, (0.03, 0.003, 1.58), 809.0, (829.0, 482.0), -10.0),
    'CAM_BACK_RIGHT': _Mount(-110.0, (1.01, -0.480, 1.56), 1260.0, (807.0, 501.0), -20.0),
}
CAMERAS = tuple(_MOUNTS)
_LIDAR_TRANSLATION = (0.94, 0.0, 1.84)
# Columns: the camera's x (right), y (down) and z (forward) in a frame with x forward, y left, z up.
_EGO_FROM_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Calibration:
    """A calibrated sensor, as nuScenes records it.

    Attributes:
        translation: (3,) metres in the ego frame.
        rotation: quaternion (w, x, y, z), ego from sensor.
        intrinsics: three rows of three, None for the lidar.
    """

    translation: tuple[float, ...]
    rotation: tuple[float, ...]
    intrinsics: tuple[tuple[float, ...], ...] | None = None

    def ego_from_sensor(self) -> np.ndarray:
        """Matrix (4, 4)."""
        return pose_matrix(self.rotation, self.translation)


@dataclass(frozen=True)
class Pose:
    """An ego pose, as nuScenes records it: microseconds, metres, quaternion (w, x, y, z)."""

    timestamp: int
    translation: tuple[float, ...]
    rotation: tuple[float, ...]

    def world_from_ego(self) -> np.ndarray:
        """Matrix (4, 4)."""
        return pose_matrix(self.rotation, self.translation)


def calibrate(seed: int, log: str, image_size: tuple[int, int]) -> dict[str, Calibration]:
    """The rig of a log; logs differ by a few pixels, centimetres and tenths of a degree.

    Args:
        seed: of the world.
        log: name of the log.
        image_size: (height, width); the intrinsics follow it from 900 × 1600.
    """
    scale = np.diag([image_size[1] / NATIVE_SIZE[1], image_size[0] / NATIVE_SIZE[0], 1.0])
    rng = generator(seed, 'rig', log)
    rig = {}
    for channel, mount in _MOUNTS.items():
        focal = mount.focal + rng.normal(0.0, 3.0)
        cx, cy = np.array(mount.centre) + rng.normal(0.0, 4.0, 2)
        intrinsics = scale @ np.array([[focal, 0.0, cx], [0.0, focal, cy], [0.0, 0.0, 1.0]])
        yaw, pitch, roll = np.radians(np.array([mount.yaw, 0.0, 0.0]) + rng.normal(0.0, 0.4, 3))
        rotation = Quaternion(matrix=_rotation(yaw, pitch, roll) @ _EGO_FROM_CAMERA)
        rig[channel] = Calibration(
            _rounded(np.array(mount.translation) + rng.normal(0.0, 0.008, 3), 6),
            _rounded(rotation.elements, 12),
            tuple(_rounded(row, 8) for row in intrinsics),
        )
    facing = Quaternion(axis=(0, 0, 1), degrees=-90.0 + rng.normal(0.0, 0.3))
    rig[LIDAR] = Calibration(_LIDAR_TRANSLATION, _rounded(facing.elements, 12))
    return rig


def delays(rng: np.random.Generator) -> dict[str, int]:
    """Microseconds from the lidar's timestamp to each sensor's, for one key frame."""
    jitter = rng.uniform(-3.0, 3.0, len(_MOUNTS))
    by_camera = {name: round(1000 * (m.delay + j)) for (name, m), j in zip(_MOUNTS.items(), jitter, strict=True)}
    return {LIDAR: 0, **by_camera}


class EgoMotion:
    """The ego's pose as a function of time, with a body that sways on its suspension.

    Args:
        path: path of the rear axle.
        times: (T,) seconds.
        s: (T,) arc lengths on ``path``.
        rng: random generator for the sway.
    """

    def __init__(self, path: Path, times: np.ndarray, s: np.ndarray, rng: np.random.Generator) -> None:
        self.path, self.times, self.s = path, times, s
        # Two slow oscillations and a constant each for roll (°), pitch (°) and height (m).
        self.amplitudes = rng.uniform(0.5, 1.1, (3, 2)) * [[1.0], [0.8], [0.02]]
        self.rates = rng.uniform((0.8, 2.5), (2.0, 5.0), (3, 2))
        self.phases = rng.uniform(0.0, 2 * np.pi, (3, 2))
        self.constants = rng.uniform(0.4, 1.2, 3) * rng.choice([-1.0, 1.0], 3) * (1.0, 0.8, 0.02)

    def at(self, time: float, timestamp: int) -> Pose:
        """The pose at ``time`` seconds, labelled with ``timestamp`` in microseconds."""
        x, y, yaw = self.path.at(np.interp(time, self.times, self.s))
        sway = self.constants + (self.amplitudes * np.sin(self.rates * time + self.phases)).sum(axis=1)
        rotation = Quaternion(matrix=_rotation(yaw, np.radians(sway[1]), np.radians(sway[0])))
        return Pose(timestamp, _rounded((x, y, sway[2]), 6), _rounded(rotation.elements, 12))


def camera_from_world(pose: Pose, calibration: Calibration) -> np.ndarray:
    """Matrix (4, 4) into the sensor's frame from the world."""
    return invert_rigid(pose.world_from_ego() @ calibration.ego_from_sensor())


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation (3, 3) by ``roll`` about x, then ``pitch`` about y, then ``yaw`` about z, in radians."""
    turns = (((0, 0, 1), yaw), ((0, 1, 0), pitch), ((1, 0, 0), roll))
    about_z, about_y, about_x = (Quaternion(axis=axis, radians=float(angle)) for axis, angle in turns)
    return (about_z * about_y * about_x).rotation_matrix


def _rounded(values: np.ndarray | tuple[float, ...], digits: int) -> tuple[float, ...]:
    """Rounds to the precision of the tables, so that images are rendered with the numbers that are written."""
    return tuple(round(float(value), digits) for value in values)
