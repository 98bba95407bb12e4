"""Pulses of a chip of ODE devices, given again by ngspice; kept in a file, and replayed."""

import dataclasses

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import ChipSpec, DefectSpec, ProgrammingSpec
from circuitmem.control import Chip
from circuitmem.engine import (
    AuditedEngine,
    BehavioralEngine,
    SavedCase,
    SpiceEngine,
    case_from_arrays,
    load_case,
    replay_case,
    save_case,
)
from circuitmem.errors import DataFileError

SHAPE = (3, 3)
COARSE = {"set_time": 400e-9, "reset_time": 400e-9}


def audited(engine, granularity="burst"):
    """Program a chip of one tile under an audit, and return what the audit took."""
    spec = ChipSpec(
        tile=TileSpec(rows=SHAPE[0], columns=SHAPE[1], word_line_resistance=2.0, bit_line_resistance=2.0),
        device={"kind": "stanford-pku"} | COARSE,
        defects=DefectSpec(device_yield=0.8),
        programming=ProgrammingSpec(deadband=0.0, verify_tolerance=1e-6),
    )
    chip = Chip(spec, 1, seed=3, engine=engine, granularity=granularity)
    wanted = np.random.default_rng(0).uniform(10e-6, 90e-6, SHAPE)
    for goal in (wanted, wanted[::-1]):
        chip.run(chip.program(chip.units[0], goal, 0.0))
    return chip.context.auditor.samples["pulse_train"]


def taken(granularity="burst"):
    """Return the trains of a chip, all of them, that the kernels themselves give again."""
    return audited(AuditedEngine(BehavioralEngine(), BehavioralEngine(), fraction=1.0), granularity)


@pytest.fixture(scope="module")
def samples():
    """Return the trains of a chip."""
    return taken()


@pytest.mark.spice
def test_ngspice_gives_the_pulses_of_a_chip_again():
    """States agree within a thousandth of their range; they do not count among the relative errors of currents."""
    with SpiceEngine() as spice:
        engine = AuditedEngine(BehavioralEngine(), spice, fraction=1.0)
        audited(engine)
        record = engine.finish()
    assert record.pulse_trains == 2
    assert record.failures == ()
    assert 0.0 < record.largest_state_error < 1e-3
    assert record.largest_relative_error is None
    assert record.exceeded == 0


def test_a_pulse_that_left_something_else_is_found(samples):
    """Wrong states, or a wrong energy, are beyond the agreement; stuck cells do not count."""
    case = samples[0].case
    reference = case.reference(BehavioralEngine())
    assert case.errors(reference).max() < 1e-9
    free = np.argwhere(~case.defects.stuck)[0]
    stuck = np.argwhere(case.defects.stuck)[0]
    for cell, found in ((free, True), (stuck, False)):
        wrong = case.state.copy()
        wrong[(0, *cell)] = abs(wrong[(0, *cell)] - 0.002)
        error = dataclasses.replace(case, state=wrong).errors(reference)
        assert (error[0] > case.agreement) == found
    assert (dataclasses.replace(case, energy=1.02 * case.energy).errors(reference) > case.agreement).all()


def test_a_saved_pulse_is_replayed(samples, tmp_path):
    """Everything is in the file; a file of something else is refused in one line."""
    case = samples[-1].case
    again = case_from_arrays(case.arrays())
    assert again.trains == case.trains
    assert again.spec == case.spec
    for name in ("before", "state", "energy"):
        np.testing.assert_array_equal(getattr(again, name), getattr(case, name))
    path = tmp_path / "audit.npz"
    save_case(path, SavedCase(case, case.reference(BehavioralEngine()), case.agreement, {}))
    found = replay_case(path, spice=False)
    assert found["agrees"]
    assert found["kind"] == "pulse_train"
    assert found["error"] < 1e-9
    broken = {**case.arrays(), "state": case.state[:, :2]}
    with pytest.raises(ValueError, match="state"):
        case_from_arrays(broken)
    save_case(path, SavedCase(case, np.zeros((2, 2)), case.agreement, {}))
    with pytest.raises(DataFileError, match="reference"):
        load_case(path)


def test_the_sample_does_not_depend_on_the_granularity(samples):
    """Pulses are looked at in the order in which they are given, however they are cut."""
    others = taken("pulse")
    assert len(samples) == len(others) == 2
    for one, two in zip(samples, others, strict=True):
        assert one.name == two.name
        np.testing.assert_array_equal(one.case.state, two.case.state)
        np.testing.assert_array_equal(one.case.energy, two.case.energy)
