"""Layers of every mapping: exact products, costs, stuck cells, gradients, calibrations, pulses."""

import numpy as np
import pytest

from circuitmem import TileSpec, TransistorCell
from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of, read_conductances
from circuitmem.config import (
    AdcSpec,
    BitSlicingSpec,
    CalibrationSpec,
    ChipSpec,
    ConverterSpec,
    DacSpec,
    DefectSpec,
    DifferentialSpec,
    LinearCell,
    OffsetSpec,
    TiaSpec,
    TwoPulseSpec,
    load_run,
)
from circuitmem.control import ATTOJOULE, Chip
from circuitmem.engine import SpiceEngine
from circuitmem.errors import ValidationError
from circuitmem.network import HardwareNetwork, Perceptron, partitions, used_columns
from circuitmem.registry import names
from circuitmem.training.gradients import ReadMap, layer_gradient

DIFFERENTIAL, OFFSET = DifferentialSpec(), OffsetSpec()
SLICED = BitSlicingSpec(kind="bit-slicing", slices=2, bits=3)
EVERY = [DIFFERENTIAL, OFFSET, SLICED]
OTHERS = [OFFSET, SLICED]


def layer_of(mapping, *, yield_=1.0, wire=0.0, sizes=(13, 5), cell=None, engine=None, serial=False, **more):
    converters = ConverterSpec(
        dac=DacSpec(bits=12, input="serial" if serial else "parallel"),
        adc=AdcSpec(bits=16),
        tia=TiaSpec(open_loop_gain=1e9),
    )
    spec = ChipSpec(
        tile=TileSpec(
            rows=8, columns=9, word_line_resistance=wire, bit_line_resistance=wire, cell=cell or LinearCell()
        ),
        converters=converters,
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=yield_),
        mapping=mapping,
        **more,
    )
    model = Perceptron([np.random.default_rng(5).normal(size=sizes)], [np.zeros(sizes[1])])
    chip = Chip(spec, sum(part.tiles for part in partitions([sizes], spec)), seed=1, engine=engine)
    network = HardwareNetwork(chip, model, [1.0])
    chip.run(network.program(0.0))
    for unit in chip.units:
        unit.readout.adc.set_pga_gain(8.0)
    return network, network.layers[0], chip


