"""How long a read takes to settle: moments of the step response of lines, cells and amplifiers.

Drivers step from 0 V with all capacitances discharged. With the nodal equations ``G v + C dv/dt = i``, the area between
a voltage and its final value, ``D = ∫ (v_final - v) dt``, solves ``G D = C v_final``; the first moment ``E`` of that
area solves ``G E = C D``. The area divided by the final value is the Elmore delay (J. Appl. Phys. 19:55, 1948). For
uniform lines it is the time to 63 % of a step (1 - 1/e), within a few percent: exactly for one pole, and within 2 % for
a distributed RC line, whose delay is RC/2. The amplifiers are included exactly: the "virtual" ground is an inductance
``R_f·A/(1 + A)·t`` in series with ``R_f/(1 + A)``, and the output follows the column current with the time constant
``t = A/((1 + A)·2π·GBW)``.

The error that remains at a given time is estimated from the two-pole response with the same moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import TiaSpec
from circuitmem.engine.direct import NodalGraph
from circuitmem.errors import ValidationError
from circuitmem.tile import Tile

__all__ = ["Settling", "settle"]

Floats = NDArray[np.float64]

SAME_POLES = 1e-6
"""Smallest distance of the two poles from their mean, relative to it: the formula divides by their distance."""


@dataclass(frozen=True)
class Settling:
    """How the lines and outputs of a tile settle after a step of its drivers.

    Attributes
    ----------
    word_line : (rows,) ndarray
        Elmore delay at the last cell of each word line, or the largest delay along the line if it is driven from both
        ends [s]. For uniform lines this is the time to 63 % of the final value. 0 for a line that stays at 0 V.
    column : (columns,) ndarray
        Elmore delay of each column's output [s]: of the amplifier's output if there is an amplifier, else of the column
        current. 0 for a column without current.
    second_moment : (columns,) ndarray
        ``∫ t·e dt`` of each output's relative error e [s²].
    """

    word_line: Floats
    column: Floats
    second_moment: Floats

    @property
    def longest(self) -> float:
        """The longest delay [s]."""
        return float(max(self.word_line.max(), self.column.max()))

    def error(self, time: float) -> Floats:
        """Estimate the error of each output, (columns,), relative to its final value, ``time`` [s] after the step.

        It is positive while the output is below its final value, and negative where it overshoots.
        """
        delay, second = self.column, self.second_moment
        found = np.zeros(delay.shape)
        moves = delay > 0.0
        product = delay**2 - second
        # Two poles in series cannot describe a response that begins with a jump or a slope: use one pole and its share.
        single = moves & (product <= 0.0)
        slow = second[single] / delay[single]
        found[single] = delay[single] / slow * np.exp(-time / slow)
        double = moves & ~single
        half = 0.5 * delay[double]
        root = np.sqrt((half**2 - product[double]).astype(complex))
        root = np.where(np.abs(root) < SAME_POLES * half, SAME_POLES * half, root)
        first, other = half + root, half - root
        with np.errstate(under="ignore"):
            decay = first * np.exp(-time / first) - other * np.exp(-time / other)
        found[double] = (decay / (first - other)).real
        return found


def settle(tile: Tile, voltages: Floats, amplifier: TiaSpec | None) -> Settling:
    """Return the moments of a tile with linear cells for checked driver voltages, (rows,) V.

    Raises
    ------
    ValidationError
        If the cells are not linear.
    """
    spec = tile.spec
    if not spec.cell.linear:
        raise ValidationError("cell", "must be linear for an estimate of settling", spec.cell.kind)
    network = NodalGraph(tile)
    factors = network.factor(network.conductance)
    capacitance = network.gather(network.word, np.full(spec.shape, spec.word_line_capacitance))
    capacitance += network.gather(network.bit, np.full(spec.shape, spec.bit_line_capacitance))
    inductance, lag = (0.0, 0.0) if amplifier is None else (amplifier.input_inductance, amplifier.time_constant)
    drivers = np.concatenate([voltages, np.zeros(spec.columns)])
    final = network.solve_linear(factors, drivers)
    current = network.into_sources(final)[spec.rows :]
    # A line sensed at both ends has two amplifiers: each is assumed to take half of the current, and of its rise.
    ends = 1 + (spec.bit_line_sense == "both")
    moments: list[Floats] = []
    voltage, area, rise = final, final, current
    for _ in range(2):
        # The voltage of a "virtual" ground is proportional to the change of its current (the inductance).
        grounds = np.concatenate([np.zeros(spec.rows), -inductance / ends * rise])
        voltage = network.solve_linear(factors, grounds, capacitance * voltage)
        moments.append(network.into_sources(voltage)[spec.rows :])
        if len(moments) == 1:
            area, rise = voltage, moments[0] + lag * current
    some = np.abs(current) > 0.0
    scale = np.where(some, current, 1.0)
    one, two = (np.where(some, moment / scale, 0.0) for moment in moments)
    word, lines = network.nodes(final, network.word), network.nodes(area, network.word)
    delays = np.divide(lines, word, out=np.zeros(word.shape), where=word != 0.0)
    line = delays.max(axis=1) if spec.word_line_drive == "both" else delays[:, -1]
    return Settling(line, np.where(some, one + lag, 0.0), np.where(some, two + one * lag + lag**2, 0.0))
