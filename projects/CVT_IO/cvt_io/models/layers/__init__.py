"""Building blocks of the necks."""

from .attention import CrossAttention, unit_channels
from .bev_query import BEVPosition
from .camera_rays import Rig
from .cross_view import CrossView
from .image_tokens import ImageTokens, per_image
from .joint_attention import joint_attention
from .learned_grid import LearnedGrid
from .plain import plain_forward

__all__ = [
    'BEVPosition',
    'CrossAttention',
    'CrossView',
    'ImageTokens',
    'LearnedGrid',
    'Rig',
    'joint_attention',
    'per_image',
    'plain_forward',
    'unit_channels',
]
