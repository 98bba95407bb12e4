"""Pulses for devices that count them, for all tiles of a layer in one call: the face of the kernel, and its twin.

A pulse changes a cell as in :mod:`circuitmem._kernels.counts`, and takes power as in
:mod:`circuitmem._kernels.pulses`. Pulses are given one at a time, each with noise of its own. A row gets its pulses one
after another, first those down, then those up; its k-th pulse goes to the cells that need at least k.

**How far off.** As :mod:`circuitmem._kernels.counts`, once per pulse.

**Cost.** An exponential and a normal number for each cell and pulse, and a ladder for each pulse of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.counts import _reference_count
from circuitmem._kernels.noise import Addresses, normal_table
from circuitmem._kernels.pulses import _reference_power
from circuitmem._kernels.select import load_kernel, thread_count
from circuitmem._kernels.stack_pulses import Amplitudes, PulseWires
from circuitmem._kernels.stacks import Stack, expect, expect_each

__all__ = ["CountedCells", "Curves", "count_stack", "first_pulses"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]
_compiled = load_kernel("pulses").module

_NUMBERS = 1 << 16
"""As in :mod:`circuitmem.device.device`: the noise of each pulse of a job has an address of its own."""


class Curves(NamedTuple):
    """Both directions of the devices of tiles, down and up: an array of all tiles, or one of each, (rows, columns)."""

    fade: tuple[Stack, Stack]
    """1/A of each device."""
    ceiling: tuple[Stack, Stack]
    """B of each device, relative to the range."""


class CountedCells(NamedTuple):
    """The cells of tiles, changed in place, (tiles, rows, columns) each."""

    conductance: Floats
    """As programmed [S]."""
    effective: Floats
    """As seen by the circuit [S]."""
    asked: Floats
    """What the digital core believes their conductance to be [S]."""
    stuck: Mask
    """Cells that change in ``conductance`` and ``asked`` only."""


def first_pulses(pulses: Counts) -> tuple[Counts, Counts, int]:
    """Return the number of pulses of each row, (2, tiles, rows), the place of its first one among all, and the total.

    ``pulses`` are those of the cells, (2, tiles, rows, columns): down, up.
    """
    most = pulses.max(axis=3)
    both = most.sum(axis=0)
    ends = np.cumsum(both).reshape(both.shape)
    return most, ends - both, int(ends[-1, -1])


def count_stack(
    cells: CountedCells,
    pulses: Counts,
    curves: Curves,
    known: Curves,
    limits: tuple[float, float],
    sigma: float,
    noise: Addresses,
    wires: PulseWires,
    amplitudes: Amplitudes,
    *,
    threads: int | None = None,
) -> Floats:
    """Give pulses to tiles, in place; return the power of each row's pulses, tile after tile, row after row [W].

    Rows are driven one after another, with the transistors of all other rows off. The cells end up as ``count_pulses``
    leaves them, bit for bit.

    Parameters
    ----------
    cells : CountedCells
        The cells of all tiles.
    pulses : (2, tiles, rows, columns) ndarray of int
        Number of pulses that each cell gets, down and up.
    curves, known : Curves
        Curves of the devices, and of the declared device.
    limits : (float, float)
        Minimum and maximum conductance [S].
    sigma : float
        Standard deviation of the noise of one pulse, relative to the range.
    noise : Addresses
        Addresses of the tiles' jobs; those of the pulses follow from them (:meth:`circuitmem.device.Device.noise_of`).
    wires : PulseWires
        What rows are driven through.
    amplitudes : Amplitudes
        Voltages of the pulses.
    threads : int, optional
        Threads to use; the bits do not depend on it.

    Raises
    ------
    ValidationError
        If shapes disagree.
    """
    shape = cells.asked.shape
    for name, array in zip(CountedCells._fields, cells, strict=True):
        expect(name, array, shape)
    expect("pulses", pulses, (2, *shape))
    for each in (*curves.fade, *curves.ceiling, *known.fade, *known.ceiling):
        expect_each("curves", each, (len(each), *shape[1:]))
    expect_each("word", wires.word, (len(wires.word), shape[1], shape[2] + 1))
    expect_each("ground", wires.ground, (len(wires.ground), *shape[1:]))
    own = *cells, np.ascontiguousarray(pulses), *first_pulses(pulses)
    law = *limits, sigma, normal_table(), *noise
    return np.asarray(_count_stack(*own, curves, known, *law, *wires, amplitudes, thread_count(threads)))


def _reference_stack(
    conductance: Floats,
    effective: Floats,
    asked: Floats,
    stuck: Mask,
    pulses: Counts,
    most: Counts,
    first: Counts,
    beats: int,
    curves: Curves,
    known: Curves,
    minimum: float,
    maximum: float,
    sigma: float,
    normal: Floats,
    keys: NDArray[np.uint64],
    operations: NDArray[np.uint64],
    word: Sequence[Floats] | Floats,
    ground: Sequence[Floats] | Floats,
    dead: Mask | None,
    series: float,
    voltages: Amplitudes,
    _threads: int,
) -> Floats:
    """Pulse tile after tile, pulse after pulse, with the twins of ``count_pulses`` and ``row_power``."""
    power = np.zeros(beats)
    limits = minimum, maximum
    for tile, up in product(range(len(asked)), range(2)):
        own, believed = (_curve(each, up, tile) for each in (curves, known))
        for number in range(int(most[up, tile].max(initial=0))):
            chosen = pulses[up, tile] > number
            one, driven = chosen.astype(np.int64), most[up, tile] > number

            def work_out(tile: int = tile, up: int = up, chosen: Mask = chosen) -> Floats:
                cells = effective[tile] / (1.0 + effective[tile] * series)
                wires = word[tile % len(word)], ground[tile % len(ground)]
                found = _reference_power(cells, chosen.view(np.uint8), *wires, voltages[up])
                return found if dead is None else np.where(dead[tile], 0.0, found)

            before = work_out()
            place = int(keys[tile, 0]), int(keys[tile, 1]), (2 * int(operations[tile]) + up) * _NUMBERS + number
            state = conductance[tile], effective[tile], stuck[tile].view(np.uint8)
            _reference_count(*state, one, bool(up), *own, *limits, sigma, normal, *place)
            free = np.zeros(one.shape, dtype=np.uint8)
            _reference_count(asked[tile], asked[tile], free, one, bool(up), *believed, *limits, 0.0, normal, *place)
            beat = first[tile] + number + (most[0, tile] if up else 0)
            power[beat[driven]] = (work_out() if up else before)[driven]
    return power


def _curve(curves: Curves, up: int, tile: int) -> tuple[Floats, Floats]:
    fade, ceiling = curves.fade[up], curves.ceiling[up]
    return fade[tile % len(fade)], ceiling[tile % len(ceiling)]


_count_stack: Any = _reference_stack if _compiled is None else _compiled.count_stack
