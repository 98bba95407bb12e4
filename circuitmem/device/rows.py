"""The devices of a row of tiles at once: how many pulses their changes take, and what they all conduct after a pulse.

Kinds with a law here are computed for all tiles in one call; for any other kind, :class:`circuitmem.device.Device` is
called tile by tile. Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses, standard_normal
from circuitmem.device.device import CellState, Device, PulseGroup
from circuitmem.device.pulse_update import PulseUpdate
from circuitmem.device.statistical import Statistical
from circuitmem.device.step_table import StepTable
from circuitmem.device.two_pulse import TwoPulse

__all__ = ["give_row", "has_row_law", "plan_row"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Places = NDArray[np.intp]

_PLANNED = PulseUpdate, Statistical, StepTable, TwoPulse
"""Kinds for which the digital core knows one law for all tiles. A subclass of one of them may do otherwise."""


def has_row_law(device: Device) -> bool:
    """Say whether a pulse on a device of this kind depends on nothing but what its own cells conduct."""
    return type(device) in _PLANNED


def plan_row(devices: Sequence[Device], wanted: Floats, asked: Floats, deadband: float) -> Counts:
    """Return the pulses of each cell, (2, tiles, rows, columns), down and up, as :meth:`Device.plan` does tile by tile.

    Parameters
    ----------
    devices : sequence of Device
        The devices of each tile, all of one kind.
    wanted, asked : (tiles, rows, columns) ndarray
        Conductances that are wanted now, and that were asked for before [S].
    deadband : float
        Largest difference for which nothing is done [S].
    """
    if isinstance(devices[0], StepTable) and has_row_law(devices[0]):
        # Looking up its paths is slow, so only for cells that have to change. NaN counts as beyond the dead band.
        found = np.zeros((2, *wanted.shape), dtype=np.int64)
        cells = ~(np.abs(wanted - asked) <= deadband)
        found[:, cells] = devices[0].counts(wanted[cells], asked[cells])
        return found
    if has_row_law(devices[0]):
        return np.stack(devices[0].plan(wanted, asked, deadband))
    plans = [one.plan(goal, now, deadband) for one, goal, now in zip(devices, wanted, asked, strict=True)]
    return np.stack([np.stack(each) for each in zip(*plans, strict=True)])


def give_row(devices: Sequence[Device], pulse: PulseGroup, state: CellState, noise: Addresses) -> None:
    """Give a pulse to cells of all tiles, in place, as :meth:`Device.give` does tile by tile.

    Parameters
    ----------
    devices : sequence of Device
        The devices of each tile, all of one kind.
    pulse : PulseGroup
        Which cells get it; its arrays are (tiles, rows, columns).
    state : CellState
        The cells of all tiles, (tiles, rows, columns) each. For kinds with :func:`has_row_law`, what cells without a
        pulse conduct does not matter.
    noise : Addresses
        Where the noise of each tile is drawn.
    """
    some = np.flatnonzero(pulse.cells.any(axis=(1, 2)))
    if type(devices[0]) in (Statistical, StepTable):
        whole = 2 * np.count_nonzero(pulse.cells) > pulse.cells.size
        (_give_whole if whole else _give_some)(devices, pulse, state, noise, some)
        return
    for tile in some.tolist():
        own = pulse._replace(cells=pulse.cells[tile], wanted=pulse.wanted[tile])
        devices[tile].give(own, CellState(*(each[tile] for each in state)), noise.of(tile))


def _give_whole(devices: Sequence[Device], pulse: PulseGroup, state: CellState, noise: Addresses, some: Places) -> None:
    """Compute all cells, including the few that get no pulse."""
    drawn = np.zeros(pulse.cells.shape)
    for tile in some.tolist():
        numbers = standard_normal(Device.noise_of(pulse, noise.of(tile)), pulse.cells[tile].size)
        drawn[tile] = numbers.reshape(pulse.cells.shape[1:])
    sizes = [one.sizes[int(pulse.is_set)] for one in devices if isinstance(one, StepTable) and one.sizes is not None]
    left = _left(devices[0], pulse, state.conductance, drawn, np.stack(sizes) if sizes else None)
    np.copyto(state.conductance, left, where=pulse.cells)
    np.copyto(state.effective, left, where=pulse.cells & ~state.stuck)
    if not devices[0].gated:
        np.copyto(state.asked, devices[0].after(pulse, state.asked, None), where=pulse.cells)
    elif pulse.is_set:
        np.copyto(state.asked, pulse.wanted, where=pulse.cells)


def _give_some(devices: Sequence[Device], pulse: PulseGroup, state: CellState, noise: Addresses, some: Places) -> None:
    """Compute only the cells that get the pulse: late in a series of pulses, most cells have had theirs."""
    first, size = devices[0], pulse.cells[0].size
    cells = np.flatnonzero(pulse.cells)
    ends = np.searchsorted(cells, (some + 1) * size).tolist()
    drawn, sizes, begin = np.empty(len(cells)), None, 0
    if isinstance(first, StepTable) and first.sizes is not None:
        sizes = np.empty(len(cells))
    for tile, end in zip(some.tolist(), ends, strict=True):
        within, one = cells[begin:end] - tile * size, devices[tile]
        drawn[begin:end] = standard_normal(Device.noise_of(pulse, noise.of(tile)), int(within[-1]) + 1)[within]
        if sizes is not None and isinstance(one, StepTable) and one.sizes is not None:
            sizes[begin:end] = one.sizes[int(pulse.is_set)].reshape(-1)[within]
        begin = end
    own = pulse._replace(cells=np.ones(cells.shape, dtype=bool), wanted=pulse.wanted.reshape(-1)[cells])
    conductance, effective, asked = (each.reshape(-1) for each in (state.conductance, state.effective, state.asked))
    left = _left(first, own, conductance[cells], drawn, sizes)
    conductance[cells] = left
    free = ~state.stuck.reshape(-1)[cells]
    effective[cells[free]] = left[free]
    if not first.gated:
        asked[cells] = first.after(own, asked[cells], None)
    elif pulse.is_set:
        asked[cells] = own.wanted


def _left(device: Device, pulse: PulseGroup, conductance: Floats, drawn: Floats, sizes: Floats | None) -> Floats:
    """Return what cells of any shape conduct after a pulse [S], with steps of these ``sizes`` if they have any."""
    if isinstance(device, StepTable):
        left = device.moved(pulse.is_set, conductance, drawn, sizes)
    else:
        left = device.after(pulse, conductance, drawn)
    return np.maximum(left, 0.0)
