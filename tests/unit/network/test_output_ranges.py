"""A largest weight per output: each uses the whole range of its devices, and the digital core multiplies its sums."""

import numpy as np
import pytest

from circuitmem import TileSpec
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
    OffsetSpec,
    TiaSpec,
    TwoPulseSpec,
    load_run,
)
from circuitmem.control import ATTOJOULE, Chip
from circuitmem.errors import ValidationError
from circuitmem.network import HardwareNetwork, Perceptron, partitions
from circuitmem.training.gradients import ReadMap, effective_map, layer_gradient

SIZES = 13, 5
SPREAD = np.array([1.0, 0.3, 0.1, 0.03, 1e-3])
"""Standard deviations of each output's weights; the last one is below the smallest range of an output."""

EVERY = [DifferentialSpec(), OffsetSpec(), BitSlicingSpec(kind="bit-slicing", slices=2, bits=4)]


def layer_of(mapping, ranges="output", *, yield_=1.0, wire=0.0, fine=True, room=1.0):
    converters = ConverterSpec(dac=DacSpec(bits=14), adc=AdcSpec(bits=16), tia=TiaSpec(open_loop_gain=1e9))
    spec = ChipSpec(
        tile=TileSpec(rows=8, columns=9, word_line_resistance=wire, bit_line_resistance=wire),
        converters=converters if fine else ConverterSpec(),
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=yield_),
        mapping=mapping.model_copy(update={"largest_weight": ranges}),
    )
    model = Perceptron([np.random.default_rng(5).normal(size=SIZES) * SPREAD], [np.zeros(SIZES[1])])
    chip = Chip(spec, sum(part.tiles for part in partitions([SIZES], spec)), seed=1)
    network = HardwareNetwork(chip, model, [1.0], room)
    chip.run(network.program(0.0))
    for unit in chip.units:
        unit.readout.adc.set_pga_gain(6.0)
    return network.layers[0], model.weights[0], chip


@pytest.mark.parametrize("mapping", EVERY)
def test_a_perfect_chip_multiplies_and_small_outputs_are_as_exact_as_large_ones(mapping):
    inputs = np.random.default_rng(0).random((40, SIZES[0]))
    errors = {}
    for ranges in ("layer", "output"):
        layer, weights, chip = layer_of(mapping, ranges, fine=ranges == "output")
        if ranges == "layer":
            assert layer.ranges is None
        found, wanted = chip.run(layer.forward(inputs)), inputs @ weights
        errors[ranges] = np.abs(found - wanted).max(axis=0) / np.abs(wanted).max(axis=0)
    steps = 2.0**-7 if mapping.kind == "bit-slicing" else 1e-3
    assert errors["output"][:4].max() < steps
    layer, weights, chip = layer_of(mapping, "output", fine=False)
    coarse = np.abs(chip.run(layer.forward(inputs)) - wanted).max(axis=0) / np.abs(wanted).max(axis=0)
    assert coarse[1:4].sum() < 0.5 * errors["layer"][1:4].sum()  # with the same converters of 8 bits


def test_every_output_uses_the_whole_range_or_a_64th_of_the_layers():
    layer, weights, chip = layer_of(EVERY[0], room=1.5)
    largest = 1.5 * np.abs(weights).max(axis=0)
    np.testing.assert_allclose(layer.largest_weights, np.maximum(largest, largest.max() / 64.0), rtol=1e-12)
    device, most = chip.spec.device, np.zeros(SIZES[1])
    for index, (unit, place) in enumerate(zip(layer.units, layer.placements, strict=True)):
        pairs = unit.asked[place.cells].max(axis=0).reshape(-1, 2).max(axis=1)
        most[layer.partition.output_slice(index)] = np.maximum(most[layer.partition.output_slice(index)], pairs)
    full = device.minimum_conductance + (device.maximum_conductance - device.minimum_conductance) / 1.5
    np.testing.assert_allclose(most[:4], full, rtol=1e-9)
    assert most[4] < full
    lowest, highest = layer.limits()
    np.testing.assert_array_equal(highest, np.broadcast_to(layer.largest_weights, SIZES))
    np.testing.assert_array_equal(lowest, -highest)
    assert layer.at_limit(weights) == 0
    assert layer.at_limit(2.0 * weights) >= 4


