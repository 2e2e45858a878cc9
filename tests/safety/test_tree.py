"""The project's own code does nothing unsafe, but for what is listed here with its reason."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.safety.scanner import Finding, scan
from tests.safety.shell import scan_shell
from tests.tiny import REPO

#: (files, what is found there, why it is allowed). ``*`` matches slashes, too.
ALLOWED = (
    ('projects/CVT_IO/cvt_io/fileio/restricted_pickle.py', 'unpickles', 'the one guarded unpickler'),
    ('projects/CVT_IO/cvt_io/fileio/download.py', 'network', 'downloads, when a model of the zoo is asked for'),
    ('projects/CVT_IO/cvt_io/models/pretrained.py', 'network', 'weights behind the URL that a config names'),
    ('projects/CVT_IO/cvt_io/datasets/decoding.py', 'network', 'reads images below data_root, which is never a URL'),
    ('projects/CVT_IO/cvt_io/runtime/config.py', 'runs a config', 'configs are Python'),
    ('projects/CVT_IO/cvt_io/runtime/resolve.py', 'runs a config', 'configs are Python'),
    (
        'projects/CVT_IO/cvt_io/deploy/extras.py',
        'of a name that is not written out',
        'names of packages, from the code',
    ),
    ('projects/CVT_IO/cvt_io/analysis/memory.py', 'calls foreign code', "libc's malloc_trim, without arguments"),
    ('tools/misc/*', 'starts a program', "the project's own tools, one after the other, and a browser"),
    ('tests/*', 'starts a program', 'the tools as users start them'),
    ('tests/*', 'runs a config', "the project's own"),
    ('tests/*', 'runs a file as code', 'tools, in the process of the test'),
    ('tests/zoo/*', 'network', 'a server on this machine'),
    ('tests/models/test_pretrained.py', 'network', 'a server on this machine'),
    ('tests/tools/chromium.py', 'starts a shell', 'lets the browser die with the test; the text is constant'),
    ('tests/fileio/test_restricted_pickle.py', 'runs text as code', 'a payload: it must not be called'),
    ('tests/torture/*', 'unpickles', 'shows that it is noticed'),
    ('tests/torture/*', 'network', 'shows that it is noticed'),
    ('tests/torture/test_fuzz.py', 'starts a shell', 'shows that it is noticed'),
    ('tests/torture/test_fuzz.py', 'runs text as code', 'shows that it is noticed'),
    ('tests/datasets/test_sampler.py', 'unpickles', 'what it has pickled itself, as worker processes do'),
    ('tests/safety/*', 'network', 'a server on this machine'),
    ('tests/safety/*', "switches PyTorch's guard off", 'the rule itself'),
    ('tests/safety/*', 'a folder that others write to', 'the rule itself'),
)
#: Variables that a script splits into words on purpose, as its comments say.
LISTS = ('${PYTHON:-', '${SRUN_ARGS:-}')

MODULES = sorted(
    path for top in ('projects', 'tools', 'demo', 'configs', 'tests') for path in (REPO / top).rglob('*.py')
)
SCRIPTS = sorted([*REPO.glob('tools/**/*.sh'), REPO / '.ci/run'])


def findings() -> Iterator[tuple[str, Finding]]:
    for path in MODULES:
        name = path.relative_to(REPO)
        source = path.read_text('utf-8')
        package = '.'.join(name.parent.parts)
        judged = name.parts[0] == 'tests'
        for finding in scan(source, judged, name.parts[0] == 'configs', package):
            yield name.as_posix(), finding


@pytest.fixture(scope='module')
def found() -> list[tuple[str, Finding]]:
    return list(findings())


def allowing(name: str, finding: Finding) -> list[tuple[str, str, str]]:
    return [entry for entry in ALLOWED if fnmatch.fnmatch(name, entry[0]) and entry[1] == finding.why]


def test_nothing_but_what_is_listed(found):
    others = [f'{name}:{f.line}: {f.what}: {f.why}' for name, f in found if not allowing(name, f)]
    assert not others, '\n'.join(others)


def test_every_entry_of_the_list_is_needed(found):
    needed = {entry for name, finding in found for entry in allowing(name, finding)}
    assert needed == set(ALLOWED)


def test_all_modules_are_looked_at():
    names = {path.relative_to(REPO).as_posix() for path in MODULES}
    assert {
        'projects/CVT_IO/cvt_io/fileio/download.py',
        'tools/train.py',
        'demo/bev_demo.py',
        'configs/cvt.py',
    } <= names
    known = {'projects', 'tools', 'demo', 'configs', 'tests'}
    others = {path.name for path in REPO.iterdir() if path.is_dir() and not path.name.startswith('.')} - known
    # What holds data and results is not ours; any other folder with modules needs a place in MODULES.
    assert [
        name for name in others - {'data', 'work_dirs', 'checkpoints', 'results'} if [*(REPO / name).rglob('*.py')]
    ] == []
    assert [*REPO.glob('*.py')] == []


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts(script: Path):
    assert scan_shell(script.read_text(), LISTS) == []


def test_every_shell_script_is_looked_at():
    tops = ('projects', 'tools', 'demo', 'configs', 'tests', '.ci')
    files = [path for top in tops for path in (REPO / top).rglob('*') if path.is_file() and path.suffix != '.pth']
    shell = {
        path for path in files if path.suffix == '.sh' or path.read_bytes()[:40].startswith(b'#!/usr/bin/env bash')
    }
    assert shell == set(SCRIPTS)


def test_recipes_fetch_nothing():
    text = (REPO / 'Makefile').read_text()
    assert not [word for word in ('curl', 'wget', 'eval', 'sudo') if word in text]
