"""Bit-serial inputs: a read for each bit, added digitally; time and energy accordingly, in both granularities."""

import numpy as np
import pytest

from circuitmem import LinearCell, SinhCell, TileSpec
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec, DigitalSpec, TiaSpec, TwoPulseSpec
from circuitmem.control import Chip
from circuitmem.network import HardwareNetwork, Partition, Perceptron

BITS = 5


def make_network(input_, granularity="burst", cell=None, noise=0.0):
    """Reads of 10 + 10 + 2·5 = 30 ns; a digital core whose time is negligible."""
    spec = ChipSpec(
        tile=TileSpec(rows=8, columns=6, cell=cell or LinearCell()),
        converters=ConverterSpec(
            dac=DacSpec(bits=BITS, input=input_, energy_per_conversion=1e-12),
            tia=TiaSpec(power=0.0),
            adc=AdcSpec(bits=16, share=2, conversion_time=5e-9, energy_per_conversion=3e-12, noise=noise),
        ),
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=1.0),
        digital=DigitalSpec(throughput=1e18, energy_per_operation=0.0),
    )
    model = Perceptron([np.random.default_rng(0).normal(size=(20, 9))], [np.zeros(9)])
    chip = Chip(spec, Partition(20, 9, 8, 6).tiles, seed=1, granularity=granularity)
    network = HardwareNetwork(chip, model, [1.0])
    chip.run(network.program(0.0))
    for unit in chip.units:
        unit.readout.adc.set_pga_gain(8.0)
    return network


INPUTS = np.random.default_rng(1).random((7, 20))


@pytest.mark.parametrize("cell", [LinearCell(), SinhCell(a=4.0)])
def test_bits_one_after_another_add_up_to_the_product(cell):
    network = make_network("serial", cell=cell)
    layer = network.layers[0]
    product = network.chip.run(layer.forward(INPUTS))
    rounded = np.rint(INPUTS * (2**BITS - 1)) / (2**BITS - 1)
    wanted = rounded @ network.model.weights[0]
    if isinstance(cell, SinhCell):
        # Every driven cell sees full scale: its law is a constant factor; at several levels it would be nonlinear.
        wanted = wanted * np.sinh(cell.a * 0.2) / (cell.a * 0.2)
    np.testing.assert_allclose(product, wanted, atol=2e-3 * np.abs(wanted).max())


def test_time_and_energy_are_those_of_a_read_for_each_bit():
    costs = {}
    for input_ in ("parallel", "serial"):
        chip = make_network(input_).chip
        layer = HardwareNetwork(chip, Perceptron([np.zeros((20, 9))], [np.zeros(9)]), [1.0]).layers[0]
        began, before = chip.clock, chip.ledger.energy_by_part()
        chip.run(layer.forward(INPUTS))
        account = chip.ledger.accounts["mac_read"]
        after = chip.ledger.energy_by_part()
        converters = {part: after[part] - before.get(part, 0) for part in ("dac", "adc")}
        costs[input_] = chip.clock - began, account.operations, converters
    reads = 7
    assert costs["parallel"][1:] == (9 * reads, {"dac": 9 * reads * 8 * 10**6, "adc": 9 * reads * 6 * 3 * 10**6})
    assert costs["serial"][1] == BITS * costs["parallel"][1]
    assert costs["serial"][2] == {part: BITS * energy for part, energy in costs["parallel"][2].items()}
    # The digital core takes a picosecond per step: one for each layer, and one more to add the bits.
    assert costs["parallel"][0] == reads * 30_000 + 1
    assert costs["serial"][0] == BITS * reads * 30_000 + 2


def test_both_granularities_read_the_same_bits():
    products = []
    for granularity in ("burst", "pulse"):
        network = make_network("serial", granularity, noise=1e-3)
        products.append((network.chip.run(network.layers[0].forward(INPUTS)), network.chip.clock))
    assert np.array_equal(products[0][0], products[1][0])
    assert products[0][1] == products[1][1]


def test_on_and_off_inputs_need_one_read():
    network = make_network("serial")
    network.chip.run(network.layers[0].verify(1, 2e-5))
    assert network.chip.ledger.accounts["verify_read"].operations == 9 * 8
