"""What tests build again and again: small tiles, chips, runs and the networks that they begin with.

A test that needs something special says so in its call: every function takes the fields of the specification it makes.
"""

import shutil
import subprocess

import numpy as np

from circuitmem import Tile, TileSpec
from circuitmem.config import ChipSpec, DefectSpec, TwoPulseSpec
from circuitmem.training import train_ex_situ

TINY_RUN = [
    "data.side=8",
    "data.train=60",
    "data.test=40",
    "network.layers=[64,6,10]",
    "chip.tile.rows=16",
    "chip.tile.columns=16",
    "ex_situ.epochs=1",
    "in_situ.epochs=1",
]
"""Settings of the shortest run that does everything; not enough to learn."""

SMALL_RUN = [
    "data.side=8",
    "data.train=200",
    "data.test=100",
    "network.layers=[64, 12, 10]",
    "chip.tile.rows=32",
    "chip.tile.columns=16",
    "in_situ.epochs=2",
    "in_situ.batch=50",
    "calibration.vectors=40",
    "ex_situ.epochs=5",
]
"""Settings of a run of a second that learns a little."""

NO_AUDIT = ["audit.tiles=0", "audit.fraction=0.0"]

EXACT_DEVICE = TwoPulseSpec(slope_spread=0.0, set_noise=0.0)
"""Devices that are programmed without spread."""


def options(settings):
    """Return settings ``key=value`` as words of a command: ``--set key=value …``."""
    return [word for setting in settings for word in ("--set", setting)]


def wires(word, bit=None):
    """Return the fields of a TileSpec for resistances of a segment [Ω]; of bit lines as of word lines if left out."""
    return {"word_line_resistance": word, "bit_line_resistance": word if bit is None else bit}


def tile_spec(rows, columns, ohms=0.0, **fields):
    """Return a TileSpec with wires of ``ohms`` a segment [Ω], one number or (word lines, bit lines)."""
    return TileSpec(**{"rows": rows, "columns": columns, **wires(*np.atleast_1d(ohms).tolist()), **fields})


def random_tile(rows, columns, seed=0, ohms=0.0, between=(1e-6, 3e-4), defects=None, **fields):
    """Return a tile of conductances that are uniform ``between`` two [S]; ``seed`` may be a Generator."""
    conductance = np.random.default_rng(seed).uniform(*between, (rows, columns))
    return Tile(tile_spec(rows, columns, ohms, **fields), conductance, defects)


def uniform_tile(rows, columns, conductance=1e-4, ohms=0.0, defects=None, **fields):
    """Return a tile of cells of one conductance [S]."""
    return Tile(tile_spec(rows, columns, ohms, **fields), np.full((rows, columns), conductance), defects)


def chip_spec(rows, columns, ohms=0.0, yield_=1.0, tile=None, **fields):
    """Return a ChipSpec of tiles with these wires [Ω], of whose devices ``yield_`` work; ``tile`` are more fields."""
    given = {"tile": tile_spec(rows, columns, ohms, **(tile or {})), "defects": DefectSpec(device_yield=yield_)}
    return ChipSpec(**(given | fields))


def trained(spec, data, seed=1):
    """Return the network that a run begins with: trained ex situ on the data's training samples."""
    return train_ex_situ(spec.ex_situ, spec.network, data.train_inputs, data.train_targets, seed, lambda *_: None)


def ngspice_batch(text, folder, name="tile.cir", timeout=120):
    """Run a netlist by plain ``ngspice -n -b`` in a folder, and return what it printed: (stdout, stderr)."""
    (folder / name).write_text(text)
    command = [shutil.which("ngspice"), "-n", "-b", name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=timeout)
    return done.stdout, done.stderr


def programmed(network, gain):
    """Program a network on its chip, give its converters a gain, and return it."""
    network.chip.run(network.program(0.0))
    for unit in network.chip.units:
        unit.readout.adc.set_pga_gain(gain)
    return network
