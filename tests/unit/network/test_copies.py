"""Copies of kernels: patches are dealt out among sets of tiles; the results are those of one set, in less time."""

import numpy as np
import pytest

from circuitmem.config import load_run
from circuitmem.errors import ValidationError
from circuitmem.network import Partition, Perceptron, patches_of
from circuitmem.training import MethodRun, build_network, load_data
from circuitmem.training.gradients import layer_gradient
from circuitmem.training.methods import tile_count

CNN = ["network.kind=cnn", "network.convolutions=[[3,3]]", "network.layers=[64,10]", "data.side=8", "data.train=20"]
CNN += ["data.test=6", "chip.tile.rows=16", "chip.tile.columns=8", "calibration.vectors=15", "in_situ.batch=10"]
CNN += ["in_situ.epochs=1", "in_situ.read_batches=1", "audit.tiles=0", "audit.fraction=0.0"]
IDEAL = ["chip.converters.adc.noise=0.0", "chip.converters.adc.gain_error=0.0", "chip.converters.adc.offset_error=0.0"]
IDEAL += ["chip.converters.dac.gain_error=0.0", "chip.converters.dac.offset_error=0.0", "chip.device.set_noise=0.0"]
IDEAL += ["chip.converters.dac.resistor_mismatch=0.0", "chip.device.slope_spread=0.0", "chip.defects.device_yield=1.0"]
IDEAL += [f"chip.tile.{line}_line_resistance=0.0" for line in ("word", "bit")]


def network_of(copies, *more):
    spec = load_run(None, [*CNN, f"chip.kernel_copies={copies}", *more])
    data = load_data(spec.data, spec.network, spec.seed)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) / 3 for shape in spec.network.shapes]
    model = Perceptron(weights, [np.zeros(len(own.T)) for own in weights], patches_of(spec.network))
    network = build_network(spec, model, data)
    assert len(network.chip.units) == tile_count(spec)
    return spec, network, data


def programmed(copies, *more):
    spec, network, data = network_of(copies, *more)
    chip = network.chip
    chip.run(network.program(0.0))
    for layer, vectors in zip(network.layers, network.model.activities(data.train_inputs)[:-1], strict=True):
        chip.run(layer.set_range(layer.input_codes(layer.within_range(vectors)), 1))
    return spec, network, data


def test_copies_have_tiles_of_their_own():
    one, three = Partition(30, 9, 8, 6), Partition(30, 27, 8, 6, copies=3)
    assert three.tiles == 3 * one.tiles
    found = {copy: [] for copy in range(3)}
    for tile in range(three.tiles):
        own = three.output_slice(tile)
        copy = three.copy_of(tile)
        assert 9 * copy <= own.start < own.stop <= 9 * (copy + 1)
        found[copy].append((three.input_slice(tile), own.start - 9 * copy, own.stop - 9 * copy))
    wanted = [(one.input_slice(k), one.output_slice(k).start, one.output_slice(k).stop) for k in range(one.tiles)]
    assert all(sorted(own, key=str) == sorted(wanted, key=str) for own in found.values())


@pytest.mark.parametrize("more", [(), ("granularity=pulse",), ("chip.converters.dac.input=serial",)])
def test_on_an_ideal_chip_they_give_the_same_in_a_part_of_the_time(more):
    found = []
    for copies in (1, 3):
        _, network, data = programmed(copies, *IDEAL, *more)
        chip, (kernel, _) = network.chip, network.layers
        before = chip.clock
        sums = chip.run(kernel.forward(np.random.default_rng(1).random((73, 9))))
        booked = chip.ledger.accounts["mac_read"]
        found.append((sums, network.chip.run(network.outputs(data.test_inputs)), chip.clock - before, booked, kernel))
    (sums, logits, clock, one, single), (same, others, less, three, kernel) = found
    np.testing.assert_array_equal(same, sums)
    np.testing.assert_array_equal(others, logits)
    assert len(kernel.units) == 3 * len(single.units)
    assert less < clock
    planes = 8 if "serial" in str(more) else 1
    before, after = planes * len(single.units) * 73, planes * len(kernel.units) * 25  # ceil(73/3) reads of each copy
    logits_reads = one.operations - before
    assert three.operations - after <= logits_reads + 3 * planes * len(kernel.units)


