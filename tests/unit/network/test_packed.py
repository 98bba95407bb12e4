"""Packed chips: matrices share tiles side by side, and each is read, programmed and calibrated as if alone."""

import copy

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of, find_stuck
from circuitmem.config import (
    AdcSpec,
    BitSlicingSpec,
    CalibrationSpec,
    ChipSpec,
    ConverterSpec,
    DacSpec,
    DefectSpec,
    OffsetSpec,
    TiaSpec,
    TwoPulseSpec,
)
from circuitmem.control import Chip, FloorPlan
from circuitmem.errors import ValidationError
from circuitmem.network import HardwareNetwork, Perceptron, on_chip, tile_counts, tiles_of

SIZES = [(6, 3), (3, 4), (4, 10), (10, 2)]
"""On tiles of 8 rows and 8 pairs: 3 and 4 pairs on the first; 5 and 5 on two more, which the last matrix shares."""


def network_on(packed=True, *, yield_=1.0, granularity="burst", wire=0.0, **more):
    fine = ConverterSpec(dac=DacSpec(bits=12), adc=AdcSpec(bits=16), tia=TiaSpec(open_loop_gain=1e9))
    exact = TwoPulseSpec(slope_spread=0.0, set_noise=0.0)
    given = {"converters": fine, "device": exact, "defects": DefectSpec(device_yield=yield_)} | more
    lines = {"word_line_resistance": wire, "bit_line_resistance": wire}
    spec = ChipSpec(tile=TileSpec(rows=8, columns=16, **lines), packed=packed, **given)
    rng = np.random.default_rng(5)
    model = Perceptron([rng.normal(size=size) for size in SIZES], [np.zeros(size[1]) for size in SIZES])
    scales = [1.0, 4.0, 8.0, 20.0]
    chip = Chip(spec, sum(tile_counts(SIZES, spec)), seed=1, granularity=granularity)
    network = HardwareNetwork(chip, model, scales)
    chip.run(network.program(0.0))
    return network


def vectors(layer, count=20, seed=1):
    return np.random.default_rng(seed).random((count, layer.partition.inputs)) * layer.input_scale


def ranged(network):
    for layer in network.layers:
        network.chip.run(layer.set_range(layer.input_codes(vectors(layer)), layer.correction.groups))


def cells_of(network):
    return [[unit.asked[place.cells].copy() for unit, place in zip(layer.units, layer.placements, strict=True)]
            for layer in network.layers]  # fmt: skip


def test_matrices_lie_side_by_side_where_there_is_room():
    network = network_on()
    assert [[unit.index for unit in layer.units] for layer in network.layers] == [[0], [0], [1, 2], [1, 2]]
    assert [layer.placements[0].pairs.tolist() for layer in network.layers] == [
        [0, 1, 2], [3, 4, 5, 6], [0, 1, 2, 3, 4], [5, 6]
    ]  # fmt: skip
    assert tiles_of(network.layers) == len(network.chip.units) == 3
    assert len(network_on(packed=False).chip.units) == 6
    plan = FloorPlan(8)
    plan.add(2, shared=True)
    assert plan.take(plan.room([8]), [8]) == [0]
    assert plan.room([4, 4]) == 1  # the second of the two tiles is yet to be made
    plan.add(1, shared=False)
    assert plan.room([4, 4]) == 3


@pytest.mark.parametrize("mapping", [None, BitSlicingSpec(kind="bit-slicing", slices=2, bits=4)])
def test_each_matrix_multiplies_as_if_it_were_alone(mapping):
    network = network_on(**({} if mapping is None else {"mapping": mapping}))
    ranged(network)
    step = 1e-3 if mapping is None else 2.0**-6
    for layer, weights in zip(network.layers, network.model.weights, strict=True):
        inputs = vectors(layer, seed=2)
        wanted = inputs @ weights
        found = network.chip.run(layer.forward(inputs))
        assert np.abs(found - wanted).max() < step * np.abs(wanted).max()


def test_only_its_own_lines_are_booked():
    network = network_on()
    layer, chip = network.layers[1], network.chip  # 3 of 8 rows, 8 of 16 columns; 8 columns per ADC
    before = chip.ledger.state()
    assert before
    spent = dict(chip.ledger.energy_by_part())
    chip.run(layer.forward(vectors(layer, 5)))
    converters = chip.spec.converters
    for part, each in (
        ("dac", 3 * converters.dac.energy_per_conversion),
        ("adc", 8 * converters.adc.energy_per_conversion),
    ):
        now = chip.ledger.energy_by_part()[part] - spent.get(part, 0)
        assert now * 1e-18 == pytest.approx(5 * each)


