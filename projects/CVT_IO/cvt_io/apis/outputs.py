"""Output files of a prediction: probabilities, masks and regions."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np

from ..fileio.atomic import write_json, write_result
from ..visualization.scene import write_picture


def write_prediction(folder: Path, result: dict, scores: np.ndarray, threshold: float) -> None:
    """Writes ``<name>.npz``, ``<name>_<group>.png`` for each label group, and ``<name>.json``.

    Args:
        folder: output folder, created if necessary.
        result: content of the JSON file, with ``name`` and ``groups``.
        scores: (groups, h, w) probabilities, stored in the ``.npz`` as float16 ``probabilities`` next to ``groups``.
        threshold: probability from which a mask is 255.
    """
    content = BytesIO()
    np.savez_compressed(content, probabilities=scores.astype(np.float16), groups=np.array(result['groups']))
    write_result(folder / f'{result["name"]}.npz', content.getvalue())
    for group, score in zip(result['groups'], scores, strict=True):
        write_picture(folder / f'{result["name"]}_{group}.png', (score >= threshold).astype(np.uint8) * 255)
    write_json(folder / f'{result["name"]}.json', result)


def as_text(result: dict) -> str:
    """A result as one line of JSON."""
    return json.dumps(result)
