"""Building blocks of the necks."""

from .attention import CrossAttention, joint_attention, unit_channels
from .bev_query import BEVPosition, BEVPrior
from .camera_rays import Rig
from .cross_view import CrossView
from .image_tokens import ImageTokens, per_image

__all__ = [
    'BEVPosition',
    'BEVPrior',
    'CrossAttention',
    'CrossView',
    'ImageTokens',
    'Rig',
    'joint_attention',
    'per_image',
    'unit_channels',
]
