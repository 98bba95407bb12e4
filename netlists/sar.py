"""A SAR ADC in time: sample-and-hold, capacitor array, comparator, and the register that finds the code.

In one conversion, which takes :attr:`ConversionClock.period`, the hold capacitor is emptied, the sample is taken, the
array takes it over, and each bit is tried in turn. A switch is a conductance multiplied by its clock, 0 V to 1 V, so an
open switch carries no current.
The register is made of XSPICE's flip-flops (``logic="xspice"``) or of capacitors that hold the decisions
(``logic="behavioral"``), which need no code models.

Expressions are in braces, comparisons use ``? :``, and switches need no model, so ngspice and Xyce read the same text.
ngspice keeps 11 digits of numbers within expressions; the numbers that matter are those of sources and capacitors.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem.config.converter import AdcSpec
from circuitmem.converter import AdcBank
from circuitmem.errors import ValidationError
from circuitmem.netlists.text import TITLE, Netlist, number, number_texts

__all__ = [
    "SAR_OPTIONS",
    "XSPICE_MODELS",
    "ConversionClock",
    "Logic",
    "SarNetlist",
    "clock_nodes",
    "clock_sources",
    "sar_clock",
    "sar_subcircuit",
    "wrapped",
]

Logic = Literal["xspice", "behavioral"]

SAR_OPTIONS = ".options method=gear reltol=1e-5 abstol=1e-9 vntol=1e-6 gmin=1e-18"
"""Gear's method damps switching transients within a step or two. The array keeps its charge whatever the tolerances
are; voltages of linear parts are right to rounding errors, others to a microvolt: 1e-3 LSB if an LSB is a millivolt."""

EDGE = 0.02
"""Rise time and fall time of a clock, as a fraction of one bit's time."""

SETTLED = 40.0
"""Time constants during which a switch meant to be ideal is closed: 4e-18 is left. More would only cost time steps."""

KEEPER = 1e-15
"""Capacitance that holds a decision [F]."""

WIDTH = 110
"""Largest number of characters of a line, unless one word is longer."""

XSPICE_MODELS = """\
.model to_digital adc_bridge(in_low=0.4 in_high=0.6 rise_delay=1e-12 fall_delay=1e-12)
.model to_analog dac_bridge(out_low=0 out_high=1 t_rise=1e-11 t_fall=1e-11)
.model keeper d_dff(clk_delay=1e-12 set_delay=1e-12 reset_delay=1e-12 rise_delay=1e-12 fall_delay=1e-12)
"""
"""``.model`` lines of the register's code models, which are in ngspice's ``digital.cm``."""


class ConversionClock(NamedTuple):
    """Times of one conversion [s]."""

    period: float
    sample: float
    bit: float
    begin: float = 0.0

    @property
    def ready(self) -> float:
        """Time from which the code of the first conversion is valid [s]."""
        return self.begin + self.period - 0.1 * self.bit


def sar_clock(spec: AdcSpec, begin: float = 0.0) -> ConversionClock:
    """Return the times of a conversion: apart from the sample, reset, take-over and each bit take equally long.

    Parameters
    ----------
    spec : AdcSpec
        The ADC.
    begin : float
        When the sample begins [s]. The reset before it takes one bit's time and does not begin before 0, so the sample
        begins after one bit's time at the earliest.

    Raises
    ------
    ValidationError
        If the sample leaves no time for the rest of the conversion.
    """
    if spec.sample_time >= spec.conversion_time:
        raise ValidationError(
            "adc.sample_time", f"must be < {spec.conversion_time!r}, conversion_time", spec.sample_time
        )
    bit = (spec.conversion_time - spec.sample_time) / (spec.bits + 2)
    return ConversionClock(spec.conversion_time, spec.sample_time, bit, max(0.0, begin - bit))


def clock_nodes(bits: int) -> list[str]:
    """Return the clocks of a SAR: reset, track, take, close, and for each bit its trial and its decision."""
    trials = [f"{name}_{bit}" for bit in reversed(range(bits)) for name in ("try", "decide")]
    return ["reset", "track", "take", "close", *trials]


def clock_sources(clock: ConversionClock, bits: int, conversions: int = 1) -> str:
    """Return the sources of the clocks for a number of conversions, one after another."""
    step, edge = clock.bit, EDGE * clock.bit
    taken = step + clock.sample
    # Begin and length. The top plate of the array is released before the bottom plates are switched.
    spans = {"reset": (0.0, step), "track": (step, clock.sample), "take": (taken, step), "close": (taken, 0.7 * step)}
    for place, bit in enumerate(reversed(range(bits))):
        start = taken + (1 + place) * step
        spans[f"try_{bit}"] = (start, step)
        spans[f"decide_{bit}"] = (start + 0.4 * step, 0.4 * step)
    lines = []
    for name in clock_nodes(bits):
        start, length = spans[name]
        # A clock is high for ``length`` between the midpoints of its edges, so its switch is closed for that long.
        rise = clock.begin + start + 0.5 * edge
        times = (rise, edge, edge, length - edge, clock.period if conversions > 1 else 2.0 * (rise + clock.period))
        lines.append(f"V{name} {name} 0 PULSE(0 1 {' '.join(number(time) for time in times)})\n")
    return "".join(lines)


