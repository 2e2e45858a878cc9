"""Inference on frames of nuScenes, of mmdet3d's info files and of any rig."""

from .inferencer import CVTIOInferencer

__all__ = ['CVTIOInferencer']
