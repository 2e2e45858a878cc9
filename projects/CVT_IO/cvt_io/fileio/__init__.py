"""Reading files that strangers made."""

from .dry_run import check_pickles
from .restricted_pickle import Inert, RestrictedUnpickler
from .torch_zip import read_torch_zip

__all__ = ['Inert', 'RestrictedUnpickler', 'check_pickles', 'read_torch_zip']
