"""Backbone → neck → BEV decoder → head."""

from .backbone import CVTIOEfficientNet
from .bev_decoder import CVTIOBEVDecoder
from .data_preprocessor import CVTIODataPreprocessor
from .head import CVTIOHead
from .losses import CVTIOFocalLoss
from .neck import CVTIOCrossViewNeck, CVTIOLatentNeck, CVTIOLiftNeck
from .segmentor import CVTIOSegmentor, unwrap_model
from .sub_pixel import CVTIOFuse, CVTIOSubPixelHead
from .tta import CVTIOTTAModel

__all__ = [
    'CVTIOBEVDecoder',
    'CVTIOCrossViewNeck',
    'CVTIODataPreprocessor',
    'CVTIOEfficientNet',
    'CVTIOFocalLoss',
    'CVTIOFuse',
    'CVTIOHead',
    'CVTIOLatentNeck',
    'CVTIOLiftNeck',
    'CVTIOSegmentor',
    'CVTIOSubPixelHead',
    'CVTIOTTAModel',
    'unwrap_model',
]
