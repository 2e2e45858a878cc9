"""The attention explorer: an interactive HTML page of attention maps."""

from .frame import explorer_frame
from .page import explorer_page

__all__ = ['explorer_frame', 'explorer_page']
