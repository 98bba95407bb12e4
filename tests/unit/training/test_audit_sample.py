"""What is audited: the operations as they were, chosen at random by address, each with the same chance."""

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.cli.runs import refereed
from circuitmem.config import ChipSpec, DefectSpec, FaultSpec, ProgrammingSpec, RetentionSpec, load_run
from circuitmem.control import Chip, ChipAuditor
from circuitmem.engine import BehavioralEngine, VacaskEngine
from circuitmem.errors import SpiceUnavailableError
from circuitmem.network import HardwareNetwork, Perceptron
from circuitmem.training.audit import RunAudit, load_sample, save_sample

FAULTS = (
    FaultSpec(what="driver", row=60, time=1e-3),
    FaultSpec(what="cell", row=61, column=1, conductance=1e-3, time=1e-3),
)


def small(**more):
    tile = TileSpec(rows=6, columns=4, word_line_resistance=2.0, bit_line_resistance=3.0)
    return ChipSpec(**{"tile": tile, "defects": DefectSpec(device_yield=0.8), **more})


def work(chip, times=3, seed=0):
    """Program and read every tile of a chip a few times."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        wanted = [rng.uniform(1e-6, 3e-4, unit.tile.spec.shape) for unit in chip.units]
        codes = [rng.integers(0, 256, (5, unit.tile.spec.rows)) for unit in chip.units]
        chip.run(chip.together([chip.program(u, w, 0.0) for u, w in zip(chip.units, wanted, strict=True)]))
        chip.run(chip.together([chip.read(u, c, "mac_read") for u, c in zip(chip.units, codes, strict=True)]))


def audited(chip, **options):
    taken = []
    chip.context.auditor = ChipAuditor(taken.append, **{"fraction": 1.0, "seed": 3, **options})
    return taken


@pytest.mark.parametrize("yield_", [1.0, 0.8])
def test_a_tile_that_breaks_after_it_was_read_is_audited_as_it_was(tmp_path, yield_):
    chip = Chip(ChipSpec(defects=DefectSpec(device_yield=yield_), faults=FAULTS), 1, seed=2)
    rng = np.random.default_rng(0)
    model = Perceptron([rng.normal(size=(8, 10))], [np.zeros(10)])
    network = HardwareNetwork(chip, model, [1.0])
    chip.run(network.program(0.0))
    audited(chip, fraction=0.0, least=2, reads=3)
    assert chip.now < 1e-3
    chip.run(network.forward(np.ones((4, 8))))
    chip.run(chip.wait_until(2 * 10**9))
    chip.run(network.forward(np.ones((4, 8))))
    chip.context.auditor.finish()
    save_sample(tmp_path / "sample.npz", chip.context.auditor)
    again = Chip(chip.spec, 1, seed=2)
    taken = audited(again)
    load_sample(tmp_path / "sample.npz", again.context.auditor)
    cases = [sample.case for sample in sorted(taken, key=lambda sample: sample.time)]
    assert [case.size for case in cases] == [3, 3]
    for case in cases:
        assert case.errors(case.reference(BehavioralEngine())).max() < 1e-9
    assert [case.tile.defects.dead_drivers is not None for case in cases] == [False, True]


CHIPS = {
    "rows": {},
    "rows together": {"programming": ProgrammingSpec(rows_at_once=3)},
    "cells": {"programming": ProgrammingSpec(by_cell=True)},
    "drifting": {"retention": RetentionSpec(drift_exponent=0.02)},
    "with a dead driver": {"faults": (FaultSpec(what="driver", row=2, time=1e-9),)},
}


@pytest.mark.parametrize("kind", CHIPS)
@pytest.mark.parametrize("granularity", ["burst", "pulse"])
def test_pulse_trains_and_reads_agree_with_the_network_and_the_law(kind, granularity):
    chip = Chip(small(**CHIPS[kind]), 2, seed=5, granularity=granularity)
    taken = audited(chip, pulses=100)
    work(chip)
    found = {"read": 0, "pulse_train": 0}
    for sample in taken:
        assert sample.case.errors(sample.case.reference(BehavioralEngine())).max() < 1e-9
        again = sample.case.again(BehavioralEngine())
        assert again.errors(again.reference(BehavioralEngine())).max() < 1e-9
        found[sample.case.kind] += 1
    assert found == chip.context.auditor.seen == {"read": 6, "pulse_train": 6}
    resets = sum(int((~sample.case.is_set).sum()) for sample in taken if sample.case.kind == "pulse_train")
    assert resets > 0


def test_all_pulses_of_a_train_make_up_its_energy():
    chip = Chip(small(), 1, seed=5)
    taken = audited(chip, pulses=1000)
    wanted = np.random.default_rng(1).uniform(1e-6, 3e-4, (6, 4))
    chip.run(chip.program(chip.units[0], wanted, 0.0))
    (sample,) = taken
    device = chip.spec.device
    seconds = np.where(sample.case.is_set, device.set_time, device.reset_time)
    booked = chip.ledger.energy_by_part()["array"] * 1e-18
    assert (sample.case.power * seconds).sum() == pytest.approx(booked, rel=1e-9)


def test_the_choice_depends_on_the_operation_alone():
    def chosen(granularity, interrupted):
        chip = Chip(small(), 3, seed=5, granularity=granularity)
        taken = audited(chip, fraction=0.4, least=1)
        work(chip)
        if interrupted:
            state, before = chip.state(), chip.context.auditor.state()
            chip = Chip(small(), 3, seed=5, granularity=granularity)
            chip.restore(state)
            taken = audited(chip, fraction=0.4, least=1)
            chip.context.auditor.restore(before)
        work(chip, seed=1)
        chip.context.auditor.finish()
        return sorted((s.case.kind, s.tile, s.number, float(s.case.arrays().get("power", [0])[0])) for s in taken)

    expected = chosen("burst", False)
    assert len(expected) > 5
    assert chosen("pulse", False) == expected
    assert chosen("burst", True) == expected


@pytest.mark.parametrize("least", [1, 3])
def test_at_least_so_many_are_chosen_and_all_with_the_same_chance(least):
    counts = np.zeros(12)
    for seed in range(400):
        taken = []
        auditor = ChipAuditor(taken.append, fraction=0.02, least=least, seed=seed)
        for number in range(1, 13):
            draw = auditor._draw("read", 0, number)
            if draw is not None:
                auditor._keep("read", _sample(draw, number))
        auditor.finish()
        assert len(taken) >= least
        counts[[sample.number - 1 for sample in taken]] += 1
    expected = counts.sum() / 12
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def _sample(draw, number):
    from circuitmem.control import Sample

    return Sample(draw, 0, number, 0, "mac_read", None)


def test_a_referee_that_is_missing_is_why_nothing_is_audited(tmp_path, monkeypatch):
    def missing(cls):
        raise SpiceUnavailableError("VACASK is not installed", simulator="VACASK")

    monkeypatch.setattr(VacaskEngine, "probe", classmethod(missing))
    audit = RunAudit(load_run(None, ["audit.referee=vacask"]), tmp_path)
    assert "VACASK is not installed" in audit.skipped
    assert audit.finish()["referees"] == {}
    audit = RunAudit(load_run(None, ["audit.referee=all", "audit.tiles=0"]), tmp_path)
    assert audit.skipped == "audit.tiles is 0"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], (1e-4, 4, 4)),
        (["audit.referee=vacask"], (0.0115, 1, 1)),
        (["audit.referee=vacask", "audit.fraction=0.5", "audit.reads=3", "audit.pulses=2"], (0.5, 3, 2)),
        (["audit.referee=all"], (1e-4, 4, 4)),
        (["audit.referee=vacask", "in_situ.epochs=30"], (0.00115, 1, 1)),
        (["audit.referee=vacask", "chip.tile.rows=128", "chip.tile.columns=128"], (0.0115 / 16, 1, 1)),
        (["audit.referee=vacask", "chip.tile.cell.kind=sinh", "chip.tile.cell.a=2.0"], (1e-4, 4, 4)),
        (["audit.referee=vacask", "chip.defects.cut_word_lines=0.1"], (1e-4, 4, 4)),
    ],
)
def test_how_much_is_audited_follows_from_what_the_referee_can_do(settings, expected):
    assert load_run(None, settings).audited == pytest.approx(expected)


def test_a_run_that_names_no_referee_has_vacask_where_it_is_there_and_quick(monkeypatch):
    for there, settings, expected in (
        (True, [], "vacask"),
        (False, [], "ngspice"),
        (True, ["audit.referee=ngspice"], "ngspice"),
        (True, ["chip.tile.cell.kind=sinh", "chip.tile.cell.a=2.0"], "ngspice"),
    ):
        monkeypatch.setattr(VacaskEngine, "available", classmethod(lambda cls, found=there: found))
        assert refereed(None, settings).audit.referee == expected


@pytest.mark.spice
@pytest.mark.vacask
def test_a_coin_by_the_name_of_an_operation_says_which_referee_does_it(tmp_path):
    audit = RunAudit(load_run(None, ["audit.referee=all", "seed=5"]), tmp_path)
    again = RunAudit(load_run(None, ["audit.referee=all", "seed=5"]), tmp_path)
    other = RunAudit(load_run(None, ["audit.referee=all", "seed=6"]), tmp_path)
    names = [f"raw_tile{tile}_{number} read" for tile in range(10) for number in range(10)]
    drawn = [audit._referee(name) for name in names]
    assert [again._referee(name) for name in reversed(names)] == drawn[::-1]
    assert 30 < drawn.count("vacask") < 70
    assert [other._referee(name) for name in names] != drawn
    for each in (audit, again, other):
        each.stop()
