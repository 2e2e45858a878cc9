"""Namespace of OpenMMLab-style projects.

A regular package, so that on ``sys.path`` order alone decides which ``projects`` folder is found first; extended over
the rest of the path, so that the ``projects`` of an mmdet3d checkout stay importable beside this one.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