def test_each_counts_its_own_conversions():
    from circuitmem.training.methods import conversions

    network = network_on()
    chip, layers = network.chip, network.layers
    for unit in chip.units:
        unit.readout.adc.set_pga_gain(1e4)
    chip.run(layers[1].forward(vectors(layers[1], 5)))
    chip.run(layers[0].forward(vectors(layers[0], 7)))
    found = [conversions(layer) for layer in layers[:3]]
    assert [each["adc"] for each in found] == [7 * 6, 5 * 8, 0]
    assert found[1]["adc_saturated"] > 0
    whole = chip.ledger.accounts["mac_read"].saturated
    assert whole == sum(each["adc_saturated"] for each in found)
    layers[2].restore(layers[1].state() | {"weights": layers[2].weights, "placements": layers[2].state()["placements"]})
    assert conversions(layers[2])["adc"] == 5 * 8


def test_programming_one_leaves_the_others_alone():
    network = network_on(yield_=0.9)
    chip, before = network.chip, cells_of(network)
    one, other = network.layers[2:]
    new = np.random.default_rng(9).normal(size=one.weights.shape) * 0.3
    both = -0.5 * other.weights
    chip.run(one.program(new, 0.0))
    chip.run(one.verify(2, 1e-6))
    after = cells_of(network)
    for place in (0, 1, 3):
        assert all(np.array_equal(*pair) for pair in zip(before[place], after[place], strict=True))
    assert not np.array_equal(before[2][0], after[2][0])
    # Two layers on the same tiles are programmed at the same time.
    chip.run(chip.together([one.program(0.5 * new, 0.0), other.program(both, 0.0)]))
    found = cells_of(network)
    for layer, own, weights in ((one, found[2], 0.5 * new), (other, found[3], both)):
        for index, cells in enumerate(own):
            np.testing.assert_allclose(cells, layer._devices(index, weights), rtol=1e-12)


@pytest.mark.parametrize("wire", [0.0, 2.0])
def test_both_granularities_give_the_same_bits(wire):
    ends = []
    for granularity in ("burst", "pulse"):
        network = network_on(
            yield_=0.9, granularity=granularity, wire=wire, converters=ConverterSpec(adc=AdcSpec(noise=1e-3))
        )
        chip = network.chip
        for layer in network.layers:
            chip.run(layer.verify(1, 2e-6))
        ranged(network)
        found = [chip.run(layer.forward(vectors(layer))) for layer in network.layers]
        together = chip.run(
            chip.together([layer.forward(vectors(layer, 3 + k)) for k, layer in enumerate(network.layers)])
        )
        bits = [each.tobytes() for each in (*found, *together)]
        ends.append((bits, chip.clock, chip.ledger.total.energy, chip.ledger.pulses))
    assert ends[0] == ends[1]


def test_matrices_on_one_tile_are_read_one_after_another():
    network = network_on()
    chip, layers = network.chip, network.layers[:2]
    times = []
    for layer in layers:
        began = chip.clock
        chip.run(layer.forward(vectors(layer)))
        times.append(chip.clock - began)

    def asks():
        from circuitmem.network import Ask

        yield Ask([(index, vectors(layer)) for index, layer in enumerate(layers)])
        return np.zeros((1, 1))

    began = chip.clock
    chip.run(on_chip(chip, asks(), lambda index, given: layers[index].forward(given)))
    reads = [20 * layer.used_lines()[0].cost.time for layer in layers]
    assert sum(reads) <= chip.clock - began <= sum(times)


def test_reads_of_different_length_on_one_tile_do_not_overlap():
    """Not on chips that are not packed, either: the shorter read used to end before the longer one on the same tile."""
    clocks = []
    for granularity in ("burst", "pulse"):
        chip = network_on(False, granularity=granularity).chip
        unit, codes = chip.units[0], np.full((9, 8), 255)
        began = chip.clock
        chip.run(
            chip.together([chip.read_all([unit], [codes], "mac_read"), chip.read_all([unit], [codes[:2]], "mac_read")])
        )
        clocks.append((chip.clock - began, unit.array.waited))
    assert clocks[0] == clocks[1]
    assert clocks[0][0] == 11 * unit.read_time


