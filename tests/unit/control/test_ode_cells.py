"""ODE devices on a chip: pulses by the model's law, voltages by the wires, cells that no pulse was meant for."""

import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import ChipSpec, DefectSpec, ProgrammingSpec, load_run
from circuitmem.config.ode_cells import VteamCellSpec
from circuitmem.control import Chip
from circuitmem.device import IonDriftCells, StanfordCells, TwoPulse, VteamCells, YakopcicCells, conductance, state_of
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ValidationError
from circuitmem.registry import find

KINDS = ("vteam", "yakopcic", "stanford-pku", "ion-drift")
SHAPE, TILES = (2, 3), 2
SOUND = DefectSpec(device_yield=1.0)


COARSE = {
    "vteam": {"set_time": 1e-9, "reset_time": 1e-9},
    "yakopcic": {"set_time": 5e-6, "reset_time": 2.5e-3},
    "stanford-pku": {"set_time": 400e-9, "reset_time": 400e-9},
    "ion-drift": {"set_time": 30e-3, "reset_time": 30e-3},
}
"""A dozen pulses cross the range: fewer to compute."""


def made(kind, tile=None, defects=SOUND, programming=None, engine=None, granularity="burst", coarse=True, **device):
    """Return a chip of two tiles, of devices with coarse pulses."""
    device = (COARSE[kind] if coarse else {}) | device
    spec = ChipSpec(
        tile=TileSpec(rows=SHAPE[0], columns=SHAPE[1], **(tile or {})),
        device={"kind": kind, **device},
        defects=defects,
        programming=programming or ProgrammingSpec(deadband=0.0, verify_tolerance=1e-6),
    )
    return Chip(spec, TILES, seed=1, engine=engine, granularity=granularity)


def wishes(chip, seed=0):
    """Return random conductances within the working range, one array a tile."""
    device = chip.spec.device
    rng = np.random.default_rng(seed)
    return [rng.uniform(device.minimum_conductance, device.maximum_conductance, SHAPE) for _ in chip.units]


def programmed(chip, *seeds):
    """Program random conductances, one set after the other, and return the last."""
    for seed in seeds:
        wanted = wishes(chip, seed)
        chip.run(chip.program_all(chip.units, wanted, 0.0))
    return wanted


def span(chip):
    """Return the working range [S]."""
    return chip.spec.device.maximum_conductance - chip.spec.device.minimum_conductance


@pytest.mark.parametrize("kind", KINDS)
def test_alone_cells_come_within_half_a_pulse_of_what_is_wanted(kind):
    """With ideal lines, and no cell but those meant, devices do what the model's law of one device says."""
    chip = made(kind, scheme="1t1r")
    wanted = programmed(chip, 0, 1)
    for unit, own in zip(chip.units, wanted, strict=True):
        # The digital core has hardly anything left to ask for: it plans with tables, and believes the law.
        assert max(int(counts.max()) for counts in unit.devices.counts(own, unit.asked)) <= 1
        # The amplifiers' input resistance, 0.02 ohm, is all that lies between: IR drop beyond belief is small.
        np.testing.assert_allclose(unit.tile.conductance, unit.asked, atol=5e-3 * span(chip))


@pytest.mark.parametrize("kind", KINDS)
def test_pulse_and_burst_and_threads_end_with_the_same_bits(kind):
    """Half-selected cells move too, so the order of pulses matters: it is the same in both granularities."""
    wires = {"word_line_resistance": 2.0, "bit_line_resistance": 2.0}
    found = []
    for granularity, threads in (("burst", 1), ("pulse", 1), ("burst", 2)):
        chip = made(kind, wires, DefectSpec(device_yield=0.8), None, BehavioralEngine(threads=threads), granularity)
        programmed(chip, 0, 1)
        state = [np.stack([unit.tile.conductance, unit.asked, unit.tile.effective_conductance]) for unit in chip.units]
        found.append((chip.clock, chip.ledger.total.energy, chip.ledger.total.pulses, np.array(state).tobytes()))
    assert found[0] == found[1] == found[2]
    assert found[0][1] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_voltage_that_lines_lose_slows_far_cells(kind):
    """The same pulses for all cells leave less in those further from their driver."""
    chip = made(kind, {"word_line_resistance": 100.0, "bit_line_resistance": 0.0}, scheme="1t1r")
    unit = chip.units[0]
    device = chip.spec.device
    wanted = np.full(SHAPE, 0.5 * (device.minimum_conductance + device.maximum_conductance))
    chip.run(chip.program(unit, wanted, 0.0))
    assert (np.diff(unit.tile.conductance, axis=1) < 0.0).all()
    assert np.ptp(unit.asked) == 0.0  # the digital core knows nothing of wires


