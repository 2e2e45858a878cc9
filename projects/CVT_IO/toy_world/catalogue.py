"""Kinds of objects in the toy world: nuScenes' categories and attributes, sizes, paints and speeds."""

from __future__ import annotations

from dataclasses import dataclass

CATEGORIES = {
    'human.pedestrian.adult': 'A grown person on foot.',
    'human.pedestrian.child': 'A child on foot.',
    'human.pedestrian.wheelchair': 'A person in a wheelchair.',
    'human.pedestrian.stroller': 'A stroller with or without a child.',
    'human.pedestrian.personal_mobility': 'A person on a scooter, skateboard or the like.',
    'human.pedestrian.police_officer': 'A police officer on foot.',
    'human.pedestrian.construction_worker': 'A person at work on a construction site.',
    'animal': 'An animal large enough to matter.',
    'vehicle.car': 'A passenger car.',
    'vehicle.motorcycle': 'A motorised two-wheeler, its rider included.',
    'vehicle.bicycle': 'A pedalled two-wheeler, its rider included.',
    'vehicle.bus.bendy': 'A bus with a joint.',
    'vehicle.bus.rigid': 'A bus without a joint.',
    'vehicle.truck': 'A vehicle built to carry cargo.',
    'vehicle.construction': 'A vehicle built for construction work.',
    'vehicle.emergency.ambulance': 'An ambulance.',
    'vehicle.emergency.police': 'A police vehicle.',
    'vehicle.trailer': 'A trailer, apart from what pulls it.',
    'movable_object.barrier': 'A temporary road barrier.',
    'movable_object.trafficcone': 'A traffic cone.',
    'movable_object.pushable_pullable': 'An object that a person pushes or pulls.',
    'movable_object.debris': 'Debris on the road.',
    'static_object.bicycle_rack': 'A rack to park bicycles in.',
}

ATTRIBUTES = {
    'vehicle.moving': 'The vehicle moves.',
    'vehicle.stopped': 'The vehicle stands, its driver ready to go on.',
    'vehicle.parked': 'The vehicle stands for longer.',
    'cycle.with_rider': 'Somebody rides it.',
    'cycle.without_rider': 'Nobody rides it.',
    'pedestrian.sitting_lying_down': 'The person sits or lies.',
    'pedestrian.standing': 'The person stands.',
    'pedestrian.moving': 'The person walks or runs.',
}


@dataclass(frozen=True)
class Kind:
    """Appearance of the objects of a category.

    Attributes:
        category: nuScenes' name.
        size: mean (width, length, height) in metres, nuScenes' order.
        style: which painter of :mod:`textures` draws it.
        paints: body colours (R, G, B) to choose from.
        speed: cruising speed range in m/s for those that move.
    """

    category: str
    size: tuple[float, float, float]
    style: str
    paints: tuple[tuple[int, int, int], ...]
    speed: tuple[float, float] = (7.0, 10.5)


_CAR_PAINTS = (
    (200, 30, 35), (35, 65, 160), (225, 225, 228), (28, 28, 32), (150, 155, 160), (240, 190, 30), (25, 110, 70),
    (120, 40, 90), (90, 140, 190), (205, 110, 40), (95, 75, 60),
)  # fmt: skip
_CLOTHES = ((190, 50, 50), (40, 80, 170), (230, 225, 210), (30, 30, 40), (60, 140, 80), (220, 170, 60), (140, 70, 150))

KINDS = {
    kind.category: kind
    for kind in (
        Kind('vehicle.car', (1.92, 4.6, 1.65), 'car', _CAR_PAINTS),
        Kind(
            'vehicle.truck', (2.45, 7.2, 3.0), 'truck', ((235, 235, 235), (60, 90, 150), (170, 50, 40), (70, 110, 80))
        ),
        Kind('vehicle.bus.rigid', (2.75, 11.0, 3.3), 'bus', ((190, 40, 45), (40, 120, 90), (235, 200, 60))),
        Kind('vehicle.bus.bendy', (2.8, 14.5, 3.3), 'bus', ((110, 60, 140), (230, 120, 40))),
        Kind('vehicle.trailer', (2.5, 9.5, 3.6), 'trailer', ((205, 205, 200), (180, 185, 195), (150, 120, 95))),
        Kind('vehicle.construction', (2.6, 6.2, 3.0), 'construction', ((240, 175, 20), (235, 140, 25))),
        Kind('vehicle.emergency.police', (1.95, 4.8, 1.75), 'police', ((240, 240, 245),), (8.0, 11.0)),
        Kind('vehicle.emergency.ambulance', (2.2, 6.0, 2.6), 'ambulance', ((245, 245, 240),), (8.0, 11.0)),
        Kind('vehicle.motorcycle', (0.8, 2.1, 1.55), 'cycle', ((30, 30, 35), (180, 30, 30), (40, 70, 160)), (6.0, 9.5)),
        Kind('vehicle.bicycle', (0.65, 1.75, 1.6), 'cycle', _CLOTHES, (3.5, 5.5)),
        Kind('human.pedestrian.adult', (0.68, 0.72, 1.77), 'person', _CLOTHES, (0.9, 1.7)),
        Kind('human.pedestrian.child', (0.52, 0.54, 1.25), 'person', _CLOTHES, (0.9, 1.5)),
        Kind('human.pedestrian.construction_worker', (0.7, 0.74, 1.78), 'worker', ((250, 140, 20),), (0.6, 1.0)),
        Kind('human.pedestrian.police_officer', (0.7, 0.74, 1.8), 'person', ((25, 35, 75),), (0.8, 1.2)),
        Kind('movable_object.trafficcone', (0.4, 0.4, 0.85), 'cone', ((255, 95, 20),)),
        Kind('movable_object.barrier', (2.1, 0.5, 1.0), 'barrier', ((235, 235, 230),)),
        Kind('static_object.bicycle_rack', (2.6, 1.4, 1.1), 'rack', ((120, 130, 140),)),
    )
}

# Additional vehicles in traffic, with their shares.
TRAFFIC_SHARES = {
    'vehicle.car': 0.68,
    'vehicle.truck': 0.08,
    'vehicle.bus.rigid': 0.05,
    'vehicle.bus.bendy': 0.02,
    'vehicle.motorcycle': 0.07,
    'vehicle.bicycle': 0.06,
    'vehicle.emergency.police': 0.02,
    'vehicle.emergency.ambulance': 0.02,
}
# Vehicles at the kerb, with their shares.
PARKED_SHARES = {
    'vehicle.car': 0.78,
    'vehicle.truck': 0.08,
    'vehicle.trailer': 0.05,
    'vehicle.motorcycle': 0.05,
    'vehicle.bicycle': 0.02,
    'vehicle.emergency.police': 0.02,
}
# Walkers on the sidewalks, with their shares.
WALKER_SHARES = {'human.pedestrian.adult': 0.8, 'human.pedestrian.child': 0.14, 'human.pedestrian.police_officer': 0.06}


def attribute_of(category: str, speed: float, parked: bool) -> str | None:
    """nuScenes' attribute of an object at ``speed`` m/s, None where its category has none."""
    if category in ('vehicle.bicycle', 'vehicle.motorcycle'):
        return 'cycle.without_rider' if parked else 'cycle.with_rider'
    if category.startswith('vehicle'):
        return 'vehicle.moving' if speed > 0.3 else 'vehicle.parked' if parked else 'vehicle.stopped'
    if category.startswith('human'):
        return 'pedestrian.moving' if speed > 0.1 else 'pedestrian.standing'
    return None
