"""Files from strangers, in their hundred thousands: no reader may do more with one than refuse it."""

from .campaign import run

__all__ = ['run']