def sar_subcircuit(bank: AdcBank, column: int, logic: Logic, clock: ConversionClock) -> str:
    """Return the SAR of one column: nodes ``level`` (its input), ``code`` (the code, 1 V for 1) and its clocks.

    Raises
    ------
    ValidationError
        If the ADCs are no SARs.
    """
    spec, bits = bank.spec, bank.spec.bits
    if bank.capacitors is None:
        raise ValidationError("adc.architecture", "must be sar", spec.architecture)
    capacitors = [number(value) for value in bank.capacitors[column]]
    hold = spec.sample_resistance or clock.sample / (SETTLED * spec.sample_capacitance)
    empty = clock.bit / (SETTLED * spec.sample_capacitance)
    close = 0.7 * clock.bit / (SETTLED * float(bank.capacitors[column].sum()))
    keep = 0.4 * clock.bit / (SETTLED * KEEPER)
    lines = [
        f".subckt sar_{column} level code {' '.join(clock_nodes(bits))}",
        "* sample-and-hold, empty before each sample, with a buffer",
        f"Btrack level held I={{V(level,held)*V(track)/{number(hold)}}}",
        f"Bempty held 0 I={{V(held)*V(reset)/{number(empty)}}}",
        f"Chold held 0 {number(spec.sample_capacitance)} ic=0",
        "Ebuffer buffered 0 held 0 1",
        f"Vminimum buffered above dc {number(spec.minimum)}",
        f"Vhalf sampled above dc {number(0.5 * spec.lsb)}",
        "* array: capacitors of bit 0 upwards, then the one that ends it",
        f"Vreference reference 0 dc {number(spec.lsb * 2.0**bits)}",
        *(f"C{bit} array bottom_{bit} {capacitors[bit]} ic=0" for bit in range(bits)),
        f"Cend array bottom_end {capacitors[bits]} ic=0",
        f"Bclose array 0 I={{V(array)*V(close)/{number(close)}}}",
        "Bend bottom_end 0 V={V(sampled)*V(take)}",
        *(
            f"Bbottom_{bit} bottom_{bit} 0 "
            f"V={{V(sampled)*V(take)+V(reference)*(V(try_{bit})+V(kept_{bit})*(1-V(try_{bit})))}}"
            for bit in range(bits)
        ),
        "* comparator: a bit is kept if the array's top has not gone above the comparator's offset",
        f"Voffset offset 0 dc {number(bank.comparator_offset[column])}",
        "Bcompare compared 0 V={(V(array) <= V(offset)) ? 1 : 0}",
        "* register",
    ]
    if logic == "xspice":
        lines.append("Acompare [compared reset] [decision clear] to_digital")
        for bit in range(bits):
            lines.append(f"Aclock_{bit} [decide_{bit}] [clock_{bit}] to_digital")
            lines.append(f"Akeep_{bit} decision clock_{bit} NULL clear bit_{bit} NULL keeper")
            lines.append(f"Abit_{bit} [bit_{bit}] [kept_{bit}] to_analog")
    else:
        for bit in range(bits):
            decide = f"V(compared,kept_{bit})*V(decide_{bit})/{number(keep)}"
            lines.append(f"Bkeep_{bit} 0 kept_{bit} I={{{decide}}}")
            lines.append(f"Bclear_{bit} kept_{bit} 0 I={{V(kept_{bit})*V(reset)/{number(keep)}}}")
            lines.append(f"Ckeep_{bit} kept_{bit} 0 {number(KEEPER)} ic=0")
    total = "+".join(f"((V(kept_{bit}) > 0.5) ? {1 << bit} : 0)" for bit in range(bits))
    lines += [f"Bcode code 0 V={{{total}}}", f".ends sar_{column}"]
    return "".join(wrapped(line) for line in lines)


class SarNetlist:
    """The netlist of the SARs of a bank, which work side by side and convert several voltages one after another.

    Parameters
    ----------
    bank : AdcBank
        The ADCs.
    levels : (conversions, columns) ndarray
        Voltages at the ADCs' inputs [V].
    logic : {"xspice", "behavioral"}
        What the registers are made of.

    Attributes
    ----------
    netlist : Netlist
        Without inputs; its outputs are the codes of the columns.
    clock : ConversionClock
        Times of a conversion.
    """

    def __init__(self, bank: AdcBank, levels: NDArray[np.float64], logic: Logic) -> None:
        conversions, columns = levels.shape
        self.clock = sar_clock(bank.spec)
        clocks = " ".join(clock_nodes(bank.spec.bits))
        lines = [f".title {TITLE}\n", XSPICE_MODELS if logic == "xspice" else ""]
        lines.append(clock_sources(self.clock, bank.spec.bits, conversions))
        # A voltage changes at the end of its conversion, just before the hold capacitor is emptied.
        begin = self.clock.period * np.arange(conversions)
        for column in range(columns):
            times = np.stack([begin, begin + self.clock.period - EDGE * self.clock.bit], axis=1).ravel()
            points = np.stack([times, np.repeat(levels[:, column], 2)], axis=1)
            lines.append(wrapped(f"Vlevel_{column} level_{column} 0 PWL({' '.join(number_texts(points))})"))
            lines.append(sar_subcircuit(bank, column, logic, self.clock))
            lines.append(wrapped(f"Xsar_{column} level_{column} code_{column} {clocks} sar_{column}"))
        codes = tuple(f"code_{column}" for column in range(columns))
        lines.append(f".save {' '.join(codes)}\n{SAR_OPTIONS}\n.end\n")
        self.netlist = Netlist("".join(lines), (), codes)


def wrapped(line: str) -> str:
    """Return a line with its line break, split into continuation lines where it is too long."""
    parts, current = [], ""
    for word in line.split(" "):
        if current and len(current) + 1 + len(word) > WIDTH:
            parts.append(current)
            current = "+ " + word
        else:
            current = f"{current} {word}" if current else word
    return "\n".join([*parts, current]) + "\n"
