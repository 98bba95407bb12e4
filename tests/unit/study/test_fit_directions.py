"""Pulse devices as measured: each direction its own pulses and bend, one direction alone, no range beyond the data."""

import tomllib
import warnings

import numpy as np
import pytest

from circuitmem._kernels.counts import _reference_count, count_pulses
from circuitmem._kernels.noise import Address, normal_table
from circuitmem.config import PulseUpdateSpec, load_run
from circuitmem.device import PulseUpdate, pulse_curves
from circuitmem.study.fit import fit_device
from circuitmem.study.fit.chip import around

LOW, HIGH = 10e-6, 60e-6


def fit(tmp_path, up, down, begin=0):
    lines = ["pulse,conductance_s,polarity"]
    lines += [f"{p},{g:.9g},up" for p, g in enumerate(up)]
    lines += [f"{begin + p},{g:.9g},down" for p, g in enumerate(down)]
    (tmp_path / "curve.csv").write_text("\n".join(lines))
    return fit_device(tmp_path / "curve.csv", "pulse")


def ramp(pulses, bend=0.0):
    x = np.arange(pulses + 1) / pulses
    return LOW + (HIGH - LOW) * (np.expm1(bend * x) / np.expm1(bend) if bend else x)


def assert_range(found, low=LOW, high=HIGH):
    assert found.spec.minimum_conductance == pytest.approx(low, rel=1e-6)
    assert found.spec.maximum_conductance == pytest.approx(high, rel=1e-6)
    assert found.residual < 2e-9
    assert not found.estimate.at_bound
    assert found.estimate.agreeing > 0  # searches end with the error of a rough model, far above this residual


def test_each_direction_has_its_own_number_of_pulses(tmp_path):
    """Row *unequal.csv*: 10 and 60 µS, both linear."""
    found = fit(tmp_path, ramp(100), ramp(40)[::-1])
    assert_range(found)
    assert (found.spec.states, found.spec.states_down) == (100, 40)
    assert found.spec.potentiation == pytest.approx(0.0, abs=1e-6)
    assert found.spec.depression == pytest.approx(0.0, abs=1e-6)
    assert found.spec.cycle_noise < 1e-6
    assert found.notes == []


def test_one_counter_through_both_directions_gives_the_range_that_was_measured(tmp_path):
    """Row *running.csv*: 10 and 60 µS, no 111."""
    found = fit(tmp_path, ramp(50), ramp(50)[::-1], begin=51)
    assert_range(found)
    assert (found.spec.states, found.spec.states_down) == (50, None)
    assert any("one counter" in line for line in found.assumed)


def test_pulses_that_do_more_and_more_have_a_negative_nonlinearity(tmp_path):
    """Row *convex.csv*: to 1e-9."""
    found = fit(tmp_path, ramp(100, 2.0), ramp(100)[::-1])
    assert_range(found)
    assert found.spec.potentiation == pytest.approx(-2.3965, abs=1e-3)
    np.testing.assert_allclose(pulse_curves(found.spec, np.arange(101))[0], ramp(100, 2.0), rtol=1e-7)


@pytest.mark.parametrize(("known", "unknown"), [("up", "depression"), ("down", "potentiation")])
def test_one_direction_alone_is_a_device(known, unknown, tmp_path):
    """Row *up_only.csv*: the other direction is said to be unknown."""
    curve = ramp(50, -2.5)
    found = fit(tmp_path, curve if known == "up" else [], [] if known == "up" else curve[::-1])
    assert_range(found)
    assert unknown not in found.estimate.values
    (note,) = found.notes
    assert f"{unknown} is unknown and left out" in note
    assert found.toml().startswith("# no pulses")
    assert unknown not in tomllib.loads(found.toml())["chip"]["device"]


def test_a_range_beyond_the_data_is_said(tmp_path):
    """A way up that is recorded from its tenth pulse on begins above the bottom."""
    up = ramp(60, -4.0)[10:]
    lines = [f"{10 + p},{g:.9g},up" for p, g in enumerate(up)]
    (tmp_path / "curve.csv").write_text("\n".join(["pulse,conductance_s,polarity", *lines]))
    found = fit_device(tmp_path / "curve.csv", "pulse")
    assert found.spec.minimum_conductance == pytest.approx(LOW, rel=1e-3)
    assert "minimum_conductance (1e-05 S) is extrapolated" in found.notes[0]
    assert f"({up[0]:.4g} S)" in found.notes[0]


