"""Layers on tiles: nothing is lost in cutting and mapping, and calibration learns from measurements only."""

import numpy as np
import pytest

from circuitmem import DefectMap, LinearCell, TileSpec, TransistorCell
from circuitmem.calibration import Affine, SplitAffine
from circuitmem.config import AdcSpec, CalibrationSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec, TwoPulseSpec
from circuitmem.control import Chip
from circuitmem.errors import ValidationError
from circuitmem.network import HardwareNetwork, Partition, Perceptron
from circuitmem.tile import PairMapping, Tile


def network_of(rng, *, yield_=1.0, wire=0.0, errors=False, sizes=(20, 9), cell=None):
    exact = {"dac": DacSpec(bits=12), "adc": AdcSpec(bits=16)}
    real = {"dac": DacSpec(gain_error=0.01), "adc": AdcSpec(gain_error=0.05, offset_error=0.02, noise=1e-3)}
    spec = ChipSpec(
        tile=TileSpec(
            rows=8, columns=6, word_line_resistance=wire, bit_line_resistance=wire, cell=cell or LinearCell()
        ),
        converters=ConverterSpec(**(real if errors else exact)),
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=yield_),
    )
    model = Perceptron([rng.normal(size=sizes)], [np.zeros(sizes[1])])
    chip = Chip(spec, Partition(*sizes, 8, 6).tiles, seed=1)
    network = HardwareNetwork(chip, model, [1.0])
    chip.run(network.program(0.0))
    return network


def affine(groups):
    if groups == 1:
        return Affine(CalibrationSpec())
    return SplitAffine(CalibrationSpec(groups=groups))


def test_partitions_cover_every_input_and_output_once():
    partition = Partition(20, 9, 8, 6)
    assert partition.grid == (3, 3)
    covered = np.zeros((20, 9), dtype=int)
    for tile in range(partition.tiles):
        covered[partition.input_slice(tile), partition.output_slice(tile)] += 1
        assert partition.word_lines(tile).start >= 0
        assert partition.bit_lines(tile).stop <= 6
    assert (covered == 1).all()


def test_pairs_give_the_weight_back():
    weights = np.array([[0.5, -1.0, 0.0, 3.0]])
    pairs = PairMapping(1e-6, 300e-6, 1.0).conductances(weights)
    recovered = (pairs[:, 0::2] - pairs[:, 1::2]) / PairMapping(1e-6, 300e-6, 1.0).scale
    np.testing.assert_allclose(recovered, [[0.5, -1.0, 0.0, 1.0]], atol=1e-12)


@pytest.mark.parametrize("cell", [None, TransistorCell(on_resistance=1e3)])
def test_a_perfect_chip_multiplies(cell):
    """Cells behind transistors are programmed so that the conductance of the whole cell is right."""
    rng = np.random.default_rng(0)
    network = network_of(rng, cell=cell)
    layer, inputs = network.layers[0], rng.random((6, 20))
    for unit in layer.units:
        # The largest possible current, 8 cells x 0.2 V x 300 uS on 200 ohm, is then 0.77 of the range.
        unit.readout.adc.set_pga_gain(8.0)
    product = network.chip.run(layer.forward(inputs))
    wanted = inputs @ network.model.weights[0]
    # 12-bit inputs, 16-bit outputs, and a virtual ground of 0.02 ohm.
    np.testing.assert_allclose(product, wanted, atol=2e-3 * np.abs(wanted).max())


def test_verifying_cells_behind_transistors_takes_the_transistors_away():
    network = network_of(np.random.default_rng(3), cell=TransistorCell(on_resistance=3e3))
    layer, chip = network.layers[0], network.chip
    before = chip.ledger.pulses
    chip.run(layer.verify(1, 2e-6))
    assert chip.ledger.pulses == before  # all cells were right


