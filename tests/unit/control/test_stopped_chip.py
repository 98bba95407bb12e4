"""A chip that an error or Ctrl-C stopped goes on, or says that it is broken; a chip can be copied, and grow."""

import copy
import pickle

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DefectSpec, FaultSpec, RetentionSpec
from circuitmem.control import Chip
from circuitmem.engine import AuditedEngine, BehavioralEngine, SpiceEngine
from circuitmem.errors import ChipBrokenError, ValidationError

CODES = np.full((3, 4), 100)


def chip_of(tiles=3, **kwargs):
    spec = ChipSpec(
        tile=TileSpec(rows=4, columns=4),
        defects=DefectSpec(device_yield=0.7),
        converters=ConverterSpec(adc=AdcSpec(noise=0.01)),
        **kwargs,
    )
    return Chip(spec, tiles, seed=5)


def read_all(chip):
    return chip.run(chip.together(chip.read(unit, CODES, "mac_read") for unit in chip.units))


def program_all(chip, conductance=5e-5):
    wanted = np.full((4, 4), conductance)
    return chip.run(chip.together(chip.program(unit, wanted, 0.0) for unit in chip.units))


def stop(monkeypatch, thing, name, error):
    def stopped(*args, **kwargs):
        raise error

    monkeypatch.setattr(thing, name, stopped)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError("inside a read")])
@pytest.mark.parametrize("tile", [0, 2])
def test_a_read_that_was_stopped_leaves_a_chip_that_reads_again(monkeypatch, error, tile):
    chip, other = chip_of(), chip_of()
    with monkeypatch.context() as patch:
        stop(patch, chip.units[tile].readout, "read", error)
        with pytest.raises(type(error)):
            read_all(chip)
    assert all(not resource.users for resource in chip.resources)
    assert chip.ledger.total.operations == 0
    for unit, same in zip(chip.units, other.units, strict=True):
        unit.reads = same.reads  # the stopped reads have used up their noise
    for found, wanted in zip(read_all(chip), read_all(other), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert chip.ledger.state() == other.ledger.state()
    assert chip.clock == other.clock


def test_what_ran_beside_a_stopped_process_is_ended_and_faults_still_come(monkeypatch):
    chip = chip_of(faults=(FaultSpec(what="driver", time=1e-3, tile=1, row=0),))
    later = []

    def beside():
        yield from chip.wait_until(10)
        later.append(chip.clock)

    chip.start(beside())
    with monkeypatch.context() as patch:
        stop(patch, chip.units[0].readout, "read", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            read_all(chip)
    chip.run(chip.wait_until(2 * 10**9))
    assert later == []
    assert chip.units[1].tile.defects.dead_drivers[0]


def test_a_chip_that_was_stopped_while_programming_says_that_it_is_broken(monkeypatch):
    chip = chip_of()
    program_all(chip, 2e-5)
    state = copy.deepcopy(chip.state())
    with monkeypatch.context() as patch:
        stop(patch, chip.units[1].tile, "change", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            program_all(chip)
    for use in (read_all, lambda chip: chip.state(), copy.deepcopy):
        with pytest.raises(ChipBrokenError, match="KeyboardInterrupt stopped it while cells were being programmed"):
            use(chip)
    chip.restore(state)
    assert len(read_all(chip)) == 3


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda chip: pickle.loads(pickle.dumps(chip))])
def test_a_copy_goes_on_with_the_same_bits(copied):
    chip = chip_of(retention=RetentionSpec(drift_exponent=0.05, drift_spread=0.3))
    program_all(chip)
    read_all(chip)
    twin = copied(chip)
    for found, wanted in zip(read_all(twin), read_all(chip), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert program_all(twin, 3e-5) == program_all(chip, 3e-5)
    assert twin.clock == chip.clock
    assert twin.ledger.state() == chip.ledger.state()


def test_an_audited_chip_cannot_be_copied():
    with AuditedEngine(BehavioralEngine(), SpiceEngine(), fraction=0.0) as engine:
        chip = Chip(ChipSpec(tile=TileSpec(rows=2, columns=2)), 1, engine=engine)
        with pytest.raises(TypeError, match="audited cannot be copied"):
            copy.deepcopy(chip)


def test_a_chip_that_grew_is_the_chip_that_was_made_so_large():
    fault = FaultSpec(what="driver", time=1e-9, tile=2, row=0)
    large, grown = chip_of(3, faults=(fault,)), chip_of(0, faults=(fault,))
    added = grown.add_tiles(2) + grown.add_tiles(1)
    assert added == grown.units
    for chip in (large, grown):
        program_all(chip)
    for found, wanted in zip(read_all(grown), read_all(large), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert grown.units[2].tile.defects.dead_drivers[0]
    with pytest.raises(ValidationError, match="count must be >= 0"):
        grown.add_tiles(-1)
    with pytest.raises(ValidationError, match="tile must be < 1"):
        chip_of(1, faults=(fault,))
