"""The figure of a fit: data, model and what is left, both directions, in units with a prefix."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from circuitmem.report import draw_fit
from circuitmem.study.fit import fit_device


def pulses(path):
    count = np.arange(21)
    rows = [f"{k},{(10 + 2.5 * k - 0.03 * k * k) * 1e-6:.6g},up" for k in count]
    rows += [f"{k},{(48 - 2.0 * k) * 1e-6:.6g},down" for k in count]
    path.write_text("\n".join(["pulse,conductance_s,polarity", *rows]) + "\n")
    return path


@pytest.mark.parametrize("model", ["pulse", "steps"])
def test_both_directions_are_drawn_in_microsiemens(tmp_path, model):
    fit = fit_device(pulses(tmp_path / "p.csv"), model)
    figure = draw_fit(tmp_path / "p.png", fit)
    both, left = figure.axes
    assert "(µS)" in both.get_ylabel()
    assert ("(µS)" in left.get_xlabel()) == (model == "steps")
    labels = [text.get_text() for text in both.get_legend().get_texts()]
    assert labels == ["measured, up", "measured, down", f"{model} model, up", f"{model} model, down"]
    assert [line.get_color() for line in both.get_lines()[:2]] == [line.get_color() for line in left.get_lines()]
    # Printed 85 mm wide no letter is smaller than 5.5 points, and nothing lies over the data.
    width, height = figure.get_size_inches()
    texts = [*both.get_legend().get_texts(), both.yaxis.label, left.yaxis.label, left.xaxis.label]
    assert min(text.get_fontsize() for text in texts) * 85.0 / 25.4 / width > 5.5
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.width == 1200
    figure.draw_without_rendering()
    for axes in (both, left):
        assert axes.get_legend().get_window_extent().y1 <= axes.xaxis.label.get_window_extent().y0
        assert axes.yaxis.label.get_window_extent().height <= 1.1 * axes.get_window_extent().height
    assert both.get_legend().get_window_extent().y0 >= left.title.get_window_extent().y1
    assert height > width
    dots, line = both.get_lines()[::2]
    up = fit.curve.branch
    np.testing.assert_allclose(dots.get_ydata(), 1e6 * fit.curve.measured[up], rtol=1e-8)
    np.testing.assert_allclose(np.sort(line.get_ydata()), np.sort(1e6 * fit.curve.fitted[up]), rtol=1e-8)
    rest = 100.0 * (fit.curve.measured - fit.curve.fitted)[up] / fit.scale
    np.testing.assert_allclose(left.get_lines()[0].get_ydata(), rest, rtol=1e-8, atol=1e-12)


def test_curves_that_are_not_joined_have_a_gap_between_them(tmp_path):
    fit = fit_device(pulses(tmp_path / "p.csv"), "pulse")
    count = len(fit.curve.x)
    own = replace(fit.curve, branch=None, group=np.arange(count) % 3)
    figure = draw_fit(tmp_path / "p.pdf", replace(fit, curve=own))
    line = figure.axes[0].get_lines()[1]
    assert np.isnan(line.get_ydata()).sum() == 2
    assert len(line.get_ydata()) == count + 2
    both = draw_fit(tmp_path / "p.svg", replace(fit, curve=replace(fit.curve, in_order=True)))
    assert all(len(line.get_ydata()) == count for line in both.axes[0].get_lines()[2:])


@pytest.mark.parametrize(
    ("largest", "unit"),
    [
        (3e-9, "(nS)"),
        (3e-6, "(µS)"),
        (0.25, "(mS)"),
        (2.0, "(S)"),
        (4e3, "(kS)"),
        (1e-30, "(aS) × 10⁻¹²"),
        (0.0, "(S)"),
    ],
)
def test_a_prefix_follows_the_largest_value(tmp_path, largest, unit):
    fit = fit_device(pulses(tmp_path / "p.csv"), "steps")
    values = np.full(len(fit.curve.x), largest)
    curve = replace(fit.curve, measured=values, fitted=values)
    figure = draw_fit(tmp_path / "p.png", replace(fit, curve=curve))
    assert figure.axes[0].get_ylabel() == f"step {unit}"
