"""Key frames with cameras, ego pose and annotated boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Annotation(NamedTuple):
    """An annotated box; ``visibility`` is the token 1–4 of a vehicle, 0 for anything else.

    World frame, metres; ``size`` is (width, length, height), ``rotation`` a quaternion (w, x, y, z).
    """

    category: str
    visibility: int
    translation: tuple[float, ...]
    size: tuple[float, ...]
    rotation: tuple[float, ...]


@dataclass(frozen=True)
class Camera:
    """An image with its calibration; ``path`` is relative to the data set's root.

    ``cam_from_ego`` (4, 4) goes from the flat ego pose at the frame's time through the full ego pose at the image's own
    time.
    """

    channel: str
    path: str
    width: int
    height: int
    intrinsics: np.ndarray
    cam_from_ego: np.ndarray


@dataclass(frozen=True)
class Frame:
    """A key frame; ``world_from_ego`` (4, 4) is the flat (yaw only) ego pose at the reference sensor's time.

    ``timestamp`` is in microseconds; ``location`` is the name of the map, empty if there is none.
    """

    token: str
    scene: str
    location: str
    timestamp: int
    world_from_ego: np.ndarray
    cameras: tuple[Camera, ...]
    annotations: tuple[Annotation, ...]

    @property
    def label_name(self) -> str:
        """Label file, relative to the label folder of a grid."""
        return f'{self.scene}/{self.token}.png'
