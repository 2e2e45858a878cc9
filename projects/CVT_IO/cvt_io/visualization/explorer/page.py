"""The explorer's page, a self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any

_SCRIPTS = ('maps.js', 'drawing.js', 'explorer.js')


def explorer_page(frames: Sequence[dict[str, Any]], model: str, checkpoint: str) -> str:
    """Builds the page.

    Its Content-Security-Policy allows only its own script and style, and embedded pictures.

    Args:
        frames: results of :func:`explorer_frame`.
        model: name of the config.
        checkpoint: name of the checkpoint.
    """
    style, script = _read('style.css'), '\n'.join(map(_read, _SCRIPTS))
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_read('page.html')).substitute(
        policy=html.escape(policy, quote=True),
        title=html.escape(f'{model}: attention'),
        style=style,
        data=script_json(dict(model=model, checkpoint=checkpoint, frames=list(frames))),
        script=script,
    )


def script_json(data: Any) -> str:
    """JSON that is safe inside a ``<script>`` element, whatever strings it contains."""
    text = json.dumps(data, separators=(',', ':'))  # ASCII, so U+2028 and the like are already escaped
    return text.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text('utf-8')


def _digest(source: str) -> str:
    """Hash of an inline script or style, in the form of a policy."""
    return 'sha256-' + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
