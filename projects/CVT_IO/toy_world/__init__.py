"""A procedural driving world in nuScenes' own format.

Towns (:mod:`roads`, :mod:`map_json`), their inhabitants (:mod:`population`, :mod:`traffic`), cameras (:mod:`rig`) and
images (:mod:`renderer`) become the tables and files of a data root (:mod:`tables`, :mod:`world`).
"""

from .renderer import Rendered, SceneRenderer
from .scene import Annotation, Frame, Scene, build_scene
from .world import generate_toy_world, scene_names

__all__ = [
    'Annotation',
    'Frame',
    'Rendered',
    'Scene',
    'SceneRenderer',
    'build_scene',
    'generate_toy_world',
    'scene_names',
]
