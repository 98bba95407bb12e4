"""Fits of I-V curves as devices of a chip: range and pulses within the data, and a fragment that a chip takes."""

import tomllib
from functools import partial

import numpy as np
import pytest

from circuitmem.config import load_run
from circuitmem.control import Chip
from circuitmem.device import VteamCells, YakopcicCells, conductance, simulate
from circuitmem.errors import ValidationError
from circuitmem.study.fit import fit_device, made
from circuitmem.study.fit.chip import cells_of

YAKOPCIC = made.YAKOPCIC.model_copy(update={"a1": 1e-3, "a2": 1e-3})
CASES = [(YAKOPCIC, 0.2, YakopcicCells), (made.VTEAM, 1e-5, VteamCells)]


sweep = partial(made.sweep, 1.5, cycles=1, fading=0.0)


def write(path, spec, period):
    return made.write_sweep(path, spec, 1.5, period, cycles=1, fading=0.0)


@pytest.mark.parametrize(("model", "period", "cells"), CASES)
def test_range_and_pulses_lie_within_what_was_measured(model, period, cells):
    time, voltage = sweep(period)
    found = cells_of(model, time, voltage)
    passed = conductance(model, simulate(model, time, voltage).state)
    assert passed.min() < found.minimum_conductance < found.maximum_conductance < passed.max()
    assert found.set_voltage == pytest.approx(1.5, rel=1e-3)
    assert found.reset_voltage == pytest.approx(1.5, rel=1e-3)
    assert 16 <= cells(found, (1, 1)).most <= 127  # some tens, with the slopes, and all digits of binary ones
    assert found.model == model


@pytest.mark.parametrize(("model", "period", "cells"), CASES)
def test_a_chip_takes_the_fragment_and_reaches_conductances_by_its_pulses(model, period, cells, tmp_path):
    path = write(tmp_path / "iv.csv", model, period)
    searched = "a1" if cells is YakopcicCells else "off_resistance"
    names = set(model.model_fields_set) - {searched}
    fit = fit_device(path, model.kind, held={name: getattr(model, name) for name in names})
    text = fit.toml()
    assert tomllib.loads(text)["chip"]["device"]["set_voltage"] == pytest.approx(1.5, rel=1e-3)
    (tmp_path / "run.toml").write_text(text)
    tiny = ["chip.tile.rows=3", "chip.tile.columns=4", "chip.defects.device_yield=1.0"]
    chip_spec = load_run(tmp_path / "run.toml", tiny).chip
    assert chip_spec.device.model == fit.spec
    device = chip_spec.device
    chip = Chip(chip_spec, tiles=1)
    unit = chip.units[0]
    wanted = np.full((3, 4), 0.5 * (device.minimum_conductance + device.maximum_conductance))
    chip.run(chip.program(unit, wanted, deadband=0.0))
    step = (device.maximum_conductance - device.minimum_conductance) / 8
    np.testing.assert_allclose(unit.tile.conductance, wanted, atol=step)


def test_a_device_that_was_moved_one_way_alone_has_no_pulses_yet(tmp_path):
    time = np.linspace(0.0, 0.1, 101)
    with pytest.raises(ValidationError, match="data must move the device in both directions"):
        cells_of(YAKOPCIC, time, np.abs(np.sin(20.0 * np.pi * time)))
