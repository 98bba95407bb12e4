"""Convolutions: products of patches are a convolution, digitally and on tiles, and the way back is the transpose."""

import numpy as np
import pytest

from circuitmem import LinearCell, TileSpec
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec, NetworkSpec, TwoPulseSpec
from circuitmem.control import Chip
from circuitmem.network import HardwareNetwork, Patches, Perceptron, partitions, patches_of, positions

SPEC = NetworkSpec(kind="cnn", layers=(100, 7, 10), convolutions=((3, 3), (4, 3)))
"""10x10 pixels: 3 maps of 8x8, pooled to 4x4; 4 of 2x2, pooled to 1x1; 7 units; 10 outputs."""


def model_of(spec, seed=0):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape) / np.sqrt(shape[0]) for shape in spec.shapes]
    return Perceptron(weights, [rng.uniform(0.2, 1.0, n) for _, n in spec.shapes], patches_of(spec))


def convolved(maps, kernel):
    """Convolve maps with a kernel (size, size, channels, new channels), pixel by pixel."""
    size, steps = kernel.shape[0], maps.shape[1] - kernel.shape[0] + 1
    found = np.zeros((len(maps), steps, steps, kernel.shape[3]))
    for y, x in np.ndindex(steps, steps):
        found[:, y, x] = np.tensordot(maps[:, y : y + size, x : x + size], kernel, 3)
    return found


def pooled(maps):
    return (maps[:, 0::2, 0::2] + maps[:, 0::2, 1::2] + maps[:, 1::2, 0::2] + maps[:, 1::2, 1::2]) / 4.0


def test_the_declared_shapes():
    assert SPEC.shapes == ((9, 3), (27, 4), (4, 7), (7, 10))
    assert positions(SPEC) == [64, 4, 1, 1] == model_of(SPEC).positions
    assert NetworkSpec(kind="cnn").shapes == ((25, 6), (150, 16), (256, 100), (100, 10))  # LeNet's convolutions
    assert NetworkSpec().shapes == ((784, 100), (100, 10))
    assert positions(NetworkSpec()) == [1, 1]


def test_the_model_is_a_convolutional_network():
    model, images = model_of(SPEC), np.random.default_rng(1).random((5, 100))
    maps = images.reshape(5, 10, 10, 1)
    for layer, (channels, size) in enumerate(SPEC.convolutions):
        kernel = model.weights[layer].reshape(size, size, -1, channels)
        maps = np.maximum(pooled(convolved(maps, kernel) + model.biases[layer]), 0.0)
    hidden = np.maximum(maps.reshape(5, -1) @ model.weights[2] + model.biases[2], 0.0)
    logits = hidden @ model.weights[3] + model.biases[3]
    np.testing.assert_allclose(model.activities(images)[-1], logits, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(model.logits(images), logits, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("patches", [Patches(6, 2, 3, 1), Patches(8, 3, 2, 2), Patches(6, 2, 3, 2)])
def test_scatter_is_the_transpose_of_gather(patches):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(3 * patches.side**2, patches.channels))
    gathered = patches.gather(values)
    assert gathered.shape == (3 * patches.positions, patches.kernel**2 * patches.channels)
    errors = rng.normal(size=gathered.shape)
    back = patches.scatter(errors)
    assert back.shape == values.shape
    assert (gathered * errors).sum() == pytest.approx((values * back).sum(), rel=1e-12)


def test_many_inputs_are_taken_in_parts_and_come_out_in_order():
    model = model_of(SPEC)
    assert model.at_once(500) == 128
    images = np.random.default_rng(3).random((300, 100))
    np.testing.assert_allclose(model.logits(images), model.activities(images)[-1], rtol=1e-12, atol=1e-12)


def test_vectors_are_one_patch_of_each_image():
    model, images = model_of(SPEC), np.random.default_rng(4).random((50, 100))
    vectors, activities = model.vectors(images, np.random.default_rng(5)), model.activities(images)
    for layer, count in enumerate(model.positions):
        patches = activities[layer].reshape(50, count, -1)
        equal = (patches == vectors[layer][:, None]).all(axis=2)
        assert equal.any(axis=1).all()
        if layer == 0:  # and not always the same patch, such as a corner, which is always black
            assert len(set(equal.argmax(axis=1))) > 20


def test_a_perfect_chip_convolves():
    """Layers are cut into several tiles: 27 inputs on tiles of 8 rows."""
    chip_spec = ChipSpec(
        tile=TileSpec(rows=8, columns=6, word_line_resistance=0.0, bit_line_resistance=0.0, cell=LinearCell()),
        converters=ConverterSpec(dac=DacSpec(bits=12), adc=AdcSpec(bits=16)),
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=1.0),
    )
    model, images = model_of(SPEC), np.random.default_rng(6).random((4, 100))
    chip = Chip(chip_spec, sum(part.tiles for part in partitions(SPEC.shapes, chip_spec)), seed=1)
    wanted = model.activities(images)
    network = HardwareNetwork(chip, model, [1.0, *(float(each.max()) for each in wanted[1:-1])])
    chip.run(network.program(0.0))
    for unit in chip.units:
        unit.readout.adc.set_pga_gain(8.0)
    maps = images.reshape(4, 10, 10, 1)
    sums = convolved(maps, model.weights[0].reshape(3, 3, 1, 3))
    vectors = model.gather(0, images)
    product = chip.run(network.layers[0].forward(vectors)).reshape(sums.shape)
    np.testing.assert_allclose(product, sums, atol=2e-3 * np.abs(sums).max())
    found = chip.run(network.forward(images))
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=0.01 * np.abs(other).max())
