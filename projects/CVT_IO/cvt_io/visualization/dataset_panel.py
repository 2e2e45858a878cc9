"""A panel of a data set item, to check that images, calibration, boxes and labels agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

import cv2
import numpy as np
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

from ..geometry import BEVGrid, invert_rigid, resize_crop_intrinsics
from ..labels.classes import CLASSES, FIRST_BOX_CLASS, ROAD, class_of
from ..labels.frame import Annotation
from . import painter
from .wireframe import draw_wires, wires

WIDTH = 640  # pixels of a camera and of a map

#: Map layers are greys. Box colours are those of Okabe & Ito, adjusted so that they differ from each other and from the
#: greys under all three kinds of colour blindness.
CLASS_COLORS: dict[str, tuple[int, int, int]] = {
    'lane': (78, 82, 92),
    'road_segment': (52, 56, 66),
    'road_divider': (150, 152, 160),
    'lane_divider': (110, 114, 124),
    'car': (68, 212, 255),
    'truck': (205, 160, 13),
    'bus': (255, 243, 31),
    'trailer': (60, 153, 87),
    'construction': (176, 34, 0),
    'pedestrian': (212, 255, 252),
    'motorcycle': (157, 62, 179),
    'bicycle': (60, 54, 238),
}
#: From bottom to top.
_DRAWING_ORDER = ('road_segment', 'lane', 'lane_divider', 'road_divider', *CLASSES[FIRST_BOX_CLASS:])
#: Visibility token → description and colour (matplotlib's plasma).
VISIBILITIES: dict[int, tuple[str, tuple[int, int, int]]] = {
    1: ('1: 0-40 %', (110, 0, 168)),
    2: ('2: 40-60 %', (204, 71, 120)),
    3: ('3: 60-80 %', (248, 149, 64)),
    4: ('4: 80-100 %', (240, 249, 33)),
}


def dataset_panel(
    item: Mapping, info: Mapping, grid: BEVGrid, annotations: Sequence[Annotation] = (), note: str = ''
) -> np.ndarray:
    """Draws all cameras with the annotated boxes, and BEV maps of classes, visibility and centres.

    Args:
        item: output of the data set's pipeline, with ``inputs`` and ``data_samples``. Maps are omitted if it has no
            label.
        info: entry of the frame in the infos.
        grid: the BEV grid.
        annotations: annotated boxes of the frame.
        note: text appended to the title.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    inputs, label = item['inputs'], item['data_samples'].get('gt_bev')
    side = -1 if item['data_samples'].get('flip') else 1
    boxes = [(box_corners(a, info['world_from_ego']) * [1, side, 1], box_color(a)) for a in annotations]
    calibration = zip(inputs['intrinsics'].numpy(), inputs['cam_from_ego'].numpy(), strict=True)
    cameras = [
        camera_picture(img, intrinsics, cam_from_ego, boxes)
        for img, (intrinsics, cam_from_ego) in zip(inputs['imgs'].numpy(), calibration, strict=True)
    ]
    time = datetime.fromtimestamp(info['timestamp'] / 1e6, timezone.utc).strftime('%Y-%m-%d %H:%M:%S.%f')[:-5]
    names = [image['camera'] for image in info['images']]
    title = f'{info["scene_name"]}   {info["sample_token"]}   {time} UTC   {note}'
    maps = [] if label is None else _maps(label.classes.numpy(), label.visibility.numpy(), label.center.numpy())
    picture = painter.panel(cameras, maps, title, grid, names, WIDTH)
    legends = [
        [*CLASS_COLORS.items(), ('other boxes', painter.FAINT)],
        [*VISIBILITIES.values(), ('no vehicle', painter.BACKGROUND)],
    ]
    return np.vstack([picture, painter.legend(legends[: len(maps) or 1], WIDTH)])


def bev_classes(classes: np.ndarray) -> np.ndarray:
    """Draws label planes (12, h, w) → (h, w, 3) uint8; boxes cover lines, and lines cover areas."""
    canvas = np.full((*classes.shape[1:], 3), painter.BACKGROUND, np.uint8)
    for name in _DRAWING_ORDER:
        canvas[classes[CLASSES.index(name)] != 0] = CLASS_COLORS[name]
    return canvas


def bev_visibility(visibility: np.ndarray, road: np.ndarray) -> np.ndarray:
    """Draws visibility tokens (h, w) over a road mask (h, w) → (h, w, 3) uint8."""
    canvas = painter.road_map(road)
    for token, (_, color) in VISIBILITIES.items():
        canvas[visibility == token] = color
    return canvas


def camera_picture(
    img: np.ndarray, intrinsics: np.ndarray, cam_from_ego: np.ndarray, boxes: Sequence[tuple[np.ndarray, Sequence[int]]]
) -> np.ndarray:
    """Draws an image at width ``WIDTH`` with boxes, from far to near.

    Args:
        img: (3, H, W) uint8 RGB.
        intrinsics: (3, 3) of the image.
        cam_from_ego: (4, 4).
        boxes: (corners (8, 3) in the ego frame, colour) of each box.

    Returns:
        (height, ``WIDTH``, 3) uint8.
    """
    scale = WIDTH / img.shape[2]
    size = (WIDTH, round(img.shape[1] * scale))
    picture = cv2.resize(np.ascontiguousarray(img.transpose(1, 2, 0)), size, interpolation=cv2.INTER_LINEAR)
    intrinsics = resize_crop_intrinsics(intrinsics, (scale, size[1] / img.shape[1]), (0, 0))
    for corners, color in sorted(boxes, key=lambda box: -np.linalg.norm(box[0].mean(axis=0))):
        draw_wires(picture, wires(corners, intrinsics, cam_from_ego), color)
    return picture


def box_corners(annotation: Annotation, world_from_ego: np.ndarray) -> np.ndarray:
    """Corners (8, 3) of an annotated box in the ego frame, front face first."""
    ego_from_world = invert_rigid(np.asarray(world_from_ego))
    corners = Box(annotation.translation, annotation.size, Quaternion(annotation.rotation)).corners().T
    return corners @ ego_from_world[:3, :3].T + ego_from_world[:3, 3]


def box_color(annotation: Annotation) -> tuple[int, int, int]:
    """Colour of a box's class; faint if it belongs to no class."""
    index = class_of(annotation.category)
    return painter.FAINT if index is None else CLASS_COLORS[CLASSES[index]]


def _maps(classes: np.ndarray, visibility: np.ndarray, center: np.ndarray) -> list[tuple[str, np.ndarray]]:
    road = (classes[list(ROAD)] != 0).any(axis=0)
    return [
        ('the twelve classes', bev_classes(classes)),
        ('vehicles: visibility token', bev_visibility(visibility, road)),
        (
            'vehicles: heat map of the centres, blue 0.5, white 1',
            painter.bev_prediction(center, painter.road_map(road)),
        ),
    ]
