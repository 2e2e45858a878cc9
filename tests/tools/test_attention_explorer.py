"""The explorer in a real browser: what it shows is what the model's own attention says."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.visualization.explorer import explorer_page
from tests.tiny import REPO, toy_weights
from tests.tools.chromium import Browser, find_browser
from tests.tools.expected_maps import CAMERAS, averaged, column_of_patch, own_maps, patches_of_cell
from tests.tools.in_process import run_tool

TOOL = 'tools/attention_explorer.py'
V2, CVT = 'cvt_io_v2_2_toy', 'cvt_toy'
#: Published model and options; both kinds of latents have the same weights.
MODELS = {'v1': (V2, {'model.neck.latents_per_camera': True}), 'v2': (V2, {}), 'cvt': (CVT, {})}
FINE, COARSE, LATENTS, CELLS = (12, 28), (6, 14), (5, 5), (12, 12)

needs_browser = pytest.mark.skipif(find_browser() is None, reason='no Chromium on the path: the page is not tried out')


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    with Browser(find_browser(), tmp_path_factory.mktemp('browser')) as browser:
        yield browser


@pytest.fixture(scope='module')
def made(toy_root, tmp_path_factory):
    """By name: the page, and the maps of its frame, numpy without the batch axis."""
    folder, found = tmp_path_factory.mktemp('pages'), {}

    def make(name: str) -> tuple[Path, dict]:
        if name not in found:
            config, options = MODELS[name]
            path = REPO / f'configs/toy/{config}.py'
            options = options | {'data_root': str(toy_root)}
            words = [f'{key}={value}' for key, value in options.items()]
            page = folder / f'{name}.html'
            end = run_tool(TOOL, path, toy_weights(config), '--out', page, '--device', 'cpu', '--cfg-options', *words)
            assert end is None
            found[name] = page, own_maps(load_config(str(path), options), toy_weights(config), token_of(page))
        return found[name]

    return make


def token_of(page: Path) -> str:
    return re.search(r'"token":"(\w+)"', page.read_text())[1]


def view(browser, label):
    """Place of the canvas whose label begins so."""
    text = json.dumps(label)
    return browser.evaluate(
        f'(() => {{ const r = [...document.querySelectorAll("canvas")].find((c) => c.ariaLabel.startsWith({text}))'
        '.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()'
    )


def middle_of_cell(browser, row, column):
    """The outer cells' centres lie on the border, so points stay just inside."""
    x, y, width, height = view(browser, 'BEV')
    return x + width * np.clip(column / (CELLS[1] - 1), 0.02, 0.98), y + height * np.clip(
        row / (CELLS[0] - 1), 0.02, 0.98
    )


def middle(browser, label, size, row, column):
    x, y, width, height = view(browser, label)
    return x + width * (column + 0.5) / size[1], y + height * (row + 0.5) / size[0]


def shown(browser, what):
    values = browser.evaluate(f'explorer.shown.{what} && [...explorer.shown.{what}]')
    return None if values is None else np.array(values)


def amber(browser):
    """How strongly each patch is coloured on the screen: red of the canvases' pixels at the patches' middles."""
    script = """[...document.querySelectorAll('.camera canvas')].flatMap((canvas) => {
        const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const found = [];
        for (let row = 0; row < %d; row++) for (let column = 0; column < %d; column++) {
            const x = Math.floor(canvas.width * (column + 0.5) / %d), y = Math.floor(canvas.height * (row + 0.5) / %d);
            const at = 4 * (y * canvas.width + x);
            found.push(all[at] * all[at + 3]);
        }
        return found;
    })"""
    return np.array(browser.evaluate(script % (*FINE, *FINE[::-1])))


def assert_within(found, expected, off):
    """Rounding apart, no farther off than the bytes may be."""
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= 1.01 * off + 1e-7).all()
    assert np.max(off) < 0.2 * expected.max()  # so that the bound says something


