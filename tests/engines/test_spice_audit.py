"""Audits: what is re-computed, what is recorded, and that nothing is dropped."""

import contextlib
import threading
import time
from functools import partial

import numpy as np
import pytest
from builders import random_tile

from circuitmem import Tile, TileSpec
from circuitmem.config import Pulse, PulseTrain, VteamSpec
from circuitmem.device import conductance
from circuitmem.engine import (
    AuditedEngine,
    AuditQueue,
    AuditRecord,
    BehavioralEngine,
    Engine,
    Solution,
    SpiceEngine,
    VacaskEngine,
)
from circuitmem.engine.audited import relative_error
from circuitmem.errors import SpiceError, ValidationError

LINEAR_AGREEMENT = 1e-9


class Product:
    """An engine for ideal wires, wrong by a factor."""

    name = "product"

    def __init__(self, factor=1.0):
        self.factor = factor

    def read(self, tile, voltages):
        return self.factor * np.asarray(voltages) @ tile.effective_conductance

    def solve(self, tile, voltages):
        zero = np.zeros(0)
        return Solution(self.read(tile, voltages), zero, zero, zero, zero)

    def transfer_matrix(self, tile):
        return self.factor * tile.effective_conductance.T


class Broken(Product):
    def read(self, tile, voltages):
        raise SpiceError("it broke", ("singular matrix",))


make_tile = partial(random_tile, 4, 4)


VOLTAGES = np.random.default_rng(1).uniform(-0.2, 0.2, (200, 4))


@pytest.mark.spice
def test_answers_are_behavioral_and_a_fraction_is_audited(spice):
    tile = make_tile()
    engine = AuditedEngine(Product(1.001), spice, fraction=0.1, seed=3)
    assert isinstance(engine, Engine)
    assert engine.record == AuditRecord()
    np.testing.assert_array_equal(engine.read(tile, VOLTAGES), Product(1.001).read(tile, VOLTAGES))
    assert 5 <= engine.record.reads <= 40
    assert engine.record.largest_relative_error == pytest.approx(0.001, rel=1e-6)
    assert engine.read(tile, VOLTAGES[0]).shape == (4,)
    np.testing.assert_array_equal(engine.transfer_matrix(tile), Product(1.001).transfer_matrix(tile))
    np.testing.assert_array_equal(engine.solve(tile, VOLTAGES).column_current, engine.read(tile, VOLTAGES))


def test_programming_is_the_behavioral_engine_s_own():
    device = VteamSpec.preset("A")
    tile = Tile(TileSpec(rows=2, columns=2), conductance(device, np.full((2, 2), 0.5)))
    train = PulseTrain(device=device, pulses=(Pulse(amplitude=1.0, width=1e-9, rise=1e-10),))
    audited = AuditedEngine(BehavioralEngine(), Product(), fraction=1.0).program(tile, train, samples=3)
    plain = BehavioralEngine().program(tile, train, samples=3)
    np.testing.assert_array_equal(audited.trajectory, plain.trajectory)


def test_the_choice_is_seeded_and_the_limits_are_exact():
    tile = make_tile()

    def audited(fraction, seed):
        engine = AuditedEngine(Product(), Product(), fraction, seed)
        for row in VOLTAGES:
            engine.read(tile, row)
        return engine.record.reads

    assert audited(0.0, 1) == 0
    assert audited(1.0, 1) == 200
    assert audited(0.3, 1) == audited(0.3, 1)
    assert len({audited(0.3, seed) for seed in range(8)}) > 1


def test_failures_of_the_reference_are_recorded_not_raised():
    engine = AuditedEngine(Product(), Broken(), fraction=1.0)
    engine.read(make_tile(), VOLTAGES[:2])
    assert engine.record.failures == ("it broke; ngspice said: singular matrix",)
    assert engine.record.reads == 0
    assert engine.record.largest_relative_error is None


@pytest.mark.parametrize(("fraction", "seed"), [(1.5, 0), (-0.1, 0), (np.nan, 0), (0.5, -1), (0.5, 1.5)])
def test_bad_arguments_are_refused(fraction, seed):
    with pytest.raises(ValidationError):
        AuditedEngine(Product(), Product(), fraction, seed)


