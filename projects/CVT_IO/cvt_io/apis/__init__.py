"""Inference on nuScenes, mmdet3d's info files and custom rigs."""

from .inferencer import CVTIOInferencer

__all__ = ['CVTIOInferencer']
