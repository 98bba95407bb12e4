"""1T1R cells read with MOSFETs: what they do by hand, and how far a resistance is from them."""

import numpy as np
import pytest
from scipy.optimize import brentq

from circuitmem import Tile, TileSpec, TransistorCell
from circuitmem.engine import BehavioralEngine, SpiceEngine
from circuitmem.errors import ValidationError

pytestmark = pytest.mark.spice

R_ON = 2e3
AGREEMENT = 1e-7
"""As for other non-linear cells."""


@pytest.fixture
def mosfets():
    with SpiceEngine(gate_overdrive=2.0) as engine:
        yield engine


@pytest.mark.usefixtures("spice")
@pytest.mark.parametrize("voltage", [-0.3, 0.05, 0.2, 3.0])
def test_one_cell_by_hand(voltage, mosfets):
    """A level-1 MOSFET in its linear region, with 3 V in saturation, in series with 1 mS."""
    tile = Tile(TileSpec(rows=1, columns=1, cell=TransistorCell(on_resistance=R_ON)), [[1e-3]])
    half = 0.5 / (R_ON * 2.0)

    def surplus(inner):
        return 1e-3 * (voltage - inner) - half * (2.0**2 - max(2.0 - inner, 0.0) ** 2)

    inner = brentq(surplus, min(0.0, voltage), max(0.0, voltage), xtol=1e-15)
    assert mosfets.read(tile, [voltage])[0] == pytest.approx(1e-3 * (voltage - inner), rel=AGREEMENT)


@pytest.mark.usefixtures("spice")
def test_the_resistance_is_what_mosfets_become_at_small_voltages(mosfets):
    rng = np.random.default_rng(0)
    spec = TileSpec(
        rows=9,
        columns=7,
        word_line_resistance=1.0,
        bit_line_resistance=1.0,
        cell=TransistorCell(on_resistance=R_ON),
    )
    tile, direction = Tile(spec, rng.uniform(1e-6, 300e-6, spec.shape)), rng.uniform(0.0, 1.0, 9)
    off = []
    for volts in (0.2, 0.02):
        linear = BehavioralEngine().read(tile, volts * direction)
        off.append(np.abs(mosfets.read(tile, volts * direction) - linear).max() / linear.max())
    assert 1e-4 < off[0] < 0.01
    assert off[1] == pytest.approx(off[0] / 10.0, rel=0.05)


def test_a_gate_without_overdrive_is_refused():
    with pytest.raises(ValidationError, match=r"gate_overdrive must be between 0\.001 and 100"):
        SpiceEngine(gate_overdrive=0.0)