def test_relative_error_is_that_of_the_worst_vector():
    reference = np.array([[1.0, -2.0], [1e-9, 0.0], [0.0, 0.0]])
    assert relative_error(reference, reference) == 0.0
    assert relative_error(reference + np.array([[0.0, 0.0], [0.0, 1e-10], [0.0, 0.0]]), reference) == pytest.approx(0.1)
    assert relative_error(reference + np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 1e-30]]), reference) == np.inf


@pytest.mark.spice
def test_the_queue_audits_the_tile_as_it_was():
    tile = make_tile()
    with AuditQueue() as audit:
        for seed in range(3):
            tile.program(make_tile(seed).conductance)
            audit.submit(tile, VOLTAGES[:5], Product().read(tile, VOLTAGES[:5]))
        tile.program(make_tile(9).conductance)
        record = audit.finish(timeout=60.0)
    assert (record.reads, record.failures, record.skipped_reason) == (15, (), None)
    assert record.largest_relative_error < LINEAR_AGREEMENT
    assert audit.finish() is record
    with pytest.raises(ValidationError, match="audit must not be finished"):
        audit.submit(tile, VOLTAGES[:5], Product().read(tile, VOLTAGES[:5]))


@pytest.mark.spice
def test_the_queue_finds_a_wrong_answer():
    audit = AuditQueue()
    tile = make_tile()
    audit.submit(tile, VOLTAGES[:1], Product(1.5).read(tile, VOLTAGES[:1]))
    assert audit.finish(timeout=60.0).largest_relative_error == pytest.approx(0.5)


@pytest.mark.spice
def test_the_queue_says_what_it_had_no_time_for():
    audit = AuditQueue()
    tile = Tile(
        TileSpec(rows=64, columns=64, word_line_resistance=1.0, bit_line_resistance=1.0), np.full((64, 64), 1e-4)
    )
    audit.submit(tile, np.full((200, 64), 0.1), np.zeros((200, 64)))
    record = audit.finish(timeout=0.5)
    assert record == AuditRecord(skipped_reason="200 of 200 reads were not computed within the 0.5 s given")


def test_the_queue_says_when_ngspice_is_missing(monkeypatch):
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nowhere/libngspice.so")
    audit = AuditQueue()
    tile = make_tile()
    audit.submit(tile, VOLTAGES[:2], Product().read(tile, VOLTAGES[:2]))
    record = audit.finish(timeout=60.0)
    assert record.reads == 0
    assert "apt-get install libngspice0" in record.skipped_reason
    assert not record.failures


@pytest.mark.spice
def test_the_queue_reports_a_failed_audit(monkeypatch):
    def fail(self, reads):
        raise SpiceError("it broke", ("singular matrix",))

    monkeypatch.setattr(SpiceEngine, "terminals", fail)
    audit = AuditQueue()
    tile = make_tile()
    audit.submit(tile, VOLTAGES[:2], Product().read(tile, VOLTAGES[:2]))
    assert audit.finish(timeout=60.0).failures == ("it broke; ngspice said: singular matrix",)


@pytest.mark.spice
@pytest.mark.parametrize("finishers", [None, 2])
def test_what_is_left_at_the_end_is_done_by_as_many_processes_as_may_finish(finishers, monkeypatch):
    both, met = threading.Barrier(2), []

    def meet(self, reads):
        with contextlib.suppress(threading.BrokenBarrierError):
            met.append(both.wait(5.0 if finishers else 0.5))
        return terminals(self, reads)

    terminals = SpiceEngine.terminals
    monkeypatch.setattr(SpiceEngine, "terminals", meet)
    audit = AuditQueue(finishers=finishers)
    for seed in (0, 1):
        audit.submit(make_tile(seed), VOLTAGES[:1], Product().read(make_tile(seed), VOLTAGES[:1]))
    record = audit.finish()
    assert (record.reads, record.failures) == (2, ())
    assert len(met) == (2 if finishers else 0)


@pytest.mark.vacask
def test_what_is_left_at_the_end_is_shared_out(monkeypatch):
    asked, terminals, going = [], VacaskEngine.terminals, threading.Event()

    def counted(self, reads):
        going.wait(60.0)
        asked.append(len(reads))
        return terminals(self, reads)

    monkeypatch.setattr(VacaskEngine, "terminals", counted)
    audit = AuditQueue(referees=("vacask",), finishers=2)
    tile, volts = make_tile(0), np.ones((1, len(VOLTAGES[0])))
    audit.submit(tile, volts, Product().read(tile, volts))
    while audit._waiting:  # the first is under way, and ends only when all others are there
        time.sleep(0.01)
    for _ in range(60):
        audit.submit(tile, volts, Product().read(tile, volts))
    threading.Timer(0.2, going.set).start()
    record = audit.finish()
    assert (record.reads, record.failures) == (61, ())
    assert record.largest_relative_error < LINEAR_AGREEMENT
    assert sorted(asked) == [1, 6, 24, 30]


def test_no_fewer_finish_than_work():
    with pytest.raises(ValidationError, match="finishers must be >= 2"):
        AuditQueue(workers=2, finishers=1)


@pytest.mark.vacask
def test_states_of_a_tile_that_wait_together_are_computed_together_and_a_failure_is_one_alone(monkeypatch):
    asked, terminals, going = [], VacaskEngine.terminals, threading.Event()

    def counted(self, reads):
        going.wait(60.0)
        asked.append(len(reads))
        if any(read.voltages.max() > 1.0 for read in reads):
            raise SpiceError("it broke", simulator="VACASK")
        return terminals(self, reads)

    monkeypatch.setattr(VacaskEngine, "terminals", counted)
    with AuditQueue(referees=("vacask",)) as audit:
        for seed in range(4):
            tile = make_tile(seed)
            audit.submit(tile, VOLTAGES[:2], Product().read(tile, VOLTAGES[:2]))
        audit.submit(random_tile(5, 5), np.ones((1, 5)), Product().read(random_tile(5, 5), np.ones((1, 5))))
        going.set()
        assert audit.finish(timeout=60.0).failures == ()
        together = list(asked)
        audit, going = AuditQueue(referees=("vacask",)), threading.Event()
        for seed in range(4):
            volts = VOLTAGES[:2] * (100.0 if seed == 2 else 1.0)
            audit.submit(make_tile(seed), volts, Product().read(make_tile(seed), volts))
        going.set()
        record = audit.finish(timeout=60.0)
    assert sum(together) == 5
    assert max(together) >= 3  # of the first kind of tile, all that waited when the first had been taken
    assert (record.reads, record.operations) == (6, 3)
    assert len(record.failures) == 1
    assert record.largest_relative_error < LINEAR_AGREEMENT


@pytest.mark.parametrize(
    ("voltages", "currents"),
    [
        (np.ones(4), np.ones(4)),
        (np.ones((2, 3)), np.ones((2, 4))),
        (np.ones((0, 4)), np.ones((0, 4))),
        (np.ones((2, 4)), np.ones((1, 4))),
        (np.full((2, 4), np.nan), np.ones((2, 4))),
    ],
)
def test_bad_samples_are_refused(voltages, currents):
    with AuditQueue() as audit, pytest.raises(ValidationError, match=r"(voltages|currents) must"):
        audit.submit(make_tile(), voltages, currents)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_audit_that_breaks_off_says_so(monkeypatch):
    monkeypatch.setattr(SpiceEngine, "terminals", lambda *a: 1 / 0)
    audit = AuditQueue()
    tile = make_tile()
    audit.submit(tile, VOLTAGES[:2], Product().read(tile, VOLTAGES[:2]))
    assert audit.finish().skipped_reason == "2 of 2 reads were not computed because the audit broke off"


@pytest.mark.parametrize("place", ["currents", "reference"])
def test_what_is_not_a_number_is_an_infinite_error(place):
    given = {"currents": np.ones((2, 3)), "reference": np.ones((2, 3))}
    given[place][1, 1] = np.nan
    assert relative_error(**given) == np.inf
    given[place][1] = np.nan
    assert relative_error(**given) == np.inf
