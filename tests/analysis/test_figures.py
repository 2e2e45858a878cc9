"""Pictures hold the curves that they should."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pytest
from PIL import Image

matplotlib.use('agg')

from matplotlib import pyplot as plt

from projects.CVT_IO.cvt_io.analysis import figures
from projects.CVT_IO.cvt_io.analysis.curves import compare
from projects.CVT_IO.cvt_io.analysis.logs import read_run
from projects.CVT_IO.cvt_io.errors import DataError
from tests.analysis.run_logs import notes_rows, training_row, write_log


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close('all')


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def coloured(path, color: str) -> int:
    """Pixels of exactly this colour."""
    return int((np.asarray(Image.open(path).convert('RGB')) == rgb(color)).all(-1).sum())


def legend_of(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_comparison_shows_both_runs(tmp_path):
    run = read_run(write_log(tmp_path / 'my_run', notes_rows('cvt_io_v2_1', until=40_000)).parents[2])
    figure = figures.plot_comparison(compare(run, 'cvt_io_v2_2'))
    figures.save_figure(figure, tmp_path / 'new_folder/compare.png')
    assert Image.open(tmp_path / 'new_folder/compare.png').size == (1400, 1050)
    assert min(coloured(tmp_path / 'new_folder/compare.png', color) for color in (figures.RUN, figures.NOTES)) > 500
    assert legend_of(figure) == ['cvt_io_v2_2 (notes)', 'my_run', 'means compared']
    # The run ends at 40,000 steps; the notes' future is shown for as long again.
    assert figure.axes[0].get_xlim() == (0, pytest.approx(80_800))
    assert 'Doctor-James/cvt_io' in figure.get_supxlabel()


def test_collapses_are_marked(tmp_path):
    run = read_run(write_log(tmp_path / 'my_run', notes_rows('cvt_io_v2_3')).parents[2])
    figure = figures.plot_comparison(compare(run, 'cvt_io_v2_6'))
    assert legend_of(figure) == [
        *('cvt_io_v2_6 (notes)', 'cvt_io_v2_6 (notes) collapses', 'my_run', 'my_run collapses')
    ]
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in figure.axes[0].patches]
    assert spans == [(26_733, 28_140), (33_768, 35_175)]


@pytest.mark.parametrize(
    ('rows', 'samples_per_step', 'end'),
    [
        ([training_row(500), training_row(1000, loss=math.nan)], None, 2020),  # as long again, and a hundredth
        ([training_row(2)], 2, 505),  # two steps of two samples are a fifth of the notes' step
    ],
)
def test_run_without_validations_or_with_nan_or_short_is_drawn(tmp_path, rows, samples_per_step, end):
    figure = figures.plot_comparison(compare(read_run(write_log(tmp_path, rows)), 'cvt_io_v2_2', samples_per_step))
    assert figure.axes[0].get_xlim() == (0, pytest.approx(end))
    figures.save_figure(figure, tmp_path / 'compare.png')
    assert (tmp_path / 'compare.png').stat().st_size > 20_000


def test_curves_have_a_panel_for_each_key(tmp_path):
    runs = [
        read_run(write_log(tmp_path / name, notes_rows(name, until=20_000))) for name in ('cvt_io_v2_1', 'cvt_io_v2_2')
    ]
    figure = figures.plot_curves(runs, ['loss', 'vehicle/IoU@0.50'], ['a', 'b', 'c', 'd'], title='Two runs')
    assert [ax.get_ylabel() for ax in figure.axes] == ['loss', 'vehicle/IoU@0.50']
    assert [[line.get_label() for line in ax.lines] for ax in figure.axes] == [['a', 'c'], ['b', 'd']]
    figures.save_figure(figure, tmp_path / 'curves.pdf')
    assert (tmp_path / 'curves.pdf').read_bytes().startswith(b'%PDF')


def test_smoothing():
    # Means of 1; 1, 2; 1, 2, 6; 2, 6, 7.
    np.testing.assert_allclose(figures.running_mean(np.array([1.0, 2, 6, 7]), 3), [1, 1.5, 3, 5])
    # A NaN is gone once the window has passed it.
    np.testing.assert_allclose(figures.running_mean(np.array([np.nan, 2, 4]), 2), [np.nan, np.nan, 3])


def test_errors_name_the_argument(tmp_path):
    run = read_run(write_log(tmp_path, [training_row(50)]))
    with pytest.raises(DataError, match=r'legend: expected 2 labels \(logs × keys\), found 1'):
        figures.plot_curves([run], ['loss', 'lr'], ['a'])
    with pytest.raises(DataError, match=r'curve\.txt: expected a name that ends in one of \.'):
        figures.save_figure(figures.plot_curves([run], ['loss'], ['a']), tmp_path / 'curve.txt')