@needs_browser
@pytest.mark.parametrize('name', MODELS)
def test_a_clicked_cell_lights_up_the_patches_of_the_models_own_attention(browser, made, name):
    page, maps = made(name)
    browser.open(page)
    for row, column in [(3, 8), (0, 0), (11, 5)]:
        browser.click(*middle_of_cell(browser, row, column))
        cell = row * CELLS[1] + column
        assert browser.evaluate('explorer.selected') == dict(kind='cell', index=cell)
        expected, off = patches_of_cell(maps, cell)
        found = shown(browser, 'patches')
        assert found.sum() == pytest.approx(1, abs=0.01)
        assert_within(found, expected, off)
        # What is on the screen: the most amber patch is the most read one, or as good as.
        assert expected[amber(browser).argmax()] > 0.98 * expected.max()
        if name == 'cvt':
            assert shown(browser, 'latents') is None
        else:
            assert_within(shown(browser, 'latents'), maps['latents'][cell], maps['latents_off'][cell])
        shares = [float(text.split()[0]) for text in browser.evaluate(
            '[...document.querySelectorAll(".camera b")].map((b) => b.textContent)')]  # fmt: skip
        np.testing.assert_allclose(shares, 100 * expected.reshape(CAMERAS, -1).sum(1), atol=0.8)
    assert browser.errors == []
    assert {url for url in browser.requests if not url.startswith('data:')} <= {
        path.resolve().as_uri() for path in page.parent.glob('*.html')
    }
    assert page.stat().st_size < 8e6


@needs_browser
@pytest.mark.parametrize('name', ['v1', 'v2'])
def test_a_clicked_latent_and_a_clicked_patch(browser, made, name):
    page, maps = made(name)
    browser.open(page)
    label = 'Latents of CAM_FRONT_RIGHT' if name == 'v1' else 'Latents'
    first = 2 * math.prod(LATENTS) if name == 'v1' else 0  # cameras: front left, front, front right, …
    browser.click(*middle(browser, label, LATENTS, 1, 3))
    reader = first + 1 * LATENTS[1] + 3
    assert_within(shown(browser, 'patches'), averaged(maps)[reader], maps['reads_off'][reader])
    assert_within(shown(browser, 'cells'), maps['latents'][:, reader], maps['latents_off'][:, 0])
    browser.click(*middle(browser, 'Image patches of CAM_FRONT;', FINE, 9, 20))
    column, off = column_of_patch(maps, math.prod(FINE) + 9 * FINE[1] + 20)
    assert shown(browser, 'patches') is None
    assert_within(shown(browser, 'latents'), column, off)
    cells_off = maps['latents'] @ off + maps['latents_off'][:, 0] * (column + off).sum()
    assert_within(shown(browser, 'cells'), maps['latents'] @ column, cells_off)


@needs_browser
def test_a_clicked_patch_of_cvt(browser, made):
    page, maps = made('cvt')
    browser.open(page)
    browser.click(*middle(browser, 'Image patches of CAM_BACK;', FINE, 11, 27))
    assert_within(shown(browser, 'cells'), *column_of_patch(maps, 4 * math.prod(FINE) + 11 * FINE[1] + 27))
    assert browser.evaluate('document.getElementById("latents-figure").hidden')


@needs_browser
def test_one_scale_and_one_head(browser, made):
    page, maps = made('v2')
    browser.open(page)
    browser.click(*middle_of_cell(browser, 6, 6))
    for element, value in (('scale', 1), ('head', 2), ('decode-head', 3)):
        browser.evaluate(f'{{ const e = document.getElementById("{element}"); e.value = {value};'
                         ' e.dispatchEvent(new Event("change")); }')  # fmt: skip
    expected = maps['raw'].composed(1, 2, 3)[0, 6 * CELLS[1] + 6].flatten().numpy()
    assert expected.size == CAMERAS * math.prod(COARSE)
    found = shown(browser, 'patches')
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=0.01 * expected.max())
    assert found.argmax() == expected.argmax()


@needs_browser
def test_scales_that_do_not_divide_lose_nothing(browser, made):
    """57 × 120 patches merged by fours are 15 × 30, of which the last row is a quarter; 15 × 30 whole ones are as many.

    One third and two thirds of a strip: half of the middle of three lies in each of two, so the shares are 1, ½, ½, 1.
    """
    browser.open(made('v2')[0])
    third, half = (dict(feature_size=[1, n], merged=1, size=[1, n]) for n in (3, 2))
    found = browser.evaluate(f'overlaps({json.dumps(half)}, {json.dumps(third)})')
    assert [pair[:2] for pair in found] == [[0, 0], [0, 1], [1, 1], [1, 2]]
    np.testing.assert_allclose([pair[2] for pair in found], [1, 0.5, 0.5, 1])
    merged, whole = dict(feature_size=[57, 120], merged=4), dict(feature_size=[15, 30], merged=1)
    for part, shown in itertools.permutations([merged | dict(size=[15, 30]), whole | dict(size=[15, 30])]):
        _, patches, shares = zip(*browser.evaluate(f'overlaps({json.dumps(shown)}, {json.dumps(part)})'), strict=True)
        np.testing.assert_allclose(np.bincount(patches, shares), np.ones(450))


