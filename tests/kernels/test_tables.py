"""Laws in tables: as right as they say, the same in both kernels, and refused where they cannot be right."""

import numpy as np
import pytest

from circuitmem import LinearCell, Tile, TileSpec, TransistorCell
from circuitmem._kernels import devices, switching
from circuitmem._kernels.devices import DeviceLaw, respond
from circuitmem.config import Pulse, PulseTrain, StanfordSpec, TabulatedSpec, VteamSpec, YakopcicSpec
from circuitmem.device import conductance, state_of
from circuitmem.device.ode import device_law
from circuitmem.device.tabulate import Limits, tabulate
from circuitmem.engine import BehavioralEngine, SpiceEngine, VacaskEngine
from circuitmem.errors import ValidationError

DEVICES = {
    "vteam": (VteamSpec.preset("A"), Limits(0.65, 1.85, 6.4e-9, 1e-6, 1e-3)),
    "stanford": (StanfordSpec.preset("1.0"), Limits(1.25, 1.25, 2e-7, 1e-6, 1e-3)),
    "yakopcic": (YakopcicSpec.preset("Oblea"), Limits(0.32, 0.32, 1e-3, 1e-4, 1e-3)),
}
PULSES = {"vteam": (0.6, 3e-9), "stanford": (1.2, 4e-8), "yakopcic": (-0.3, 1e-3)}


def built_in(spec):
    def ask(states, voltages):
        found = respond(device_law(spec), states, np.full(states.shape, -1.0), np.zeros(states.shape), voltages)
        return found.current, found.rate

    return ask


@pytest.fixture(scope="module", params=DEVICES)
def case(request):
    spec, limits = DEVICES[request.param]
    table = tabulate(built_in(spec), limits)
    return request.param, spec, limits, table, DeviceLaw(devices.TABULATED, table.steepness, 1.0, table.numbers)


def test_currents_and_rates_are_right_to_the_stated_error(case):
    _, spec, limits, table, law = case
    assert table.error <= limits.error
    rng = np.random.default_rng(7)  # other points than those that judged the tables
    states, volts = rng.random(3000), rng.uniform(-limits.negative, limits.positive, 3000)
    found = respond(law, states, np.full(3000, -1.0), np.zeros(3000), volts)
    amperes, rates = built_in(spec)(states, volts)
    assert (np.abs(found.current - amperes) <= 2e-3 * (np.abs(amperes) + limits.conductance * np.abs(volts))).all()
    assert (np.abs(found.rate - rates) <= 2e-3 * (np.abs(rates) + limits.slow)).all()
    still = respond(law, states, np.full(3000, -1.0), np.zeros(3000), np.zeros(3000))
    assert (still.current == 0.0).all()
    assert np.abs(still.rate).max() <= limits.slow


def test_the_kernel_and_its_twin_agree(case):
    _, _, limits, _, law = case
    rng = np.random.default_rng(1)
    states, volts = rng.uniform(-0.1, 1.1, 500), rng.uniform(-limits.negative, limits.positive, 500)
    fixed = np.where(rng.random(500) < 0.2, rng.uniform(0.0, 1e-4, 500), -1.0)
    series = np.where(rng.random(500) < 0.3, 0.0, rng.uniform(0.0, 1e4, 500))
    series[:20] = np.inf
    numbers = np.asarray(law.parameters)
    ours = respond(law, states, fixed, series, volts)
    twin = devices.Response(
        *devices._reference_respond(law.model, law.a, law.ratio, numbers, states, fixed, series, volts, 1)
    )
    for name in ("current", "slope", "conductance", "rate"):
        one, other = getattr(ours, name), getattr(twin, name)
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12 * np.abs(other).max(), err_msg=name)


class Own(TabulatedSpec):
    """A law of one's own: a resistance that pulses move, with a threshold of its own for each way."""

    kind: str = f"{__name__}:Own"

    def law(self, state, voltage):
        siemens = 1e-5 * np.exp(3.0 * state) * (1.0 + 0.5 * np.tanh(voltage) * (1.0 - state))
        up = 1e6 * np.maximum(voltage - 0.4, 0.0) ** 2 * (1.0 - state)
        down = 1e6 * np.maximum(-voltage - 0.5, 0.0) ** 2 * state
        return siemens * voltage, up - down


OWN = Own(positive_voltage=1.0, negative_voltage=1.2, time=1e-6, conductance=1e-6, error=1e-3)


