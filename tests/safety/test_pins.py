"""What is installed is what the requirement files say."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.tiny import REPO

FILES = sorted([REPO / 'requirements.txt', *(REPO / 'requirements').glob('*.txt')])
#: What makes environments, which is there before any requirement is read, and the checkout itself.
TOOLS = {'pip', 'cvt-io-mmdet3d'}


def canonical(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def installed() -> Iterable[Distribution]:
    """Not those that setuptools brings for itself and puts on the import path."""
    return distributions(path=[sysconfig.get_path('purelib')])


def requirements(path: Path) -> dict[str, str]:
    """Name → what is asked for on this Python, without comments."""
    lines = (line.partition('#')[0].strip() for line in path.read_text().splitlines())
    asked = [Requirement(line) for line in lines if line]
    return {canonical(one.name): str(one.specifier) for one in asked if not one.marker or one.marker.evaluate()}


@pytest.fixture(scope='module')
def pins() -> dict[str, str]:
    return {name: asked.removeprefix('==') for path in FILES for name, asked in requirements(path).items()}


def from_torch() -> set[str]:
    """torch and what it requires, directly or not, which is the user's choice with it."""
    names, new = set(), {'torch'}
    requires = {canonical(d.metadata['Name']): d.requires or [] for d in installed()}
    while new:
        names |= new
        new = {canonical(re.match(r'[\w.-]+', text)[0]) for name in new for text in requires.get(name, [])} - names
    return names


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_every_requirement_is_one_release(path):
    for name, asked in requirements(path).items():
        assert re.fullmatch(r'==[\w.+]+', asked) or (name, asked) == ('torch', '>=2.6'), f'{path.name}: {name}{asked}'
    assert not re.search(r'https?:|git\+|--(extra-)?index-url|--trusted-host', path.read_text())


def test_every_package_is_pinned(pins):
    """Of this environment, if it is the checkout's own."""
    if Path(sys.prefix).resolve() != (REPO / '.venv').resolve():
        pytest.skip('not the environment of make env')
    found = {canonical(d.metadata['Name']): d.version for d in installed()}
    left_out = TOOLS | (from_torch() - pins.keys())
    unpinned = {name: version for name, version in found.items() if name not in pins.keys() | left_out}
    others = {name: (pins[name], version) for name, version in found.items() if pins.get(name, version) != version}
    others.pop('torch', None)
    assert (unpinned, others) == ({}, {})
