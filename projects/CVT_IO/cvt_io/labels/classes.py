"""The twelve classes of a BEV label, and their nuScenes categories."""

from __future__ import annotations

#: Class i is bit i of a stored label. Order and names are those of the Cross-View Transformer's labels.
CLASSES: tuple[str, ...] = (
    'lane',
    'road_segment',
    'road_divider',
    'lane_divider',
    'car',
    'truck',
    'bus',
    'trailer',
    'construction',
    'pedestrian',
    'motorcycle',
    'bicycle',
)

POLYGON_LAYERS = CLASSES[:2]
LINE_LAYERS = CLASSES[2:4]
MAP_CLASSES = POLYGON_LAYERS + LINE_LAYERS
FIRST_BOX_CLASS = 4

ROAD = (0, 1)
DIVIDER = (2, 3)
VEHICLE = (4, 5, 6, 7, 8, 10, 11)
PEDESTRIAN = (9,)


def class_of(category: str) -> int | None:
    """Index of the first box class (4–11) that is one of the category's dot-separated words, if any.

    Example:
        >>> class_of('vehicle.bus.bendy'), class_of('static_object.bicycle_rack')
        (6, None)
    """
    words = category.split('.')
    for index, name in enumerate(CLASSES[FIRST_BOX_CLASS:], FIRST_BOX_CLASS):
        if name in words:
            return index
    return None


def is_vehicle(category: str) -> bool:
    """Whether the category contains the word ``vehicle``. Emergency vehicles do, although no class contains them."""
    return 'vehicle' in category.split('.')