def as_held(mapping, weights):
    """Return weights as the mapping holds them: rounded by slices."""
    if mapping.kind != "bit-slicing":
        return weights
    unit = np.abs(weights).max() / (2 ** (mapping.slices * mapping.bits) - 1)
    return np.rint(weights / unit) * unit


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("cell", [None, TransistorCell(on_resistance=1e3)])
@pytest.mark.parametrize("mapping", EVERY)
def test_a_perfect_chip_multiplies(mapping, cell, serial):
    network, layer, chip = layer_of(mapping, cell=cell, serial=serial)
    inputs = np.random.default_rng(0).random((6, 13))
    wanted = inputs @ as_held(mapping, network.model.weights[0])
    np.testing.assert_allclose(chip.run(layer.forward(inputs)), wanted, atol=2e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("mapping", OTHERS)
def test_ngspice_gives_the_same_product(mapping):
    inputs = np.random.default_rng(0).random((1, 5))
    found = []
    for engine in (None, SpiceEngine()):
        _, layer, chip = layer_of(mapping, wire=2.0, sizes=(5, 2), engine=engine)
        found.append(chip.run(layer.forward(inputs)))
    np.testing.assert_array_equal(*found)


def test_each_mapping_has_its_columns_tiles_and_digital_operations():
    found = {}
    for mapping in EVERY:
        _, layer, chip = layer_of(mapping)
        before = chip.ledger.energy_by_part()
        chip.run(layer.forward(np.full((3, 13), 0.5)))
        spent = {part: energy - before.get(part, 0) for part, energy in chip.ledger.energy_by_part().items()}
        operations = spent["core"] * ATTOJOULE / chip.spec.digital.energy_per_operation
        found[mapping.kind] = len(chip.units), used_columns([layer]), round(operations), spent["adc"]
    tiles, columns, digital, conversions = zip(*found.values(), strict=True)
    # 13 inputs make two rows of tiles; tiles of 9 columns have room for 4 pairs, 8 offsets, 2 outputs of two slices.
    assert tiles == (4, 2, 6)
    assert columns == (20, 12, 40)
    # Two per column and input; per output and row of tiles the reference's subtraction, or a shift and an addition.
    assert digital == (2 * 3 * 4 * 9, 2 * 3 * 2 * 9 + 3 * 5 * 2, 2 * 3 * 6 * 9 + 2 * 3 * 5 * 2)
    assert (2 * conversions[1], 2 * conversions[2]) == (conversions[0], 3 * conversions[0])


@pytest.mark.parametrize("mapping", OTHERS)
@pytest.mark.parametrize("name", names("calibrations"))
def test_every_calibration_works(mapping, name):
    network, layer, chip = layer_of(mapping, yield_=0.95, wire=1.0)
    rng = np.random.default_rng(3)
    seen, new = rng.random((60, 13)), rng.random((60, 13))
    wanted = new @ network.model.weights[0]
    chip.run(layer.set_range(layer.input_codes(seen), 1))
    raw = np.sqrt(np.mean((chip.run(layer.forward(new)) - wanted) ** 2))
    record = CalibrationRecord()
    chip.run(calibrate_layer(calibration_of((name,), CalibrationSpec(method=(name,))), layer, seen, record))
    found = np.sqrt(np.mean((chip.run(layer.forward(new)) - wanted) ** 2))
    worse = {"none": 1.05, "offset": 1.05, "conversion": 1.2, "redundant-column": 1.05}
    assert found <= worse.get(name, 1.0) * raw
    if name in ("defect-subtract", "affine", "out-of-range"):
        assert found < 0.5 * raw


@pytest.mark.parametrize("mapping", EVERY)
def test_exact_gradients_are_those_of_finite_differences_of_cells(mapping):
    """Checked by the gradient of the inputs, which does not depend on the column layout."""
    _, layer, chip = layer_of(mapping, yield_=0.95, wire=5.0)
    inputs, error = np.full((1, 13), 0.5), np.array([[0.3, -1.0, 0.2, 0.7, -0.4]])
    _, found = layer_gradient(layer, inputs, error, quantised=False)
    volts, sums = 1e-3, []
    for sign in (1.0, -1.0):
        moved = np.repeat(inputs, 13, axis=0) + sign * volts * np.eye(13)
        total = np.zeros((13, 5))
        for index, (unit, place) in enumerate(zip(layer.units, layer.placements, strict=True)):
            unit.meet(chip.clock)
            currents = chip.electrics.behavioral.read(unit.tile, layer.line_voltages(index, moved))[:, place.columns]
            total[:, layer.partition.output_slice(index)] += layer.mapping.difference(currents)
        sums.append((total / layer.current_scale) @ error[0])
    np.testing.assert_allclose(found[0], (sums[0] - sums[1]) / (2 * volts), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("mapping", EVERY)
@pytest.mark.parametrize("wire", [0.0, 5.0])
def test_the_gradient_through_reads_is_the_exact_one(mapping, wire):
    _, layer, chip = layer_of(mapping, yield_=0.95, wire=wire)
    rng = np.random.default_rng(4)
    inputs, error = rng.random((20, 13)), rng.normal(size=(20, 5))
    exact, _ = layer_gradient(layer, inputs, error)
    cells = chip.run(read_conductances(layer))
    found = ReadMap(layer, cells).gradient(inputs.T @ error)
    assert (found * exact).sum() / np.linalg.norm(found) / np.linalg.norm(exact) > 0.999
    if wire:
        without = ReadMap(layer, cells, wired=False).gradient(inputs.T @ error)
        assert np.abs(found - exact).max() < 0.5 * np.abs(without - exact).max()


def test_the_general_gradient_of_pairs_is_that_of_the_kernel():
    _, layer, chip = layer_of(DIFFERENTIAL, yield_=0.9, wire=5.0)
    chip.run(
        calibrate_layer(
            calibration_of(("conversion",), CalibrationSpec()), layer, np.ones((2, 13)), CalibrationRecord()
        )
    )
    layer.stuck = np.where(np.stack([unit.tile.stuck for unit in layer.units]), 1e-4, np.nan)
    each = ReadMap(layer, chip.run(read_conductances(layer)))
    outer = np.random.default_rng(4).normal(size=(13, 5))
    np.testing.assert_allclose(each._by_cells(outer), each.gradient(outer), rtol=1e-10, atol=1e-14)


def test_pulses_go_to_the_slices_whose_digit_changes():
    _, layer, chip = layer_of(SLICED)
    weights, unit = layer.weights.copy(), layer.mapping.unit
    at = np.argwhere((np.abs(weights) > 8.6 * unit) & (np.abs(weights) < 60.0 * unit))[0]
    digits = np.rint(np.abs(weights[tuple(at)]) / unit)
    before = chip.ledger.pulses
    weights[tuple(at)] += 0.2 * unit if weights[tuple(at)] < np.rint(weights[tuple(at)] / unit) * unit else -0.2 * unit
    chip.run(layer.program(weights, 6e-6))
    assert chip.ledger.pulses == before  # less than a unit stays in the digital core
    up = 8 * np.ceil((digits + 1) / 8)  # the lower digit becomes 0, and the higher one goes up by 1
    weights[tuple(at)] = np.sign(weights[tuple(at)]) * up * unit
    asked = [own.asked.copy() for own in layer.units]
    chip.run(layer.program(weights, 6e-6))
    moved = [np.argwhere(own.asked != old) for own, old in zip(layer.units, asked, strict=True)]
    columns = sorted(int(column) % 4 for each in moved for _, column in each)
    side = int(weights[tuple(at)] < 0)
    assert columns == ([side, 2 + side] if digits % 8 else [side])


@pytest.mark.parametrize("mapping", OTHERS)
def test_a_cell_that_is_known_to_be_stuck_gets_no_pulses_and_the_others_make_up_for_it(mapping):
    network, layer, chip = layer_of(mapping, yield_=0.9)
    true = np.stack([unit.tile.conductance for unit in layer.units])
    is_stuck = np.stack([unit.tile.stuck for unit in layer.units])
    inputs = np.random.default_rng(0).random((30, 13))
    wanted = inputs @ network.model.weights[0]
    before = np.abs(chip.run(layer.forward(inputs)) - wanted).mean()
    layer.stuck = np.where(is_stuck, np.stack([unit.tile.effective_conductance for unit in layer.units]), np.nan)
    asked = [unit.asked.copy() for unit in layer.units]
    chip.run(layer.program(layer.weights, 0.0))
    for own, old, stuck in zip(layer.units, asked, is_stuck, strict=True):
        np.testing.assert_array_equal(own.asked[stuck], old[stuck])
    assert true.shape == is_stuck.shape
    assert np.abs(chip.run(layer.forward(inputs)) - wanted).mean() < 0.9 * before


@pytest.mark.parametrize("mapping", OTHERS)
def test_both_granularities_give_the_same_bits(mapping):
    found = []
    for granularity in ("burst", "pulse"):
        network, layer, first = layer_of(mapping, yield_=0.9, wire=1.0)
        chip = Chip(first.spec, len(first.units), seed=1, granularity=granularity)
        network = HardwareNetwork(chip, network.model, [1.0])
        chip.run(network.program(0.0))
        layer = network.layers[0]
        chip.run(layer.verify(1, 2e-6))
        product = chip.run(layer.forward(np.random.default_rng(0).random((4, 13))))
        found.append((product.tobytes(), chip.clock, chip.ledger.energy, chip.ledger.pulses))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("settings", "room"),
    [([], 1.0), (["network.weight_range=2.0"], 2.0), (["network.model='a:b'"], 1.5)],
)
def test_the_range_of_the_devices_leaves_the_declared_room(settings, room):
    spec = load_run(None, settings)
    assert spec.network.room == room
    model = Perceptron([np.array([[0.5, -3.0]])], [np.zeros(2)])
    network = HardwareNetwork(Chip(spec.chip, 1), model, [1.0], spec.network.room)
    assert network.layers[0].mapping.largest_weight == 3.0 * room


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ChipSpec(tile=TileSpec(rows=2, columns=3), mapping=SLICED),
            "tile.columns must be >= 4, for an output with mapping bit-slicing (got 3)",
        ),
        (
            lambda: ChipSpec(tile=TileSpec(rows=2, columns=1), mapping=OFFSET),
            "tile.columns must be >= 2, for an output with mapping offset (got 1)",
        ),
        (
            lambda: ChipSpec(mapping=BitSlicingSpec(kind="bit-slicing", bits=6)),
            "mapping.bits must leave steps > programming.deadband (=6e-06 S) between levels, not 4.75e-06 S (got 6)",
        ),
        (
            lambda: BitSlicingSpec(kind="bit-slicing", slices=7, bits=4),
            "slices times bits (=4) must be <= 24 (got 7)",
        ),
        (lambda: load_run(None, ["network.weight_range=0.5"]), "network.weight_range must be "),
        (lambda: ChipSpec(mapping={"kind": "offsett"}), "mapping.kind must be one of"),
        (lambda: ChipSpec(mapping={"kind": "offset", "bits": 2}), "mapping.bits is not a known key"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(ValidationError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