@pytest.mark.parametrize("cell", [LinearCell(), TransistorCell(on_resistance=2e3)], ids=["1R", "1T1R"])
def test_a_pulse_on_a_tile_is_the_same_in_both_and_close_to_the_law(case, cell, monkeypatch):
    kind, spec, _, _, law = case
    amplitude, width = PULSES[kind]
    tile_spec = TileSpec(rows=6, columns=5, word_line_resistance=2.0, bit_line_resistance=2.0, cell=cell)
    states = np.random.default_rng(2).uniform(0.2, 0.8, tile_spec.shape)
    tile = Tile(tile_spec, conductance(spec, states))
    train = PulseTrain(device=spec, pulses=(Pulse(amplitude=amplitude, width=width, rise=0.1 * width, rows=(2,)),))
    exact = BehavioralEngine().program(tile, train)
    monkeypatch.setattr("circuitmem.engine.programming.device_law", lambda _: law)
    ours = BehavioralEngine().program(tile, train)
    monkeypatch.setattr(switching, "_compiled", None)
    twin = BehavioralEngine().program(tile, train)
    assert np.abs(ours.state - exact.state).max() <= 5e-5
    assert np.abs(ours.state - twin.state).max() <= 1e-6
    assert ours.energy == pytest.approx(exact.energy, rel=1e-3)
    if kind != "yakopcic" or cell.kind == "linear":
        assert np.abs(exact.state - states).max() > 1e-4


def test_a_law_of_ones_own_programs_tiles_and_its_train_is_read_back():
    spec = TileSpec(rows=4, columns=4, word_line_resistance=1.0, bit_line_resistance=1.0)
    states = np.random.default_rng(0).uniform(0.2, 0.8, spec.shape)
    tile = Tile(spec, conductance(OWN, states))
    np.testing.assert_allclose(state_of(OWN, tile.conductance), states, atol=1e-12)
    train = PulseTrain(device=OWN, pulses=(Pulse(amplitude=0.9, width=1e-6, rise=1e-7, rows=(1,)),))
    after = BehavioralEngine().program(tile, train)
    assert (after.state[1] > states[1] + 0.01).all()
    np.testing.assert_allclose(after.state[[0, 2, 3]], states[[0, 2, 3]], atol=5e-3)  # half of it moves them little
    assert PulseTrain(**train.model_dump()) == train
    for engine in (SpiceEngine, VacaskEngine):
        with engine() as simulator, pytest.raises(ValidationError, match=r"device must have a .*model for"):
            simulator.program(tile, train)


def test_pulses_beyond_the_tables_are_refused():
    spec = TileSpec(rows=3, columns=3, word_line_resistance=1.0, bit_line_resistance=1.0)
    tile = Tile(spec, conductance(OWN, np.full((3, 3), 0.5)))
    train = PulseTrain(device=OWN, pulses=(Pulse(amplitude=1.1, width=1e-6, rise=1e-7, rows=(1,)),))
    with pytest.raises(ValidationError, match=r"device.positive_voltage must be >= 1.1, what these pulses can put"):
        BehavioralEngine().program(tile, train)


def falls(state, voltage):
    return 1e-5 * (1.0 + state) * voltage * np.exp(-4.0 * voltage**2), 1e6 * voltage


def jumps(state, voltage):
    return 1e-5 * (1.0 + state) * voltage, np.where(voltage > 0.437, 1e6, 0.0) * (1.0 - state)


def drifts(state, voltage):
    return 1e-5 * (1.0 + state) * voltage, 1e6 * (0.5 - state) + 0.0 * voltage


def breaks(state, voltage):
    return 1e-5 * (1.0 + state) * voltage, np.where(voltage > 0.9, np.nan, voltage)


def drives(state, voltage):
    return 1e-5 * (1.0 + state) * (voltage - 0.1), voltage


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (falls, r"must have a current that rises with the voltage; it falls at state"),
        (jumps, r"the rate changes too fast for a table at voltage 0.43"),
        (drifts, r"must have a state that rests at 0 V"),
        (breaks, r"must have a finite current and rate; it has not at state 0 and 1 V"),
        (drives, r"must have a current of the sign of the voltage"),
    ],
)
def test_a_law_that_is_no_device_is_refused_in_one_line(law, message):
    with pytest.raises(ValidationError, match=message) as error:
        tabulate(law, Limits(1.0, 1.0, 1e-6, 1e-7, 1e-2))
    assert "\n" not in str(error.value)


class Turning(Own):
    """Conducts least in the middle."""

    def law(self, state, voltage):
        return 1e-5 * (1.0 + (state - 0.5) ** 2) * voltage, 1e6 * voltage**3


class Backward(Own):
    """Falls by positive voltages."""

    def law(self, state, voltage):
        return super().law(state, voltage)[0], -super().law(state, voltage)[1]


@pytest.mark.parametrize(
    ("kind", "message"),
    [(Turning, "along which the conductance goes one way"), (Backward, "chip.device.set_sign must be -1: 1 V lowers")],
)
def test_a_state_that_is_no_memory_is_refused(kind, message):
    numbers = OWN.model_dump(exclude={"kind"})
    with pytest.raises(ValidationError, match=message):
        conductance(kind(**numbers), [0.5])
