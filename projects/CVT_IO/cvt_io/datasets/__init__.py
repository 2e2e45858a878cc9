"""Data sets of key frames, and the pipeline that turns frames into tensors."""

from .control import CVTIOControlDataset
from .fit import CVTIOFitImages
from .loading import CVTIOLoadBEVLabel, CVTIOLoadImages
from .nuscenes_dataset import CVTIONuScenesDataset
from .packing import CVTIOPackInputs
from .sampler import CVTIOInfiniteSampler, CVTIOSeededDataset
from .transforms import CVTIOGeometricAugment, CVTIORandomFlip, CVTIOResizeCrop, CVTIOStrongAugment

__all__ = [
    'CVTIOControlDataset',
    'CVTIOFitImages',
    'CVTIOGeometricAugment',
    'CVTIOInfiniteSampler',
    'CVTIOLoadBEVLabel',
    'CVTIOLoadImages',
    'CVTIONuScenesDataset',
    'CVTIOPackInputs',
    'CVTIORandomFlip',
    'CVTIOResizeCrop',
    'CVTIOSeededDataset',
    'CVTIOStrongAugment',
]