@pytest.mark.parametrize(
    "method", ["affine", "split-affine", "defect-subtract", "redundant-column", "conversion", "offset"]
)
def test_calibrations_heed_what_is_the_layers_own(method):
    network = network_on(yield_=0.95, wire=1.0)
    chip, before = network.chip, cells_of(network)
    layer = network.layers[3]
    chip.run(layer.set_range(layer.input_codes(vectors(layer, 60)), 1))
    new = vectors(layer, 60, seed=8)
    wanted = new @ network.model.weights[3]
    raw = np.sqrt(np.mean((chip.run(layer.forward(new)) - wanted) ** 2))
    gains = [layer.units[0].readout.adc.pga_gain[place.columns] for place in (network.layers[2].placements[0],)]
    process = calibration_of((method,), CalibrationSpec(method=(method,)))
    chip.run(calibrate_layer(process, layer, vectors(layer, 60), CalibrationRecord()))
    found = np.sqrt(np.mean((chip.run(layer.forward(new)) - wanted) ** 2))
    assert found < {"affine": 0.9, "split-affine": 0.9, "defect-subtract": 0.6}.get(method, 1.3) * raw
    after = cells_of(network)
    for place in range(3):
        assert all(np.array_equal(*pair) for pair in zip(before[place], after[place], strict=True))
    columns = network.layers[2].placements[0].columns
    assert np.array_equal(gains[0], layer.units[0].readout.adc.pga_gain[columns])
    assert sorted(layer.placements[0].pairs.tolist()) == [5, 6]
    assert process.stored_words(layer) <= 2 * 4 * 2 * 20


def test_stuck_cells_are_found_among_its_own():
    network = network_on(yield_=0.8)
    chip, layer, before = network.chip, network.layers[2], cells_of(network)
    found = chip.run(find_stuck(layer))
    for unit, own, place in zip(layer.units, found, layer.placements, strict=True):
        known = ~np.isnan(own)
        np.testing.assert_array_equal(known[place.cells], unit.tile.stuck[place.cells])
        known[place.cells] = False
        assert not known.any()
    after = cells_of(network)
    assert all(np.array_equal(*pair) for pair in zip(before[3], after[3], strict=True))


def test_a_copy_and_a_restored_chip_know_what_is_taken():
    network = network_on()
    other = copy.deepcopy(network)
    for chip in (network.chip, other.chip):
        units, firsts = chip.take_places([1])
        assert ([unit.index for unit in units], firsts) == ([0], [7])
        assert chip.add_tiles(1)[0].index == 3
        assert [unit.index for unit in chip.take_places([6])[0]] == [4]  # not the tile that was added for another use


def test_a_converted_network_shares_tiles_and_reloads_with_the_same_bits():
    torch = pytest.importorskip("torch")
    from circuitmem.torch import convert, digitally, summary

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 2, groups=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16, 3)
    ).double()
    fine = ConverterSpec(dac=DacSpec(bits=12), adc=AdcSpec(bits=16), tia=TiaSpec(open_loop_gain=1e9))
    tile = TileSpec(rows=16, columns=16)
    spec, sound = ChipSpec(tile=tile, converters=fine, packed=True), DefectSpec(device_yield=1.0)
    inputs = torch.randn(6, 2, 3, 3, dtype=torch.float64)
    found = summary(net, inputs, spec)
    assert (found.tiles, [layer.tiles for layer in found.layers], found.shared) == (1, [1, 1], 1)
    assert summary(net, inputs, spec.model_copy(update={"packed": False})).tiles == 3
    analog = convert(net, spec.model_copy(update={"defects": sound}), seed=1, sample=inputs)
    assert "tiles=1 of 16x16" in str(analog[0])
    outputs = analog(inputs)
    with digitally(analog):
        wanted = analog(inputs)
    assert (outputs - wanted).abs().max() < 1e-2 * wanted.abs().max()
    outputs.square().sum().backward()
    assert analog[0].weight.grad.abs().sum() > 0.0
    other = convert(net, spec.model_copy(update={"defects": sound}), seed=1)
    other.load_state_dict(analog.state_dict())
    assert torch.equal(other(inputs), analog(inputs))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"mapping": OffsetSpec()}, "packed must be false with mapping offset, whose reference column"),
        ({"defects": DefectSpec(layers=(0,))}, "packed must be false with defects.layers: layers share tiles"),
    ],
)
def test_what_cannot_share_is_refused_in_one_line(more, message):
    with pytest.raises(ValidationError, match=message):
        ChipSpec(packed=True, **more)
