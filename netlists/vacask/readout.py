"""The circuit of one tile with its converters, for VACASK: from the bits of the DACs to the codes of the ADCs."""

from __future__ import annotations

from PySpice.Spice.Netlist import SubCircuit

from circuitmem.converter import AdcBank, Readout
from circuitmem.netlists.converters import adc_channel, amplifier, dac
from circuitmem.netlists.vacask.elements import BASE, CellElements, driven, header, shipped, wires
from circuitmem.netlists.vacask.text import VacaskNetlist, quantity
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import Tile

__all__ = ["VacaskReadout"]


class VacaskReadout:
    """The netlist of a tile and its converters; as :class:`circuitmem.netlists.readout.ReadoutNetlist`."""

    def __init__(self, tile: Tile, readout: Readout) -> None:
        rows, columns = tile.spec.shape
        wiring = Wiring(tile, amplifiers=True)
        dead = tile.defects.dead_drivers
        self.live = [row for row in range(rows) if dead is None or not dead[row]]
        cells, live = CellElements(tile, wiring), set(self.live)
        highest = quantity(readout.adc.spec.highest_code)
        lines = [
            BASE,
            f'load "va/quantiser.osdi"\nload "va/comparator.osdi"\nmodel quantiser quantiser highest={highest}\n',
        ]
        lines += ["model comparator comparator\n", header(tile), wires(wiring), cells.text]
        bits = [[f"bit_{row}_{bit}" for bit in range(readout.dac.spec.bits)] for row in range(rows)]
        for row, node in enumerate(wiring.drivers):
            if row in live:
                lines.append(_subcircuit(dac(readout.dac, row)))
                lines.append(f"xdac_{row} ({' '.join(bits[row])} {node}) dac_{row}\n")
            else:
                lines.append(driven(node, "dc=0.0"))
        offset = readout.adc.tia.input_offset != 0.0
        if not offset:
            lines.append(_subcircuit(amplifier(readout.adc)))
        ends = ("tia_{}", "tia_top_{}")[: len(wiring.senses[0])]
        for column, nodes in enumerate(wiring.senses):
            outputs = [end.format(column) for end in ends]
            name = f"tia_{column}" if offset else "tia"
            if offset:
                lines.append(_subcircuit(amplifier(readout.adc, column)))
            lines += [f"x{out} ({node} {out}) {name}\n" for node, out in zip(nodes, outputs, strict=True)]
            channel = adc_channel(readout.adc, column, len(outputs))
            lines.append(_subcircuit(channel, _decisions(readout.adc, column)))
            others = [f"{name}_{column}" for name in ("noise", "level", "code")]
            lines.append(f"xadc_{column} ({' '.join([*outputs, *others])}) adc_{column}\n")
        inputs = [name for row in self.live for name in bits[row]] + [f"noise_{column}" for column in range(columns)]
        lines += [driven(name, f"dc=in_{name}[point]") for name in inputs]
        amplified = [end.format(column) for end in ends for column in range(columns)]
        results = [f"{name}_{column}" for name in ("level", "code") for column in range(columns)]
        self.netlist = VacaskNetlist(
            "".join(lines),
            tuple(inputs),
            (*wiring.drivers, *amplified, *results),
            models=cells.models | shipped("quantiser", "comparator"),
        )


def _subcircuit(circuit: SubCircuit, decisions: str = "") -> str:
    """Return a sub-circuit of the converters in VACASK's language; the lines ``decisions`` replace its expressions."""
    lines = [f"subckt {circuit.name}({' '.join(circuit.external_nodes)})\n"]
    for element in circuit.elements:
        name, *words = str(element).lower().split()
        if name[0] == "r":
            lines.append(f"{name} ({words[0]} {words[1]}) r r={_value(words[2])}\n")
        elif name[0] == "v":
            lines.append(f"{name} ({words[0]} {words[1]}) v dc={_value(words[3])}\n")
        elif name[0] == "e":
            lines.append(f"{name} ({' '.join(words[:4])}) e gain={_value(words[4])}\n")
        elif name[0] != "b":
            raise ValueError(f"no such element in VACASK: {element}")
    return "".join([*lines, decisions, "ends\n"])


def _value(word: str) -> str:
    return quantity(float(word))


def _decisions(bank: AdcBank, column: int) -> str:
    """Return the elements that decide the code of an ADC channel, between the nodes of :func:`adc_channel`."""
    if not bank.alive[column]:
        return "vcode (code 0) v dc=0.0\n"
    if bank.capacitors is not None:
        bits = range(bank.spec.bits)
        compare = [f"xbit_{bit} (above_{bit} bit_{bit}) comparator level=0.0\n" for bit in bits]
        return "".join(compare) + _sum([(f"bit_{bit}", float(1 << bit)) for bit in bits])
    if bank.thresholds is not None:
        levels = list(enumerate(bank.thresholds[column].tolist()))
        compare = [f"xabove_{index} (steps above_{index}) comparator level={quantity(at)}\n" for index, at in levels]
        return "".join(compare) + _sum([(f"above_{index}", 1.0) for index, _ in levels])
    return "xcode (steps code) quantiser\n"


def _sum(parts: list[tuple[str, float]]) -> str:
    """Return controlled sources in series that add up weighted node voltages to the code."""
    lines, below = [], "0"
    for index, (node, weight) in enumerate(parts):
        top = "code" if index == len(parts) - 1 else f"sum_{index}"
        lines.append(f"esum_{index} ({top} {below} {node} 0) e gain={quantity(weight)}\n")
        below = top
    return "".join(lines)