def test_half_selected_cells_creep_the_way_of_the_pulse():
    """A model without a threshold moves under any voltage: less with a third than with half, and not if cut off."""
    crept, aside = {}, {}
    for scheme in ("v/2", "v/3", "1t1r"):
        chip = made("stanford-pku", scheme=scheme)
        unit, device = chip.units[0], chip.spec.device
        wanted = np.full(SHAPE, device.minimum_conductance)
        wanted[1, 2] = device.maximum_conductance
        before = unit.tile.conductance.copy()
        chip.run(chip.program(unit, wanted, 0.0))
        assert unit.tile.conductance[1, 2] > 0.5 * device.maximum_conductance
        moved = (unit.tile.conductance - before) / span(chip)
        crept[scheme], aside[scheme] = moved[[1, 1, 0], [0, 1, 2]], moved[0, :2]
    assert (crept["v/2"] > 5.0 * crept["v/3"]).all()
    assert (crept["v/3"] > 1e-9).all()
    assert (np.abs(crept["1t1r"]) < 1e-12).all()
    assert (np.abs(aside["v/2"]) < 1e-3 * crept["v/2"].min()).all()
    assert (aside["v/3"] < 0.0).all()  # where neither line is selected a third lies the other way round
    assert (aside["1t1r"] == 0.0).all()


def test_a_pulse_below_the_threshold_moves_nothing():
    """VTEAM and Yakopcic have one, and half a default pulse does not reach it."""
    chip = made("yakopcic", {"word_line_resistance": 1.0, "bit_line_resistance": 1.0})
    unit, device = chip.units[0], chip.spec.device
    wanted = np.full(SHAPE, device.minimum_conductance)
    wanted[0, 0] = device.maximum_conductance
    before = unit.tile.conductance.copy()
    chip.run(chip.program(unit, wanted, 0.0))
    assert np.count_nonzero(unit.tile.conductance != before) == 1


@pytest.mark.parametrize(("kind", "ohms"), [("vteam", 10.0), ("yakopcic", 50.0), ("stanford-pku", 5.0)])
def test_write_verify_mends_what_wires_took(kind, ohms):
    """Cells that are read back and pulsed again come nearer."""
    chip = made(kind, {"word_line_resistance": ohms, "bit_line_resistance": ohms}, coarse=False)
    unit, wanted, left = chip.units[0], wishes(chip)[0], []
    for _ in range(4):
        chip.run(chip.program(unit, wanted, 0.0))
        left.append(float(np.abs(unit.tile.conductance - wanted).mean()) / span(chip))
        unit.asked = unit.tile.conductance  # what a perfect read says
    assert left[-1] < 0.5 * left[0]
    assert left[-1] < 0.03


def test_stuck_cells_stay_and_broken_wires_are_felt():
    """Stuck cells load the lines as they are; what the tile keeps as programmed of them stays too."""
    chip = made("vteam", defects=DefectSpec(device_yield=0.5))
    before = [unit.tile.effective_conductance.copy() for unit in chip.units]
    programmed(chip, 0)
    for unit, was in zip(chip.units, before, strict=True):
        stuck = unit.tile.stuck
        assert stuck.any()
        np.testing.assert_array_equal(unit.tile.effective_conductance[stuck], was[stuck])
        assert (unit.tile.effective_conductance[~stuck] != was[~stuck]).mean() > 0.8


def test_a_restored_chip_goes_on_with_the_same_bits():
    """The state of the cells is in the checkpoint whole."""
    chip = made("stanford-pku", {"word_line_resistance": 1.0, "bit_line_resistance": 1.0})
    programmed(chip, 0)
    other = made("stanford-pku", {"word_line_resistance": 1.0, "bit_line_resistance": 1.0})
    other.restore(chip.state())
    for each in (chip, other):
        programmed(each, 1)
    assert chip.ledger.total == other.ledger.total
    for one, two in zip(chip.units, other.units, strict=True):
        np.testing.assert_array_equal(one.tile.conductance, two.tile.conductance)


def test_worn_cells_stick():
    """Endurance counts the pulses that were meant for a cell."""
    spec = made("yakopcic").spec
    worn = spec.model_copy(update={"endurance": spec.endurance.model_copy(update={"pulses": 0.5})})
    chip = Chip(worn, 1, seed=1)
    programmed(chip, 0, 1, 2)
    assert chip.units[0].tile.stuck.all()


def test_cells_one_by_one_end_where_rows_do():
    """By cell, each pulse selects one: with nothing between them all it makes no difference."""
    rows = made("vteam", scheme="1t1r")
    cells = made("vteam", scheme="1t1r", programming=ProgrammingSpec(by_cell=True, verify_tolerance=1e-6))
    for chip in (rows, cells):
        programmed(chip, 0)
    assert cells.clock > rows.clock
    for one, two in zip(rows.units, cells.units, strict=True):
        np.testing.assert_allclose(one.tile.conductance, two.tile.conductance, atol=2e-3 * span(rows))


