import numpy as np
import pytest
import torch
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.codec import StoredLabel, expand
from projects.CVT_IO.cvt_io.labels.frame import Annotation
from projects.CVT_IO.cvt_io.labels.groups import build_label_groups
from projects.CVT_IO.cvt_io.labels.nuscenes.boxes import bottom_corners, draw_boxes

UPRIGHT = (1.0, 0.0, 0.0, 0.0)
# One cell a metre; the ego stands at (5, 5); column = 5 − y, row = 5 − x.
GRID = BEVGrid((10, 10), (10, 10))


def box(x, y, category='vehicle.car', visibility=4, size=(2.0, 4.0, 1.5), rotation=UPRIGHT):
    return Annotation(category, visibility, (x, y, 0.75), size, rotation)


def test_a_car_ahead_by_hand():
    # 4 m long, 2 m wide, 2 m ahead of the ego: x 0…4, y −1…1, so rows 1…5 and columns 4…6, both ends filled.
    bits, instances, vehicles = draw_boxes([box(2, 0)], np.eye(4), GRID)
    expected = np.zeros((10, 10), int)
    expected[1:6, 4:7] = 1
    np.testing.assert_array_equal(instances, expected)
    np.testing.assert_array_equal(bits, expected * 0b1_0000)
    assert vehicles == [(5.0, 3.0, 4)]


def test_corners_are_the_devkits_to_the_last_bit():
    rng = np.random.default_rng(0)
    rotations = rng.normal(size=(200, 4))
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    rotations[1::2] *= rng.uniform(0.9, 1.1, (100, 1))  # not normalised
    rotations[-1] = 0
    boxes = [
        box(*rng.uniform(0, 2000, 2), size=tuple(rng.uniform(0.3, 12, 3)), rotation=tuple(rotation))
        for rotation in rotations
    ]
    expected = [Box(b.translation, b.size, Quaternion(b.rotation)).bottom_corners() for b in boxes]
    np.testing.assert_array_equal(bottom_corners(boxes), expected)


def test_corners_are_rounded_half_to_even():
    # Width 1 and length 1 at (0, 0): corners at pixels 4.5 and 5.5, which round to 4 and 6.
    _, instances, _ = draw_boxes([box(0, 0, size=(1, 1, 1))], np.eye(4), GRID)
    expected = np.zeros((10, 10), int)
    expected[4:7, 4:7] = 1
    np.testing.assert_array_equal(instances, expected)


def test_later_vehicle_lies_over_an_earlier_one():
    bits, instances, vehicles = draw_boxes([box(2, 0), box(0, 0, 'vehicle.truck', 1)], np.eye(4), GRID)
    # The truck covers rows 3…7; the car keeps rows 1, 2. The classes do not hide each other.
    assert instances[:, 5].tolist() == [0, 1, 1, 2, 2, 2, 2, 2, 0, 0]
    assert bits[:, 5].tolist() == [0, 16, 16, 48, 48, 48, 32, 32, 0, 0]
    assert [visibility for *_, visibility in vehicles] == [4, 1]


def test_hidden_and_outside_vehicles_are_not_kept():
    hidden, outside, over = box(0, 0, visibility=1, size=(1, 1, 1)), box(100, 0, visibility=2), box(0, 0, visibility=3)
    bits, instances, vehicles = draw_boxes([hidden, outside, over], np.eye(4), GRID)
    assert vehicles == [(5.0, 5.0, 3)]
    assert set(np.unique(instances)) == {0, 1}
    np.testing.assert_array_equal(bits > 0, instances > 0)


@pytest.mark.parametrize(
    ('category', 'bit', 'vehicle'),
    [
        ('vehicle.emergency.police', None, True),
        ('human.pedestrian.adult', 9, False),
        ('static_object.bicycle_rack', None, False),
        ('animal', None, False),
    ],
)
def test_vehicles_of_no_class_and_classes_of_no_vehicle(category, bit, vehicle):
    bits, instances, vehicles = draw_boxes([box(2, 0, category, 2)], np.eye(4), GRID)
    assert set(np.unique(bits)) == ({0} if bit is None else {0, 1 << bit})
    assert instances.any() == vehicle
    assert vehicles == [(5.0, 3.0, 2)] * vehicle


def test_no_annotation():
    bits, instances, vehicles = draw_boxes([], np.eye(4), GRID)
    assert (bits.any(), instances.any(), vehicles) == (False, False, [])


@pytest.mark.parametrize('grid', [GRID, BEVGrid((20, 11), (30, 11), 0.25)])
def test_a_mirrored_label_is_that_of_the_mirrored_world(grid):
    """Boxes along and across, at y and at −y. Nobody knows what is beyond the last column, so column 0 never counts."""
    along, across = (2.4, 4.2, 1.5), (4.2, 2.4, 1.5)
    world = [(5, 3.3, along, 1), (-4, -1.6, across, 2), (0.3, 4.9, across, 3), (2, -4.4, along, 4)]
    labels = []
    for side in (1, -1):
        boxes = [box(x, side * y, visibility=token, size=size) for x, y, size, token in world]
        labels.append(expand(StoredLabel(*draw_boxes(boxes, np.eye(4), grid), grid)))
    label, expected = labels[0].mirrored(), labels[1]
    for name in ('classes', 'visibility', 'center'):
        found, wanted = getattr(label, name), getattr(expected, name)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found[..., 1:], wanted[..., 1:], rtol=1e-6)
    assert label.classes[4, :, 1:].any() and label.grid == grid
    (group,) = build_label_groups(dict(any=dict(classes=['car'])))
    kept = group.keep(torch.from_numpy(label.visibility))
    assert not kept[:, 0].any() and kept[:, 1:].all()
