"""Sub-circuits of the converters for operating points: R-2R DAC, transimpedance amplifier, ADC channel with quantiser.

Every number is written into the sub-circuit that uses it. ngspice cuts the value of a ``{parameter}`` to 9 digits and
a number within a B-source's expression to 11. So expressions hold only small integers (and the thresholds of an ADC
with INL, in LSB), and linear sources do the rest. ngspice also mistakes a node called ``value`` for a keyword.
"""

from __future__ import annotations

from PySpice.Spice.Netlist import SubCircuit

from circuitmem.converter import AdcBank, DacBank
from circuitmem.converter.successive import trial_levels
from circuitmem.netlists.text import number

__all__ = ["adc_channel", "amplifier", "dac"]


def dac(bank: DacBank, row: int) -> SubCircuit:
    """Return the DAC of one word line: nodes ``bit_0`` ... (each at 0 V or the reference) and ``out``."""
    bits = bank.spec.bits
    circuit = SubCircuit(f"dac_{row}", *(f"bit_{bit}" for bit in range(bits)), "out")
    ground = circuit.gnd
    switch = bank.spec.switch_resistance
    for bit in range(bits):
        top = f"bit_{bit}"
        if switch > 0.0:
            top = f"switched_{bit}"
            circuit.R(f"switch_{bit}", f"bit_{bit}", top, number(switch))
        circuit.R(f"leg_{bit}", top, f"ladder_{bit}", number(bank.leg[row, bit]))
    for bit in range(bits - 1):
        circuit.R(f"link_{bit}", f"ladder_{bit}", f"ladder_{bit + 1}", number(bank.link[row, bit]))
    circuit.R("termination", "ladder_0", ground, number(bank.termination[row]))
    # The buffer takes no current from the ladder's last node.
    circuit.VCVS("buffer", "buffered", ground, f"ladder_{bits - 1}", ground, number(bank.gain[row]))
    circuit.V("offset", "out", "buffered", f"dc {number(bank.offset[row])}")
    return circuit


def amplifier(bank: AdcBank, column: int | None = None) -> SubCircuit:
    """Return the transimpedance amplifier: an operational amplifier of finite gain with a feedback resistor.

    Without a column it has no input offset, and one sub-circuit serves all columns.
    """
    spec = bank.tia
    circuit = SubCircuit("tia" if column is None else f"tia_{column}", "input", "out")
    ground, plus = circuit.gnd, circuit.gnd
    circuit.R("feedback", "input", "out", number(spec.feedback_resistance))
    if column is not None:
        plus = "plus"
        circuit.V("offset", plus, ground, f"dc {number(bank.amplifier_offset[column])}")
    circuit.VCVS("gain", "out", ground, "input", plus, number(-spec.open_loop_gain))
    return circuit


def adc_channel(bank: AdcBank, column: int, inputs: int) -> SubCircuit:
    """Return the ADC channel of one column.

    Its nodes are the outputs ``in_0`` ... of the column's amplifiers (``inputs`` of them, added), ``noise`` (the noise
    voltage of this conversion), ``level`` (the voltage at the quantiser) and ``code`` (the code, 1 V for 1).
    """
    circuit = SubCircuit(f"adc_{column}", *(f"in_{index}" for index in range(inputs)), "noise", "level", "code")
    ground = circuit.gnd
    below = ground
    for index in range(inputs):
        # Negative, because the transimpedance amplifier inverts.
        output = f"pga_{index}"
        circuit.VCVS(output, output, below, f"in_{index}", ground, number(-bank.pga_gain[column]))
        below = output
    circuit.VCVS("gain", "amplified", ground, below, ground, number(bank.gain[column]))
    circuit.V("offset", "shifted", "amplified", f"dc {number(bank.offset[column])}")
    held = "shifted"
    if bank.spec.hold_factor != 1.0:
        held = "held"
        circuit.VCVS("hold", held, ground, "shifted", ground, number(bank.spec.hold_factor))
    circuit.VCVS("noise", "level", held, "noise", ground, "1")
    circuit.V("minimum", "level", "above_minimum", f"dc {number(bank.spec.minimum)}")
    circuit.VCVS("steps", "steps", ground, "above_minimum", ground, number(1.0 / bank.spec.lsb))
    if not bank.alive[column]:
        circuit.B("code", "code", ground, voltage_expression="0")
    elif bank.capacitors is not None:
        _approximate(circuit, bank, column)
    elif bank.thresholds is not None:
        # One comparator per threshold, summed. Each has its own line, because ngspice reads long lines slowly.
        reached = "\n+ + ".join(f"u(v(steps)-({number(level)}))" for level in bank.thresholds[column])
        circuit.B("code", "code", ground, voltage_expression=reached)
    else:
        # nint is C's nearbyint: ties to even.
        quantised = f"min(max(nint(v(steps)),0),{bank.spec.highest_code})"
        circuit.B("code", "code", ground, voltage_expression=quantised)
    return circuit


def _approximate(circuit: SubCircuit, bank: AdcBank, column: int) -> None:
    """Add the decisions of a SAR, highest bit first; a bit that is set subtracts its weight from the rest."""
    assert bank.capacitors is not None
    ground, bits = circuit.gnd, bank.spec.bits
    level = trial_levels(bank.capacitors)[column]
    # Half an LSB, and the comparator's offset: a gain of 1/LSB converts it into LSB without losing digits.
    circuit.V("offset_sar", "compared", ground, f"dc {number(bank.comparator_offset[column])}")
    circuit.VCVS("offset_sar", "half", "steps", "compared", ground, number(1.0 / bank.spec.lsb))
    circuit.V("half", f"rest_{bits - 1}", "half", "dc 0.5")
    for bit in reversed(range(bits)):
        circuit.V(f"trial_{bit}", f"rest_{bit}", f"above_{bit}", f"dc {number(level[bit])}")
        circuit.B(f"bit_{bit}", f"bit_{bit}", ground, voltage_expression=f"u(v(above_{bit}))")
        if bit > 0:
            kept = number(-level[bit])
            circuit.VCVS(f"rest_{bit}", f"rest_{bit - 1}", f"rest_{bit}", f"bit_{bit}", ground, kept)
    total = "+".join(f"{1 << bit}*v(bit_{bit})" for bit in range(bits))
    circuit.B("code", "code", ground, voltage_expression=total)
