"""ODE devices: every variant against its NumPy twin, and single devices against an independent integrator."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from circuitmem._kernels import devices as kernel
from circuitmem.config import IonDriftSpec, StanfordSpec, VteamSpec, YakopcicSpec
from circuitmem.device import Drive, conductance, simulate, state_of
from circuitmem.device.ode import device_law
from circuitmem.errors import ConvergenceError, ValidationError

CASES = {
    "vteam A": (VteamSpec.preset("A"), (-2.0, 1.0), 20e-9),
    "vteam B": (VteamSpec.preset("B"), (-0.3, 0.3), 1e-4),
    "vteam exponential": (
        VteamSpec(**VteamSpec.PRESETS["A"], resistance="exponential", window_power=5.0), (-2.0, 1.0), 20e-9,
    ),
    "yakopcic Oblea": (YakopcicSpec.preset("Oblea"), (-0.5, 0.5), 20e-3),
    "yakopcic asymmetric": (
        YakopcicSpec(**YakopcicSpec.PRESETS["Miao"] | {"a2": 0.2, "direction": -1}), (-1.5, 1.0), 1.0,
    ),
    "stanford": (StanfordSpec.preset("1.0"), (-1.5, 1.4), 1e-6),
    "ion drift, Joglekar's window": (IonDriftSpec.preset("HP"), (-1.5, 1.5), 0.5),
    "ion drift, Biolek's window": (
        IonDriftSpec(**IonDriftSpec.PRESETS["Biolek"] | {"window_power": 1.3}), (-0.5, 0.5), 0.06,
    ),
}  # fmt: skip
"""Device, voltages of a sine's two halves, its period."""


def drive(name, points=201):
    spec, (low, high), period = CASES[name]
    time = np.linspace(0.0, period, points)
    wave = np.sin(2.0 * np.pi * time / period)
    return spec, time, np.where(wave < 0.0, -low, high) * wave


def published(spec):
    """Return the conductance and the rate of a device as its specification says, written anew."""
    if isinstance(spec, VteamSpec):
        ratio = spec.off_resistance / spec.on_resistance

        def siemens(s):
            if spec.resistance == "exponential":
                return ratio**-s / spec.on_resistance
            return 1.0 / (spec.on_resistance * (1.0 - s) + spec.off_resistance * s)

        def rate(s, v):
            if v > spec.off_voltage:
                force = spec.off_speed * (v / spec.off_voltage - 1.0) ** spec.off_power
                return force / spec.length * (1.0 - s ** (2.0 * spec.window_power))
            if v < spec.on_voltage:
                force = spec.on_speed * (v / spec.on_voltage - 1.0) ** spec.on_power
                return force / spec.length * (1.0 - (s - 1.0) ** (2.0 * spec.window_power))
            return 0.0

        return lambda s, v: siemens(s) * v, rate
    if isinstance(spec, YakopcicSpec):

        def rate(s, v):
            g = 0.0
            if v > spec.positive_threshold:
                g = spec.positive_rate * (np.exp(v) - np.exp(spec.positive_threshold))
            elif v < -spec.negative_threshold:
                g = -spec.negative_rate * (np.exp(-v) - np.exp(spec.negative_threshold))
            if spec.direction * v >= 0.0:
                xp, decay = spec.positive_limit, spec.positive_decay
                window = np.exp(-decay * (s - xp)) * ((xp - s) / (1.0 - xp) + 1.0) if s >= xp else 1.0
            else:
                xn, decay = spec.negative_limit, spec.negative_decay
                window = np.exp(decay * (s + xn - 1.0)) * s / (1.0 - xn) if s <= 1.0 - xn else 1.0
            return spec.direction * g * window

        return lambda s, v: (spec.a1 if v >= 0.0 else spec.a2) * s * np.sinh(spec.b * v), rate

    if isinstance(spec, IonDriftSpec):

        def drawn(s, v):
            return v / (spec.on_resistance * s + spec.off_resistance * (1.0 - s))

        def rate(s, v):
            step = 1.0 if -v >= 0.0 else 0.0  # of Biolek's stp(-i)
            origin = {"joglekar": abs(2.0 * s - 1.0), "biolek": abs(s - step)}[spec.window]
            window = 1.0 - origin ** (2.0 * spec.window_power)
            return spec.mobility * spec.on_resistance / spec.length**2 * drawn(s, v) * window

        return drawn, rate

    def current(s, v):
        gap = spec.minimum_gap + s * (spec.maximum_gap - spec.minimum_gap)
        return spec.current * np.exp(-gap / spec.current_gap) * np.sinh(v / spec.current_voltage)

    def rate(s, v):
        gap = spec.minimum_gap + s * (spec.maximum_gap - spec.minimum_gap)
        thermal = 8.617333262e-5 * (spec.temperature + abs(v * current(s, v)) * spec.thermal_resistance)
        gamma = spec.gamma0 - spec.beta * (gap / 1e-9) ** 3
        speed = -spec.velocity * np.exp(-spec.activation / thermal)
        speed *= np.sinh(gamma * spec.hop / spec.thickness * v / thermal)
        end = s if speed < 0.0 else 1.0 - s
        return speed / (spec.maximum_gap - spec.minimum_gap) * min(end / spec.edge, 1.0)

    return current, rate


