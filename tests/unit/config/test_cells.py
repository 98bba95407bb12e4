"""The laws of cells: a transistor or a selector in series with a memristor, by bisection and by differences."""

import numpy as np
import pytest
from scipy.optimize import brentq

from circuitmem import LinearCell, SelectorCell, SinhCell, TileSpec, TransistorCell
from circuitmem.errors import ValidationError

SELECTOR = SelectorCell(threshold=0.4, threshold_current=1e-6, swing=0.08)
CELLS = [LinearCell(), SinhCell(a=3.0), TransistorCell(on_resistance=2e3), SELECTOR]


def series_current(cell, conductance, voltage):
    """Return the current at which selector and memristor have the whole voltage between them."""

    def too_much(log_current):
        current = np.exp(log_current)
        return cell.bend * np.arcsinh(current / cell.leak) + current / conductance - voltage

    return float(np.exp(brentq(too_much, -120.0, np.log(conductance * voltage), xtol=1e-14)))


@pytest.mark.parametrize("conductance", [1e-9, 1e-6, 300e-6, 0.1])
@pytest.mark.parametrize("voltage", [1e-6, 0.01, 0.2, 0.4, 0.6, 3.0])
def test_a_selector_is_in_series(conductance, voltage):
    expected = series_current(SELECTOR, conductance, voltage)
    assert SELECTOR.current(conductance, np.array(voltage)) == pytest.approx(expected, rel=1e-12)
    assert SELECTOR.current(conductance, np.array(-voltage)) == pytest.approx(-expected, rel=1e-12)


def test_a_selector_falls_tenfold_for_each_swing_and_carries_its_current_at_the_threshold():
    strong = np.array(1e3)  # a memristor that takes no voltage
    at, below = (float(SELECTOR.current(strong, np.array(v))) for v in (0.4, 0.24))
    assert at == pytest.approx(1e-6, rel=1e-6)
    assert below == pytest.approx(1e-8, rel=1e-4)


def test_far_above_the_threshold_the_memristor_is_all_there_is():
    one, two = (float(SELECTOR.current(np.array(1e-4), np.array(v))) for v in (5.0, 6.0))
    assert two - one == pytest.approx(1e-4, rel=0.01)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.kind)
@pytest.mark.parametrize("voltage", [-0.9, -0.3, 0.0, 0.1, 0.45, 1.5])
def test_slope_and_sensitivity_are_what_differences_give(cell, voltage):
    conductance, v = np.array([0.0, 1e-6, 1e-4]), np.full(3, voltage)
    step = 1e-5
    slope = (cell.current(conductance, v + step) - cell.current(conductance, v - step)) / (2.0 * step)
    np.testing.assert_allclose(cell.slope(conductance, v), slope, rtol=1e-5, atol=1e-16)
    more, less = conductance[1:] * (1.0 + step), conductance[1:] * (1.0 - step)
    sensitivity = (cell.current(more, v[1:]) - cell.current(less, v[1:])) / (more - less)
    np.testing.assert_allclose(cell.sensitivity(conductance, v)[1:], sensitivity, rtol=1e-6, atol=1e-10)
    first = cell.current(np.full(1, 1e-16), v[:1]) / 1e-16
    np.testing.assert_allclose(cell.sensitivity(conductance, v)[:1], first, rtol=1e-5, atol=1e-10)


def test_an_open_cell_carries_nothing():
    for cell in CELLS:
        assert cell.current(np.array(0.0), np.array(0.7)) == 0.0


def test_a_transistor_limits_a_shorted_memristor_and_is_undone_exactly():
    cell = TransistorCell(on_resistance=1e3)
    assert cell.mesh_conductance(np.array(1e6)) == pytest.approx(1e-3, rel=1e-6)
    conductance = np.array([0.0, 1e-6, 300e-6])
    np.testing.assert_allclose(cell.memristor_conductance(cell.mesh_conductance(conductance)), conductance, rtol=1e-14)
    assert np.isfinite(cell.memristor_conductance(np.array(2e-3)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TransistorCell(on_resistance=-1.0), "on_resistance must be greater than or equal to 0 (got -1.0)"),
        (lambda: SelectorCell(threshold=0.0), "threshold must be greater than 0 (got 0.0)"),
        (lambda: SelectorCell(threshold=5.0, swing=0.06), "threshold must be <= 80 times swing (=0.06) (got 5.0)"),
        (
            lambda: TileSpec(rows=1, columns=1, cell={"kind": "selector", "threshold": 5.0, "swing": 0.06}),
            "cell.threshold must be <= 80 times swing (=0.06) (got 5.0)",
        ),
    ],
)
def test_bad_cells_are_refused(make, message):
    with pytest.raises(ValidationError) as error:
        make()
    assert str(error.value) == message