@pytest.mark.parametrize("devices", [VteamCells, YakopcicCells, StanfordCells, IonDriftCells])
def test_every_published_set_has_pulses_that_cross_its_range(devices):
    """In some tens of pulses each way, and within the range of the model."""
    for name in devices.Spec.PULSES:
        spec = devices.Spec(published=name)
        cells = devices(spec, (1, 2))
        assert 30 < cells.most < 256
        lowest, highest = np.sort(conductance(spec.model, [0.0, 1.0]))
        assert lowest <= spec.minimum_conductance < spec.maximum_conductance <= highest
        ends = np.array([[spec.minimum_conductance, spec.maximum_conductance]])
        down, up = cells.counts(ends[:, ::-1], ends)
        assert (down > 0).tolist() == [[False, True]]
        assert (up > 0).tolist() == [[True, False]]
        assert (np.diff(state_of(spec.model, ends)) != 0.0).all()


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ("chip.retention.drift_exponent=0.1", "must be 0 with devices of kind vteam, which voltages alone move"),
        ("chip.temperature.coefficient=0.1", "must be 0 with devices of kind vteam"),
        ("chip.programming.rows_at_once=2", "must be 1 with devices of kind vteam"),
        ("chip.device.published=C", "must be one of A, B"),
        ("chip.device.scheme=v/4", "must be 'v/2', 'v/3' or '1t1r'"),
        ("chip.device.set_time=2e-11", "must be > twice rise_time"),
        ("chip.device.on_resistance=0.0", "must be greater than 0"),
        ("chip.tile.cell={kind='sinh', a=1.0}", "must be LinearCell()"),
        ("chip.tile.cell={kind='transistor', on_resistance=10.0}", "must be LinearCell()"),
    ],
)
def test_what_such_devices_do_not_have_is_refused_in_one_line(setting, rule):
    """Name of the key, rule, value."""
    with pytest.raises(ValidationError) as error:
        load_run(None, ["chip.device.kind=vteam", setting])
    assert rule in str(error.value)
    assert str(error.value).startswith(setting.partition("=")[0])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"set_voltage": 1.0}, "chip.device.set_time"),  # below the threshold
        ({"maximum_conductance": 1.0}, "chip.device.maximum_conductance"),
        ({"minimum_conductance": 1e-9}, "chip.device.minimum_conductance"),
    ],
)
def test_a_range_that_pulses_do_not_cross_is_refused(change, key):
    """Before anything is computed."""
    with pytest.raises(ValidationError, match=key):
        made("vteam", **change)


def test_a_tile_has_the_law_of_its_devices_where_none_is_declared():
    """What is declared stands, and what a file of a run says is read back to the same."""
    assert load_run(None, ["chip.device.kind=stanford-pku"]).chip.tile.cell.a == 4.0
    assert load_run(None, ["chip.device.kind=stanford-pku", "chip.tile.cell.kind=linear"]).chip.tile.cell.linear
    one = load_run(None, ["chip.device.kind=vteam", "chip.device.scheme=1t1r"])
    assert one.chip.tile.cell.kind == "transistor"
    assert find("devices", "vteam") is VteamCells


class MineSpec(VteamCellSpec):
    """VTEAM devices of somebody else."""

    kind: str = "mine"


class Mine(VteamCells):
    """Devices of a package: another declaration, the same model."""

    Spec: ClassVar = MineSpec


class NoCells(TwoPulse):
    """Devices that claim what they cannot do."""

    Spec: ClassVar = MineSpec


@pytest.fixture
def package(monkeypatch):
    module = ModuleType("package_of_mine")
    module.Mine, module.NoCells = Mine, NoCells
    monkeypatch.setitem(sys.modules, "package_of_mine", module)


@pytest.mark.usefixtures("package")
def test_a_subclass_of_somebody_else_is_programmed_by_its_own_numbers():
    chip = made("package_of_mine:Mine", set_time=1e-9, reset_time=1e-9, off_power=2.0, coarse=False)
    wanted = programmed(chip, 0, 1)
    for unit, wish in zip(chip.units, wanted, strict=True):
        assert isinstance(unit.devices, Mine)
        assert unit.devices.model.off_power == 2.0
        assert np.abs(unit.tile.conductance - wish).max() < 0.15 * span(chip)


@pytest.mark.usefixtures("package")
def test_devices_that_an_engine_cannot_give_pulses_are_refused():
    with pytest.raises(ValidationError, match=r"chip.device.kind must be of a subclass of .*OdeCells") as caught:
        made("package_of_mine:NoCells", coarse=False)
    assert "package_of_mine:NoCells" in str(caught.value)
