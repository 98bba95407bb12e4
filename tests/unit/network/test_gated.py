"""Gated chips: lines that a layer does not use are neither read nor booked, and products do not change."""

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of, read_conductances
from circuitmem.config import AdcSpec, BitSlicingSpec, BusSpec, CalibrationSpec, ChipSpec, ConverterSpec, OffsetSpec
from circuitmem.control import Chip, UsedLines, turns
from circuitmem.network import HardwareNetwork, Perceptron, partitions
from circuitmem.training.methods import conversions

SIZES = 11, 3
"""Two tiles of 8 rows: 5 inputs on the first, 6 on the second; 6 of 20 columns."""


def network_on(gated, *, sizes=SIZES, granularity="burst", **more):
    given = {"converters": ConverterSpec(adc=AdcSpec(noise=2e-3, gain_error=0.05, offset_error=5e-3))} | more
    lines = {"word_line_resistance": 1.0, "bit_line_resistance": 1.0}
    spec = ChipSpec(tile=TileSpec(rows=8, columns=20, **lines), gated=gated, **given)
    model = Perceptron([np.random.default_rng(5).normal(size=sizes)], [np.zeros(sizes[1])])
    tiles = sum(part.tiles for part in partitions([sizes], spec))
    network = HardwareNetwork(Chip(spec, tiles, seed=1, granularity=granularity), model, [1.0])
    network.chip.run(network.program(0.0))
    for unit in network.chip.units:
        unit.readout.adc.set_pga_gain(4.0)
    return network


def inputs(count=7):
    return np.random.default_rng(2).uniform(size=(count, SIZES[0]))


@pytest.mark.parametrize("more", [{}, {"mapping": OffsetSpec()}, {"bus": BusSpec(bandwidth=1e9)}, {"adc_banks": 1}])
def test_products_are_those_of_a_chip_that_is_not_gated_to_the_bit(more):
    found = [network_on(gated, **more) for gated in (False, True)]
    one, other = (network.chip.run(network.outputs(inputs())) for network in found)
    assert np.array_equal(one, other)
    assert found[1].chip.ledger.energy < found[0].chip.ledger.energy


def test_only_used_lines_are_booked():
    chips, layers = [], []
    for gated in (False, True):
        network = network_on(gated)
        layers += network.layers
        chip = network.chip
        before = chip.ledger.state()
        assert before
        chip.run(network.outputs(inputs(count=1)))
        chips.append(chip)
    whole, gated = (chip.ledger.accounts["mac_read"] for chip in chips)
    converters = chips[0].spec.converters
    # 20 columns on 3 ADCs of 7 each; the 6 used ones are all on the first.
    times = [10e-9 + 10e-9 + turns_ * 20e-9 for turns_ in (7, 6)]
    assert [whole.busy, gated.busy] == [round(2 * time * 1e12) for time in times]
    power, lines = converters.tia.power, ((16, 40), (11, 12))
    spent = [
        rows * converters.dac.energy_per_conversion + columns * (converters.adc.energy_per_conversion + power * time)
        for time, (rows, columns) in zip(times, lines, strict=True)
    ]
    array = [account.energy * 1e-18 - cost for account, cost in zip((whole, gated), spent, strict=True)]
    assert array[0] > 0.0
    # The array is driven for a shorter time at the same power.
    assert array[1] / array[0] == pytest.approx(times[1] / times[0], rel=1e-5)
    assert [conversions(layer)["adc"] for layer in layers] == [2 * 20, 2 * 6]
    steps = [chip.ledger.accounts["digital_step"].operations for chip in chips]
    assert steps[0] - steps[1] == 2 * (40 - 12)


def test_the_busiest_converter_says_how_long_a_read_takes():
    spec = ChipSpec(tile=TileSpec(rows=4, columns=20))
    used = np.zeros(20, dtype=bool)
    used[[0, 1, 6, 7, 19]] = True
    assert turns(spec, used) == 3
    assert turns(spec, np.ones(20, dtype=bool)) == 7
    assert UsedLines.of(spec, 3, used, 3).cost.time == 80_000


def test_unused_columns_have_no_code_and_none_that_saturates():
    network = network_on(True)
    layer, chip = network.layers[0], network.chip
    for unit in chip.units:
        unit.readout.adc.set_pga_gain(64.0)
    codes = layer.input_codes(inputs())
    answers = chip.run(chip.read_all(layer.units, codes, "mac_read", used=layer.used_lines()))
    whole = chip.run(chip.read_all(layer.units, codes, "verify_read"))
    for answer, every in zip(answers, whole, strict=True):
        assert not answer[:, 6:].any()
        assert every[:, 6:].any()
    top = chip.spec.converters.adc.highest_code
    assert chip.ledger.accounts["mac_read"].saturated == sum(int((answer == top).sum()) for answer in answers)


@pytest.mark.parametrize("method", ["affine", "split-affine", "defect-subtract", "redundant-column"])
@pytest.mark.parametrize("mapping", [None, BitSlicingSpec(kind="bit-slicing", slices=2, bits=2)])
def test_calibrations_learn_the_same(method, mapping):
    outputs, reads = [], []
    for gated in (False, True):
        network = network_on(gated, **({} if mapping is None else {"mapping": mapping}))
        process = calibration_of((method,), CalibrationSpec(groups=2))
        record = CalibrationRecord()
        network.chip.run(calibrate_layer(process, network.layers[0], inputs(40), record))
        outputs.append(network.chip.run(network.outputs(inputs())))
        reads.append(record.reads)
    if method == "defect-subtract":  # the rows of tiles that are not full need not be read, so the noise is another
        assert reads[1] < reads[0]
        assert np.abs(outputs[1] - outputs[0]).max() < 0.1 * np.abs(outputs[0]).max()
    else:
        assert reads[1] == reads[0]
        assert np.array_equal(*outputs)


def test_read_back_knows_what_it_has_read():
    network = network_on(True)
    layer, chip = network.layers[0], network.chip
    found = chip.run(layer.read_back("verify_read"))
    for unit, own, place in zip(layer.units, found, layer.placements, strict=True):
        spare = np.ones(own.shape, dtype=bool)
        spare[place.cells] = False
        assert np.array_equal(own[spare], unit.asked[spare])
        working = ~unit.tile.stuck[place.cells]
        assert np.abs(own - unit.asked)[place.cells][working].max() < 60e-6
    assert chip.ledger.accounts["verify_read"].operations == 2 * 6
    columns = chip.run(read_conductances(layer))
    assert np.array_equal(columns[0, :3], layer.intended(0)[:3])  # inputs are on the last rows


def test_pulse_by_pulse_is_the_same():
    ends = []
    for granularity in ("burst", "pulse"):
        network = network_on(True, granularity=granularity)
        found = network.chip.run(network.outputs(inputs()))
        ends.append((found.tolist(), network.chip.clock, network.chip.ledger.total.energy))
    assert ends[0] == ends[1]
