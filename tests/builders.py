"""Builders shared by tests: small tiles, settings as words of a command, the networks that runs begin with.

Every function takes the fields of the specification that it makes, so that a test can set what it needs.
"""

import numpy as np

from circuitmem import Tile, TileSpec
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec, TwoPulseSpec
from circuitmem.control import Chip
from circuitmem.network import HardwareNetwork, Partition, Perceptron
from circuitmem.training import train_ex_situ


def options(settings):
    """Return settings ``key=value`` as words of a command: ``--set key=value …``."""
    return [word for setting in settings for word in ("--set", setting)]


def wires(word, bit=None):
    """Return the fields of a TileSpec for segment resistances [Ω]; without ``bit`` both kinds of lines are alike."""
    return {"word_line_resistance": word, "bit_line_resistance": word if bit is None else bit}


def tile_spec(rows, columns, ohms=0.0, **fields):
    """Return a TileSpec with wires of ``ohms`` per segment [Ω], one number or (word lines, bit lines)."""
    return TileSpec(**{"rows": rows, "columns": columns, **wires(*np.atleast_1d(ohms).tolist()), **fields})


def random_tile(rows, columns, seed=0, ohms=0.0, between=(1e-6, 3e-4), defects=None, **fields):
    """Return a tile of random conductances, uniform ``between`` two limits [S]; ``seed`` may be a Generator."""
    conductance = np.random.default_rng(seed).uniform(*between, (rows, columns))
    return Tile(tile_spec(rows, columns, ohms, **fields), conductance, defects)


def uniform_tile(rows, columns, conductance=1e-4, ohms=0.0, defects=None, **fields):
    """Return a tile whose cells all have one conductance [S]."""
    return Tile(tile_spec(rows, columns, ohms, **fields), np.full((rows, columns), conductance), defects)


def trained(spec, data, seed=1):
    """Return the network that a run begins with: trained ex situ on the data's training samples."""
    return train_ex_situ(spec.ex_situ, spec.network, data.train_inputs, data.train_targets, seed, lambda *_: None)


EXACT = {"dac": DacSpec(bits=12), "adc": AdcSpec(bits=16)}
"""Converters without errors for a calibration to correct."""


def one_layer(sizes=(20, 9), tile=(10, 8), *, yield_=1.0, wire=0.0, converters=EXACT, seed=1):
    """Return a network of one layer of random weights, programmed on devices that are all alike."""
    spec = ChipSpec(
        tile=tile_spec(*tile, wire),
        converters=ConverterSpec(**converters),
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=yield_),
    )
    model = Perceptron([np.random.default_rng(0).normal(size=sizes)], [np.zeros(sizes[1])])
    network = HardwareNetwork(Chip(spec, Partition(*sizes, *tile).tiles, seed=seed), model, [1.0])
    network.chip.run(network.program(0.0))
    return network
