"""A large chip keeps nothing that its seed tells again, and works piece by piece: its bits are those of a small one."""

import numpy as np
import pytest
from builders import trained

from circuitmem.config import load_run
from circuitmem.control import chip as chips
from circuitmem.control import pulse_stack, stack_reads, two_pulse_stack
from circuitmem.data import load_mnist
from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch

SMALL = ["data.side=8", "network.layers=[64, 20, 10]", "ex_situ.epochs=1", "in_situ.batch=20", "calibration.vectors=30"]
SMALL += ["chip.tile.rows=16", "chip.tile.columns=16", "chip.defects.device_yield=0.9"]
CHIPS = {
    "wires": [],
    "no wires": ["chip.tile.word_line_resistance=0", "chip.tile.bit_line_resistance=0"],
    "serial": ["chip.converters.dac.input=serial", "chip.converters.dac.bits=4"],
    "groups": ["calibration.method=split-affine", "calibration.groups=2"],
    "remembered stuck cells": ["chip.converters.adc.threshold_mismatch=0.2", "chip.defects.cut_word_lines=0.05"],
}


def run_of(settings):
    """Bring a network up, calibrate and train it; returns it, and its answers."""
    spec = load_run(None, [*SMALL, *settings])
    digits = load_mnist("bundled").resized(8).first(60, 30)
    model = trained(spec, digits)
    network = build_network(spec, model, digits)
    network.chip.run(bring_up(network, spec, digits, calibrate=True))
    trainer = InSituTrainer(spec.in_situ, network)
    network.chip.run(train_epoch(network, trainer, digits.train_inputs, digits.train_targets, 1, 0))
    return network, network.chip.run(network.outputs(digits.test_inputs))


@pytest.mark.parametrize("name", CHIPS)
def test_a_large_chip_has_the_bits_of_a_small_one(name, monkeypatch):
    small, expected = run_of(CHIPS[name])
    pieces, read, plan = [], stack_reads.StackReads.read_in_pieces, two_pulse_stack.plan_stack

    def noted(what, work):
        return lambda *given, **options: pieces.append(what(*given)) or work(*given, **options)

    monkeypatch.setattr(chips, "LARGE", 0)
    monkeypatch.setattr(stack_reads, "PIECE", 1)
    monkeypatch.setattr(pulse_stack, "PIECE", 3 * 16 * 16)
    monkeypatch.setattr(stack_reads.StackReads, "read_in_pieces", noted(lambda *_: "read", read))
    monkeypatch.setattr(two_pulse_stack, "plan_stack", noted(lambda _, asked, *__: len(asked), plan))
    large, found = run_of(CHIPS[name])
    np.testing.assert_array_equal(found, expected)
    for array in ("asked", "conductance", "effective"):
        np.testing.assert_array_equal(*(getattr(each.chip.electrics.state, array) for each in (large, small)))
    assert large.chip.now == small.chip.now
    assert large.chip.ledger.as_dict() == small.chip.ledger.as_dict()
    assert pieces.count("read") > 3
    assert {3} <= set(pieces) - {"read"}
    for unit in large.chip.units:
        assert unit.readout.dac.table is not unit.readout.dac.table
        assert unit.devices.slope is not unit.devices.slope
    assert small.chip.units[0].readout.dac.table is small.chip.units[0].readout.dac.table


def test_tables_of_many_codes_are_not_kept_either(monkeypatch):
    settings = [*CHIPS["wires"], "chip.converters.dac.bits=12"]
    small, expected = run_of(settings)
    monkeypatch.setattr(chips, "TABLES", len(small.chip.units) * 16 * 4096 - 1)
    monkeypatch.setattr(stack_reads, "VOLTAGES", 2 * 16 * 4096)
    large, found = run_of(settings)
    np.testing.assert_array_equal(found, expected)
    bank = large.chip.units[0].readout.dac
    assert bank.table is not bank.table
    assert large.chip.units[0].devices.slope is large.chip.units[0].devices.slope
