"""Necks: image features of all cameras → coarse BEV features."""

from .cvt_neck import CVTIOCrossViewNeck
from .latent_neck import CVTIOLatentNeck

__all__ = ['CVTIOCrossViewNeck', 'CVTIOLatentNeck']