def test_the_clock_is_shorter_by_as_many_as_there_are_copies():
    times = []
    for copies in (1, 2, 4):
        _, network, _ = programmed(copies, *IDEAL)
        chip, began = network.chip, network.chip.clock
        chip.run(network.layers[0].forward(np.ones((80, 9))))
        times.append(chip.clock - began)
        assert chip.ledger.accounts["mac_read"].operations == 80  # as many single reads for any number of copies
    whole, half, quarter = times
    assert half == pytest.approx(whole / 2, rel=0.1)
    assert quarter == pytest.approx(whole / 4, rel=0.2)


@pytest.mark.parametrize("more", [(), ("chip.mapping.largest_weight=output",)])
def test_each_copy_is_calibrated_for_its_own_defects(more):
    spec, network, data = network_of(
        3, "chip.defects.device_yield=0.9", "calibration.method=['defect-subtract','affine']", *more
    )
    result = MethodRun("calibration", spec, network, data).finish()
    assert result.product_errors["after"][0]["rmse"] < 0.5 * result.product_errors["before"][0]["rmse"]
    kernel = network.layers[0]
    shifts = kernel.correction.output_shift.reshape(3, -1)
    assert not np.array_equal(shifts[0], shifts[1])


def test_gradients_are_those_of_the_copy_that_took_the_vector():
    _, network, _ = programmed(2, "chip.defects.device_yield=0.8")
    kernel = network.layers[0]
    rng = np.random.default_rng(3)
    activities, error = rng.random((5, 9)), rng.normal(size=(5, 3))
    weights, back = layer_gradient(kernel, activities, error, quantised=False)
    assert weights.shape == (9, 3)
    assert back.shape == (5, 9)
    alone = [layer_gradient(kernel, activities[k : k + 1], error[k : k + 1], quantised=False) for k in (0, 2, 4)]
    for k, (_, own) in zip((0, 2, 4), alone, strict=True):  # a single vector goes to the first copy
        np.testing.assert_allclose(back[k], own[0], rtol=1e-12)
    other = layer_gradient(kernel, activities[1:2], error[1:2], quantised=False)[1]
    assert np.abs(back[1] - other[0]).max() > 1e-3 * np.abs(other).max()


@pytest.mark.parametrize("gradient", ["read", "adjoint", "ideal"])
def test_copies_are_trained_together(gradient):
    spec, network, data = network_of(2, f"in_situ.gradient={gradient}", "in_situ.learning_rate=0.1")
    before = network.model.weights[0].copy()
    result = MethodRun("in_situ", spec, network, data).finish()
    assert result.history[-1]["pulses"] > result.history[0]["pulses"]
    assert not np.array_equal(network.model.weights[0], before)
    kernel = network.layers[0]
    np.testing.assert_array_equal(kernel.weights, np.tile(network.model.weights[0], (1, 2)))


def test_packed_copies_lie_side_by_side():
    _, network, data = programmed(2, *IDEAL, "chip.packed=true", "chip.tile.columns=16")
    _, single, _ = programmed(1, *IDEAL)
    found, wanted = (each.chip.run(each.outputs(data.test_inputs)) for each in (network, single))
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
    assert len(network.chip.units) < tile_count(load_run(None, [*CNN, "chip.kernel_copies=2", "chip.tile.columns=16"]))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("methods=['best']",), "chip.kernel_copies must be 1 with the step remap-rows-and-columns"),
        (("methods=['schr']",), "chip.kernel_copies must be 1 with the step remap-columns"),
    ],
)
def test_what_copies_cannot_be_is_refused(more, message):
    spec, network, data = network_of(2, *more)
    with pytest.raises(ValidationError, match=message):
        MethodRun(spec.methods[0], spec, network, data)
    for wrong in ("0", "-1", "4097", "1.5", "true"):
        with pytest.raises(ValidationError, match=r"chip\.kernel_copies must"):
            load_run(None, [f"chip.kernel_copies={wrong}"])
