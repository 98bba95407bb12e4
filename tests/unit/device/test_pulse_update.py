"""Devices that count pulses: published curves, published table, and back from a change to a number."""

import numpy as np
import pytest

from circuitmem._kernels.counts import count_pulses
from circuitmem._kernels.noise import Address
from circuitmem.config import PulseUpdateSpec, load_run, to_toml
from circuitmem.device import PulseUpdate, nonlinearity, pulse_curves, steepness
from circuitmem.errors import ValidationError

TABLE = [
    (0.01, 126.269),
    (0.02, 63.1343),
    (0.04, 31.5668),
    (0.1, 12.6258),
    (0.19, 6.6437),
    (1.51, 0.8195),
    (1.6, 0.7714),
    (3.01, 0.3853),
    (3.1, 0.3720),
    (4.51, 0.2266),
    (4.67, 0.2148),
    (6.01, 0.1351),
    (6.18, 0.1267),
    (7.51, 0.0702),
    (7.68, 0.0639),
]
"""Nonlinearity and A/P_max from the table of MLP+NeuroSim V3.0 (documents/Nonlinearity-NormA.htm)."""


@pytest.mark.parametrize(("label", "a"), TABLE)
def test_nonlinearity_is_that_of_the_published_table(label, a):
    digits = 3 if a > 100 else 4
    # margin: half a unit of the last digit that is published, and a little for values that end in a 5; rounding
    # uses all of it.
    assert 1.0 / float(steepness(label)) == pytest.approx(a, abs=0.502 * 10.0**-digits)
    assert float(nonlinearity(1.0 / a)) == pytest.approx(label, abs=0.005)


def test_the_published_fits_have_the_published_labels():
    """The script that fits Ag:a-Si there has A = 0.5 and -0.2; the manual's table says 2.4 and -4.88."""
    # margin: half a unit of the last digit that is published.
    assert float(nonlinearity(1 / 0.5)) == pytest.approx(2.4, abs=0.005)
    # margin: half a unit of the last digit that is published.
    assert float(nonlinearity(1 / 0.2)) == pytest.approx(4.88, abs=0.005)


def closed_form(spec, pulses):
    """The two laws as they are published, with A and B."""
    low, high, last = spec.minimum_conductance, spec.maximum_conductance, spec.states
    a_up, a_down = (last / float(steepness(label)) for label in (spec.potentiation, spec.depression))
    b_up, b_down = ((high - low) / (1.0 - np.exp(-last / a)) for a in (a_up, a_down))
    return b_up * (1.0 - np.exp(-pulses / a_up)) + low, -b_down * (1.0 - np.exp((pulses - last) / a_down)) + high


@pytest.mark.parametrize("name", PulseUpdateSpec.PRESETS)
def test_pulse_by_pulse_a_device_follows_the_published_curves(name):
    spec = PulseUpdateSpec.preset(name)
    count = np.arange(spec.states + 1)
    up, down = closed_form(spec, count)
    for ours, theirs in zip(pulse_curves(spec, count), (up, down), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    devices = PulseUpdate(spec, (1, 1))
    state, one = np.full((1, 1), spec.minimum_conductance), np.ones((1, 1), dtype=np.int64)
    rest = np.zeros((1, 1), dtype=bool), one
    noise = Address((0, 0), 0)
    rising, falling = [state[0, 0]], []
    for _ in range(spec.states):
        count_pulses(state, state, *rest, True, devices.up, devices.limits, 0.0, noise)
        rising.append(state[0, 0])
    for _ in range(spec.states):
        falling.append(state[0, 0])
        count_pulses(state, state, *rest, False, devices.down, devices.limits, 0.0, noise)
    falling.append(state[0, 0])
    np.testing.assert_allclose(rising, up, rtol=1e-9)
    np.testing.assert_allclose(falling[::-1], down, rtol=1e-9)


@pytest.mark.parametrize("name", PulseUpdateSpec.PRESETS)
def test_the_inverse_law_counts_the_pulses_of_the_curves(name):
    spec = PulseUpdateSpec.preset(name)
    devices = PulseUpdate(spec, (1, 1))
    last = spec.states
    for begin, end in ((0, 1), (0, last), (3, 17), (20, 20), (last - 1, last)):
        up, down = (np.array(curve) for curve in pulse_curves(spec, [begin, end]))
        counted = devices.counts(up[1:, None], up[:1, None])
        assert [int(n[0, 0]) for n in counted] == [0, end - begin]
        counted = devices.counts(down[:1, None], down[1:, None])
        assert [int(n[0, 0]) for n in counted] == [end - begin, 0]
    # Less than a pulse is none, and what is beyond the range is its end.
    almost = pulse_curves(spec, [0.99])[0][:, None]
    assert devices.counts(almost, np.full((1, 1), spec.minimum_conductance))[1][0, 0] == 0
    assert devices.counts(np.full((1, 1), 1.0), np.zeros((1, 1)))[1][0, 0] == last


def test_devices_differ_when_they_are_declared_to():
    spec = PulseUpdateSpec(nonlinearity_spread=0.3)
    one, same, other = (PulseUpdate(spec, (20, 20), seed=1, key=(k,)) for k in (0, 0, 1))
    np.testing.assert_array_equal(one.up.fade, same.up.fade)
    assert (one.up.fade != other.up.fade).any()
    assert 0.2 < nonlinearity(one.up.fade * spec.states).std() < 0.4
    assert (one.nominal_up.fade == one.nominal_up.fade[0, 0]).all()


def test_a_published_device_is_chosen_by_name_and_written_out_in_full(tmp_path):
    run = load_run(
        None,
        [
            "chip.programming.verify_tolerance=1e-8",
            "chip.device.published=Ag:a-Si",
            "chip.device.cycle_noise=0.01",
            "chip.programming.deadband=0.0",
            "chip.device.kind=pulse-update",
        ],
    )
    assert run.chip.device == PulseUpdateSpec.preset("Ag:a-Si").model_copy(update={"cycle_noise": 0.01})
    (tmp_path / "run.toml").write_text(to_toml(run))
    assert load_run(tmp_path / "run.toml") == run


def test_a_device_without_a_kind_is_one_of_two_pulses(tmp_path):
    (tmp_path / "run.toml").write_text("[chip.device]\nset_noise = 1e-6\n")
    assert load_run(tmp_path / "run.toml").chip.device.kind == "two-pulse"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PulseUpdateSpec.preset("EpiRam"), "preset must be one of Ag:a-Si, TaOx/TiO2"),
        (lambda: load_run(None, ["chip.device.kind=pulse-update", "chip.device.published=x"]), "chip.device.published"),
        (lambda: load_run(None, ["chip.device.kind=puls-update"]), "did you mean 'pulse-update'? (got 'puls-update')"),
        (lambda: PulseUpdateSpec(potentiation=-8.0), "potentiation must be greater than or equal to -7 (got -8.0)"),
        (
            lambda: PulseUpdateSpec(minimum_conductance=1e-3),
            "maximum_conductance must be > minimum_conductance (=0.001)",
        ),
        (
            lambda: load_run(None, ["chip.device.kind=pulse-update"]),
            "chip.programming.verify_tolerance must be < the range of the devices (=1.20997e-05 S) (got 2e-05)",
        ),
    ],
)
def test_bad_declarations_are_one_line(make, message):
    with pytest.raises(ValidationError) as error:
        make()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
