"""The figure of a fit: data, model and what is left, both directions, in units with a prefix."""

from dataclasses import replace

import numpy as np
import pytest

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
    assert both.get_xlabel() == left.get_xlabel()
    assert ("[µS]" in both.get_xlabel()) == (model == "steps")
    labels = [text.get_text() for text in both.get_legend().get_texts()]
    assert labels == ["measured, up", f"{model} model, up", "measured, down", f"{model} model, down"]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["residual, up", "residual, down"]
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
