"""Figures of devices show what the devices do."""

import numpy as np

from circuitmem.config import PulseUpdateSpec
from circuitmem.device import pulse_curves
from circuitmem.report import draw_pulse_curves


def test_the_curves_of_all_published_devices_are_drawn(tmp_path):
    figure = draw_pulse_curves(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert set(panels) == set(PulseUpdateSpec.PRESETS)
    for name, axes in panels.items():
        spec = PulseUpdateSpec.preset(name)
        up, down = pulse_curves(spec, np.arange(spec.states + 1))
        rising, falling = axes.lines
        np.testing.assert_allclose(rising.get_ydata(), 1e6 * up, rtol=1e-8)
        np.testing.assert_allclose(falling.get_ydata(), 1e6 * down, rtol=1e-8)
        np.testing.assert_array_equal(falling.get_xdata(), 2 * spec.states - np.arange(spec.states + 1))
