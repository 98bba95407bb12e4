"""Fits of I-V curves as devices of a chip: range and pulses within the data, and a fragment that a chip takes."""

import tomllib

import numpy as np
import pytest

from circuitmem.config import VteamSpec, YakopcicSpec, load_run
from circuitmem.control import Chip
from circuitmem.device import VteamCells, YakopcicCells, conductance, simulate
from circuitmem.errors import ValidationError
from circuitmem.study.fit import fit_device
from circuitmem.study.fit.chip import cells_of

YAKOPCIC = YakopcicSpec(
    a1=1e-3,
    a2=1e-3,
    b=1.5,
    positive_threshold=0.4,
    negative_threshold=0.5,
    positive_rate=30.0,
    negative_rate=20.0,
    positive_limit=0.3,
    negative_limit=0.5,
    positive_decay=1.0,
    negative_decay=5.0,
)
VTEAM = VteamSpec(
    on_resistance=2e3,
    off_resistance=100e3,
    on_speed=-1e-3,
    off_speed=2e-3,
    on_voltage=-0.6,
    off_voltage=0.5,
    on_power=2.0,
    off_power=3.0,
)
CASES = [(YAKOPCIC, 0.2, YakopcicCells), (VTEAM, 1e-5, VteamCells)]


def sweep(period):
    time = np.linspace(0.0, period, 201)
    return time, 1.5 * np.sin(2.0 * np.pi * time / period)


def write(path, spec, period):
    time, voltage = sweep(period)
    current = simulate(spec, time, voltage, tolerance=1e-9).current
    rows = [",".join(f"{x:.10g}" for x in row) for row in zip(time, voltage, current, strict=True)]
    path.write_text("\n".join(["time_s,voltage_v,current_a", *rows]))
    return path


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
