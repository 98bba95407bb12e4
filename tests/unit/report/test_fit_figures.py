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
    assert "[µS]" in both.get_ylabel()
    assert both.get_shared_x_axes().joined(both, left)
    assert ("[µS]" in left.get_xlabel()) == (model == "steps")
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["measured, up", f"{model} model, up", "measured, down", f"{model} model, down"]
    assert [line.get_marker() for line in both.get_lines()[::2]] == [line.get_marker() for line in left.get_lines()[:2]]
    # Printed 85 mm wide no letter is smaller than 5.5 points, and nothing lies over the data.
    width, height = figure.get_size_inches()
    texts = [*legend.get_texts(), both.yaxis.label, left.yaxis.label, left.xaxis.label, *left.get_xticklabels()]
    assert min(text.get_fontsize() for text in texts) * 85.0 / 25.4 / width > 5.5
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.width == 1280
    figure.draw_without_rendering()
    assert legend.get_window_extent().y0 >= both.get_window_extent().y1
    for label, axes in ((both.yaxis.label, both), (left.yaxis.label, left)):
        assert label.get_window_extent().height <= 1.1 * axes.get_window_extent().height
    assert height > width
    dots, line = both.get_lines()[:2]
    up = fit.curve.branch
    np.testing.assert_allclose(dots.get_ydata(), 1e6 * fit.curve.measured[up], rtol=1e-12)
    np.testing.assert_allclose(np.sort(line.get_ydata()), np.sort(1e6 * fit.curve.fitted[up]), rtol=1e-12)
    rest = 100.0 * (fit.curve.measured - fit.curve.fitted)[up] / fit.scale
    np.testing.assert_allclose(left.get_lines()[0].get_ydata(), rest, atol=1e-12)


@pytest.mark.parametrize(
    ("largest", "prefix"), [(3e-9, "n"), (3e-6, "µ"), (0.25, "m"), (2.0, ""), (4e3, "k"), (1e-30, "a"), (0.0, "")]
)
def test_a_prefix_follows_the_largest_value(tmp_path, largest, prefix):
    fit = fit_device(pulses(tmp_path / "p.csv"), "steps")
    curve = replace(fit.curve, measured=np.full(len(fit.curve.x), largest))
    figure = draw_fit(tmp_path / "p.png", replace(fit, curve=curve))
    assert figure.axes[0].get_ylabel() == f"step [{prefix}S]"
