"""Writes a toy world to disk as a nuScenes tree."""

from __future__ import annotations

import functools
import io
import json
import multiprocessing
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from nuscenes.utils import splits
from PIL import Image
from tqdm import tqdm

from .map_json import map_expansion, map_mask_png
from .renderer import SceneRenderer
from .rig import CAMERAS
from .roads import build_network
from .scene import Scene, build_scene, location_of
from .tables import TABLES, Records, image_name, log_tables, map_mask_name, scene_tables, static_tables

# Written first: marks the folder as the output of this generator with these arguments.
MARKER = 'toy_world.json'
# Incremented whenever the output for given arguments changes.
FORMAT = 1
_UNFINISHED = '.toy_scenes'
_SPLITS = {'v1.0-mini': (splits.mini_train, splits.mini_val), 'v1.0-trainval': (splits.train, splits.val)}
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class WorldArguments:
    """Arguments of a toy world; equal arguments give identical files."""

    version: str
    scenes: int
    frames: int
    image_size: tuple[int, int]
    seed: int
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.version not in _SPLITS:
            raise ValueError(f'version: expected one of {sorted(_SPLITS)}, got {self.version!r}')
        available = sum(len(split) for split in _SPLITS[self.version])
        if not 1 <= self.scenes <= available:
            raise ValueError(f'scenes: {self.version} has names for 1 to {available} scenes, got {self.scenes}')
        if self.frames < 1:
            raise ValueError(f'frames: expected at least 1, got {self.frames}')
        if len(self.image_size) != 2 or min(self.image_size) < 16:
            raise ValueError(f'image_size: expected (height, width) of at least 16 pixels, got {self.image_size}')
        if self.seed < 0:
            raise ValueError(f'seed: expected a non-negative number, got {self.seed}')


def scene_names(version: str, scenes: int) -> list[str]:
    """The first scenes of the devkit's train and val splits of ``version``, in proportion, train first.

    From two scenes on both splits have at least one.
    """
    train, val = _SPLITS[version]
    in_val = max(1, round(scenes * len(val) / (len(train) + len(val)))) if scenes > 1 else 0
    return [*train[: scenes - in_val], *val[:in_val]]


def generate_toy_world(
    out_dir: Path,
    version: str = 'v1.0-mini',
    scenes: int = 10,
    frames: int = 20,
    image_size: tuple[int, int] = (900, 1600),
    seed: int = 0,
    workers: int = 0,
    progress: bool = True,
) -> None:
    """Writes a procedural world in nuScenes' own layout: tables, key-frame images, map expansion and map masks.

    The files depend only on ``version``, ``scenes``, ``frames``, ``image_size`` and ``seed``. It is safe to interrupt
    and rerun with the same arguments; tables are written last, so they never describe an incomplete world.

    Args:
        out_dir: data root to create or complete.
        version: ``v1.0-mini`` (up to 10 scenes) or ``v1.0-trainval`` (up to 850).
        scenes: number of scenes, divided proportionally into the version's train and val splits.
        frames: key frames per scene, half a second apart.
        image_size: (height, width) of the images; the calibration follows from nuScenes' 900 × 1600.
        seed: other seeds give other towns, traffic and weather.
        workers: number of processes; 0 uses the current one.
        progress: whether to show a progress bar.

    Raises:
        ValueError: an argument is out of range, or ``out_dir`` contains something other than this world.
    """
    arguments = WorldArguments(version, int(scenes), int(frames), (int(image_size[0]), int(image_size[1])), int(seed))
    if workers < 0:
        raise ValueError(f'workers: expected a non-negative number, got {workers}')
    out_dir = Path(out_dir)
    _claim(out_dir, arguments)
    names = scene_names(arguments.version, arguments.scenes)
    locations = sorted({location_of(name) for name in names})
    unfinished = out_dir / _UNFINISHED
    if (out_dir / version).is_dir() and not unfinished.exists() and _complete(out_dir, version, locations):
        return
    shutil.rmtree(out_dir / version, ignore_errors=True)
    unfinished.mkdir(exist_ok=True)
    _write_maps(out_dir, arguments.seed, locations)
    make = functools.partial(_make_scene, out_dir, arguments)
    with tqdm(total=len(names) * arguments.frames, unit='frame', disable=not progress, desc='toy world') as bar:
        for done in _map(make, names, workers):
            bar.update(done)
    _write_tables(out_dir, arguments, names)
    shutil.rmtree(unfinished)


