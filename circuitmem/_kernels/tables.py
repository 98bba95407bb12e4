r"""A device law in tables: current and rate of the state over state and voltage, for the kernels.

For each sign of the voltage there are two surfaces over state s and :math:`u = |V|`, bicubic between the nodes of a
grid: L of the current, and Y of the rate,

.. math:: I = V e^{L(s, u)}, \qquad \frac{ds}{dt} = d \cdot \text{scale} \cdot \sinh Y(s, u),

where d is 1, or the distance to the limit towards which the state moves, so that windows that end the motion there are
smooth. The logarithm covers many decades, and sinh can be 0 between thresholds. Beyond the last voltage, I/V and the
rate keep their last values: pulses must not go that far.

**How far off.** Nothing is eliminated here. Slopes at nodes keep the surfaces monotone, so that they do not overshoot
at a kink. Intervals are halved until the middle of each is right to the error that was asked for; in the end, points
drawn at random must be right to it as well (``circuitmem/device/tabulate.py``).

**Cost.** Two bisections and some dozens of multiplications per surface, whatever the law itself would take; with a
resistance in series, as much for each step of Newton's method, which is kept in a bracket.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEADER", "Half", "Surface", "cubic", "current", "pack", "rate", "unpack", "voltage_of"]

Floats = NDArray[np.float64]

HEADER = 16
"""Numbers before the surfaces: for each sign, positive first, grid sizes of both (4), scale, end, last voltage, 0."""


class Surface(NamedTuple):
    """A bicubic surface on a grid."""

    state: Floats
    """States of the grid, rising from 0 to 1, (n,)."""
    voltage: Floats
    """Magnitudes of the voltages of the grid, rising from 0, (m,) V."""
    nodes: Floats
    """Value, derivatives by state and by voltage, and mixed derivative, (n, m, 4)."""


class Half(NamedTuple):
    """The law for one sign of the voltage."""

    current: Surface
    """Surface L."""
    rate: Surface
    """Surface Y."""
    scale: float
    """Rate at which the table of the rate changes from linear to logarithmic [1/s]."""
    end: int
    """1 or 0: limit towards which the motion slows down; -1 if it does not."""


def pack(positive: Half, negative: Half) -> Floats:
    """Return the law as one row of numbers."""
    header: list[float] = []
    parts: list[Floats] = []
    for half in (positive, negative):
        header += [len(half.current.state), len(half.current.voltage), len(half.rate.state), len(half.rate.voltage)]
        header += [half.scale, half.end, half.current.voltage[-1], 0.0]
        for surface in half[:2]:
            parts += [surface.state, surface.voltage, surface.nodes.ravel()]
    return np.concatenate([np.array(header, dtype=np.float64), *parts])


def unpack(numbers: Floats) -> tuple[Half, Half]:
    """Return the two halves of what :func:`pack` made."""
    halves: list[Half] = []
    place = HEADER
    for header in (numbers[:8], numbers[8:HEADER]):
        surfaces = []
        for n, m in ((int(header[0]), int(header[1])), (int(header[2]), int(header[3]))):
            ends = np.cumsum([place, n, m, 4 * n * m])
            state, voltage, nodes = (numbers[a:b] for a, b in pairwise(ends.tolist()))
            surfaces.append(Surface(state, voltage, nodes.reshape(n, m, 4)))
            place = int(ends[-1])
        halves.append(Half(surfaces[0], surfaces[1], float(header[4]), int(header[5])))
    return halves[0], halves[1]


def current(numbers: Floats, state: Floats, fixed: Floats, voltage: Floats) -> tuple[Floats, Floats]:
    """Return current [A] and its derivative by the voltage [S]; where ``fixed`` >= 0, those of that conductance."""
    siemens, slope = np.zeros(state.shape), np.zeros(state.shape)
    for half, here in _sides(numbers, voltage):
        u = np.abs(voltage[here])
        held = half.current.voltage[-1]
        level, rise = _surface(half.current, np.clip(state[here], 0.0, 1.0), np.minimum(u, held))
        siemens[here] = np.exp(level)
        slope[here] = siemens[here] * (1.0 + np.where(u < held, u * rise, 0.0))
    moves = fixed < 0.0
    siemens, slope = np.where(moves, siemens, fixed), np.where(moves, slope, fixed)
    return siemens * voltage, slope


def rate(numbers: Floats, state: Floats, voltage: Floats) -> Floats:
    """Return the rate of the state [1/s] for the voltage across the device."""
    found, s = np.zeros(state.shape), np.clip(state, 0.0, 1.0)
    for half, here in _sides(numbers, voltage):
        level, _ = _surface(half.rate, s[here], np.minimum(np.abs(voltage[here]), half.rate.voltage[-1]))
        found[here] = half.scale * np.sinh(level) * (1.0 if half.end < 0 else np.abs(half.end - s[here]))
    return found


def voltage_of(
    numbers: Floats, state: Floats, fixed: Floats, series: Floats, total: Floats, wanted: Floats | None = None
) -> Floats:
    """Return a device's part of a voltage ``total`` across it and ``series``; or its voltage at a current ``wanted``.

    The current rises with the voltage, so Newton's method is kept in a bracket between 0 and ``total``.
    """
    sign = np.where(total < 0.0, -1.0, 1.0)
    top = np.abs(total)
    low, high = np.zeros(top.shape), top.copy()
    u = 0.5 * top
    for _ in range(100):
        amperes, slope = current(numbers, state, fixed, sign * u)
        if wanted is None:
            off, steep = u + series * sign * amperes - top, 1.0 + series * slope
        else:
            off, steep = sign * (amperes - wanted), np.maximum(slope, 1e-300)
        low, high = np.where(off < 0.0, u, low), np.where(off > 0.0, u, high)
        step = u - off / steep
        new = np.where((step > low) & (step < high), step, 0.5 * (low + high))
        done = np.abs(new - u) <= 1e-15 * top
        u = np.where(off == 0.0, u, new)
        if (done | (off == 0.0)).all():
            break
    return np.asarray(sign * u)


def _sides(numbers: Floats, voltage: Floats) -> list[tuple[Half, NDArray[np.bool_]]]:
    positive, negative = unpack(numbers)
    below = voltage < 0.0
    return [(half, here) for half, here in ((positive, ~below), (negative, below)) if here.any()]


def _surface(surface: Surface, state: Floats, u: Floats) -> tuple[Floats, Floats]:
    """Return the value of a surface, and its derivative by the voltage."""
    s, v, f = surface
    i = np.clip(np.searchsorted(s, state, side="right") - 1, 0, len(s) - 2)
    j = np.clip(np.searchsorted(v, u, side="right") - 1, 0, len(v) - 2)
    hs, hv = s[i + 1] - s[i], v[j + 1] - v[j]
    along, _ = cubic((state - s[i]) / hs, hs)
    across, rising = cubic((u - v[j]) / hv, hv)
    corners = ((0, 0), (0, 1), (1, 0), (1, 1))
    value, slope = np.zeros(state.shape), np.zeros(state.shape)
    for a, b in corners:
        node = f[i + a, j + b]
        at = along[a] * node[..., 0] + along[2 + a] * node[..., 1]
        by = along[a] * node[..., 2] + along[2 + a] * node[..., 3]
        value += across[b] * at + across[2 + b] * by
        slope += rising[b] * at + rising[2 + b] * by
    return value, slope


def cubic(x: Floats, h: Floats) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Return Hermite's weights of both values and both slopes at ``x`` in [0, 1], and their derivatives."""
    y = 1.0 - x
    weights = (y * y * (1.0 + 2.0 * x), x * x * (1.0 + 2.0 * y), h * x * y * y, -h * x * x * y)
    bend = 6.0 * x * y / h
    return weights, (-bend, bend, y * (y - 2.0 * x), x * (x - 2.0 * y))
