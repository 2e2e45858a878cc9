"""Every command, option, path and link that the documentation names exists."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    {*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('projects/**/*.md'), *ROOT.glob('configs/**/*.md')}
)

FENCE = re.compile(r'^( *)```(\w*)[^\n]*\n(.*?)^\1```', re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r'`([^`\n]+)`')
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)(?:\s+"[^"]*")?\)')
HEADING = re.compile(r'^#+ +(.+?) *#*$', re.MULTILINE)
ASSIGNMENT = re.compile(r'^\w+=')
# A path of the repository, as opposed to what its commands write (data/, work_dirs/) or a placeholder.
REPOSITORY_PATH = re.compile(
    r'^(?:\./)?((?:configs|demo|docs|projects|requirements|tests|tools|\.ci)/[\w./+-]*|requirements\.txt|Makefile)$'
)
MODULE = re.compile(r'^projects(?:\.\w+)+$')

SHELLS = {'bash', 'sh', 'shell', 'console'}
# Not looked for on the machine that runs the tests: shell builtins, and tools that a cluster or another system has.
KNOWN_WORDS = {
    'cd',
    'export',
    'source',
    'pip',
    'python',
    'bash',
    'sh',
    'sbatch',
    'srun',
    'apt-get',
    'uv',
    'tensorboard',
}


def commands(block: str, console: bool) -> list[list[str]]:
    """Words of each command of a shell block; of a console session only the lines after the prompt."""
    lines = block.replace('\\\n', ' ').splitlines()
    lines = [line.strip() for line in lines]
    if console:
        lines = [line.removeprefix('$ ') for line in lines if line.startswith('$ ')]
    found = []
    for line in lines:
        # A quoted separator stays inside its word; a bare one ends a command.
        lexer = shlex.shlex(line.removeprefix('$ '), posix=True, punctuation_chars='&|;')
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ';']:
            if word and set(word) <= set('&|;'):
                found.append(words)
                words = []
            else:
                words.append(word)
    return [words for words in found if words]


@functools.cache
def help_text(script: Path, *words: str) -> str:
    """What a tool prints for ``--help``; empty when that fails. In this process, as each one imports for seconds."""
    printed = io.StringIO()
    with (
        mock.patch.object(sys, 'argv', [str(script), *words, '--help']),
        mock.patch.object(sys, 'path', [*sys.path]),
        contextlib.redirect_stdout(printed),
    ):
        try:
            runpy.run_path(str(script), run_name='__main__')
        except SystemExit as end:
            return printed.getvalue() if end.code in (0, None) else ''
        except Exception:  # whatever a broken script raises
            return ''
    return printed.getvalue()


def make_targets(root: Path) -> set[str]:
    return set(re.findall(r'^([\w-]+):', (root / 'Makefile').read_text(), re.MULTILINE))


def missing_path(text: str, root: Path) -> str | None:
    """The path or module that ``text`` names and that does not exist; None if it names none or it does."""
    text = text.split('=')[-1].strip('"\'')
    if '…' in text or '...' in text:
        return None
    if MODULE.match(text):
        name = text.replace('.', '/')
        return None if (root / name).is_dir() or (root / f'{name}.py').is_file() else text
    match = REPOSITORY_PATH.match(text)
    return text if match and not (root / match.group(1)).exists() else None


def unknown_options(script: str, arguments: list[str], root: Path) -> list[str]:
    """Options among the arguments that the script's help does not list."""
    options = [word.split('=')[0] for word in arguments if re.match(r'^--?[a-zA-Z]', word)]
    text = help_text(root / script)
    if not text:
        return [f'{script} --help fails']
    choices = {name for group in re.findall(r'\{([\w,-]+)\}', text) for name in group.split(',')}
    if arguments and arguments[0] in choices:
        text += help_text(root / script, arguments[0])
    elif arguments and not arguments[0].startswith('-') and re.search(r'usage:.*\{[\w,-]+\} \.\.\.', text, re.DOTALL):
        return [f'{script} {arguments[0]}']
    return [f'{script} {option}' for option in options if not re.search(rf'(?<![\w-]){option}(?![\w-])', text)]


def command_problems(words: list[str], root: Path) -> list[str]:
    """What one command names that does not exist."""
    found = [missing for word in words if (missing := missing_path(word, root))]
    while words and ASSIGNMENT.match(words[0]):
        words = words[1:]
    if not words or found:
        return found
    program, arguments = words[0], words[1:]
    if program == 'make':
        targets = [word for word in arguments if not ASSIGNMENT.match(word) and not word.startswith('-')]
        return [f'make {target}' for target in targets if target not in make_targets(root)]
    if Path(program).name in ('python', 'python3.11') and arguments and arguments[0].endswith('.py'):
        return unknown_options(arguments[0], arguments[1:], root) if (root / arguments[0]).is_file() else arguments[:1]
    activated = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'  # as the documents assume
    if '/' in program or program in KNOWN_WORDS or shutil.which(program, path=activated):
        return []
    return [program]


