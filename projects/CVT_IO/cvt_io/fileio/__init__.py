"""Reading files that strangers made."""

from .restricted_pickle import Inert, RestrictedUnpickler
from .torch_zip import read_torch_zip

__all__ = ['Inert', 'RestrictedUnpickler', 'read_torch_zip']
