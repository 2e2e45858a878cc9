"""The notes' table next to ours, computed by hand."""

from __future__ import annotations

import json

import pytest

from projects.CVT_IO.cvt_io.analysis.complexity import Complexity
from projects.CVT_IO.cvt_io.analysis.table import Row, as_data, markdown, read_result, read_toy
from projects.CVT_IO.cvt_io.errors import DataError

COUNT = Complexity(1_234_567, 2_345_600_000, 345_678, 4_567_890_123, {})
COST = dict(median_ms=812.4, p10_ms=800.0, p90_ms=900.0, ratio=0.4567, peak_mib=10.0, samples=9)


def tables(text: str) -> list[list[dict[str, str]]]:
    """Rows of each table by column."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith('|'):
            found[-1].append([cell.strip() for cell in line.strip('|').split('|')])
        elif found[-1]:
            found.append([])
    return [[dict(zip(rows[0], row, strict=True)) for row in rows[2:]] for rows in found if rows]


def test_a_full_row():
    """33.08 ms / 46.67 ms = 0.7088."""
    toy = [dict(unseen=0.1234, other_world=0.2, other_frames=0.05), dict(unseen=0.5, other_world=0.6, other_frames=0.1)]
    models, notes = tables(markdown([Row('cvt_io_v2_2', COUNT, 0.3214, COST, toy)], 'a machine', 'a mode'))
    assert models == [
        {
            **{'config': 'cvt_io_v2_2', 'Params': '1,234,567', 'MACs': '2.346G', 'time, of cvt_io_v2_2': '0.457'},
            **{'IoU, notes': '0.328', 'IoU, nuScenes': '0.321', 'IoU, toy world': '0.123 / 0.500'},
            **{'another world': '0.200 / 0.600', 'images of other frames': '0.050 / 0.100'},
        }
    ]
    assert notes == [
        {
            **{'config': 'cvt_io_v2_2', 'Params, notes': '936.94K', 'Params, ours': '345,678'},
            **{'FLOPs, notes': '6.81G', 'FLOPs, ours': '4.5679G', 'Cost-Time, notes': '33.08ms'},
            **{'of cvt, notes': '0.709', 'Cost-Time, ours': '812ms', 'of cvt_io_v2_2, ours': '0.457'},
        }
    ]


def test_what_is_not_known_is_left_out():
    text = markdown([Row('cvt_io_v2_9', COUNT), Row('mine', COUNT)], None, None)
    models, notes = tables(text)
    unknown = dict.fromkeys(('IoU, notes', 'IoU, toy world', 'another world', 'images of other frames'), '–')
    assert models[1] == {'config': 'mine', 'Params': '1,234,567', 'MACs': '2.346G'} | unknown
    assert [row['config'] for row in notes] == ['cvt_io_v2_9'] and notes[0]['Params, notes'] == '–'
    assert 'Time:' not in text and 'Time: a mode; medians of the' in markdown([], 'a machine', 'a mode')


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


def test_results_of_the_toy_benchmark(tmp_path):
    path = tmp_path / 'table.json'
    iou = dict(unseen=[0.1, 0.2], other_world=[0.3, 0.4], other_frames=[0.5, 0.6])
    path.write_text(json.dumps(dict(runs=dict(a=dict(model='cvt', iou=iou), b=dict(model='cvt', iou=iou)))))
    assert read_toy(path) == dict(cvt=[dict(unseen=0.1, other_world=0.3, other_frames=0.5)] * 2)
    for text in ('{}', 'no json', '[1]', '{"runs": {"a": {"model": "cvt", "iou": {}}}}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r'table\.json: expected table\.json of toy_benchmark\.py'):
            read_toy(path)
