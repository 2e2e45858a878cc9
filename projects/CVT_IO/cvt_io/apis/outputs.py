"""Files of a prediction: probabilities, masks, regions and picture."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np

from ..fileio.atomic import write_json, write_result
from ..visualization.scene import write_picture


def write_prediction(folder: Path, result: dict, scores: np.ndarray, threshold: float) -> None:
    """Writes ``<name>.npz``, a ``<name>_<group>.png`` a label group, and ``<name>.json``.

    Args:
        folder: made if need be.
        result: what goes into the JSON, with ``name`` and ``groups``.
        scores: (groups, h, w) probabilities; the ``.npz`` has them as float16 ``probabilities``, with ``groups``.
        threshold: of the masks, which are 255 where the probability reaches it and else 0.
    """
    content = BytesIO()
    np.savez_compressed(content, probabilities=scores.astype(np.float16), groups=np.array(result['groups']))
    write_result(folder / f'{result["name"]}.npz', content.getvalue())
    for group, score in zip(result['groups'], scores, strict=True):
        write_picture(folder / f'{result["name"]}_{group}.png', (score >= threshold).astype(np.uint8) * 255)
    write_json(folder / f'{result["name"]}.json', result)


def as_text(result: dict) -> str:
    """A result in one line of JSON."""
    return json.dumps(result)
