"""Finds in a shell script what could run a user's words as code, or split them."""

from __future__ import annotations

import re

_COMMANDS = {
    r'(^|[;&|(\s])eval\b': 'eval',
    r'\b(curl|wget)\b': 'a download',
    r'\|\s*(sudo\s+)?(ba|z|da)?sh\b': 'a shell that reads from a pipe',
    r'(^|[;&|(\s])sudo\b': 'sudo',
    r'`': 'backticks',
    r'\b(ba|da|z)?sh\s+-\w*c\b': 'a shell that is given a text',
    r'\bchmod\s+(-R\s+)?[0-7]*[2367]\b': 'files that everybody may write',
}
_ASSIGNMENT = re.compile(r'(?:readonly\s+|local\s+|export\s+)?\w+\+?=')
_EXPANSION = re.compile(r'\$(?:\w|[{@*#?!$-])')


def scan_shell(source: str, listed: tuple[str, ...] = ()) -> list[tuple[int, str]]:
    """(line, what is wrong) of a script.

    Args:
        source: its text.
        listed: expansions that are split into words on purpose, as written.
    """
    found = [] if re.search(r'^set -euo pipefail$', source, re.MULTILINE) else [(1, 'expected set -euo pipefail')]
    for number, line in enumerate(source.splitlines(), 1):
        code = _without_literals(line)
        found += [(number, what) for pattern, what in _COMMANDS.items() if re.search(pattern, code)]
        for word in code.split():
            bare = any(text in word for text in listed) or _ASSIGNMENT.match(word)
            if _EXPANSION.search(word) and not bare and not _is_case(code, word):
                found.append((number, f'{word} outside of quotes'))
    return found


def _is_case(code: str, word: str) -> bool:
    """What ``case`` and ``[[`` look at is not split."""
    return bool(re.search(rf'\bcase\s+{re.escape(word)}\s+in\b|\[\[.*{re.escape(word)}.*\]\]', code))


def _without_literals(line: str) -> str:
    """A line without comments and without what stands in quotes; commands in quotes, ``"$(…)"``, stay."""
    kept, stack, index = [], [''], 0
    while index < len(line):
        char = line[index]
        if char == '\\':
            index += 2
            continue
        if stack[-1] == "'":
            if char == "'":
                stack.pop()
        elif line.startswith('$(', index):
            stack.append(')')
            kept.append(' ')
            index += 1
        elif char == stack[-1]:
            stack.pop()
            kept.append('"' if char == '"' else ' ')
        elif char == '"' or (char == "'" and stack[-1] != '"'):
            stack.append(char)
            kept.append('"')
        elif stack[-1] == '"':
            pass
        elif char == '#' and (index == 0 or line[index - 1].isspace()):
            break
        else:
            kept.append(char)
        index += 1
    return ''.join(kept)