def slug(heading: str) -> str:
    """Anchor of a heading: lower case, spaces to hyphens, other punctuation dropped."""
    return re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')


def link_problems(prose: str, document: Path) -> list[str]:
    """Relative links of a document that lead nowhere, to a file or to a heading."""
    found = []
    for target in LINK.findall(prose):
        name, _, anchor = target.partition('#')
        if re.match(r'^[a-z]+:', target):
            continue
        path = document.parent / name if name else document
        text = prose if path == document else path.read_text() if anchor and path.is_file() else ''
        if not path.exists() or (anchor and anchor not in {slug(heading) for heading in HEADING.findall(text)}):
            found.append(target)
    return found


def problems(markdown: str, document: Path, root: Path = ROOT) -> list[str]:
    """Everything a document names that does not exist: commands, options, make targets, paths, links."""
    found = []
    for _, language, block in FENCE.findall(markdown):
        if language in SHELLS:
            for words in commands(block, console=language == 'console'):
                found += command_problems(words, root)
    prose = FENCE.sub('', markdown)
    for code in INLINE_CODE.findall(prose):
        if code.startswith('make '):
            found += command_problems(code.split(), root)
        else:
            found += [missing for word in code.split() if (missing := missing_path(word, root))]
    return found + link_problems(prose, document)


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_all_that_a_document_names_exists(document: Path) -> None:
    assert problems(document.read_text(), document) == []


@pytest.mark.parametrize('name', ['README.md', 'projects/CVT_IO/README.md', 'docs/install.md'])
def test_document_is_checked(name: str) -> None:
    assert ROOT / name in DOCUMENTS


@pytest.mark.parametrize('goal', ['make demo', 'make test'])
def test_readme_names_the_two_commands(goal: str) -> None:
    blocks = [block for _, language, block in FENCE.findall((ROOT / 'README.md').read_text()) if language in SHELLS]
    assert goal.split() in [words for block in blocks for words in commands(block, console=False)]


TOOL = """import argparse
parser = argparse.ArgumentParser()
commands = parser.add_subparsers()
toy = commands.add_parser('toy')
toy.add_argument('--seed')
toy.add_argument('--out-dir')
parser.parse_args()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a tool, a config, a make target and a document."""
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools/run.py').write_text(TOOL)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/a.py').touch()
    (tmp_path / 'Makefile').write_text('CC := cc\nlist-all: # comment\n\ttrue\n')
    (tmp_path / 'other.md').write_text('# One & two\n')
    (tmp_path / 'README.md').write_text(GOOD)
    return tmp_path


GOOD = """# Title

See [the other](other.md#one--two), [here](#title), [elsewhere](https://example.org/x.md),
`configs/a.py`, `configs/<name>.py`.

```bash
# a comment with 'a quote
git clone URL x && cd x
X=1 make list-all A=b
python tools/run.py toy --seed 1 \\
  --out-dir=data/out
```

```console
$ ls configs/a.py
no/such/output: configs/printed.py
```

```text
configs/b.py
```
"""


def test_a_correct_document_has_no_problems(root: Path) -> None:
    assert problems(GOOD, root / 'README.md', root) == []


@pytest.mark.parametrize(
    ('right', 'wrong', 'problem'),
    [
        ('other.md#one--two', 'others.md', 'others.md'),
        ('other.md#one--two', 'other.md#three', 'other.md#three'),
        ('#title', '#titel', '#titel'),
        ('`configs/a.py`', '`configs/b.py`', 'configs/b.py'),
        ('`configs/a.py`', '`projects.CVT_IO.nothing`', 'projects.CVT_IO.nothing'),
        ('make list-all', 'make list', 'make list'),
        ('list-all A=b', 'list-all A=configs/b.py', 'configs/b.py'),
        ('tools/run.py', 'tools/walk.py', 'tools/walk.py'),
        ('run.py toy', 'run.py tyo', 'tools/run.py tyo'),
        ('--seed 1', '--sede 1', 'tools/run.py --sede'),
        ('--out-dir=data/out', '--out=data/out', 'tools/run.py --out'),
        ('ls configs/a.py', 'ls configs/b.py', 'configs/b.py'),
        ('ls configs', 'no-such-program configs', 'no-such-program'),
    ],
)
def test_each_kind_of_mistake_is_found(root: Path, right: str, wrong: str, problem: str) -> None:
    assert right in GOOD
    assert problems(GOOD.replace(right, wrong), root / 'README.md', root) == [problem]
