"""What voltages at the virtual grounds drive through a tile, against a nodal solve with those voltages."""

import numpy as np
import pytest

from circuitmem import LinearCell
from circuitmem.engine import BehavioralEngine
from circuitmem.engine.direct import NodalGraph

AGREEMENT = 1e-10
"""Of the largest current."""


def sensed(tile, sense_voltage):
    """Solve the nodal equations with the virtual grounds at voltages of their own."""
    network = NodalGraph(tile)
    factors = network.factor(network.conductance)
    voltage = network.solve_linear(factors, np.concatenate([np.zeros(tile.spec.rows), sense_voltage]))
    return network.into_sources(voltage)[tile.spec.rows :]


@pytest.mark.parametrize("seed", range(8))
def test_offset_current_is_that_of_a_nodal_solve(random_tile, seed):
    rng = np.random.default_rng(seed)
    while True:
        tile = random_tile(rng, (6, 5), cell=LinearCell())
        if tile.spec.sense_resistance > 0.0:
            break
    volts = rng.normal(0.0, 2e-3, 5)
    found = BehavioralEngine().offset_current(tile, volts)
    expected = sensed(tile, volts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=AGREEMENT * np.abs(expected).max())