@pytest.mark.parametrize("name", CASES)
def test_a_single_device_agrees_with_an_independent_integrator(name):
    spec, time, voltage = drive(name)
    found = simulate(spec, time, voltage, state=0.4, tolerance=1e-8)
    current, rate = published(spec)
    expected, s = [0.4], np.array([0.4])
    for k in range(len(time) - 1):  # corner by corner: no step goes across one
        ends = time[k], time[k + 1]
        span = time[k + 1] - time[k]

        def motion(t, y, k=k, span=span):
            v = voltage[k] + (voltage[k + 1] - voltage[k]) * (t - time[k]) / span
            return [rate(min(max(y[0], 0.0), 1.0), v)]

        s = solve_ivp(motion, ends, s, method="LSODA", rtol=1e-9, atol=1e-10).y[:, -1]
        expected.append(s[0])
    np.testing.assert_allclose(found.state, expected, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(
        found.current, [current(s, v) for s, v in zip(found.state, voltage, strict=True)], rtol=1e-9, atol=1e-15
    )
    assert np.ptp(found.state) > 0.2


@pytest.mark.parametrize("name", CASES)
def test_a_smaller_tolerance_gives_a_smaller_error(name):
    spec, time, voltage = drive(name, points=15)
    exact = simulate(spec, time, voltage, state=0.4, tolerance=1e-11).state
    found = (
        simulate(spec, time, voltage, state=0.4, tolerance=tolerance).state for tolerance in (1e-3, 1e-4, 1e-5, 1e-6)
    )
    errors = [np.abs(states - exact).max() for states in found]
    print(f"{name}: errors {' '.join(f'{error:.1e}' for error in errors)} for tolerances 1e-3 1e-4 1e-5 1e-6")
    assert all(after < before for before, after in pairwise(errors))
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_every_variant_agrees_with_the_twin(name, kernel_variant):
    module = kernel_variant("devices")
    spec, time, voltage = drive(name, points=60)
    law = device_law(spec)
    numbers = (*law[:3], np.array(law.parameters))
    rng = np.random.default_rng(1)
    state, series = rng.random(40), rng.choice([0.0, 10.0, 3e3, np.inf], 40)
    fixed = np.where(rng.random(40) < 0.3, rng.choice([0.0, 1e-9, 1e-3], 40), -1.0)
    across = rng.uniform(voltage.min(), voltage.max(), 40)
    across[0] = 0.0
    ours, twin = (
        function(*numbers, state, fixed, series, across, 1) for function in (module.respond, kernel._reference_respond)
    )
    scale = np.abs(twin).max(axis=1, keepdims=True)
    # The last is a difference quotient: rounding is magnified by what it divides by.
    bound = np.array([1e-12, 1e-12, 1e-12, 1e-11, 1e-5])[:, None]
    assert (np.abs(ours - twin) <= bound * scale + 1e-300).all()
    finite = np.where(np.isinf(series), 50.0, series)[:6]
    rest = (*kernel.METHOD, state[:6], finite, time, np.vstack([voltage * f for f in np.linspace(0.5, 1.0, 6)]))
    ours, twin = (
        function(*numbers, *rest, 1e-5, 10_000, 1) for function in (module.integrate, kernel._reference_integrate)
    )
    # Rounding may turn one step's decision; the answers then differ by what the tolerance allows.
    np.testing.assert_allclose(ours[0], twin[0], rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(ours[1], twin[1], rtol=0.0, atol=1e-3 * np.abs(twin[1]).max())
    assert (np.abs(ours[2] - twin[2]) <= 5).all()


def test_the_number_of_threads_and_the_other_devices_do_not_change_a_bit():
    spec, time, voltage = drive("stanford")
    state = np.linspace(0.0, 1.0, 64)
    alone = simulate(spec, time, voltage, state=state[17], series_resistance=100.0)
    first = simulate(spec, time, voltage, state=state, series_resistance=100.0, threads=1)
    for threads in (1, 2, 5):
        many = simulate(spec, time, voltage, state=state, series_resistance=100.0, threads=threads)
        np.testing.assert_array_equal(many.state, first.state)
        np.testing.assert_array_equal(many.current, first.current)
    if kernel._compiled is not None:
        np.testing.assert_array_equal(first.state[17], alone.state)
        np.testing.assert_array_equal(first.current[17], alone.current)
    np.testing.assert_allclose(first.state[17], alone.state, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_states_stay_in_their_range_however_long_the_pulse(name):
    spec, (low, high), period = CASES[name]
    for voltage in (low, high):
        time = np.array([0.0, 1e-3, 1e3]) * period
        # Joglekar's window keeps what is at a limit.
        near = 0.05 if getattr(spec, "window", "") == "joglekar" else 0.0
        found = simulate(spec, time, [0.0, voltage, voltage], state=[near, 0.5, 1.0 - near]).state
        assert found.min() >= 0.0
        assert found.max() <= 1.0
        rises = (voltage * spec.set_sign > 0.0) == isinstance(spec, YakopcicSpec | IonDriftSpec)
        np.testing.assert_allclose(found[:, -1], float(rises), atol=0.02)


@pytest.mark.parametrize("name", CASES)
def test_states_and_conductances_belong_together(name):
    spec = CASES[name][0]
    states = np.linspace(0.01, 1.0, 50)
    siemens = conductance(spec, states)
    np.testing.assert_allclose(state_of(spec, siemens), states, atol=1e-12)
    small = simulate(spec, [0.0, 1e-12], [1e-6, 1e-6], state=0.5).current[0]
    np.testing.assert_allclose(small, conductance(spec, 0.5) * 1e-6, rtol=1e-6)
    with pytest.raises(ValidationError, match="range of the device"):
        state_of(spec, conductance(spec, [0.0, 1.0]).max() * 1.01)


def test_an_impossible_task_is_an_error_of_its_own(monkeypatch):
    monkeypatch.setattr(kernel, "MAX_STEPS", 3)
    with pytest.raises(ConvergenceError, match="state of a device"):
        simulate(VteamSpec.preset("A"), [0.0, 1e-9, 1e-7], [0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (([0.0, 0.0], [1.0, 1.0]), "time must be a rising"),
        (([0.0, 1.0], [1.0]), "voltage must have shape"),
        (([0.0, 1.0], [np.nan, 0.0]), "voltage must be finite"),
    ],
)
def test_wrong_waveforms_are_refused(arguments, rule):
    with pytest.raises(ValidationError, match=rule):
        simulate(VteamSpec.preset("A"), *arguments)


def test_wrong_states_devices_and_presets_are_refused():
    for wrong in ({"state": 1.5}, {"state": -0.5}, {"state": [0.1, 0.2, 0.3]}, {"tolerance": 0.0}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            simulate(VteamSpec.preset("A"), [0.0, 1.0], [[1.0, 1.0], [1.0, 1.0]], **wrong)
    with pytest.raises(ValidationError, match="device must be one of VteamSpec"):
        simulate("A", [0.0, 1.0], [1.0, 1.0])
    with pytest.raises(ValidationError, match="preset must be one of Oblea, Miao; did you mean 'Miao'"):
        YakopcicSpec.preset("Maio")
    with pytest.raises(ValidationError, match="off_resistance must be > on_resistance"):
        VteamSpec(**VteamSpec.PRESETS["A"] | {"off_resistance": 1.0})


@pytest.mark.parametrize(("window", "leaves"), [("joglekar", False), ("biolek", True)])
@pytest.mark.parametrize(("limit", "volts"), [(0.0, 1.0), (1.0, -1.0)])
def test_a_device_of_ion_drift_leaves_a_limit_with_one_window_and_not_with_the_other(window, leaves, limit, volts):
    """The terminal-state problem: Joglekar's window is 0 there whatever the sign of the current."""
    spec = IonDriftSpec(**IonDriftSpec.PRESETS["HP"] | {"window": window, "window_power": 2.0})
    away = simulate(spec, [0.0, 0.05], [volts, volts], state=limit).state[-1]
    assert bool(abs(away - limit) > 0.01) is leaves
    further = simulate(spec, [0.0, 0.05], [-volts, -volts], state=limit).state[-1]
    assert further == limit


def test_the_charge_says_the_state_of_ion_drift_with_one_window_and_not_with_the_other():
    """After a current to and fro, of no charge in sum, Joglekar's device is where it was; Biolek's is not."""
    apart = {}
    for window in ("joglekar", "biolek"):
        spec = IonDriftSpec(**IonDriftSpec.PRESETS["HP"] | {"off_resistance": 100.001, "window": window})
        time = np.linspace(0.0, 0.4e-2, 81)  # nearly the same resistance everywhere: voltage is current
        states = simulate(spec, time, 0.5 * np.sin(2.0 * np.pi * time / time[-1]), state=0.8, tolerance=1e-9).state
        assert np.ptp(states) > 0.02
        apart[window] = states[-1] - states[0]
    assert abs(apart["joglekar"]) < 1e-6
    assert apart["biolek"] < -1e-3  # towards the middle


@pytest.mark.parametrize("name", CASES)
def test_a_voltage_that_was_checked_once_gives_the_same_bits(name):
    spec, time, voltage = drive(name)
    for tolerance in (1e-4, 1e-8):
        found = Drive(time, voltage).current(spec, tolerance)
        np.testing.assert_array_equal(found, simulate(spec, time, voltage, tolerance=tolerance).current)
    with pytest.raises(ValidationError, match=r"voltage must have shape \(201,\)"):
        Drive(time, voltage[1:])
