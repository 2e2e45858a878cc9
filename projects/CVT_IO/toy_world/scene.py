"""A scene in memory, from which records and images are generated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .actors import Actor, overlaps
from .population import EGO_SIZE, ego_route, populate
from .rig import LIDAR, Calibration, EgoMotion, Pose, calibrate, delays
from .roads import LOCATIONS, RoadNetwork, build_network
from .scenery import houses
from .seeding import digest, generator
from .traffic import simulate
from .weather import Weather, draw_weather

ANNOTATION_RANGE = 70.0  # metres around the ego; nothing farther is annotated, nor rendered but for houses
SCENERY_RANGE = 110.0
FRAME_INTERVAL = 0.5  # seconds
_LEAD = 0.5  # seconds of traffic before the first key frame, so that no camera looks before its beginning
_SPACING = 1_000_000_000  # microseconds between the starts of two scenes with neighbouring numbers


@dataclass(frozen=True)
class Annotation:
    """An object at a key frame.

    Attributes:
        actor: its index in the scene.
        pose: (x, y, heading) of its centre in the world.
        speed: m/s.
    """

    actor: int
    pose: tuple[float, float, float]
    speed: float


@dataclass(frozen=True)
class Frame:
    """A key frame.

    Attributes:
        poses: ego pose at each sensor's own timestamp, by channel; the lidar's is the key frame's.
        annotations: objects near the ego, at the lidar's timestamp for all sensors. The k-th one has the value k + 1 in
            the instance buffer of every image of this frame.
    """

    poses: dict[str, Pose]
    annotations: list[Annotation]


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene of the toy world.

    Attributes:
        name: the devkit's, such as ``scene-0061``.
        seed: of the world.
        image_size: (height, width) of all images.
        log: name of the log it belongs to; logs differ in calibration.
        network: the town it plays in.
        rig: calibration of each sensor by channel.
        weather: its light and colour.
        actors: all objects that ever come near the ego.
        scenery: houses near the ego's route, not annotated.
        frames: key frames in order of time.
    """

    name: str
    seed: int
    image_size: tuple[int, int]
    log: str
    network: RoadNetwork
    rig: dict[str, Calibration]
    weather: Weather
    actors: list[Actor]
    scenery: list[Actor]
    frames: list[Frame]

    def token(self, kind: str, *identity: object) -> str:
        """The token of a record of this scene."""
        return digest(self.seed, self.name, kind, *identity)

    def annotation_token(self, frame: int, actor: int) -> str:
        """The token of an object's sample_annotation at a key frame."""
        return self.token('sample_annotation', frame, actor)


def location_of(name: str) -> str:
    """Town of a scene, a function of its name that distributes the first scenes of a split over the towns."""
    return LOCATIONS[int(name[-4:]) % len(LOCATIONS)]


def log_of(name: str) -> str:
    """The log that a scene belongs to; a few scenes of one town share one."""
    return f'{location_of(name)}-{int(name[-4:]) // 16:02d}'


def build_scene(name: str, frames: int, image_size: tuple[int, int], seed: int) -> Scene:
    """Builds a scene; equal arguments give equal scenes, in every process.

    Args:
        name: of the devkit's scenes, such as ``scene-0061``.
        frames: number of key frames.
        image_size: (height, width) of the images.
        seed: of the world.
    """
    rng = generator(seed, 'scene', name)
    network = build_network(seed, location_of(name))
    weather = draw_weather(rng)
    timestamps, offsets = _clock(rng, name, frames)
    seconds = (timestamps - timestamps[0]) / 1e6 + _LEAD
    duration = float(seconds[-1]) + 0.5
    ego = ego_route(rng, network, 11.0 * duration + 60.0)
    actors = populate(rng, network, ego, duration)
    poses, speeds, (times, ego_s) = _motion(ego, actors, seconds, duration)
    actors, poses, speeds = _apart(actors, poses, speeds)
    motion = EgoMotion(ego.path, times, ego_s, rng)  # type: ignore[arg-type]
    ego_poses = [
        {c: motion.at(second + d / 1e6, int(t) + d) for c, d in delay.items()}
        for second, t, delay in zip(seconds, timestamps, offsets, strict=True)
    ]
    annotated = [_annotate(p, s, e[LIDAR]) for p, s, e in zip(poses, speeds, ego_poses, strict=True)]
    route = np.array([e[LIDAR].translation[:2] for e in ego_poses])
    scenery = [
        house
        for house in houses(seed, network.location)
        if np.linalg.norm(route - house.pose[:2], axis=1).min() < SCENERY_RANGE  # type: ignore[index]
    ]
    return Scene(
        name,
        seed,
        image_size,
        log_of(name),
        network,
        calibrate(seed, log_of(name), image_size),
        weather,
        actors,
        scenery,
        [Frame(e, a) for e, a in zip(ego_poses, annotated, strict=True)],
    )


