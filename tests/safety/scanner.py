"""Finds in a module's syntax tree what :mod:`rules` forbids."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass

from . import rules


@dataclass(frozen=True)
class Finding:
    """A construct that is not allowed without a reason."""

    line: int
    what: str
    why: str


def scan(source: str, asserts: bool = True, config: bool = False, package: str = '') -> list[Finding]:
    """What is forbidden in a module.

    Args:
        source: its text.
        asserts: whether any ``assert`` is allowed: in tests, but not where it would judge a user's input.
        config: whether it is a config, which may do nothing but name values.
        package: dotted name of the package it is in, for relative imports.
    """
    tree = ast.parse(source)
    scanner = _Scanner(_imports(tree, package), asserts, config)
    scanner.visit(tree)
    return sorted(set(scanner.found), key=lambda finding: (finding.line, finding.what))


def _imports(tree: ast.Module, package: str) -> dict[str, str]:
    """Name in the module → the full name of what it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition('.')[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f'{_origin(node, package)}.{alias.name}'
    return names


def _origin(node: ast.ImportFrom, package: str) -> str:
    parts = package.split('.')[: len(package.split('.')) - node.level + 1] if node.level else []
    return '.'.join([*parts, *([node.module] if node.module else [])])


class _Scanner(ast.NodeVisitor):
    def __init__(self, names: dict[str, str], asserts: bool, config: bool) -> None:
        self.found: list[Finding] = []
        self._names = names
        self._asserts = asserts
        self._config = config

    def _find(self, node: ast.AST, what: str, why: str) -> None:
        self.found.append(Finding(node.lineno, what, why))  # type: ignore[attr-defined]

    def _full_name(self, node: ast.AST) -> str | None:
        """Full name of what an expression of names and dots stands for."""
        if isinstance(node, ast.Name):
            known = self._names.get(node.id)
            return known or (f'builtins.{node.id}' if hasattr(builtins, node.id) or node.id == '__builtins__' else None)
        if isinstance(node, ast.Attribute):
            base = self._full_name(node.value)
            return base and f'{base}.{node.attr}'
        return None

    def _check_name(self, node: ast.AST, name: str) -> None:
        for prefix in _prefixes(name):
            if prefix in rules.HARMLESS:
                return
            if prefix in rules.FORBIDDEN:
                self._find(node, name, rules.FORBIDDEN[prefix])
                return

    def visit_Import(self, node: ast.Import) -> None:
        if self._config:
            self._find(node, 'import', 'a config names values and does nothing')
        for alias in node.names:
            if alias.name not in rules.PARTLY_HARMLESS:  # what of it is used counts
                self._check_name(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if self._config:
            self._find(node, 'import', 'a config names values and does nothing')
        for alias in node.names:
            self._check_name(node, self._names[alias.asname or alias.name])
            if alias.name == '*' and node.module:
                self._check_name(node, node.module)

    def visit_Name(self, node: ast.Name) -> None:
        name = self._full_name(node)
        if name:
            self._check_name(node, name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._full_name(node)
        if name:
            self._check_name(node, name)
        if not name:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._full_name(node.func) or ''
        if isinstance(node.func, ast.Attribute) and node.func.attr in rules.METHODS:
            self._find(node, f'.{node.func.attr}', rules.METHODS[node.func.attr])
        given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        for key, value in given.items():
            if key in rules.ONLY and not (isinstance(value, ast.Constant) and value.value is rules.ONLY[key]):
                self._find(node, f'{key}={ast.unparse(value)}', f'must be {rules.ONLY[key]}')
        if name in rules.TOLD and rules.TOLD[name] not in given:
            self._find(node, name, f'without {rules.TOLD[name]}=True')
        if name in ('builtins.getattr', 'importlib.import_module'):
            self._check_dynamic(node, name)
        if (
            name.startswith('subprocess.')
            and name not in rules.HARMLESS
            and node.args
            and not isinstance(node.args[0], (ast.List, ast.Name))
        ):
            self._find(node, name, 'expects a list of words')
        if self._config and name not in rules.CONFIG_CALLS:
            self._find(node, ast.unparse(node.func), 'a config names values and does nothing')
        self.generic_visit(node)

    def _check_dynamic(self, node: ast.Call, name: str) -> None:
        """Names that are only put together while the program runs."""
        last = node.args[-1] if name != 'builtins.getattr' else node.args[1]
        text = last.value if isinstance(last, ast.Constant) else None
        owner = self._full_name(node.args[0]) if name == 'builtins.getattr' else ''
        if text is not None and owner is not None:
            self._check_name(node, f'{owner}.{text}'.lstrip('.'))
        elif name == 'importlib.import_module' or owner in rules.MODULES:
            self._find(node, name, 'of a name that is not written out')

    def visit_List(self, node: ast.List) -> None:
        words = [item.value if isinstance(item, ast.Constant) else None for item in node.elts]
        if len(words) > 1 and words[0] in rules.SHELLS and str(words[1]).startswith('-') and 'c' in str(words[1]):
            self._find(node, f'{words[0]} {words[1]}', 'starts a shell')
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        for text, why in rules.TEXTS.items():
            if isinstance(node.value, str) and text in node.value:
                self._find(node, text, why)

    def visit_Assert(self, node: ast.Assert) -> None:
        if not self._asserts and not _narrows(node.test):
            self._find(node, 'assert', "vanishes with -O, and tells nothing of a user's mistake")
        self.generic_visit(node)


def _narrows(condition: ast.expr) -> bool:
    """Whether a condition tells a type checker what a value is, and no more."""
    if isinstance(condition, ast.BoolOp):
        return all(map(_narrows, condition.values))
    return ast.unparse(condition).endswith(' is not None') or ast.unparse(condition).startswith('isinstance(')


def _prefixes(name: str) -> Iterator[str]:
    """A dotted name, and each shorter beginning of it."""
    while name:
        yield name
        name = name.rpartition('.')[0]
