"""Layers that are read and programmed in closed form end as with an event for each: times, accounts, states, bits."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import (
    AdcSpec,
    BusSpec,
    ChipSpec,
    ConverterSpec,
    DefectSpec,
    EnduranceSpec,
    FaultSpec,
    NoiseSpec,
    ProgrammingSpec,
    PulseUpdateSpec,
    RetentionSpec,
    StatisticalSpec,
    StepTableSpec,
    TemperatureSpec,
    TiaSpec,
    TwoPulseSpec,
)
from circuitmem.config.cell import TransistorCell
from circuitmem.control import Chip, jobs, pulse_stack
from circuitmem.control.cells import CellHistory
from circuitmem.control.programming import Programming
from circuitmem.engine import AuditedEngine, BehavioralEngine
from circuitmem.errors import ValidationError
from circuitmem.registry import find

TIMES = {"set_time": 30e-9, "reset_time": 20e-9, "minimum_conductance": 1e-6, "maximum_conductance": 3e-4}
COUNTED = PulseUpdateSpec(states=6, cycle_noise=0.05, nonlinearity_spread=0.3, **TIMES)
STEPS = ((1e-6, 4e-5, 1e-5), (1e-4, 2.5e-5, 8e-6), (3e-4, 3e-5, 2e-5))
TABLE = StepTableSpec(steps_up=STEPS, steps_down=STEPS, device_spread=0.2, **TIMES)
sys.path.append(str(Path(__file__).parents[3] / "examples" / "plugin"))
OWN = "circuitmem_example:Stairs"
"""Devices of somebody else, without a kernel: those of the example package."""
STAIRS = find("devices", OWN).Spec(kind=OWN, steps=6, noise=5e-6, **TIMES)
MOVING = {
    "retention": RetentionSpec(drift_exponent=0.05, drift_time=1e-6, read_disturb=1e-3),
    "temperature": TemperatureSpec(coefficient=2e-3, profile=((0.0, 300.0), (1e-4, 340.0))),
    "endurance": EnduranceSpec(pulses=4.0, failure="stuck-off"),
}
WORN_ON = {"endurance": EnduranceSpec(pulses=4.0, failure="stuck-on")}
DRIFTING = {
    "retention": RetentionSpec(drift_exponent=((0.0, 0.1), (3e-4, 0.02)), drift_spread=0.4, drift_time=1e-7),
    "endurance": EnduranceSpec(pulses=3.0),
}
NOISY = {
    "retention": MOVING["retention"],
    "noise": NoiseSpec(white=0.02, flicker=((0.0, 0.05), (3e-4, 0.01)), flicker_time=1e-8),
}
CHIPS = {
    "two-pulse": {"device": TwoPulseSpec(**TIMES)},
    "counted": {"device": COUNTED, "programming": ProgrammingSpec(drivers=3)},
    "by cell": {"programming": ProgrammingSpec(drivers=2, by_cell=True, energy_per_pulse=1e-12)},
    "rows at once": {"programming": ProgrammingSpec(drivers=2, rows_at_once=2)},
    "moving": {"device": TwoPulseSpec(**TIMES), **MOVING},
    "ideal wires": {"tile": TileSpec(rows=5, columns=4), "device": TwoPulseSpec(**TIMES), **MOVING},
    "counted on ideal wires": {"tile": TileSpec(rows=5, columns=4), "device": COUNTED},
    "counted with transistors": {
        "tile": TileSpec(rows=19, columns=11, word_line_resistance=3.0, cell=TransistorCell(on_resistance=2e3)),
        "device": COUNTED,
        "programming": ProgrammingSpec(drivers=2, energy_per_pulse=1e-12),
    },
    "counted alike": {"device": COUNTED.model_copy(update={"nonlinearity_spread": 0.0, "cycle_noise": 0.0})},
    "noisy cells": {"device": StatisticalSpec(**TIMES, programming_error=2e-6), **NOISY},
    "noisy cells on ideal wires": {"tile": TileSpec(rows=5, columns=4), "device": TwoPulseSpec(**TIMES), **NOISY},
    "statistical": {"device": StatisticalSpec(**TIMES, programming_error=((1e-6, 1e-6), (3e-4, 6e-6)))},
    "table": {"device": TABLE, "programming": ProgrammingSpec(drivers=3, energy_per_pulse=1e-12)},
    "table with transistors": {
        "tile": TileSpec(rows=19, columns=11, word_line_resistance=3.0, cell=TransistorCell(on_resistance=2e3)),
        "device": TABLE,
    },
    "table that moves": {"device": TABLE, **MOVING, **WORN_ON},
    "stairs": {"device": STAIRS, "endurance": EnduranceSpec(pulses=6.0, failure="stuck-on")},
    "drifting": {"device": TwoPulseSpec(**TIMES), **DRIFTING},
    "drifting table": {"device": TABLE, **DRIFTING},
    "drifting and counted": {"device": COUNTED, "programming": ProgrammingSpec(drivers=2), **DRIFTING},
    "moving and counted": {"device": COUNTED, **MOVING, **WORN_ON},
    "worn": {"device": COUNTED, **WORN_ON},
    "amplifiers with offsets": {"converters": ConverterSpec(tia=TiaSpec(input_offset=1e-3))},
    "fragile adc": {"faults": [FaultSpec(what="adc", tile=1, column=2, pulses=9.0)]},
    "fragile": {"faults": [FaultSpec(what="driver", tile=1, row=2, pulses=3.0)]},
    "late fault": {"faults": [FaultSpec(what="cell", tile=1, row=2, column=1, conductance=2e-4, time=1.0)]},
    "shared": {"adc_banks": 2},
    "bus": {"bus": BusSpec(bandwidth=3.2e9)},
}
BY_TRAINS = {"by cell", "rows at once", "fragile adc", "fragile"}
"""Tiles of these chips are programmed at once, and yet one by one."""
IN_EVENTS = {"shared", "bus"}
"""Reads of these chips wait for something shared: no closed form."""


class Nobody:
    """Observes, and so has every train given to the arbiter."""

    def began(self, holding):
        """Hear of it."""

    def ended(self, holding):
        """Hear of it."""


def make_chip(changes, **given):
    tile = TileSpec(rows=5, columns=4, word_line_resistance=1.0, bit_line_resistance=2.0)
    defects = DefectSpec(device_yield=0.8)
    converters = ConverterSpec(adc=AdcSpec(share=2, noise=1e-3))
    spec = ChipSpec(**{"tile": tile, "defects": defects, "converters": converters, **changes})
    return Chip(spec, 5, seed=3, noise_seed=4, **given)


def work(chip):
    """Program and read all tiles a few times, some with nothing to do; returns what was answered."""
    rng, device = np.random.default_rng(0), chip.spec.device
    answers = []
    for round_ in range(4):
        wanted = [
            unit.asked.copy() if (unit.index + round_) % 4 == 0 else rng.uniform(*limits(device), unit.asked.shape)
            for unit in chip.units
        ]
        with chip.during(f"round {round_}"):
            answers.append(chip.run(chip.program_all(chip.units, wanted, 1e-6)))
            if isinstance(device, PulseUpdateSpec | StepTableSpec):
                counts = [rng.integers(0, 4, (2, *unit.asked.shape)) * (rng.random() < 0.8) for unit in chip.units]
                answers.append(chip.run(chip.pulse_all(chip.units, counts)))
            codes = [rng.integers(0, 256, (3, chip.spec.tile.rows)) for _ in chip.units]
            answers.append(chip.run(chip.read_all(chip.units, codes, "mac_read", gain=None if round_ else 2.0)))
    return answers


def limits(device):
    return device.minimum_conductance, device.maximum_conductance


def ordered(state):
    """Return a chip's state with its accounts in order: which was opened first says nothing."""
    return {**state, "ledger": {name: sorted(entries, key=repr) for name, entries in state["ledger"].items()}}