def _claim(out_dir: Path, arguments: WorldArguments) -> None:
    """Marks ``out_dir`` as belonging to this world, unless it contains something else."""
    marker = out_dir / MARKER
    wanted = json.loads(json.dumps(asdict(arguments)))
    if marker.exists():
        found = json.loads(marker.read_text())
        if found != wanted:
            raise ValueError(f'{out_dir}: holds another toy world, made with {found}, expected {wanted}. '
                             f'Delete it or choose another folder')  # fmt: skip
        return
    taken = [name for name in ('samples', 'sweeps', 'maps') if (out_dir / name).exists()]
    taken += [path.name for path in out_dir.glob('v1.0-*')]
    if taken:
        raise ValueError(f'{out_dir}: holds {", ".join(sorted(taken))} but no {MARKER}, so it may be real nuScenes; '
                         f'choose another folder for the toy world')  # fmt: skip
    out_dir.mkdir(parents=True, exist_ok=True)
    _write(marker, json.dumps(wanted, indent=2).encode())


def _complete(out_dir: Path, version: str, locations: list[str]) -> bool:
    """Whether all tables and images of a finished world exist."""
    if not all((out_dir / version / f'{name}.json').is_file() for name in TABLES):
        return False
    records = json.loads((out_dir / version / 'sample_data.json').read_text())
    images = all((out_dir / record['filename']).is_file() for record in records if record['fileformat'] == 'jpg')
    return images and all(path.is_file() for path in _map_files(out_dir, locations))


def _map_files(out_dir: Path, locations: list[str]) -> Iterator[Path]:
    for location in locations:
        yield out_dir / 'maps' / 'expansion' / f'{location}.json'
        yield out_dir / map_mask_name(location)


def _write_maps(out_dir: Path, seed: int, locations: list[str]) -> None:
    """The map expansion and the map mask of every location that a scene plays in."""
    for location in locations:
        if all(path.is_file() for path in _map_files(out_dir, [location])):
            continue
        network = build_network(seed, location)
        _write_json(out_dir / 'maps' / 'expansion' / f'{location}.json', map_expansion(network, seed))
        _write(out_dir / map_mask_name(location), map_mask_png(network))


def _map(make: functools.partial[int], names: list[str], workers: int) -> Iterator[int]:
    """Makes all scenes and yields the number of frames of each, in order of completion."""
    if not workers:
        yield from map(make, names)
        return
    with multiprocessing.get_context('spawn').Pool(min(workers, len(names))) as pool:
        yield from pool.imap_unordered(make, names)


def _make_scene(out_dir: Path, arguments: WorldArguments, name: str) -> int:
    """Renders a scene and writes its images, then its records, unless the records already exist."""
    records = out_dir / _UNFINISHED / f'{name}.json'
    if not records.exists():
        cv2.setNumThreads(1)
        scene = build_scene(name, arguments.frames, arguments.image_size, arguments.seed)
        _write_json(records, scene_tables(scene, *_render(out_dir, scene)))
    return arguments.frames


def _render(out_dir: Path, scene: Scene) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Writes a scene's images; returns visible and covered pixels of each annotation, by frame."""
    renderer = SceneRenderer(scene)
    visible, covered = [], []
    for k, frame in enumerate(scene.frames):
        counts = np.zeros((2, len(frame.annotations)), dtype=np.int64)
        for channel in CAMERAS:
            rendered = renderer.render_camera(k, channel)
            seen = np.bincount(rendered.instance.ravel(), minlength=len(frame.annotations) + 1)[1:]
            counts += (seen, rendered.covered)
            stream = io.BytesIO()
            Image.fromarray(rendered.image).save(stream, 'JPEG', quality=_JPEG_QUALITY)
            _write(out_dir / image_name(scene, k, channel), stream.getvalue())
        visible.append(counts[0])
        covered.append(counts[1])
    return visible, covered


def _write_tables(out_dir: Path, arguments: WorldArguments, names: list[str]) -> None:
    """Joins the scenes' records into the thirteen tables, which appear atomically."""
    tables: Records = {name: [] for name in TABLES}
    for name in names:
        records = json.loads((out_dir / _UNFINISHED / f'{name}.json').read_text())
        for table, rows in records.items():
            tables[table] += rows
    tables.update(log_tables(arguments.seed, tables['log']))
    tables.update(static_tables(arguments.seed))
    folder = out_dir / _UNFINISHED / arguments.version
    for table in TABLES:
        _write_json(folder / f'{table}.json', tables[table])
    folder.replace(out_dir / arguments.version)


def _write_json(path: Path, content: Any) -> None:
    _write(path, json.dumps(content, separators=(',', ':')).encode())


def _write(path: Path, content: bytes) -> None:
    """Writes a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{path.name}.tmp')  # the same name after a restart, so that no file is left over
    draft.write_bytes(content)
    draft.replace(path)
