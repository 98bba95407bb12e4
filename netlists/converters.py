"""Sub-circuits of the converters: R-2R DAC, transimpedance amplifier, ADC channel with its quantiser.

Every number is written into the sub-circuit that uses it. ngspice cuts the value of a ``{parameter}`` to 9 digits and
a number within a B-source's expression to 11, so expressions hold small integers only and linear sources do the
rest. It also takes a node called ``value`` for a keyword.
"""

from __future__ import annotations

from PySpice.Spice.Netlist import SubCircuit

from circuitmem.config.converter import TiaSpec
from circuitmem.converter import AdcBank, DacBank
from circuitmem.netlists.text import number

__all__ = ["adc_channel", "amplifier", "dac"]


def dac(bank: DacBank, row: int) -> SubCircuit:
    """Return the DAC of one word line: nodes ``bit_0`` ... (each at 0 V or the reference) and ``out``."""
    bits = bank.spec.bits
    circuit = SubCircuit(f"dac_{row}", *(f"bit_{bit}" for bit in range(bits)), "out")
    ground = circuit.gnd
    for bit in range(bits):
        circuit.R(f"leg_{bit}", f"bit_{bit}", f"ladder_{bit}", number(bank.leg[row, bit]))
    for bit in range(bits - 1):
        circuit.R(f"link_{bit}", f"ladder_{bit}", f"ladder_{bit + 1}", number(bank.link[row, bit]))
    circuit.R("termination", "ladder_0", ground, number(bank.termination[row]))
    # The buffer takes no current from the ladder's last node.
    circuit.VCVS("buffer", "buffered", ground, f"ladder_{bits - 1}", ground, number(bank.gain[row]))
    circuit.V("offset", "out", "buffered", f"dc {number(bank.offset[row])}")
    return circuit


def amplifier(spec: TiaSpec) -> SubCircuit:
    """Return the transimpedance amplifier: an operational amplifier of finite gain with a feedback resistor."""
    circuit = SubCircuit("tia", "input", "out")
    ground = circuit.gnd
    circuit.R("feedback", "input", "out", number(spec.feedback_resistance))
    circuit.VCVS("gain", "out", ground, "input", ground, number(-spec.open_loop_gain))
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
    circuit.VCVS("noise", "level", "shifted", "noise", ground, "1")
    circuit.V("minimum", "level", "above_minimum", f"dc {number(bank.spec.minimum)}")
    circuit.VCVS("steps", "steps", ground, "above_minimum", ground, number(1.0 / bank.spec.lsb))
    # nint is C's nearbyint: ties to even.
    quantised = f"min(max(nint(v(steps)),0),{bank.spec.highest_code})"
    circuit.B("code", "code", ground, voltage_expression=quantised if bank.alive[column] else "0")
    return circuit
