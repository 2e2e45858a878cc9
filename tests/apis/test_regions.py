"""Regions of a map drawn by hand."""

from __future__ import annotations

import numpy as np

from projects.CVT_IO.cvt_io.apis.regions import connected_regions
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.visualization.scene import frame_name


def test_by_hand():
    """On 8 × 8 cells of 2 m × 2 m, row 0 is 8 m ahead, column 0 is 8 m to the left.

    Rows 0 and 1 of columns 2 and 3: rows' mean 0.5 is 8 − 2 · 0.5 = 7 m ahead, columns' mean 2.5 is 3 m to the left;
    4 cells of 4 m². Cells (5, 6) and (6, 7) touch at a corner: row 5.5 is −3 m, column 6.5 is −5 m. (4, 0) is below the
    threshold.
    """
    score = np.zeros((8, 8), np.float32)
    score[:2, 2:4] = [[0.5, 0.75], [0.75, 1.0]]
    score[5, 6], score[6, 7], score[4, 0] = 0.5, 0.625, 0.49
    assert connected_regions(score, BEVGrid((8, 8), (16.0, 16.0)), 0.5) == [
        dict(center=[7.0, 3.0], area=16.0, probability=0.75),
        dict(center=[-3.0, -5.0], area=8.0, probability=0.5625),
    ]
    assert connected_regions(score, BEVGrid((8, 8), (16.0, 16.0)), 1.1) == []


def test_names_of_files_stay_in_their_folder():
    assert frame_name('drive 1', '../../etc/passwd') == 'drive_1_.._.._etc_passwd'
    assert frame_name('', '../x') == '_x'
    assert frame_name('', '...') == 'frame'
