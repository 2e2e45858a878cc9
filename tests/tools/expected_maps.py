"""What the explorer should show of a toy model, from the model's own attention."""

from __future__ import annotations

import numpy as np
from mmengine.dataset import pseudo_collate

from projects.CVT_IO.cvt_io.fileio.checkpoint import load_weights
from projects.CVT_IO.cvt_io.models.attention_maps import attention_maps
from projects.CVT_IO.cvt_io.runtime.config import build_dataset, build_model

CAMERAS = 6


def own_maps(cfg, checkpoint, token):
    """Averaged over heads, as numpy.

    ``scales``: patches of every reader (g·Q, n, h, w) at both scales; ``latents``: of every cell (P, g·Q); and how far
    bytes may be off: ``reads_off`` (g·Q, n·h·w) of both scales' mean, ``latents_off`` (P, 1). A byte is off by at most
    1/510 of the largest weight in its row, and a mean by at most the mean of that; a coarse patch is spread over four.
    """
    model = build_model(cfg).eval()
    load_weights(model, checkpoint)
    dataset = build_dataset(cfg, 'val_dataloader')
    dataset.full_init()
    index = [dataset.get_data_info(i)['sample_token'] for i in range(len(dataset))].index(token)
    maps = attention_maps(model, **model.data_preprocessor(pseudo_collate([dataset[index]]))['inputs'])
    scales = []
    for read in maps.reads:
        grids, _, count, _, height, width = read.shape[1:]
        rows = np.zeros((grids, count, CAMERAS, height, width))
        for grid in range(grids):
            cameras = [grid] if grids > 1 else range(CAMERAS)
            rows[grid][:, cameras] = read[0, grid].mean(0).numpy()
        scales.append(rows.reshape(-1, CAMERAS, height, width))
    latents = maps.latents_of_cells()
    fine_off, coarse_off = (read[0].amax((-3, -2, -1)).mean(1).flatten().numpy() / 510 for read in maps.reads)
    off = np.where(scales[0].reshape(len(fine_off), -1) > 0, ((fine_off + coarse_off / 4) / 2)[:, None], 0)
    found = dict(raw=maps, scales=scales, reads_off=off, latents=None, latents_off=None)
    if latents is not None:
        peaks = [maps.latents_of_cells(head)[0].flatten(1).amax(1).numpy() for head in range(maps.decode.shape[1])]
        found |= dict(latents=latents[0].flatten(1).numpy(), latents_off=np.mean(peaks, 0)[:, None] / 510)
    return found


def averaged(maps):
    """Mean of both scales on the fine patches, each coarse one spread over its four: (g·Q, n·h·w)."""
    fine, coarse = maps['scales']
    spread = coarse.repeat(2, axis=-1).repeat(2, axis=-2) / 4
    return ((fine + spread) / 2).reshape(len(fine), -1)


def patches_of_cell(maps, cell):
    """What a cell reads, and how far the page may be off."""
    rows, off = averaged(maps), maps['reads_off']
    if maps['latents'] is None:
        return rows[cell], off[cell]
    latents = maps['latents'][cell]
    return latents @ rows, latents @ off + maps['latents_off'][cell] * (rows + off).sum(0)


def column_of_patch(maps, patch):
    """Who reads a patch, and how far the page may be off."""
    return averaged(maps)[:, patch], maps['reads_off'][:, patch]
