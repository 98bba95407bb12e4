"""A complete read in time as a netlist for plain ``ngspice -b``: DACs, tile, amplifiers, sample-and-holds and SARs.

The text uses only what Xyce reads too: expressions in braces, no code models and no control block. ``.measure`` gives
the codes.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from circuitmem.converter import AdcBank, Readout
from circuitmem.errors import ValidationError
from circuitmem.netlists.converters import dac
from circuitmem.netlists.sar import SAR_OPTIONS, clock_nodes, clock_sources, sar_clock, sar_subcircuit, wrapped
from circuitmem.netlists.step import amplifier_in_time
from circuitmem.netlists.text import TITLE, number
from circuitmem.netlists.tile import HEADER
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import Tile

__all__ = ["adc_netlist"]

_HEADER = (
    HEADER
    + """\
* bit_i_k: bit k of the DAC of word line i, at 0 V or at the reference; the DAC drives drive_i from time 0 on.
* tia_j, tia_top_j: outputs of the amplifiers of column j. level_j: input of its ADC. code_j: the code, 1 V for 1.
* Every column has a SAR here, and all convert at once; there is no noise. All capacitors are empty at time 0.
* Samples are taken from {begin:g} s on, the codes stand at {ready:g} s.
"""
)


def adc_netlist(tile: Tile, readout: Readout, codes: ArrayLike) -> str:
    """Return a netlist that plain ``ngspice -b`` runs and that prints the ADC codes, ``code_j = ...``.

    Parameters
    ----------
    tile : Tile
        The tile.
    readout : Readout
        Its converters, whose ADCs are SARs.
    codes : (rows,) array_like of int
        Codes of the DACs.

    Raises
    ------
    ValidationError
        If the codes have a wrong shape or value, or the ADCs are no SARs.
    """
    rows, columns = tile.spec.shape
    dacs, adcs = readout.dac, readout.adc
    given = [int(code) for code in dacs.check_one(codes)]
    if adcs.capacitors is None:
        raise ValidationError("adc.architecture", "must be sar", adcs.spec.architecture)
    begin = dacs.spec.settling_time + adcs.tia.settling_time
    clock = sar_clock(adcs.spec, begin)
    bits, wiring, dead = dacs.spec.bits, Wiring(tile, amplifiers=True), tile.defects.dead_drivers
    first = clock.begin + clock.bit
    lines = [f".title {TITLE}\n", _HEADER.format(rows=rows, columns=columns, begin=first, ready=clock.ready)]
    lines += [wiring.text(), "* capacitances of the lines\n", wiring.capacitors(), "* DACs\n"]
    for row, (node, code) in enumerate(zip(wiring.drivers, given, strict=True)):
        if dead is not None and dead[row]:
            lines.append(f"V{node} {node} 0 dc 0\n")
            continue
        lines.append(str(dac(dacs, row)))
        inputs = [f"bit_{row}_{bit}" for bit in range(bits)]
        for bit, name in enumerate(inputs):
            volts = dacs.spec.reference_voltage if code >> bit & 1 else 0.0
            lines.append(f"V{name} {name} 0 dc {number(volts)}\n")
        lines.append(wrapped(f"Xdac_{row} {' '.join(inputs)} {node} dac_{row}"))
    lines.append("* amplifiers, then what is between them and the ADCs\n")
    offsets = adcs.tia.input_offset != 0.0
    if not offsets:
        lines.append(amplifier_in_time(adcs.tia))
    for column, nodes in enumerate(wiring.senses):
        name = f"tia_{column}" if offsets else "tia"
        if offsets:
            lines.append(amplifier_in_time(adcs.tia, name, float(adcs.amplifier_offset[column])))
        outputs = [f"tia_{'top_' * end}{column}" for end in range(len(nodes))]
        for node, output in zip(nodes, outputs, strict=True):
            lines.append(f"X{output} {node} {output} {name}\n")
        lines.append(_channel(adcs, column, outputs))
        lines.append(f"Xchannel_{column} {' '.join(outputs)} level_{column} channel_{column}\n")
    lines.append("* clocks of the ADCs, then the ADCs\n" + clock_sources(clock, adcs.spec.bits))
    clocks = " ".join(clock_nodes(adcs.spec.bits))
    for column in range(columns):
        if not adcs.alive[column]:
            lines.append(f"* the ADC of column {column} is dead\nVcode_{column} code_{column} 0 dc 0\n")
            continue
        lines.append(sar_subcircuit(adcs, column, "behavioral", clock))
        lines.append(wrapped(f"Xsar_{column} level_{column} code_{column} {clocks} sar_{column}"))
    stop = clock.begin + clock.period
    lines.append(f"{SAR_OPTIONS}\n.tran {number(clock.bit / 20)} {number(stop)} uic\n")
    lines += [
        f".measure tran code_{column} find v(code_{column}) at={number(clock.ready)}\n" for column in range(columns)
    ]
    return "".join([*lines, ".end\n"])


def _channel(bank: AdcBank, column: int, outputs: list[str]) -> str:
    """Return the channel between the amplifiers and the ADC: programmable gain, channel gain and offset."""
    inputs = [f"in_{index}" for index in range(len(outputs))]
    lines, below = [f".subckt channel_{column} {' '.join(inputs)} level"], "0"
    for index, name in enumerate(inputs):
        # Negative, because the transimpedance amplifier inverts.
        lines.append(f"Epga_{index} pga_{index} {below} {name} 0 {number(-bank.pga_gain[column])}")
        below = f"pga_{index}"
    lines.append(f"Egain amplified 0 {below} 0 {number(bank.gain[column])}")
    lines.append(f"Voffset level amplified dc {number(bank.offset[column])}")
    return "\n".join([*lines, f".ends channel_{column}"]) + "\n"
