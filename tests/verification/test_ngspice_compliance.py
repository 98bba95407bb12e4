"""The two-pulse cell as a circuit: where a SET ends, by ngspice, by integration, in closed form, and by the law."""

import numpy as np
import pytest

from circuitmem.config import ComplianceCell, TwoPulseSpec
from circuitmem.device import final_conductance, two_pulses
from circuitmem.errors import ValidationError
from circuitmem.report import draw_gate_law

SPEC = TwoPulseSpec()
SPAN = SPEC.maximum_conductance - SPEC.minimum_conductance
GATES = np.linspace(SPEC.minimum_gate, SPEC.maximum_gate, 7)
LAW = SPEC.minimum_conductance + SPEC.slope * (GATES - SPEC.minimum_gate)
CIRCUIT = 1e-3
"""ngspice against the integration without it, relative to the working range; 4e-6 was found."""
SETTLED = 1e-4
"""What is left to go when the pulse ends, relative to the working range; 1e-7 was found."""


@pytest.mark.spice
@pytest.mark.parametrize("drain", [0.1, 0.3, 1.0])
def test_ngspice_ends_where_the_integration_does(drain, spice):
    cell = ComplianceCell.of(SPEC, drain)
    found = spice.two_pulses(cell, GATES)
    assert np.abs(found - two_pulses(cell, GATES)).max() <= CIRCUIT * SPAN
    assert np.abs(found - LAW).max() <= (drain / 8 / (SPEC.maximum_gate - SPEC.minimum_gate) + CIRCUIT) * SPAN


@pytest.mark.parametrize("drain", [0.05, 0.1, 0.5])
def test_a_set_ends_where_the_transistor_limits_it(drain):
    cell = ComplianceCell.of(SPEC, drain)
    assert np.abs(two_pulses(cell, GATES) - final_conductance(cell, GATES)).max() <= SETTLED * SPAN


@pytest.mark.parametrize("drain", [0.05, 0.1, 0.5, 1.2])
def test_the_circuit_is_above_the_law_by_no_more_than_it_says(drain):
    gates = np.linspace(SPEC.minimum_gate, SPEC.maximum_gate, 1001)
    law = SPEC.minimum_conductance + SPEC.slope * (gates - SPEC.minimum_gate)
    off = final_conductance(ComplianceCell.of(SPEC, drain), gates) - law
    assert off.min() >= -1e-12
    assert off.max() <= SPEC.slope * drain / 8
    rest = SPEC.minimum_conductance / SPEC.slope
    assert off.max() == pytest.approx(SPEC.slope * (0.5 * drain - rest) ** 2 / (2 * drain))  # at the lowest gate
    linear = gates - ComplianceCell.of(SPEC, drain).threshold >= drain
    assert np.abs(off[linear]).max(initial=0.0) <= 1e-12


def test_the_state_before_is_forgotten_and_a_short_pulse_ends_early():
    cell = ComplianceCell.of(SPEC)
    ends = [two_pulses(cell, GATES[3:4], state) for state in (0.0, 0.5, 1.0)]
    assert np.ptp(ends) <= SETTLED * SPAN
    hasty = cell.model_copy(update={"set_time": cell.set_time / 20, "reset_time": cell.reset_time})
    assert two_pulses(hasty, GATES[3:4])[0] < 0.5 * LAW[3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ComplianceCell.of(SPEC, 2.0), "drain_voltage must be between 0.001 and 1.25 (got 2.0)"),
        (
            lambda: ComplianceCell(device=ComplianceCell.of(SPEC).device, gain=1e-3, threshold=0.5, set_voltage=2.0),
            "set_voltage must be > 2.4, the threshold of the device (got 2.0)",
        ),
        (lambda: final_conductance(ComplianceCell.of(SPEC), [np.nan]), "gates"),
    ],
)
def test_bad_cells_are_one_line(make, message):
    with pytest.raises(ValidationError) as error:
        make()
    assert message in str(error.value)


def test_the_figure_shows_law_circuit_and_points(tmp_path):
    found = two_pulses(ComplianceCell.of(SPEC), GATES)
    figure = draw_gate_law(tmp_path / "law.png", SPEC, {0.1: (GATES, found)})
    law, _, points = figure.axes[0].lines
    assert law.get_ydata()[-1] == pytest.approx(1e6 * SPEC.maximum_conductance)
    np.testing.assert_allclose(points.get_ydata(), 1e6 * found)