@needs_browser
def test_keyboard_touch_and_pointer(browser, made):
    page, _ = made('v2')
    browser.open(page, touch=True)
    focus = []
    for _ in range(12):
        browser.key('Tab')
        focus.append(browser.evaluate('document.activeElement.id || document.activeElement.ariaLabel'))
    assert focus[:5] == [
        'frame',
        'scale',
        'head',
        'decode-head',
        'Image patches of CAM_FRONT_LEFT; arrow keys select one',
    ]
    assert focus[-2:] == ['Latents; arrow keys select one', 'bev']
    for key, cell in (('ArrowUp', (6, 6)), ('ArrowUp', (5, 6)), ('ArrowLeft', (5, 5)), ('ArrowDown', (6, 5))):
        browser.key(key)
        assert browser.evaluate('explorer.selected.index') == cell[0] * CELLS[1] + cell[1]
    for _ in range(8):
        browser.key('ArrowRight')
    assert browser.evaluate('explorer.selected.index') == 6 * CELLS[1] + 11
    assert re.match(
        r'BEV cell in row 7, column 12\. Strongest: CAM_\w+, patch in row \d+, column \d+, [\d.]+ %\.',
        browser.evaluate('document.getElementById("status").textContent'),
    )
    # A pointer looks elsewhere for as long as it is there; a click stays.
    browser.move(*middle(browser, 'Latents', LATENTS, 0, 0))
    assert shown(browser, 'cells').shape == (math.prod(CELLS),)
    browser.move(2, 2)
    assert shown(browser, 'cells') is None and shown(browser, 'latents') is not None
    browser.key('Escape')
    assert browser.evaluate('explorer.selected') is None
    assert shown(browser, 'patches') is None
    browser.tap(*middle_of_cell(browser, 2, 9))
    assert browser.evaluate('explorer.selected.index') == 2 * CELLS[1] + 9
    assert browser.errors == []


@needs_browser
def test_links_to_a_selection(browser, made):
    page, _ = made('v2')
    browser.open(page)
    for link, expected in [
        ('#cell=3', dict(kind='cell', index=3)),
        ('#latent=2', dict(kind='latent', index=2)),
        ('#patch=7', dict(kind='patch', index=7)),
        # None of these is there.
        (f'#cell={math.prod(CELLS)}', dict(kind='patch', index=7)),
        ('#cell=-1', dict(kind='patch', index=7)),
        ('#<b>=1', dict(kind='patch', index=7)),
    ]:
        browser.evaluate(f'location.hash = {link!r}; new Promise((done) => setTimeout(done, 100))')
        assert browser.evaluate('explorer.selected') == expected
    assert browser.errors == []


@needs_browser
def test_dark_light_narrow_and_hostile_names(browser, made, tmp_path):
    page, _ = made('v2')
    colors = set()
    for dark in (True, False):
        browser.open(page, 400, 800, dark)
        colors.add(browser.evaluate('getComputedStyle(document.body).backgroundColor'))
        assert browser.evaluate('document.documentElement.scrollWidth') <= 400
    assert len(colors) == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])
    hostile = '</script><img src=x onerror=alert(1)><script>document.title = 1</script>'
    frame = data['frames'][0] | dict(scene=hostile, token=hostile)
    frame['cameras'][0]['name'] = hostile
    copy = tmp_path / 'hostile.html'
    copy.write_text(explorer_page([frame, frame], hostile, hostile))
    browser.open(copy)
    assert browser.evaluate('document.title') == f'{hostile}: attention'
    assert browser.evaluate('document.images.length') == CAMERAS
    assert browser.evaluate('document.querySelector("figcaption").firstChild.textContent') == f'{hostile} '
    assert browser.errors == []


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--frames', 'nowhere'], 'error: --frames nowhere: no such sample in ROOT/cvt_io_infos_val.json'),
        (['--group', 'road'], 'error: label group road: expected one of vehicle'),
        (['--split', 'test'], None),
    ],
)
def test_errors(toy_root, tmp_path, words, message):
    config, _ = MODELS['v2']
    out = tmp_path / 'page.html'
    end = run_tool(TOOL, REPO / f'configs/toy/{config}.py', toy_weights(config), '--out', out, *words,
                   '--cfg-options', f'data_root={toy_root}')  # fmt: skip
    if message is None:  # toy_root has the splits of v1.0-mini; the config's test split is its val
        assert end is None and out.is_file()
    else:
        assert end == message.replace('ROOT', str(toy_root))
        assert not out.exists()
