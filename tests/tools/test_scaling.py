"""The scaling tool as a user runs it."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG, as_arguments
from tests.tools.in_process import run_tool

SCALING = 'tools/analysis_tools/scaling.py'
CVT_TOY = REPO / 'configs/toy/cvt_toy.py'


@pytest.fixture
def options() -> list[str]:
    """For both tiny models; the baseline has no passes."""
    return ['--cfg-options', *as_arguments({k: v for k, v in TINY_OPTIONS.items() if k != 'model.neck.depth'})]


def test_tables_data_and_figure(tmp_path, capsys, options):
    out, plot = tmp_path / 'new/scaling.md', tmp_path / 'scaling.png'
    words = [TOY_CONFIG, '--vs', CVT_TOY, '--axes', 'passes', 'image', '--samples', 1, '--fuse-conv-bn']
    assert run_tool(SCALING, *words, '--out', out, '--plot', plot, *options) is None
    assert out.read_text() == capsys.readouterr().out
    lines = out.read_text().splitlines()
    assert [line.split(' | ')[:2] for line in lines[2:5]] == [
        ['| L passes of self-attention', 'cvt_io_v2_2_toy'],
        ['| pixels of an image', 'cvt_io_v2_2_toy'],
        ['| pixels of an image', 'cvt_toy'],
    ]
    assert 'one forward pass, BatchNorms folded, medians; ' in lines[-1]
    data = json.loads(out.with_suffix('.json').read_text())
    assert [(g['axis'], g['model'], len(g['costs'])) for g in data['growth']] == [
        *(('passes', 'cvt_io_v2_2_toy', 3), ('image', 'cvt_io_v2_2_toy', 3), ('image', 'cvt_toy', 3))
    ]
    assert all(cost['median_ms'] > 0 for growth in data['growth'] for cost in growth['costs'])
    assert Image.open(plot).size[1] == 1400


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--out', 'x.txt'], 'error: --out x.txt: expected a name that ends in .md'),
        (['--plot', 'x.tiff'], 'error: --plot x.tiff: expected a name that ends in .png'),
        (['none.py'], 'error: none.py: no such config'),
        ([CVT_TOY, '--vs', CVT_TOY], 'error: --vs: expected configs of different names, found cvt_toy twice'),
        (['--device', 'cuda:9'], 'error: device cuda:9: not on this machine'),
        (
            [CVT_TOY, '--vs', '--axes', 'passes', 'latents'],
            f'error: --axes passes latents: expected a model with latents, found {CVT_TOY}',
        ),
    ],
)
def test_what_is_wrong_is_said(words, message):
    assert run_tool(SCALING, *words).startswith(message)


def test_wrong_axis(capsys):
    assert run_tool(SCALING, '--axes', 'depth') == 2
    assert "invalid choice: 'depth' (choose from" in capsys.readouterr().err
