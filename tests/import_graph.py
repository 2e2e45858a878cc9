"""Import graph of the source tree, read from its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

Graph = dict[str, set[str]]


def module_name(path: Path, root: Path) -> str:
    """Dotted name of a source file below ``root``; a package goes by its folder."""
    parts = path.relative_to(root).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported(path: Path, name: str) -> Iterator[tuple[str, list[str]]]:
    """Module and names of every import statement of a file, relative ones resolved."""
    package = name.split('.') if path.name == '__init__.py' else name.split('.')[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = '.'.join([*base, *(node.module.split('.') if node.module else [])])
            yield module, [alias.name for alias in node.names]


def import_graph(root: Path, below: str) -> Graph:
    """Modules below ``root / below`` → modules there that they import, anywhere in the file."""
    files = {module_name(path, root): path for path in sorted((root / below).rglob('*.py'))}
    graph: Graph = {name: set() for name in files}
    for name, path in files.items():
        for module, names in imported(path, name):
            targets = [f'{module}.{each}' for each in names]
            graph[name] |= {target if target in files else module for target in targets or [module]} & set(files)
    return graph


def back_arrows(graph: Graph, order: list[str]) -> list[str]:
    """Imports that point up or sideways out of their layer, as ``importer -> imported``.

    ``order`` lists packages from the lowest layer to the highest. The longest matching prefix places a module; one that
    no prefix matches is reported too, so a new package has to be given a place.
    """

    def layer(module: str) -> str | None:
        return max((each for each in order if f'{module}.'.startswith(f'{each}.')), key=len, default=None)

    found = []
    for importer, targets in sorted(graph.items()):
        own = layer(importer)
        if own is None:
            found.append(f'{importer} has no layer')
            continue
        for target in sorted(targets):
            other = layer(target)
            if other and order.index(other) > order.index(own):
                found.append(f'{importer} -> {target}')
    return found


def package_graph(graph: Graph, depth: int) -> Graph:
    """The graph between packages: names cut after ``depth`` parts."""
    merged: Graph = {}
    for importer, targets in graph.items():
        own = '.'.join(importer.split('.')[:depth])
        merged.setdefault(own, set()).update('.'.join(target.split('.')[:depth]) for target in targets)
    return {own: targets - {own} for own, targets in merged.items()}


def cycle(graph: Graph) -> list[str]:
    """Some import cycle, its first module repeated at the end; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []
