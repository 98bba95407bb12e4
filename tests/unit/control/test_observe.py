"""Who looks on gets records of plain values: nothing of the chip, and nothing that changes with it."""

import numpy as np
import pytest

from circuitmem.config import ChipSpec, TileSpec
from circuitmem.control import Chip, ChipAuditor, Done, Held, Holding
from circuitmem.control.observe import SeenPulse, SeenReads, SeenTrain


class Notes:
    """Writes down what it hears."""

    def __init__(self):
        self.holdings, self.done, self.texts = [], [], []

    def note(self, record):
        self.texts.append(repr(record))
        (self.done if isinstance(record, Done) else self.holdings).append(record)

    began = ended = operation = note


def check_plain(value):
    """Refuse what somebody could change, or change the chip by."""
    if isinstance(value, tuple):
        assert type(value) in (tuple, Done, Held, Holding)
        for each in value:
            check_plain(each)
    else:
        assert type(value) in (int, str)


@pytest.mark.parametrize("granularity", ["burst", "pulse"])
def test_records_are_plain_and_do_not_change_with_the_chip(granularity):
    chip = Chip(ChipSpec(tile=TileSpec(rows=5, columns=4)), 2, 1, 1, granularity=granularity)
    notes = Notes()
    chip.trace_to(notes)
    chip.signal_to(notes)
    chip.run(chip.program_all(chip.units, [np.full((5, 4), 1e-4)] * 2, 0.0))
    chip.run(chip.read_all(chip.units, [np.full((3, 5), 255)] * 2, "mac_read"))
    records = [*notes.holdings, *notes.done]
    assert {type(record) for record in records} == {Holding, Done}
    for record in records:
        check_plain(record)
        with pytest.raises(AttributeError):
            record.kind = "other"
    assert sorted(notes.texts) == sorted(map(repr, records))  # as they were when they came
    assert sum(done.energy for done in notes.done) == chip.ledger.total.energy
    assert sum(done.pulses for done in notes.done) == chip.ledger.total.pulses > 0
    assert len(notes.holdings) % 2 == 0
    ends = [holding.time for holding in notes.holdings]
    assert ends == sorted(ends)
    labels = {held.label for holding in notes.holdings for held in holding.held}
    assert {"tile 0", "tile 1"} <= labels


class Looker(ChipAuditor):
    """Keeps what an auditor is given."""

    def __init__(self):
        super().__init__(lambda _: None, fraction=1.0)
        self.given = []

    def read(self, seen):
        self.given.append(seen)
        super().read(seen)

    def train(self, seen, beats):
        self.given.append(seen)
        watch = super().train(seen, beats)
        see = watch.see
        watch.see = lambda pulse: self.given.append(pulse) or see(pulse)
        return watch


def test_an_auditor_gets_records_that_do_not_change_with_the_chip():
    chip = Chip(ChipSpec(tile=TileSpec(rows=5, columns=4)), 2, 1, 1)
    chip.context.auditor = looker = Looker()
    chip.run(chip.program_all(chip.units, [np.full((5, 4), 1e-4)] * 2, 0.0))
    chip.run(chip.read_all(chip.units, [np.full((3, 5), 255)] * 2, "mac_read"))
    assert {type(record) for record in looker.given} == {SeenTrain, SeenPulse, SeenReads}
    copies = [[np.array(each) for each in record if isinstance(each, np.ndarray)] for record in looker.given]
    for unit in chip.units:
        unit.put(np.full((5, 4), 2e-4), chip.clock)
    for record, before in zip(looker.given, copies, strict=True):
        arrays = [each for each in record if isinstance(each, np.ndarray)]
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)
            if array.dtype == float:
                assert not array.flags.writeable
        assert not any(each is part for each in record for unit in chip.units for part in (unit, unit.tile, unit.asked))
