"""Imports between packages point one way, and importing the plug-in stays light."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .import_graph import back_arrows, cycle, import_graph, package_graph

ROOT = Path(__file__).parents[1]
PLUGIN = 'projects.CVT_IO.cvt_io'
#: Packages from the lowest layer to the highest. The plug-in itself sits above what its import registers.
ORDER = [
    *(
        f'{PLUGIN}.{name}'
        for name in (
            'errors',
            'geometry',
            'fileio',
            'labels',
            'datasets',
            'models',
            'evaluation',
            'visualization',
            'engine.train_loop',
            'engine.schedule',
            'engine.hooks',
            'engine',
            'runtime',
        )
    ),
    PLUGIN,
    *(f'{PLUGIN}.{name}' for name in ('zoo', 'deploy', 'apis', 'analysis')),
    *(f'projects.CVT_IO.{name}' for name in ('toy_world', 'benchmarks')),
    'projects.CVT_IO',
]


@pytest.fixture(scope='module')
def graph() -> dict[str, set[str]]:
    graph = import_graph(ROOT, 'projects/CVT_IO')
    assert f'{PLUGIN}.geometry.bev_grid' in graph[f'{PLUGIN}.geometry']  # the graph is not empty for some silly reason
    return graph


def test_imports_only_point_down(graph: dict[str, set[str]]) -> None:
    assert back_arrows(graph, ORDER) == []


def test_no_import_cycle_between_modules(graph: dict[str, set[str]]) -> None:
    assert cycle(graph) == []


def test_no_import_cycle_between_packages(graph: dict[str, set[str]]) -> None:
    inner = {name: targets for name, targets in graph.items() if name != PLUGIN}
    inner = {name: targets - {PLUGIN} for name, targets in inner.items()}
    assert cycle(package_graph(inner, depth=4)) == []


def test_readme_lists_what_is_registered() -> None:
    """Classes by package, from the decorators in the source and from the table in projects/CVT_IO/README.md."""
    registered: dict[str, set[str]] = {}
    for path in sorted((ROOT / PLUGIN.replace('.', '/')).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any('.register' in ast.unparse(each) for each in node.decorator_list):
                package = path.relative_to(ROOT / PLUGIN.replace('.', '/')).parts[0]
                registered.setdefault(f'{package}/', set()).add(node.name)
    readme = (ROOT / 'projects/CVT_IO/README.md').read_text()
    rows = re.findall(r'^\| `(\w+/)` \|.*\| (.*) \|$', readme, re.MULTILINE)
    assert {package: set(re.findall(r'CVTIO\w+', names)) for package, names in rows if 'CVTIO' in names} == registered


def test_plugin_import_is_light() -> None:
    """mmdet3d itself imports pyplot, so what counts is which imports our own modules make."""
    script = f"""
import builtins, json, sys
plain_import, importers = builtins.__import__, []
def recording(name, globals=None, *args, **kwargs):
    if name.startswith('matplotlib') and (globals or {{}}).get('__name__', '').startswith('projects.'):
        importers.append(globals['__name__'])
    return plain_import(name, globals, *args, **kwargs)
builtins.__import__ = recording
import {PLUGIN}
print(json.dumps([importers, sorted(name for name in sys.modules if name.startswith('projects.'))]))
"""
    run = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True, check=True)
    importers, modules = json.loads(run.stdout.splitlines()[-1])
    assert importers == []
    assert f'{PLUGIN}.models' in modules
    heavy = ('runtime.command_line', 'zoo', 'apis', 'analysis', 'deploy')
    assert [name for name in modules if name.startswith(tuple(f'{PLUGIN}.{each}' for each in heavy))] == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Packages ``p.low`` and ``p.high``, the second importing the first in four ways."""
    for name in ('p', 'p/low', 'p/high'):
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').touch()
    (tmp_path / 'p/low/a.py').write_text('import os\n')
    (tmp_path / 'p/high/b.py').write_text('from ..low import a\nfrom ..low.a import path\n')
    (tmp_path / 'p/high/c.py').write_text('def f():\n    import p.low.a\n    from .b import a\n')
    return tmp_path


TREE_ORDER = ['p', 'p.low', 'p.high']


def test_graph_of_a_tree(tree: Path) -> None:
    graph = import_graph(tree, 'p')
    assert graph['p.low.a'] == set()
    assert graph['p.high.b'] == {'p.low.a'}
    assert graph['p.high.c'] == {'p.low.a', 'p.high.b'}
    assert back_arrows(graph, TREE_ORDER) == []
    assert cycle(graph) == []


@pytest.mark.parametrize(
    'line', ['from ..high import b', 'from p.high import b', 'import p.high.b', 'def f():\n    from ..high.b import a']
)
def test_back_arrow_and_cycle_are_found(tree: Path, line: str) -> None:
    (tree / 'p/low/a.py').write_text(line)
    graph = import_graph(tree, 'p')
    assert back_arrows(graph, TREE_ORDER) == ['p.low.a -> p.high.b']
    assert set(cycle(graph)) == {'p.low.a', 'p.high.b'}
    assert set(cycle(package_graph(graph, depth=2))) == {'p.low', 'p.high'}


def test_cycle_of_packages_without_a_cycle_of_modules_is_found(tree: Path) -> None:
    (tree / 'p/low/d.py').write_text('from ..high import b\n')
    graph = import_graph(tree, 'p')
    assert cycle(graph) == []
    assert set(cycle(package_graph(graph, depth=2))) == {'p.low', 'p.high'}


def test_package_without_a_layer_is_found(tree: Path) -> None:
    (tree / 'q').mkdir()
    (tree / 'q/e.py').touch()
    assert back_arrows(import_graph(tree, 'q'), TREE_ORDER) == ['q.e has no layer']