@pytest.mark.parametrize("name", CHIPS)
def test_a_closed_form_ends_as_events_do(name, monkeypatch):
    done = {"read": [], "program": []}
    for kind, counts in done.items():
        whole = getattr(jobs, f"{kind}_at_once")

        def count(context, trains, *rest, whole=whole, counts=counts):
            found = whole(context, trains, *rest)
            counts.append(found is not None)
            return found

        monkeypatch.setattr(f"circuitmem.control.sequencer.{kind}_at_once", count)
    chips = {seen: make_chip(CHIPS[name]) for seen in (False, True)}
    chips[True].arbiter.observer = Nobody()
    found = {seen: work(chip) for seen, chip in chips.items()}
    # Half of the jobs were observed: those were none.
    jobs_of = {
        kind: (sum(counts[: len(counts) // 2]), sum(counts[len(counts) // 2 :])) for kind, counts in done.items()
    }
    programmed = 8 if isinstance(chips[True].spec.device, PulseUpdateSpec | StepTableSpec) else 4
    assert jobs_of == {"read": (0 if name in IN_EVENTS else 4, 0), "program": (programmed, 0)}
    np.testing.assert_equal(found[False], found[True])
    np.testing.assert_equal(ordered(chips[False].state()), ordered(chips[True].state()))
    each = len(found[False]) // 4
    alive = [bool(codes[1][:, 2].any()) for codes in found[False][each - 1 :: each]]
    assert (alive[0], alive[-1]) == (True, name != "fragile adc")


@pytest.mark.parametrize("name", ["noisy cells", "noisy cells on ideal wires", "amplifiers with offsets"])
def test_tiles_that_no_kernel_reads_together_are_one_job(name, monkeypatch):
    chip = make_chip(CHIPS[name])
    chip.run(chip.program_all(chip.units, [np.full((5, 4), 1e-4)] * 5, 0.0))
    met = []
    present = CellHistory.present
    monkeypatch.setattr(CellHistory, "present", lambda self, *now: met.append(self) or present(self, *now))
    monkeypatch.setattr(jobs, "_begin", lambda *_: pytest.fail("a train of one tile"))
    codes = [np.full((3, 5), 255)] * 5
    first = chip.run(chip.read_all(chip.units, codes, "mac_read"))
    assert all(own.any() for own in first)
    assert len(met) == len(set(map(id, met))) == (5 if "noisy" in name else 0)  # no tile is met twice


def test_what_moved_is_met_again_at_the_same_time():
    unit = make_chip({"device": TwoPulseSpec(**TIMES), **NOISY}).units[0]
    seen = []
    for act in (
        lambda: None,
        lambda: unit.put(np.full((5, 4), 1e-4), 1_000_000),
        lambda: unit.cells.put(np.ones((5, 4), dtype=bool), np.full((5, 4), 2e-4), 1_000_000),
        lambda: unit.cells.read(np.full(5, 100), 1000),
        lambda: unit.tile.program(np.full((5, 4), 5e-5)),  # not by a pulse: what is there is what the last pulse left
        lambda: setattr(unit, "cell_noise", False),
    ):
        act()
        unit.meet(10_000_000, 4)
        noise_seed = 4 if unit.cell_noise else None
        np.testing.assert_array_equal(unit.tile.conductance, unit.cells.present(10_000_000, noise_seed))
        seen.append(unit.tile.conductance.copy())
    differ = [not np.array_equal(one, other) for one, other in pairwise(seen)]
    assert differ == [True, True, True, False, True]


@pytest.mark.parametrize("name", CHIPS)
def test_only_what_depends_on_other_pulses_of_a_tile_is_programmed_tile_by_tile(name, monkeypatch):
    made = []
    train = Programming.train
    monkeypatch.setattr(Programming, "train", lambda self, *which: made.append(which) or train(self, *which))
    chip = make_chip(CHIPS[name])
    work(chip)
    assert chip.ledger.pulses > 100
    assert bool(made) == (name in BY_TRAINS)


def test_a_clock_beyond_64_bits_ages_cells_alike():
    chips = [make_chip(CHIPS["drifting table"]) for _ in range(2)]
    chips[1].arbiter.observer = Nobody()
    for chip in chips:
        chip.set_clock(2**63 - 10_000, 0)
    np.testing.assert_equal(work(chips[0]), work(chips[1]))
    np.testing.assert_equal(ordered(chips[0].state()), ordered(chips[1].state()))
    assert chips[0].units[0].cells.written_at.max() > 2.0**63


@pytest.mark.parametrize("name", ["two-pulse", "counted", "table that moves", "drifting", "drifting table"])
def test_an_audit_changes_no_bit_of_what_it_looks_at(name, monkeypatch):
    engine, cases = AuditedEngine(BehavioralEngine(), BehavioralEngine(), fraction=0.3, seed=5), []
    monkeypatch.setattr(engine, "audit", lambda case, **_: cases.append(case))
    plain, audited = make_chip(CHIPS[name]), make_chip(CHIPS[name], engine=engine)
    np.testing.assert_equal(work(audited), work(plain))
    np.testing.assert_equal(ordered(audited.state()), ordered(plain.state()))
    assert {type(case).__name__ for case in cases} == {"ReadCase", "PulseCase"}


def test_cells_that_conduct_too_much_are_refused_where_pulses_find_them():
    chip = make_chip({"device": TABLE, "retention": RetentionSpec(drift_exponent=-60.0, drift_time=1e-7)})
    chip.run(chip.wait_until(10_000_000))
    with pytest.raises(ValidationError, match=r"drift_exponent must be nearer to 0: it has made cells conduct more"):
        chip.run(chip.program_all(chip.units, [np.full((5, 4), 1e-4)] * 5, 0.0))


@pytest.mark.parametrize(
    "name", ["two-pulse", "counted", "counted alike", "table", "stairs", "drifting", "moving and counted"]
)
def test_bits_do_not_depend_on_pieces(name, monkeypatch):
    chips = make_chip(CHIPS[name]), make_chip(CHIPS[name])
    expected = work(chips[0])
    monkeypatch.setattr(pulse_stack, "PIECE", 2 * 5 * 4)
    np.testing.assert_equal(work(chips[1]), expected)
    np.testing.assert_equal(ordered(chips[1].state()), ordered(chips[0].state()))


def test_a_fault_in_between_is_met_by_what_has_not_begun():
    def codes_of(faults):
        chip = make_chip({"faults": faults, "defects": DefectSpec(device_yield=1.0)})
        chip.run(chip.program_all(chip.units, [np.full((5, 4), 1e-4)] * 5, 0.0))
        begun = chip.clock
        return (
            begun,
            chip.units[0].read_time,
            chip.run(chip.read_all(chip.units, [np.full((3, 5), 255)] * 5, "mac_read")),
        )

    begun, each, whole = codes_of([])
    _, _, found = codes_of([FaultSpec(what="adc", tile=1, column=1, time=(begun + 1.5 * each) * 1e-12)])
    assert all((whole[1] > 0).ravel())
    whole[1][2, 1] = 0  # the third read alone had not begun
    np.testing.assert_equal(found, whole)