def test_the_fragment_of_a_device_of_nanosiemens_is_a_run(tmp_path):
    """Row *nanosiemens.csv*: programming numbers that suit it; ``test_fit_fragments.py`` trains with it."""
    scale = 1e-9 / 1e-6
    found = fit(tmp_path, scale * ramp(97, -3.0), scale * ramp(100)[::-1])
    (tmp_path / "run.toml").write_text(found.toml())
    chip = load_run(tmp_path / "run.toml").chip
    assert chip.device.states_down == 100
    assert chip.programming.deadband == 0.0
    span = chip.device.maximum_conductance - chip.device.minimum_conductance
    assert 0.0 < chip.programming.verify_tolerance < 0.1 * span
    like = load_run("epiram").chip
    for name, value, wanted in (
        ("tolerance", chip.programming.verify_tolerance / span, like.programming.verify_tolerance / span_of(like)),
        ("voltage", largest_voltage(chip), largest_voltage(like)),
        ("stuck on", stuck_ends(chip), stuck_ends(like)),
    ):
        assert value == pytest.approx(wanted, rel=1e-12), name


def test_a_counter_that_one_direction_alone_has_run_far_says_nothing_of_the_other(tmp_path):
    """Random files found it: the law of one direction was worked out for the pulses of the other, and overflowed."""
    rows = ["pulse,conductance_s,polarity", *(f"{p},{g:.9g},up" for p, g in enumerate(ramp(8, -3.0)))]
    rows += ["0,6e-5,down", "1,4.5e-5,down", "2000,2e-5,down", "3,1e-5,down"]
    (tmp_path / "curve.csv").write_text("\n".join(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit_device(tmp_path / "curve.csv", "pulse")
    assert (found.spec.states, found.spec.states_down) == (8, 2000)


def span_of(chip):
    return chip.device.maximum_conductance - chip.device.minimum_conductance


def largest_voltage(chip):
    return chip.converters.tia.feedback_resistance * chip.device.maximum_conductance


def stuck_ends(chip):
    on, off = np.array(chip.defects.stuck_on_range), np.array(chip.defects.stuck_off_range)
    return [*on / chip.device.maximum_conductance, *off / chip.device.minimum_conductance]


def test_what_fits_the_preset_is_the_preset():
    like = load_run("epiram").chip
    suited = around(like.device)
    assert suited["programming"]["verify_tolerance"] == pytest.approx(like.programming.verify_tolerance, rel=1e-15)
    assert suited["converters"]["tia"]["feedback_resistance"] == pytest.approx(4900.0, rel=1e-15)


@pytest.mark.parametrize(("potentiation", "depression"), [(-3.0, -2.0), (2.0, 4.0), (-1.0, 5.0), (0.0, 0.0)])
def test_a_device_follows_its_curves_pulse_by_pulse(potentiation, depression):
    spec = PulseUpdateSpec(
        minimum_conductance=LOW, maximum_conductance=HIGH, states=30, states_down=12, cycle_noise=0.0,
        potentiation=potentiation, depression=depression,
    )  # fmt: skip
    devices = PulseUpdate(spec, (1, 1))
    one, free = np.ones((1, 1), dtype=np.int64), np.zeros((1, 1), dtype=bool)
    address = Address((1, 2), 0)
    rise, fall = pulse_curves(spec, np.arange(31))[0], pulse_curves(spec, np.arange(13))[1][::-1]
    for up, curve, law in ((True, devices.up, rise), (False, devices.down, fall)):
        g = np.full((1, 1), LOW if up else HIGH)
        twin = g.copy()
        for wanted in law[1:]:
            count_pulses(g, g, free, one, up, curve, devices.limits, 0.0, address)
            state = twin, twin, free.view(np.uint8), one
            _reference_count(*state, up, *curve, *devices.limits, 0.0, normal_table(), 1, 2, 0)
            assert g[0, 0] == pytest.approx(wanted, rel=1e-9)
            assert twin[0, 0] == pytest.approx(wanted, rel=1e-9)
    down, up = devices.counts(np.full((1, 1), LOW), np.full((1, 1), HIGH))
    assert (down[0, 0], up[0, 0]) == (12, 0)
    down, up = devices.counts(np.full((1, 1), HIGH), np.full((1, 1), LOW))
    assert (down[0, 0], up[0, 0]) == (0, 30)


def test_spread_keeps_the_sign_of_a_nonlinearity():
    spec = PulseUpdateSpec(potentiation=-0.5, depression=0.5, nonlinearity_spread=1.0)
    devices = PulseUpdate(spec, (30, 30), seed=1)
    for curve in (devices.up, devices.down):
        assert (curve.fade < 1e-6).all()
        assert len(np.unique(curve.fade)) > 400
