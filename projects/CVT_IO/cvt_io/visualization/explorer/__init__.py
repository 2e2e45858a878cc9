"""A page that shows what the attention looks at: frames of maps, and the HTML that holds them."""

from .frame import explorer_frame
from .page import explorer_page

__all__ = ['explorer_frame', 'explorer_page']
