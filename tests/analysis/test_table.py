"""The notes' table next to ours, computed by hand."""

from __future__ import annotations

import json

import pytest

from projects.CVT_IO.cvt_io.analysis.complexity import Complexity
from projects.CVT_IO.cvt_io.analysis.table import Row, as_data, markdown, read_result
from projects.CVT_IO.cvt_io.errors import DataError

COUNT = Complexity(1_234_567, 2_345_600_000, 345_678, 4_567_890_123, {})
COST = dict(median_ms=812.4, p10_ms=800.0, p90_ms=900.0, ratio=0.4567, peak_mib=10.0, samples=9)


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('|')]


def test_a_full_row():
    """33.08 ms / 46.67 ms = 0.7088."""
    table = cells(markdown([Row('cvt_io_v2_2', COUNT, 0.3214, COST)], 'a machine', 'a mode'))
    assert table[2] == [
        *('cvt_io_v2_2', '0.328', '0.321', '936.94K', '345,678', '1,234,567'),
        *('6.81G', '4.5679G', '2.346G', '33.08ms', '0.709', '812ms', '0.457'),
    ]
    assert {len(row) for row in table} == {13}


def test_what_is_not_known_is_said():
    text = markdown([Row('cvt_io_v2_9', COUNT), Row('mine', COUNT)], None, None)
    for row in cells(text)[2:]:
        assert [row[i] for i in (1, 3, 6, 9, 10)] == ['–'] * 5
        assert [row[i] for i in (2, 11, 12)] == ['not measured'] * 3
    assert 'Cost-Time, ours' not in text
    assert 'Cost-Time, ours: a mode; medians, ratios call by call; a machine.' in markdown([], 'a machine', 'a mode')


def test_json_is_unrounded():
    content = json.loads(json.dumps(as_data([Row('cvt_io_v2_2', COUNT, 0.3214, COST)], 'a machine', 'a mode')))
    model = content['models']['cvt_io_v2_2']
    assert model['notes'] == dict(iou=0.328, params_k=936.94, gflops=6.81, cost_ms=33.08, cost_ratio=33.08 / 46.67)
    assert model['ours']['iou_050'] == 0.3214 and model['ours']['cost'] == COST
    assert model['ours']['macs_notes'] == COUNT.macs_notes and content['machine'] == 'a machine'


def test_results_of_the_test_tool(tmp_path):
    (tmp_path / 'cvt.json').write_text('{"vehicle/IoU@0.50": 0.25, "vehicle/IoU@0.40": 0.5}')
    assert read_result(tmp_path, 'cvt') == 0.25
    assert read_result(tmp_path, 'cvt_io_v2_2') is None
    assert read_result(None, 'cvt') is None


@pytest.mark.parametrize('text', ['{}', 'no json', '[1]', '{"vehicle/IoU@0.50": null}'])
def test_other_files_are_refused(text, tmp_path):
    (tmp_path / 'cvt.json').write_text(text)
    with pytest.raises(DataError, match=r'cvt\.json: expected metrics of tools/test\.py --out'):
        read_result(tmp_path, 'cvt')