def test_the_factors_are_booked():
    operations = []
    for ranges in ("layer", "output"):
        layer, _, chip = layer_of(EVERY[0], ranges)
        before = chip.ledger.energy_by_part().get("core", 0)
        chip.run(layer.forward(np.full((3, SIZES[0]), 0.5)))
        spent = chip.ledger.energy_by_part()["core"] - before
        operations.append(round(spent * ATTOJOULE / chip.spec.digital.energy_per_operation))
    assert operations[1] - operations[0] == 3 * SIZES[1]


@pytest.mark.parametrize("mapping", EVERY)
def test_the_gradient_through_reads_is_the_exact_one_and_the_map_is_that_of_the_product(mapping):
    layer, _, chip = layer_of(mapping, yield_=0.95, wire=2.0)
    rng = np.random.default_rng(4)
    inputs, error = rng.random((20, SIZES[0])), rng.normal(size=(20, SIZES[1])) / layer.ranges
    exact, _ = layer_gradient(layer, inputs, error)
    cells = chip.run(read_conductances(layer))
    found = ReadMap(layer, cells).gradient(inputs.T @ error)
    for one, other in zip(found.T, exact.T, strict=True):  # for large and for small outputs
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.999
        assert 0.8 < np.linalg.norm(one) / np.linalg.norm(other) < 1.2
    through, product = inputs @ effective_map(layer, cells), chip.run(layer.forward(inputs))
    assert np.abs(through - product).max(axis=0) == pytest.approx(0.0, abs=0.05 * np.abs(product).max())


def test_gradients_are_those_of_finite_differences():
    torch = pytest.importorskip("torch")
    from circuitmem.torch import CrossbarLinear

    spec = ChipSpec(
        tile=TileSpec(rows=8, columns=6, word_line_resistance=20.0, bit_line_resistance=20.0),
        mapping=DifferentialSpec(largest_weight="output"),
        defects=DefectSpec(device_yield=0.9),
    )
    torch.manual_seed(0)
    layer = CrossbarLinear(9, 4, chip=spec, seed=1, input_scale=2.0, converters=False, bias=False).double()
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([[1.0], [0.3], [0.1], [0.02]]))
    inputs = (torch.rand(2, 9, dtype=torch.float64) * 2 - 1).requires_grad_()
    layer(inputs)  # sets the ranges
    ranges = layer.products[0].layer.ranges.copy()
    weight = layer.weight.detach().clone().requires_grad_()

    def product(inputs, weight):
        return torch.func.functional_call(layer, {"weight": weight}, inputs)

    assert torch.autograd.gradcheck(product, (inputs, weight), eps=1e-6, atol=1e-6, rtol=1e-5)
    assert np.array_equal(layer.products[0].layer.ranges, ranges)
    assert ranges.max() <= 1.0
    assert ranges.min() < 0.1
    other = CrossbarLinear(9, 4, chip=spec, seed=1, input_scale=2.0, converters=False, bias=False).double()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(inputs), layer(inputs))
    assert np.array_equal(other.products[0].layer.ranges, ranges)


@pytest.mark.parametrize("method", ["affine", "defect-subtract", "redundant-column", "conversion"])
def test_calibrations_work(method):
    layer, weights, chip = layer_of(EVERY[0], yield_=0.95, wire=1.0)
    rng = np.random.default_rng(3)
    seen, new = rng.random((60, SIZES[0])), rng.random((60, SIZES[0]))
    wanted = new @ weights
    chip.run(layer.set_range(layer.input_codes(seen), 1))
    raw = np.sqrt(np.mean((chip.run(layer.forward(new)) - wanted) ** 2, axis=0))
    process = calibration_of((method,), CalibrationSpec(method=(method,)))
    chip.run(calibrate_layer(process, layer, seen, CalibrationRecord()))
    found = np.sqrt(np.mean((chip.run(layer.forward(new)) - wanted) ** 2, axis=0))
    assert np.median(found / raw) < {"affine": 0.9, "defect-subtract": 0.5}.get(method, 1.2)


def test_what_it_may_be_is_said_in_one_line():
    with pytest.raises(ValidationError, match=r"chip.mapping.largest_weight must be 'layer' or 'output'"):
        load_run(None, ["chip.mapping.kind=differential", "chip.mapping.largest_weight=column"])
