"""Growth of the costs: what is measured, fitted, written and drawn; and the formulas of the documentation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from projects.CVT_IO.cvt_io.analysis import scaling
from projects.CVT_IO.cvt_io.analysis.complexity import count_complexity
from projects.CVT_IO.cvt_io.analysis.figures import COLORS, save_figure
from projects.CVT_IO.cvt_io.analysis.latency import Timing
from projects.CVT_IO.cvt_io.analysis.scaling import AXES, FIGURES, Cost, Growth, as_data, markdown, measure_growth
from projects.CVT_IO.cvt_io.analysis.scaling_figure import plot_growth
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config
from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG

CPU = torch.device('cpu')
D = 128
CHANNELS = (32, 112)
#: Cells of the coarse BEV grid, 200 / 8 on each side.
Q = 25 * 25


def attention_tail(cells: int, cameras: int) -> int:
    """Queries of each camera, the output's projection and the MLP d → 2d → d."""
    return cells * D**2 * (cameras + 5)


def image_tokens(size: tuple[int, int], cameras: int) -> list[int]:
    """Tokens of all cameras at strides 4 and 16."""
    return [cameras * (size[0] // stride) * (size[1] // stride) for stride in (4, 16)]


def cross_view(tokens: int, channels: int, cells: int, cameras: int) -> int:
    """One scale: keys and values of C channels, ray embedding; attention; two bottlenecks d → d/4 → d/4 → d."""
    bottlenecks = 2 * cells * (2 * D * D // 4 + 9 * (D // 4) ** 2)
    keys_and_values = tokens * (2 * channels * D + 4 * D + 2 * D**2)
    return keys_and_values + 2 * tokens * cells * D + attention_tail(cells, cameras) + bottlenecks


def cross_views(size: tuple[int, int], cameras: int, cells: int) -> int:
    """Encode, or the baseline's neck."""
    scales = zip(image_tokens(size, cameras), CHANNELS, strict=True)
    return sum(cross_view(tokens, channels, cells, cameras) for tokens, channels in scales)


def process(n: int, passes: int) -> int:
    return passes * (8 * n**2 * D**2 + 2 * n**4 * D)


def decode(cameras: int, n: int) -> int:
    position = 2 * Q * D
    return attention_tail(Q, cameras) + 2 * cameras * n**2 * D**2 + 2 * cameras * Q * n**2 * D + position


@pytest.mark.parametrize(
    ('n', 'passes', 'cameras', 'size'),
    [(5, 6, 6, (224, 480)), (3, 1, 1, (224, 480)), (25, 12, 8, (224, 480)), (10, 6, 2, (448, 960))],
)
def test_formulas_of_the_documentation(n, passes, cameras, size):
    """Up to a thousandth, which the geometry costs; it is left out."""
    options = {'model.neck.latent_size': n, 'model.neck.depth': passes}
    parts = count_complexity(
        build_model(load_config(str(REPO / 'configs/cvt_io_v2_2.py'), options)), size, cameras
    ).parts
    assert parts['encode'] == pytest.approx(cross_views(size, cameras, n * n), rel=1e-3)
    assert parts['process'] == process(n, passes)
    assert parts['decode'] == pytest.approx(decode(cameras, n), rel=1e-3)


@pytest.mark.parametrize(('cameras', 'size'), [(6, (224, 480)), (1, (448, 960))])
def test_formula_of_the_baseline(cameras, size):
    parts = count_complexity(build_model(load_config(str(REPO / 'configs/cvt.py'))), size, cameras).parts
    assert parts['neck'] == pytest.approx(cross_views(size, cameras, Q), rel=1e-3)


def cost(quantity: float, ms: float, mib: float | None, **macs: int) -> Cost:
    return Cost(f'{quantity:g}', quantity, ms, mib, macs)


@pytest.fixture
def growths() -> list[Growth]:
    """Doublings: time in proportion, backbone as the square, decoder constant, memory by 2^0.5; the neck by 4 + 2^i."""
    own = [
        cost(
            2**i, 3.0 * 2**i, 100 * 2 ** (i / 2),
            backbone=10**9 * 4**i, encode=10**9 * 2**i, process=10**9, decode=3 * 10**9, bev_decoder=10**9, head=10**9,
        )
        for i in range(3)
    ]  # fmt: skip
    other = [cost(2**i, 9.0, None, backbone=10**9, neck=10**9 * 2**i, bev_decoder=10**9, head=10**9) for i in range(3)]
    return [Growth('cameras', 'ours', own), Growth('cameras', 'theirs', other)]


def test_exponents_by_hand(growths):
    ours, theirs = (growth.exponents() for growth in growths)
    assert list(ours) == list(theirs) == list(FIGURES)
    exact = {'time': 1, 'memory': 0.5, 'backbone': 2, 'encode': 1, 'process': 0, 'decode': 0, 'BEV decoder, head': 0}
    assert {name: ours[name] for name in exact} == pytest.approx(exact, abs=1e-12)
    # Of three equally spaced points the middle one has no say: neck 5, 6, 8 and all 8, 12, 26 over two doublings.
    assert ours['neck'] == pytest.approx(math.log2(8 / 5) / 2)
    assert ours['MACs'] == pytest.approx(math.log2(26 / 8) / 2)
    assert theirs['memory'] is theirs['encode'] is None and theirs['neck'] == pytest.approx(1)


def test_markdown(growths):
    lines = markdown(growths, 'an abacus', 'one forward pass').splitlines()
    assert lines[0] == '| exponent over | model | ' + ' | '.join(FIGURES) + ' |'
    assert lines[2] == '| cameras | ours | 1.00 | 0.50 | 0.85 | 2.00 | 0.34 | – | 1.00 | 0.00 | 0.00 | 0.00 |'
    assert lines[3] == '| cameras | theirs | 0.00 | – | 0.40 | 0.00 | 1.00 | – | – | – | – | 0.00 |'
    assert lines[6] == '| --- | --- | --- | ' + '--: | ' * 9 + '--: |'
    macs = ' | '.join(f'{giga}.000 G' if giga else '–' for giga in (26, 16, 8, 0, 4, 1, 3, 2))
    assert lines[9] == f'| cameras | 4 | ours | 12 ms | 200 MiB | {macs} |'
    assert '| cameras | 1 | theirs | 9 ms | – | 4.000 G | 1.000 G | 1.000 G | – | – | – | – | 2.000 G |' in lines
    assert len({line.count('|') for line in lines[5:13]}) == 1
    assert 'one forward pass, medians; an abacus' in lines[-1]
    data = as_data(growths, 'an abacus', 'one forward pass')['growth'][0]  # not rounded
    assert data['costs'][1]['peak_mib'] == 100 * 2**0.5 and data['exponents']['memory'] == pytest.approx(0.5)


def test_figure(growths, tmp_path):
    latents = Growth('latents', 'ours', growths[0].costs)
    figure = plot_growth([latents, *growths], 'one forward pass; an abacus')
    axes = np.array(figure.axes).reshape(3, 2)
    assert [ax.get_title() for ax in axes[0]] == ['latents', 'cameras']
    assert [ax.get_xlabel() for ax in axes[2]] == ['N² latents', 'cameras']
    assert all(ax.get_xscale() == ax.get_yscale() == 'log' for ax in axes.flat)
    ours, theirs = axes[0, 1].lines[:2]
    assert (ours.get_color(), theirs.get_color()) == COLORS[:2]
    assert [*ours.get_xdata()] == [1, 2, 4] and [*ours.get_ydata()] == [3, 6, 12]
    assert [text.get_text() for text in axes[0, 1].texts] == ['slope 1.00', 'slope 0.00']
    assert [text.get_text() for text in axes[1, 1].texts] == ['slope 0.50']  # the other one's memory is not known
    drawn = {line.get_label(): [*line.get_ydata()] for line in axes[2, 1].lines}
    assert drawn['ours: encode'] == drawn['theirs: neck'] == [1, 2, 4]
    above, below = ([text.get_text() for text in legend.get_texts()] for legend in figure.legends)
    assert above == ['ours', 'theirs', 'slope 1: in proportion']
    parts = ('backbone', 'encode', 'process', 'decode', 'BEV decoder, head')
    assert below == [*(f'ours: {part}' for part in parts), 'theirs: neck', 'slope 1: in proportion']
    save_figure(figure, tmp_path / 'x.png')
    assert Image.open(tmp_path / 'x.png').size == (140 * 66 // 10, 1400)
    plt.close(figure)
    figure = plot_growth(growths[1:], '')  # a model without latents
    assert 'theirs: neck' in {line.get_label() for line in figure.axes[2].lines}
    plt.close(figure)


@pytest.fixture
def measured(monkeypatch):
    """Measures an axis of the tiny configs, every step once; gives the growths and the batches' image shapes."""
    cfgs = {
        'tiny': load_config(str(TOY_CONFIG), TINY_OPTIONS),
        'cvt': load_config(
            str(REPO / 'configs/toy/cvt_toy.py'), {k: v for k, v in TINY_OPTIONS.items() if k != 'model.neck.depth'}
        ),
    }
    shapes = []

    def time_once(steps, samples, device, warm_up):
        assert samples == 7
        shapes.extend(len(step()) for step in steps.values())
        return {name: Timing([0.1, 0.4, 0.2], 3 * 2**20) for name in steps}

    prepared = scaling.inference_step
    images = []

    def watched(model, batches, *args, **kwargs):
        images.append(tuple(batches[0]['inputs']['imgs'].shape))
        return prepared(model, batches, *args, **kwargs)

    monkeypatch.setattr(scaling, 'time_in_turn', time_once)
    monkeypatch.setattr(scaling, 'inference_step', watched)

    def measure(axis: str) -> tuple[dict[str, Growth], list[tuple[int, ...]]]:
        found = measure_growth(axis, cfgs, 7, CPU)
        assert shapes == [shape[0] for shape in images]
        assert all((cost.median_ms, cost.peak_mib) == (200, 3) for growth in found for cost in growth.costs)
        assert len(images) == sum(len(growth.costs) for growth in found)
        return {growth.model: growth for growth in found}, images

    return measure


SIX = [(1, 6, 3, 48, 112)]
SIZES = ((48, 112), (72, 168), (96, 224))


@pytest.mark.parametrize(
    ('axis', 'models', 'images', 'quantities'),
    [
        ('latents', ['tiny'], SIX * 5, [9, 25, 100, 400, 625]),
        ('passes', ['tiny'], SIX * 3, [1, 6, 12]),
        ('cameras', ['tiny', 'cvt'], [(1, n, 3, 48, 112) for n in (1, 2, 4, 6, 8)], [1, 2, 4, 6, 8]),
        ('image', ['tiny', 'cvt'], [(1, 6, 3, *size) for size in SIZES], [48 * 112 * n for n in (1, 2.25, 4)]),
    ],
)
def test_axes(measured, axis, models, images, quantities):
    found, seen = measured(axis)
    assert list(found) == models and seen == images * len(models)
    assert all([cost.quantity for cost in growth.costs] == quantities for growth in found.values())
    if axis == 'latents':
        assert [cost.label for cost in found['tiny'].costs] == ['3²', '5²', '10²', '20²', '25²']
    if axis == 'passes':
        one, six, twelve = (cost.macs['process'] for cost in found['tiny'].costs)
        assert 12 * one == 2 * six == twelve
    if axis == 'cameras':
        assert all(growth.exponents()['backbone'] == pytest.approx(1) for growth in found.values())


def test_batch(measured):
    found, images = measured('batch')
    assert list(found) == ['tiny'] and images == [(n, 6, 3, 48, 112) for n in (1, 2, 4, 8)]
    exponents = found['tiny'].exponents()
    assert exponents.pop('time') == pytest.approx(0) and exponents.pop('memory') == pytest.approx(0)
    assert exponents.pop('lift') is None
    assert all(value == pytest.approx(1) for value in exponents.values())


def test_every_axis_is_tested():
    assert list(AXES) == ['latents', 'passes', 'heights', 'cells', 'cameras', 'image', 'batch']


V3_TOY = str(REPO / 'configs/toy/cvt_io_v3_toy.py')


def v3_lift(size: tuple[int, int], cameras: int, cells: int, heights: int, d: int = 64, c: int = 32) -> int:
    """Stride-4 tokens → c values for each height, and mean and spread; 2 cameras × 4 tokens of each cell and height."""
    tokens = cameras * (size[0] // 4) * (size[1] // 4)
    return tokens * d * heights * (c + 2) + cells * heights * 2 * 4 * c


@pytest.mark.parametrize(('cameras', 'size', 'side', 'heights'), [(6, (48, 112), 48, 4), (2, (96, 224), 96, 1)])
def test_formula_of_the_lift(cameras, size, side, heights):
    options = {'bev_grid.size': (side, side), 'model.neck.lift.heights': [0.5 * i for i in range(heights)]}
    parts = count_complexity(build_model(load_config(V3_TOY, options)), size, cameras).parts
    assert parts['lift'] == v3_lift(size, cameras, (side // 2) ** 2, heights)


@pytest.mark.parametrize(('axis', 'options'), [('heights', 'lift.heights'), ('cells', 'bev_grid.size')])
def test_axes_of_the_lift(axis, options, monkeypatch):
    monkeypatch.setattr(scaling, 'HEIGHT_COUNTS', (1, 3))
    monkeypatch.setattr(scaling, 'GRID_SIDES', (16, 32))
    monkeypatch.setattr(scaling, 'time_in_turn', lambda steps, *_, **__: {name: Timing([1], None) for name in steps})
    cfgs = {'v3': load_config(V3_TOY), 'v2': load_config(str(TOY_CONFIG))}
    (growth,) = measure_growth(axis, cfgs, 1, CPU)
    assert growth.model == 'v3' and growth.exponents()['encode'] == pytest.approx(0, abs=1e-9)
    few, many = growth.costs
    ratio = many.quantity / few.quantity
    fixed = 0 if axis == 'heights' else 6 * 12 * 28 * 64 * 4 * 34  # the value map costs the same for any grid
    assert many.macs['lift'] - fixed == pytest.approx(ratio * (few.macs['lift'] - fixed))


@pytest.mark.parametrize('axis', ['latents', 'passes'])
def test_latents_and_passes_of_v3(axis, monkeypatch):
    monkeypatch.setattr(scaling, 'time_in_turn', lambda steps, *_, **__: {name: Timing([1], None) for name in steps})
    (growth,) = measure_growth(axis, {'v3': load_config(V3_TOY)}, 1, CPU)
    process = [cost.macs['process'] for cost in growth.costs]
    assert process == sorted(process) and process[0] < process[-1]
    without = load_config(str(REPO / 'configs/toy/cvt_io_v3_no_latents_toy.py'))
    assert measure_growth(axis, {'v3': without}, 1, CPU) == []
