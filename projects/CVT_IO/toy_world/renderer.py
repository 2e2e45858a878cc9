"""Rendering of a scene's cameras: ground and sky, boxes with a depth buffer, weather."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np

from .actors import Actor
from .boxes import Buffers, Solid, draw, in_view
from .ground import Ground, GroundView, paint_ground
from .rig import LIDAR, camera_from_world
from .scene import Annotation, Scene
from .seeding import generator
from .textures import paint
from .weather import finish, make_grain

_GROUND_RANGE = 75.0  # metres around the ego that are taken from the ground's raster


@dataclass(frozen=True)
class Rendered:
    """A rendered camera image.

    Attributes:
        image: (H, W, 3) uint8, RGB.
        instance: (H, W) int32: k + 1 where the frame's k-th annotation is visible, 0 elsewhere.
        covered: (annotations,) int64: number of pixels that each covers, including occluded ones.
    """

    image: np.ndarray
    instance: np.ndarray
    covered: np.ndarray


class SceneRenderer:
    """Renders the cameras of a scene, caching what its frames share.

    Args:
        scene: the scene to render.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        rng = generator(scene.seed, 'renderer', scene.name)
        path = np.array([frame.poses[LIDAR].translation[:2] for frame in scene.frames])
        low, high = path.min(axis=0) - _GROUND_RANGE - 5, path.max(axis=0) + _GROUND_RANGE + 5
        bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        self.ground = Ground(scene.network, bounds, scene.weather, rng)
        self.grain = make_grain(rng, scene.image_size, scene.weather.noise)
        self.tones = scene.weather.tones()
        self.textures: dict[int, dict[str, np.ndarray]] = {}  # by actor, painted when first seen
        self.houses = [_solid(house, paint(house.kind.style, house.size, house.paint)) for house in scene.scenery]
        self._view: tuple[int, GroundView, list[Solid]] | None = None

    def render_camera(self, frame: int, channel: str, only: Collection[int] | None = None) -> Rendered:
        """Renders one camera at one key frame.

        Args:
            frame: index of the key frame.
            channel: the camera, such as ``CAM_FRONT``.
            only: draw only these annotations (indices) and no houses; None draws everything.
        """
        scene = self.scene
        view, solids = self._frame(frame)
        calibration = scene.rig[channel]
        intrinsics = np.array(calibration.intrinsics)
        cam_from_world = camera_from_world(scene.frames[frame].poses[channel], calibration)
        image = np.empty((*scene.image_size, 3), dtype=np.uint8)
        paint_ground(image, view, intrinsics, cam_from_world, scene.weather)
        buffers = Buffers(image)
        houses = self.houses if only is None else []
        for k in np.flatnonzero(in_view(houses, intrinsics, cam_from_world, scene.image_size)):
            draw(buffers, houses[k], 0, intrinsics, cam_from_world, scene.weather)
        covered = np.zeros(len(solids), dtype=np.int64)
        for k in np.flatnonzero(in_view(solids, intrinsics, cam_from_world, scene.image_size)):
            if only is None or k in only:
                covered[k] = draw(buffers, solids[k], int(k) + 1, intrinsics, cam_from_world, scene.weather)
        return Rendered(finish(image, self.tones, self._grain(frame, channel)), buffers.instance, covered)

    def _frame(self, frame: int) -> tuple[GroundView, list[Solid]]:
        """The ground with its shadows and the boxes of a key frame, kept for all of its cameras."""
        if self._view is None or self._view[0] != frame:
            annotations = self.scene.frames[frame].annotations
            solids = [self._solid_of(annotation) for annotation in annotations]
            x, y, _ = self.scene.frames[frame].poses[LIDAR].translation
            shadows = [_shadow(solid, self.scene.weather.sun) for solid in (*solids, *self.houses)]
            self._view = frame, self.ground.view(x, y, _GROUND_RANGE, shadows), solids
        return self._view[1], self._view[2]

    def _solid_of(self, annotation: Annotation) -> Solid:
        actor = self.scene.actors[annotation.actor]
        if annotation.actor not in self.textures:
            self.textures[annotation.actor] = paint(actor.kind.style, actor.size, actor.paint)
        return Solid(np.array(annotation.pose), actor.size, self.textures[annotation.actor])

    def _grain(self, frame: int, channel: str) -> np.ndarray:
        """A window of the scene's sheet of noise."""
        top, left = generator(self.scene.seed, 'grain', self.scene.name, frame, channel).integers(0, 97, 2)
        height, width = self.scene.image_size
        return self.grain[top : top + height, left : left + width]


def _solid(actor: Actor, textures: dict[str, np.ndarray]) -> Solid:
    return Solid(np.array(actor.pose), actor.size, textures)


def _shadow(solid: Solid, sun: tuple[float, float, float]) -> np.ndarray:
    """Outline (N, 2) of a box's shadow on the ground: the hull of its footprint and of its top seen from the sun."""
    rotation, translation = solid.frame()
    width, length, height = solid.size
    foot = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * (length / 2, width / 2)
    base = foot @ rotation[:2, :2].T + translation[:2]
    reach = min(height, 4.0) / max(sun[2], 0.35)
    top = base - reach * np.array(sun[:2])
    # OpenCV's hull takes float32: hull about the box's centre, or world coordinates would lose precision.
    around = (np.concatenate([base, top]) - translation[:2]).astype(np.float32)
    return cv2.convexHull(around)[:, 0].astype(np.float64) + translation[:2]
