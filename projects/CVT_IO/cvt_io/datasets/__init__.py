"""nuScenes key frames and the pipeline that turns them into tensors."""

from .broken_frames_hook import CVTIOBrokenFramesHook
from .control import CVTIOControlDataset
from .loading import CVTIOLoadBEVLabel, CVTIOLoadImages
from .nuscenes_dataset import CVTIONuScenesDataset
from .packing import CVTIOPackInputs
from .transforms import CVTIOGeometricAugment, CVTIOResizeCrop, CVTIOStrongAugment

__all__ = [
    'CVTIOBrokenFramesHook',
    'CVTIOControlDataset',
    'CVTIOGeometricAugment',
    'CVTIOLoadBEVLabel',
    'CVTIOLoadImages',
    'CVTIONuScenesDataset',
    'CVTIOPackInputs',
    'CVTIOResizeCrop',
    'CVTIOStrongAugment',
]
