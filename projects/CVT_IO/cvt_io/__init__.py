"""CVT-IO for MMDetection3D. Importing the package registers everything in mmdet3d's registries."""

from . import datasets, engine, evaluation, models, visualization
from .runtime import runner

__all__ = ['datasets', 'engine', 'evaluation', 'models', 'runner', 'visualization']

__version__ = '0.6.0'
