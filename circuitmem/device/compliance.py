"""The two-pulse 1T1R cell as a circuit, without SPICE: where a SET ends, and how it gets there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from circuitmem.config import ComplianceCell
from circuitmem.device import vteam
from circuitmem.errors import ConvergenceError
from circuitmem.validation import finite_array

__all__ = ["final_conductance", "two_pulses"]

Floats = NDArray[np.float64]

TOLERANCE = 1e-8
"""Tolerance of the integration, relative to the state's range."""


def final_conductance(cell: ComplianceCell, gates: ArrayLike) -> Floats:
    """Return the conductance [S] at which a SET at gate voltages [V] ends, if the pulse is long enough.

    It lies between the conductances of the device when it is off and when it is on.
    """
    gate = finite_array("gates", gates)
    over = gate - cell.threshold
    drain = cell.set_voltage - cell.stop_voltage
    current = 0.5 * cell.gain * (np.maximum(over, 0.0) ** 2 - np.maximum(over - drain, 0.0) ** 2)
    device = cell.device
    return np.asarray(np.clip(current / cell.stop_voltage, 1.0 / device.off_resistance, 1.0 / device.on_resistance))


def two_pulses(cell: ComplianceCell, gates: ArrayLike, state: float = 0.5) -> Floats:
    """Return the conductances [S] after a RESET and a SET at gate voltages (cells,) [V], by integration.

    At each moment device and transistor carry the same current, which is solved exactly; there is no capacitance.

    Parameters
    ----------
    cell : ComplianceCell
        The cell.
    gates : (cells,) array_like
        Gate voltage of each SET [V].
    state : float
        State of the device before, in [0, 1].

    Raises
    ------
    ConvergenceError
        If the integration fails.
    """
    found = [_one(cell, float(gate), state) for gate in np.atleast_1d(finite_array("gates", gates))]
    return vteam.conductance(cell.device, np.array(found))


def _one(cell: ComplianceCell, gate: float, state: float) -> float:
    device, waves = cell.device, cell.waves(gate)
    corners = {name: np.array(points).T for name, points in waves.items()}
    on_rate, off_rate, power = (
        device.on_speed / device.length,
        device.off_speed / device.length,
        2 * device.window_power,
    )

    def rate(time: float, states: Floats) -> list[float]:
        s = min(max(float(states[0]), 0.0), 1.0)
        g, word, bit = (float(np.interp(time, *corners[name])) for name in ("gate", "word", "bit"))
        across = _inner(cell, float(vteam.conductance(device, np.array(s))), g - cell.threshold, word, bit) - word
        off = off_rate * max(across / device.off_voltage - 1.0, 0.0) ** device.off_power * (1.0 - s**power)
        on = on_rate * max(across / device.on_voltage - 1.0, 0.0) ** device.on_power * (1.0 - (1.0 - s) ** power)
        return [off + on]

    times = sorted({time for points in waves.values() for time, _ in points})
    for start, stop in pairwise(times):
        part = scipy.integrate.solve_ivp(rate, (start, stop), [state], method="LSODA", rtol=TOLERANCE, atol=TOLERANCE)
        if not part.success:
            raise ConvergenceError("a 1T1R cell", float("nan"), TOLERANCE, int(part.nfev))
        state = float(part.y[0, -1])
    return min(max(state, 0.0), 1.0)


def _inner(cell: ComplianceCell, conductance: float, over: float, word: float, bit: float) -> float:
    """Return the voltage of the node between device and transistor, at which both carry the same current."""
    half = 0.5 * cell.gain
    source = half * max(over - bit, 0.0) ** 2
    saturated = word - source / conductance
    if saturated >= over:  # the transistor is pinched off at the device's end
        return saturated
    # conductance·(word - over + z) = source - half·z², with z = over - v > 0
    rest = source - conductance * (word - over)
    return over - 2.0 * rest / (conductance + float(np.sqrt(conductance**2 + 4.0 * half * rest)))
