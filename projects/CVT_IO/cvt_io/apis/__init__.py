"""Inference on frames of nuScenes, of mmdet3d's info files and of any rig."""

from .fit import CVTIOFitImages
from .inferencer import CVTIOInferencer

__all__ = ['CVTIOFitImages', 'CVTIOInferencer']
