"""What the explorer's page holds; what it does is tested in tests/tools/test_attention_explorer.py."""

import base64
import hashlib
import html
import json
import re

import numpy as np
import pytest
import torch
from mmdet3d.structures import Det3DDataSample

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.groups import LabelGroup
from projects.CVT_IO.cvt_io.models.attention_maps import AttentionMaps
from projects.CVT_IO.cvt_io.models.neck.metric_maps import LiftSamples
from projects.CVT_IO.cvt_io.visualization.explorer import explorer_frame, explorer_page
from projects.CVT_IO.cvt_io.visualization.explorer.frame import BUDGET, bev_maps, lift_points, merge_patches, quantise
from projects.CVT_IO.cvt_io.visualization.explorer.page import script_json


def test_bytes_of_weights():
    """Of a row 0, 0.2, 0.51 with the largest 0.51: 0.2 → 100 exactly; of 0.1, 0.4: 63.75 → 64."""
    rows = quantise(torch.tensor([[0, 0.2, 0.51], [0.1, 0.4, 0]]))
    assert base64.b64decode(rows['levels']) == bytes([0, 100, 255, 64, 255, 0])
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(rows['peaks']), '<f4'), [0.51, 0.4])
    assert base64.b64decode(quantise(torch.zeros(1, 3))['levels']) == bytes(3)


def test_merged_patches_are_sums_and_the_largest_map_goes_first():
    large, small = torch.arange(15.0).reshape(1, 3, 5), torch.ones(1, 2, 2)
    (size, side, merged), (_, untouched, _) = merge_patches([large, small], 10)
    assert (size, side, untouched) == ([3, 5], 2, 1)
    # 0+1+5+6, 2+3+7+8, 4+9; 10+11, 12+13, 14
    assert merged.tolist() == [[[12, 20, 13], [21, 25, 14]]]
    assert [part[1] for part in merge_patches([large, small], 19)] == [1, 1]
    assert [part[2].sum().item() for part in merge_patches([large, small], 0)] == [105, 4]


@pytest.mark.parametrize(
    ('neck', 'readers', 'sides'),
    [
        ('cvt', (1, 625, 6), (8, 2)),
        ('v2_2', (1, 25, 6), (1, 1)),
        ('v2_1', (1, 100, 6), (2, 1)),
        ('v1_1', (6, 100, 1), (4, 1)),
    ],
)
def test_a_full_size_frame_fits_into_its_budget(neck, readers, sides):
    """Six cameras of 56×120 and 14×30 patches, 4 heads, beside decode's maps of 625 cells; 0.9 MB stay for pictures."""
    grids, queries, seen = readers
    reads = [torch.empty(grids, 4, queries, seen, *size, device='meta') for size in ((56, 120), (14, 30))]
    left = BUDGET - (0 if neck == 'cvt' else 4 * 625 * grids * queries)
    merged = merge_patches(reads, left)
    assert sum(part.numel() for *_, part in merged) <= left
    assert BUDGET * 4 / 3 < 7.1e6
    assert tuple(side for _, side, _ in merged) == sides


def test_attention_that_is_no_number_is_refused():
    """It would be bytes like any other, and JSON has no nan."""
    finite, broken = torch.ones(1, 1, 1, 1, 1, 1, 1), torch.full((1, 1, 1, 1), float('nan'))
    maps = AttentionMaps((finite,), None, (1, 1), (1, 1), broken)
    with pytest.raises(DataError, match=r'^sample abc: expected finite attention and probabilities, found nan$'):
        explorer_frame({}, dict(sample_token='abc'), maps, LabelGroup('car', (4,)), 0, BEVGrid((1, 1)))


def test_the_chosen_output_and_the_ego():
    """Logit 0 is a probability of ½, a byte of 128; on 4 × 2 cells the ego is in the middle of row 2, column 1."""
    bev = bev_maps(Det3DDataSample(), torch.zeros(4, 2), LabelGroup('car', (4,)), BEVGrid((4, 2), (4.0, 2.0)))
    assert base64.b64decode(bev['probability']) == bytes([128] * 8)
    assert (bev['ego'], bev['truth'], bev['group']) == ([1.5, 2.5], None, 'car')


def test_nothing_in_the_data_ends_the_script():
    hostile = '</script><script>alert(1)</script><!-- & \u2028'
    text = script_json({hostile: hostile})
    assert not set('<>&\u2028') & set(text)
    assert json.loads(text) == {hostile: hostile}


def test_the_policy_names_the_script_and_the_style_and_nothing_else():
    page = explorer_page([], '<b>model</b>', 'x.pth')
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    for kind in ('script', 'style'):
        source = re.findall(rf'<{kind}>(.*?)</{kind}>', page, re.DOTALL)
        assert len(source) == 1
        digest = base64.b64encode(hashlib.sha256(source[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert 'unsafe' not in policy
    assert 'http' not in page.partition('<body>')[0].replace('http-equiv', '')
    assert '<b>model' not in page


def test_points_of_the_lift_by_hand():
    """Two cells, three samples: those with weight come first, the heavier before; a cell has as many as the richest."""
    samples = LiftSamples(
        camera=torch.tensor([[[5, 0, 2], [1, 0, 0]]]),
        u=torch.tensor([[[0.0, 0.5, 1.0], [0.25, 0.0, 0.0]]]),
        v=torch.tensor([[[1.0, 0.0, 0.5], [0.75, 0.0, 0.0]]]),
        weight=torch.tensor([[[0.2, 0.0, 1.0], [0.5, 0.0, 0.0]]]),
    )
    packed = lift_points(samples)
    assert packed['count'] == 2

    def unpacked(name: str, dtype: str) -> list[int]:
        return np.frombuffer(base64.b64decode(packed[name]), dtype).tolist()

    assert unpacked('camera', 'u1')[:3] == [2, 5, 1]
    assert unpacked('weight', 'u1') == [255, 51, 128, 0]
    assert unpacked('u', '<u2')[:3] == [65535, 0, 16384] and unpacked('v', '<u2')[:3] == [32768, 65535, 49151]
