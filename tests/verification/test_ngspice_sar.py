"""SAR ADCs in ngspice's transient analysis: registers of code models and of capacitors find the behavioral codes."""

import os

import numpy as np
import pytest

from circuitmem.config import AdcSpec, TiaSpec
from circuitmem.converter import AdcBank
from circuitmem.converter.successive import approximate
from circuitmem.errors import ValidationError
from circuitmem.netlists.sar import SarNetlist, sar_clock
from circuitmem.study.stages import sar
from circuitmem.study.stages.stage import StageContext

NEAR = 0.01
"""LSB: see the stage's NEAR_LSB."""


@pytest.fixture(params=["xspice", "behavioral"])
def logic(request, spice):
    if request.param == "xspice" and not spice.code_models():
        reason = "XSPICE's code models are not installed (apt-get install ngspice)"
        pytest.fail(reason) if os.environ.get("CIRCUITMEM_REQUIRE_SPICE") == "1" else pytest.skip(reason)
    return request.param


@pytest.mark.spice
def test_codes_are_those_of_the_drawn_capacitors(spice, logic):
    spec = AdcSpec(architecture="sar", bits=6, minimum=0.1, maximum=0.9, capacitor_mismatch=0.1, comparator_offset=5e-3)
    bank = AdcBank(spec, TiaSpec(), 3, seed=2)
    rng = np.random.default_rng(6)
    steps = rng.uniform(-2.0, 66.0, (12, 3))
    # Beside thresholds that lie apart from their neighbours.
    for column, thresholds in enumerate(bank.thresholds):
        apart = np.flatnonzero(np.diff(thresholds, append=np.inf) > 2 * NEAR)
        steps[:6, column] = thresholds[rng.choice(apart, 6)] + NEAR * np.array([1, 1, 1, -1, -1, -1])
    found = spice.sar_codes(bank, steps * spec.lsb + spec.minimum, logic=logic)
    expected = approximate(bank.capacitors, bank.comparator_offset / spec.lsb, steps)
    near = np.abs(steps[:, :, None] - bank.thresholds[None]).min(axis=2) < 0.5 * NEAR
    assert near.sum() <= 1
    np.testing.assert_array_equal(found[~near], expected[~near])
    assert (expected != np.clip(np.rint(steps), 0, 63)).any()  # mismatch and offset do something


@pytest.mark.spice
def test_a_sample_that_does_not_settle_is_converted_as_the_hold_factor_says(spice):
    spec = AdcSpec(architecture="sar", bits=8, sample_resistance=1.5e3, sample_capacitance=1e-12, sample_time=4e-9)
    bank = AdcBank(spec, TiaSpec(), 2, seed=1)
    levels = np.array([[0.2, 0.91], [0.7, 0.4], [0.05, 1.0]])
    steps = levels * spec.hold_factor / spec.lsb
    assert np.abs(steps - np.floor(steps) - 0.5).min() > 0.03
    assert 0.9 < spec.hold_factor < 0.95
    np.testing.assert_array_equal(spice.sar_codes(bank, levels, logic="behavioral"), np.rint(steps))


@pytest.mark.spice
def test_stage(spice):
    found = sar.run(StageContext(sar.NAME, spice, 5, quick=True))
    assert found.passed, found.differences
    assert found.details["conversions"] == 16


@pytest.mark.spice
def test_a_capacitor_that_is_not_the_drawn_one_is_noticed(spice, monkeypatch):
    bank = AdcBank(AdcSpec(architecture="sar", bits=5), TiaSpec(), 1)
    level = np.array([[0.51]])
    assert spice.sar_codes(bank, level, logic="behavioral")[0, 0] == 16
    bank.capacitors = bank.capacitors * np.array([1, 1, 1, 1, 1.2, 1])
    assert spice.sar_codes(bank, level, logic="behavioral")[0, 0] == 15


def test_the_time_of_a_conversion_is_shared_out():
    clock = sar_clock(AdcSpec(architecture="sar", bits=8, conversion_time=24e-9, sample_time=4e-9))
    assert clock.bit == pytest.approx(2e-9)
    with pytest.raises(ValidationError, match=r"adc\.sample_time must be < 4e-09, conversion_time"):
        sar_clock(AdcSpec(architecture="sar", conversion_time=4e-9, sample_time=4e-9))


@pytest.mark.spice
@pytest.mark.parametrize("levels", [[0.1], [[0.1, 0.2]], np.zeros((0, 1)), [[np.nan]]])
def test_levels_of_another_shape_are_refused(spice, levels):
    with pytest.raises(ValidationError, match="levels must"):
        spice.sar_codes(AdcBank(AdcSpec(architecture="sar"), TiaSpec(), 1), levels)


@pytest.mark.spice
def test_a_bank_of_flash_adcs_is_refused(spice):
    with pytest.raises(ValidationError, match="bank must be of SAR ADCs"):
        spice.sar_codes(AdcBank(AdcSpec(), TiaSpec(), 1), [[0.1]])
    with pytest.raises(ValidationError, match=r"adc\.architecture must be sar"):
        SarNetlist(AdcBank(AdcSpec(), TiaSpec(), 1), np.array([[0.1]]), "behavioral")
