"""Who looks on gets records of plain values: nothing of the chip, and nothing that changes with it."""

import numpy as np
import pytest

from circuitmem.config import ChipSpec, TileSpec
from circuitmem.control import Chip, Done, Held, Holding


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
