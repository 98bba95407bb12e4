r"""A pulse on a tile of ODE devices, all steps of all cells in one call; ``engine/programming.py`` has the twin.

At each moment the network of wires and cells is solved for the voltages across the devices
(``cython_ext/devices/moment.pxd``), and these drive the states, all with one step
(``cython_ext/devices/switching.pyx``). Bridges between lines are the twin's alone.

**A moment.** For given states each cell's law is replaced by its tangent, and the tile so made linear is solved as in
:mod:`circuitmem._kernels.reference`, by corrections that start from the moment before: conjugate gradients, or
elimination where lines hang together badly. It is right to a hundredth of the tolerance of a state.

**A step** is one of :mod:`circuitmem._kernels.devices`, with four moments. Its length is what keeps two estimates
within their tolerances: the largest error of a state, and that of the energy :math:`\int \sum V I\, dt` that the
drivers give, which the same quadrature adds up. So a pulse in which little moves takes a dozen steps, and one in which
cells run away one after another takes as many as the fastest of them asks for.

**Cost.** A moment is one solution of the tile, for a vector: some passes over its cells. The derivatives that the
method wants are those of each cell alone, so that no larger system is ever formed.

**What is eliminated**, and why nothing is pivoted or subtracted, is as for any linear tile: currents rise with
voltages, so that tangents are conductances, all at least 0; what they leave out enters as currents into the nodes.

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
"""Largest estimated error of a step's energy, relative to that so far and to a first slope on which nothing moves."""

_NETWORK = 1


class Switched(NamedTuple):
    """What a pulse did to a tile."""

    states: Floats
    """At the wanted times, (times, rows, columns)."""
    energy: float
    """What the drivers of all lines delivered [J]."""
    steps: int
    """Of the integration."""


def available() -> bool:
    """Say whether there is a compiled kernel."""
    return _compiled is not None


def _accuracy(tolerance: float) -> float:
    """Return how right voltages must be, relative to the largest, for states right to ``tolerance`` a step.

    A rate changes by ten times as much as the voltage that drives it, in the steepest of these laws.
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
    """Integrate the states of a tile along a pulse; the bits do not depend on threads, for it uses one.

    Parameters
    ----------
    law : DeviceLaw
        Of the devices.
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
        Rising, when states are wanted; the last is the end [s].
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
