r"""A pulse on a tile of ODE devices, all steps of all cells in one call; ``engine/programming.py`` has the twin.

At each moment the network of wires and cells is solved for the voltages across the devices
(``cython_ext/devices/moment.pxd``), and these drive the states, all with the same step
(``cython_ext/devices/switching.pyx``). Only the twin handles bridges between lines.

**A moment.** For given states each cell's law is replaced by its tangent, and the resulting linear tile is solved as in
:mod:`circuitmem._kernels.reference`, by corrections that start from the previous moment: conjugate gradients, or
elimination on hard tiles. Its voltages are right to a hundredth of the tolerance of a state.

**A step** is one of :mod:`circuitmem._kernels.devices`, with four moments. Its length keeps two error estimates within
their tolerances: the largest error of a state, and the error of the energy :math:`\int \sum V I\, dt` that the drivers
deliver, which is integrated by the same quadrature. So a pulse in which little moves takes a dozen steps, and one in
which cells run away one after another takes as many as the fastest of them requires.

**Cost.** A moment is one solution of the tile for one vector: a few passes over its cells. The method needs only the
derivatives of each cell alone, so no larger system is ever formed.

**What is eliminated**, and why nothing is pivoted or subtracted, is the same as for any linear tile: currents rise with
voltages, so tangents are conductances, all at least 0; the rest of each law enters as currents into the nodes.

**How far off.** A moment's voltages have the bound of the linear tile; the steps have estimates, no bounds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.devices import METHOD, DeviceLaw
from circuitmem._kernels.select import load_kernel
from circuitmem.errors import ConvergenceError

__all__ = ["ENERGY_TOLERANCE", "MAX_STEPS", "Switched", "available", "switch"]

Floats = NDArray[np.float64]
_compiled = load_kernel("switching").module

MAX_STEPS = 200_000
"""Steps of one pulse after which it is given up."""

ENERGY_TOLERANCE = 5e-3
"""Largest estimated error of a step's energy, relative to that so far plus that of a first slope without motion."""

_NETWORK = 1


class Switched(NamedTuple):
    """What a pulse did to a tile."""

    states: Floats
    """At the wanted times, (times, rows, columns)."""
    energy: float
    """What the drivers of all lines delivered [J]."""
    steps: int
    """Steps of the integration."""


def available() -> bool:
    """Say whether there is a compiled kernel."""
    return _compiled is not None


def _accuracy(tolerance: float) -> float:
    """Return the error of voltages, relative to the largest, that keeps states right to ``tolerance`` per step.

    In the steepest of these laws, the relative change of a rate is ten times that of the voltage that drives it.
    """
    return min(max(1e-2 * tolerance, 1e-11), 1e-7)


def switch(
    law: DeviceLaw,
    state: Floats,
    fixed: Floats,
    series: Floats,
    wires: tuple[Floats, Floats],
    lines: tuple[Floats, Floats],
    wave: tuple[Floats, Floats],
    wanted: Floats,
    tolerance: float,
) -> Switched:
    """Integrate the states of a tile along a pulse; it uses one thread, so the bits do not depend on threads.

    Parameters
    ----------
    law : DeviceLaw
        The law of the devices.
    state : (rows, columns) ndarray
        Their states, 0 to 1.
    fixed : (rows, columns) ndarray
        Conductance [S] of cells that do not change; negative for those that do.
    series : (rows, columns) ndarray
        Resistance in series with each device [Ω]; ``inf`` is a cell that is switched off.
    wires : (rows, columns + 1), (rows + 1, columns) ndarray
        Segments of word and of bit lines [Ω], as in :class:`circuitmem.tile.Mesh`.
    lines : (rows,), (columns,) ndarray
        Voltages of the drivers of word and of bit lines on the plateau [V].
    wave : (corners,), (corners,) ndarray
        Times of the corners, rising [s], and the voltages there relative to the plateau, >= 0, the first 0.
    wanted : (times,) ndarray
        Times at which states are wanted, rising; the last is the end [s].
    tolerance : float
        Largest estimated error of a state in one step.

    Raises
    ------
    ConvergenceError
        If the network cannot be solved, or the pulse takes too many steps.
    """
    assert _compiled is not None
    arrays = [
        np.ascontiguousarray(array, dtype=np.float64) for array in (state, fixed, series, *wires, *lines, *wave, wanted)
    ]
    numbers = np.asarray(law.parameters, dtype=np.float64)
    states, energy, steps, outcome, error = _compiled.switch(
        law.model, law.a, law.ratio, numbers, *METHOD, *arrays, tolerance, ENERGY_TOLERANCE,
        _accuracy(tolerance), MAX_STEPS,
    )  # fmt: skip
    if outcome == _NETWORK:
        raise ConvergenceError("the network of a tile", np.inf, _accuracy(tolerance), steps)
    if outcome:
        raise ConvergenceError("a pulse on a tile", error * tolerance, tolerance, steps)
    return Switched(states, energy, steps)
