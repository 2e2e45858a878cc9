"""One small world for all tests of this folder; the directory is read-only by agreement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from nuscenes.map_expansion.map_api import NuScenesMap
from nuscenes.nuscenes import NuScenes

from projects.CVT_IO.toy_world import Scene, SceneRenderer, build_scene, generate_toy_world

SCENES, FRAMES, IMAGE_SIZE, SEED = 2, 3, (225, 400), 0


@dataclass(frozen=True)
class World:
    """A generated world, the devkit's view of it, and the scenes rebuilt in memory."""

    root: Path
    nusc: NuScenes
    scenes: dict[str, Scene]
    renderers: dict[str, SceneRenderer]

    def frames(self) -> list[tuple[str, int, dict]]:
        """(scene name, index of the key frame, sample record) of all key frames."""
        found = []
        for record in self.nusc.scene:
            token, k = record['first_sample_token'], 0
            while token:
                sample = self.nusc.get('sample', token)
                found.append((record['name'], k, sample))
                token, k = sample['next'], k + 1
        return found

    def map_of(self, name: str) -> NuScenesMap:
        """The map expansion of a scene's location."""
        return NuScenesMap(str(self.root), self.scenes[name].network.location)

    def index_of(self, name: str, k: int) -> dict[str, int]:
        """Value in the instance buffers by sample_annotation token."""
        scene = self.scenes[name]
        annotations = scene.frames[k].annotations
        return {scene.annotation_token(k, a.actor): value for value, a in enumerate(annotations, start=1)}


@pytest.fixture(scope='session')
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two scenes of three key frames at a quarter of nuScenes' image size."""
    root = tmp_path_factory.mktemp('toy') / 'world'
    generate_toy_world(root, scenes=SCENES, frames=FRAMES, image_size=IMAGE_SIZE, seed=SEED, progress=False)
    nusc = NuScenes('v1.0-mini', str(root), verbose=False)
    scenes = {record['name']: build_scene(record['name'], FRAMES, IMAGE_SIZE, SEED) for record in nusc.scene}
    return World(root, nusc, scenes, {name: SceneRenderer(scene) for name, scene in scenes.items()})


@pytest.fixture(scope='session')
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(7)