@pytest.mark.parametrize("groups", [1, 2])
def test_calibration_lowers_the_error_on_held_out_vectors(groups):
    rng = np.random.default_rng(1)
    network = network_of(rng, yield_=0.9, wire=2.0, errors=True)
    layer, chip = network.layers[0], network.chip
    seen, held_out = rng.random((60, 20)), rng.random((60, 20))
    chip.run(layer.set_range(layer.input_codes(seen), groups))
    wanted = held_out @ network.model.weights[0]
    raw = np.sqrt(np.mean((chip.run(layer.forward(held_out)) - wanted) ** 2))
    chip.run(affine(groups).learn(layer, seen))
    assert layer.correction.groups == groups
    corrected = np.sqrt(np.mean((chip.run(layer.forward(held_out)) - wanted) ** 2))
    assert corrected < 0.5 * raw


@pytest.mark.parametrize("bad", [-0.25, np.nan])
def test_an_activity_that_no_word_line_can_have_is_refused(bad):
    network = network_of(np.random.default_rng(3))
    activities = np.full((2, 20), 0.5)
    activities[1, 7] = bad
    with pytest.raises(ValidationError, match=r"activities must be .* at index \(1, 7\)"):
        network.chip.run(network.layers[0].forward(activities))


def test_calibration_does_not_look_at_the_defects():
    rng = np.random.default_rng(2)
    network = network_of(rng, yield_=0.8, errors=True)
    layer, chip, inputs = network.layers[0], network.chip, rng.random((40, 20))
    chip.run(layer.set_range(layer.input_codes(inputs), 1))
    chip.run(affine(1).learn(layer, inputs))
    before = layer.correction
    for unit in layer.units:
        other = DefectMap.random(unit.tile.spec, yield_=0.5, seed=99, key=(unit.index,))
        unit.tile = Tile(unit.tile.spec, unit.tile.conductance, other)
    assert layer.correction is before
    chip.run(affine(1).learn(layer, inputs))
    assert not np.allclose(layer.correction.scale, before.scale)


def test_the_range_of_a_tile_is_that_of_the_columns_that_have_weights():
    weights = np.random.default_rng(8).normal(size=(8, 2))
    spec = ChipSpec(
        tile=TileSpec(rows=8, columns=64, word_line_resistance=0.0, bit_line_resistance=0.0),
        converters=ConverterSpec(dac=DacSpec(bits=12), adc=AdcSpec(bits=16)),
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=1.0),
    )
    network = HardwareNetwork(Chip(spec, 1, seed=1), Perceptron([weights], [np.zeros(2)]), [1.0])
    network.chip.run(network.program(0.0))
    (layer,) = network.layers
    activities = np.random.default_rng(9).uniform(0.2, 1.0, (30, 8))
    network.chip.run(layer.set_range(layer.input_codes(activities), 1))
    # Only four of the 64 columns have weights: the gain for the others' small currents would saturate these four.
    assert network.chip.run(layer.forward(activities)) == pytest.approx(activities @ weights, abs=0.01)
    assert network.chip.ledger.total.saturated == 0


@pytest.mark.parametrize("by_events", [False, True])
def test_excess_is_subtracted_once_for_the_layer_however_it_is_read(by_events, monkeypatch):
    inputs, at_once = np.random.default_rng(5).random((4, 20)), []
    network = network_of(np.random.default_rng(0), errors=True)
    layer, chip = network.layers[0], network.chip
    if by_events:
        chip.granularity = "pulse"
    read = chip.electrics.read_layer
    monkeypatch.setattr(chip.electrics, "read_layer", lambda *given: at_once.append(1) or read(*given))
    plain = chip.run(layer.forward(inputs))
    for unit in layer.units:
        unit.reads -= 1  # the same noise again
    excess = np.random.default_rng(6).uniform(0.0, 3e-5, (len(layer.units), 8, 6))
    layer.correction = layer.correction.then_subtracted(excess, np.zeros_like(excess))
    found = chip.run(layer.forward(inputs))
    assert len(at_once) == (0 if by_events else 2)
    codes = layer.layer_codes(inputs)
    driven = layer.units[0].readout.dac.nominal(codes)
    expected = plain.copy()
    for index, place in enumerate(layer.placements):
        own = excess[index][place.cells]
        share = driven[:, layer.partition.input_slice(index)] @ (own[:, 0::2] - own[:, 1::2])
        expected[:, layer.partition.output_slice(index)] -= share / layer.current_scale
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-12 * np.abs(plain).max())
    assert np.abs(found - plain).max() > 1e-3 * np.abs(plain).max()
