"""Label groups: the classes that make up one segmentation output, and the pixels that count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .classes import CLASSES
from .codec import UNKNOWN


@dataclass(frozen=True)
class LabelGroup:
    """One segmentation output.

    Attributes:
        name: prefix of its losses and metrics.
        classes: indices into the twelve classes; a pixel is positive where any of them is.
        min_visibility: pixels of vehicles with a lower visibility token are ignored in the loss and the main metric;
            0 keeps all whose label is known.
    """

    name: str
    classes: tuple[int, ...]
    min_visibility: int = 0

    def target(self, classes: Tensor) -> Tensor:
        """Args: classes (…, 12, h, w). Returns: bool (…, h, w)."""
        return (classes[..., self.classes, :, :] != 0).any(dim=-3)

    def keep(self, visibility: Tensor) -> Tensor:
        """Args: visibility tokens (…, h, w), 255 where there is no vehicle. Returns: bool (…, h, w)."""
        return visibility >= max(self.min_visibility, UNKNOWN + 1)


def build_label_groups(config: Mapping[str, Mapping]) -> tuple[LabelGroup, ...]:
    """Builds the groups of a config: ``{name: dict(classes=[class names], min_visibility=0)}``, in output order.

    Raises:
        ValueError: there is no group, a class or key is unknown, or a class is named twice.
    """
    groups = []
    for name, group in config.items():
        unknown = [c for c in group.get('classes', ()) if c not in CLASSES]
        if unknown or not group.get('classes') or set(group) - {'classes', 'min_visibility'}:
            raise ValueError(
                f'label_groups.{name}: expected classes (some of {", ".join(CLASSES)}) and min_visibility, '
                f'got {dict(group)}'
            )
        if len(set(group['classes'])) < len(group['classes']):
            raise ValueError(f'label_groups.{name}.classes: expected each class once, got {[*group["classes"]]}')
        indices = tuple(CLASSES.index(c) for c in group['classes'])
        groups.append(LabelGroup(name, indices, int(group.get('min_visibility', 0))))
    if not groups:
        raise ValueError('label_groups: expected at least one group')
    return tuple(groups)
