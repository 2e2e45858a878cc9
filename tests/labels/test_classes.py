import pytest

from projects.CVT_IO.cvt_io.labels.classes import CLASSES, DIVIDER, PEDESTRIAN, ROAD, VEHICLE, class_of, is_vehicle

# Category → class name by hand: the first class that is one of the category's words. All 23 categories of nuScenes.
CATEGORIES = {
    'human.pedestrian.adult': 'pedestrian',
    'human.pedestrian.child': 'pedestrian',
    'human.pedestrian.wheelchair': 'pedestrian',
    'human.pedestrian.stroller': 'pedestrian',
    'human.pedestrian.personal_mobility': 'pedestrian',
    'human.pedestrian.police_officer': 'pedestrian',
    'human.pedestrian.construction_worker': 'pedestrian',  # `construction` is only a part of a word.
    'animal': None,
    'vehicle.car': 'car',
    'vehicle.motorcycle': 'motorcycle',
    'vehicle.bicycle': 'bicycle',
    'vehicle.bus.bendy': 'bus',
    'vehicle.bus.rigid': 'bus',
    'vehicle.truck': 'truck',
    'vehicle.construction': 'construction',
    'vehicle.emergency.ambulance': None,
    'vehicle.emergency.police': None,
    'vehicle.trailer': 'trailer',
    'movable_object.barrier': None,
    'movable_object.trafficcone': None,
    'movable_object.pushable_pullable': None,
    'movable_object.debris': None,
    'static_object.bicycle_rack': None,
}


@pytest.mark.parametrize(('category', 'name'), CATEGORIES.items())
def test_category(category, name):
    index = class_of(category)
    assert (None if index is None else CLASSES[index]) == name
    assert is_vehicle(category) == category.startswith('vehicle.')


def test_first_class_in_order_wins():
    assert class_of('vehicle.bicycle.truck') == 5


def test_class_order_and_groups():
    assert CLASSES[:4] == ('lane', 'road_segment', 'road_divider', 'lane_divider')
    assert [CLASSES[i] for i in VEHICLE] == ['car', 'truck', 'bus', 'trailer', 'construction', 'motorcycle', 'bicycle']
    assert [CLASSES[i] for i in ROAD] == ['lane', 'road_segment']
    assert [CLASSES[i] for i in DIVIDER] == ['road_divider', 'lane_divider']
    assert [CLASSES[i] for i in PEDESTRIAN] == ['pedestrian']
