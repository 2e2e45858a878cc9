"""Backbone → neck → BEV decoder → head."""

from .backbone import CVTIOEfficientNet
from .bev_decoder import CVTIOBEVDecoder
from .data_preprocessor import CVTIODataPreprocessor
from .head import CVTIOHead
from .losses import CVTIOFocalLoss
from .neck import CVTIOCrossViewNeck, CVTIOLatentNeck
from .segmentor import CVTIOSegmentor, unwrap_model

__all__ = [
    'CVTIOBEVDecoder',
    'CVTIOCrossViewNeck',
    'CVTIODataPreprocessor',
    'CVTIOEfficientNet',
    'CVTIOFocalLoss',
    'CVTIOHead',
    'CVTIOLatentNeck',
    'CVTIOSegmentor',
    'unwrap_model',
]