def _clock(rng: np.random.Generator, name: str, frames: int) -> tuple[np.ndarray, list[dict[str, int]]]:
    """Timestamps (F,) of the lidar in microseconds, and the delay of every sensor at each key frame."""
    start = 1_530_000_000_000_000 + int(name[-4:]) * _SPACING + int(rng.integers(1_000_000))
    steps = np.round(1e6 * FRAME_INTERVAL + rng.uniform(-8e3, 8e3, frames)).astype(np.int64)
    return start + np.cumsum(steps), [delays(rng) for _ in range(frames)]


def _motion(
    ego: Actor, actors: list[Actor], seconds: np.ndarray, duration: float
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Poses (F, 1 + A, 3) and speeds (F, 1 + A) of the ego and all actors, and the ego's times and arc lengths."""
    drivers = [ego, *(actor for actor in actors if actor.drives)]
    times, s = simulate(drivers, [actor for actor in actors if actor.walks], duration)
    column = {id(driver): s[:, k] for k, driver in enumerate(drivers)}
    poses = np.empty((len(seconds), 1 + len(actors), 3))
    speeds = np.zeros(poses.shape[:2])
    for k, actor in enumerate([ego, *actors]):
        if id(actor) in column:
            own = column[id(actor)]
            poses[:, k] = actor.path.at(np.interp(seconds, times, own))  # type: ignore[union-attr]
            speeds[:, k] = np.interp(seconds, times, np.gradient(own, times))
        elif actor.walks:
            poses[:, k] = actor.walked(seconds)
            at_end = actor.start + actor.speed * seconds >= actor.path.length  # type: ignore[union-attr]
            speeds[:, k] = np.where(at_end, 0.0, actor.speed)
        else:
            poses[:, k] = actor.pose
    return poses, speeds, (times, s[:, 0])


def _apart(actors: list[Actor], poses: np.ndarray, speeds: np.ndarray) -> tuple[list[Actor], np.ndarray, np.ndarray]:
    """Leaves out actors that would overlap the ego or one that was kept, at any key frame; drops the ego's column."""
    sizes = np.array([EGO_SIZE[:2], *(actor.size[:2] for actor in actors)])
    clash = np.logical_or.reduce([overlaps(frame, sizes) for frame in poses])
    kept: list[int] = [0]
    for k in range(1, len(sizes)):
        if not clash[k, kept].any():
            kept.append(k)
    columns = kept[1:]
    return [actors[k - 1] for k in columns], poses[:, columns], speeds[:, columns]


def _annotate(poses: np.ndarray, speeds: np.ndarray, ego: Pose) -> list[Annotation]:
    """The annotations of one key frame from the poses (A, 3) and speeds (A,) of all actors."""
    distance = np.linalg.norm(poses[:, :2] - ego.translation[:2], axis=1)
    return [
        Annotation(int(k), (round(x, 3), round(y, 3), round(heading, 6)), round(float(speeds[k]), 3))
        for k in np.flatnonzero(distance < ANNOTATION_RANGE)
        for x, y, heading in [map(float, poses[k])]
    ]
