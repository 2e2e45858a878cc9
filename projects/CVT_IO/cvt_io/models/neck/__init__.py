"""Necks: image features of all cameras → coarse BEV features."""

from .cvt_neck import CVTIOCrossViewNeck
from .latent_neck import CVTIOLatentNeck
from .lift_neck import CVTIOLiftNeck

__all__ = ['CVTIOCrossViewNeck', 'CVTIOLatentNeck', 'CVTIOLiftNeck']
