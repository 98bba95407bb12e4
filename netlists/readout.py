"""The circuit of one tile with its converters: from the bits of the DACs to the codes of the ADCs."""

from __future__ import annotations

from PySpice.Spice.Netlist import Circuit

from circuitmem.converter import Readout
from circuitmem.netlists.converters import adc_channel, amplifier, dac
from circuitmem.netlists.text import OPTIONS, TITLE, Netlist
from circuitmem.netlists.tile import HEADER, sweep_source
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import Tile

__all__ = ["ReadoutNetlist"]

_HEADER = (
    HEADER
    + """\
* bit_i_k: bit k of the DAC of word line i, at 0 V or at the reference, which drives drive_i.
* tia_j, tia_top_j: outputs of the amplifiers of column j. noise_j: noise of the conversion.
* level_j: voltage at the quantiser. code_j: the code, 1 V for 1.
"""
)


class ReadoutNetlist:
    """The netlist of a tile and its converters.

    Parameters
    ----------
    tile : Tile
        The tile; the amplifiers provide its sense resistance.
    readout : Readout
        The converters.

    Attributes
    ----------
    netlist : Netlist
        Its inputs are the bits of every live DAC, least significant first, then the noise of every column. Its
        outputs begin with the driver voltages (rows), the amplifier outputs (columns, or twice that when sensed at
        both ends: all bottom ones first), the quantiser inputs (columns) and the codes (columns).
    live : list of int
        Word lines whose driver is not dead.
    """

    def __init__(self, tile: Tile, readout: Readout) -> None:
        rows, columns = tile.spec.shape
        wiring = Wiring(tile, amplifiers=True)
        dead = tile.defects.dead_drivers
        self.live = [row for row in range(rows) if dead is None or not dead[row]]
        circuit = Circuit(TITLE)
        circuit.raw_spice = _HEADER.format(rows=rows, columns=columns) + wiring.text()
        bits = [[f"bit_{row}_{bit}" for bit in range(readout.dac.spec.bits)] for row in range(rows)]
        for row in self.live:
            circuit.subcircuit(dac(readout.dac, row))
            circuit.X(f"dac_{row}", f"dac_{row}", *bits[row], wiring.drivers[row])
        for row in sorted(set(range(rows)) - set(self.live)):
            circuit.V(wiring.drivers[row], wiring.drivers[row], circuit.gnd, "dc 0")
        offset = readout.adc.tia.input_offset != 0.0
        if not offset:
            circuit.subcircuit(amplifier(readout.adc))
        ends = ("tia_{}", "tia_top_{}")[: len(wiring.senses[0])]
        for column, nodes in enumerate(wiring.senses):
            outputs = [end.format(column) for end in ends]
            if offset:
                circuit.subcircuit(amplifier(readout.adc, column))
            for node, output in zip(nodes, outputs, strict=True):
                circuit.X(output, f"tia_{column}" if offset else "tia", node, output)
            circuit.subcircuit(adc_channel(readout.adc, column, len(outputs)))
            others = [f"{name}_{column}" for name in ("noise", "level", "code")]
            circuit.X(f"adc_{column}", f"adc_{column}", *outputs, *others)
        noise = [f"noise_{column}" for column in range(columns)]
        inputs = [name for row in self.live for name in bits[row]] + noise
        for name in inputs:
            circuit.V(name, name, circuit.gnd, "external")
        sweep_source(circuit)
        amplified = [end.format(column) for end in ends for column in range(columns)]
        results = [f"{name}_{column}" for name in ("level", "code") for column in range(columns)]
        outputs = [*wiring.drivers, *amplified, *results]
        text = f"{circuit}.save {' '.join([*outputs, *inputs])}\n{OPTIONS}\n.end\n"
        self.netlist = Netlist(text, tuple(inputs), tuple(outputs))
