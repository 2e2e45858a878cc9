"""CVT-IO for MMDetection3D. Importing the package registers everything in mmdet3d's registries."""

from . import datasets, engine, evaluation, models, visualization

__all__ = ['datasets', 'engine', 'evaluation', 'models', 'visualization']

__version__ = '0.4.0'
