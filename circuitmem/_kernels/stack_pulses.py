"""Two-pulse programming of all tiles of a layer in one call, from weights to pulses: the face of the kernel, its twin.

Pulses change cells and take power as in :mod:`circuitmem._kernels.pulses`.

**How far off.** The plan has the bits of the mapping, each product rounded as NumPy rounds it; what pulses leave, and
their power, is as accurate as on single tiles.

**Cost.** One pass over weights and cells to plan; then a normal number for each cell that gets a SET, and a ladder for
each row that is driven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses, normal_table
from circuitmem._kernels.pulses import TwoPulseLaw, _reference_changes, _reference_power, _reference_reset
from circuitmem._kernels.pulses import _reference_set as _reference_set_pulse
from circuitmem._kernels.select import load_kernel, thread_count
from circuitmem._kernels.stacks import Stack, expect, expect_each
from circuitmem._kernels.tiling import Tiling
from circuitmem.errors import ValidationError

__all__ = [
    "Amplitudes",
    "CellArrays",
    "Conductances",
    "PairTargets",
    "PulsePlan",
    "PulseWires",
    "plan_stack",
    "two_pulse_stack",
    "wanted_conductances",
]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_compiled = load_kernel("programming").module


class PairTargets(NamedTuple):
    """Weights of a layer that pairs of devices are to be programmed for."""

    weights: Floats
    """(inputs, outputs)."""
    tiling: Tiling
    """Where they lie; spare cells are left as they are."""
    scale: float
    """Conductance between the lines per unit of weight [S]."""
    minimum: float
    """Least conductance between the lines [S]."""
    maximum: float
    """Largest conductance between the lines [S]."""
    series: float = 0.0
    """Resistance in series with each device [ohm]."""
    prefactor: Floats | None = None
    """Factors of the conductances between the lines, (tiles, rows, columns)."""
    stuck: Floats | None = None
    """Conductances of cells that do not follow pulses [S], nan for the others, (tiles, rows, columns): such cells are
    left as they are, and their partners make up for them."""
    law: Callable[[Floats], Floats] | None = None
    """Function from conductances between the lines to those of devices [S], if ``series`` does not describe it."""

    @property
    def tiles(self) -> int:
        """Tiles of the layer."""
        return len(self.tiling.inputs)

    def part(self, own: slice) -> PairTargets:
        """Return the targets of some of its tiles."""
        tiling = self.tiling._replace(inputs=self.tiling.inputs[own], outputs=self.tiling.outputs[own])
        prefactor, stuck = (None if each is None else each[own] for each in (self.prefactor, self.stuck))
        return self._replace(tiling=tiling, prefactor=prefactor, stuck=stuck)


class Conductances(NamedTuple):
    """Target conductances of the devices of a layer, for mappings that are not pairs."""

    wanted: Floats
    """(tiles, rows, columns) S."""

    @property
    def tiles(self) -> int:
        """Tiles of the layer."""
        return len(self.wanted)

    def part(self, own: slice) -> Conductances:
        """Return the targets of some of its tiles."""
        return Conductances(self.wanted[own])


class PulsePlan(NamedTuple):
    """Which cells get which pulses."""

    wanted: Floats
    """Conductance that each cell is asked for, (tiles, rows, columns) S."""
    lowered: Mask
    """Cells that get a RESET, (tiles, rows, columns)."""
    selected: Mask
    """Cells that get a SET, (tiles, rows, columns)."""
    counts: NDArray[np.int64]
    """Number of these cells in each row, (2, tiles, rows): a row without any gets no pulse."""


class CellArrays(NamedTuple):
    """The cells of tiles, changed in place; one array a tile, of (rows, columns)."""

    conductance: Stack
    """As programmed [S]."""
    effective: Stack
    """As seen by the circuit [S]; it may be the same array."""
    asked: Stack
    """What was asked for last [S]."""
    stuck: Mask | Sequence[Mask]
    """Cells that change in ``conductance`` only."""


class PulseWires(NamedTuple):
    """What rows are driven through, for the power of pulses."""

    word: Stack
    """Word-line segments of all tiles (1, rows, columns + 1), or of each, as in :class:`circuitmem.tile.Mesh` [ohm]."""
    ground: Stack
    """From :func:`circuitmem._kernels.pulses.ground_resistance`, likewise [ohm]."""
    dead: Mask | None = None
    """Drivers that are dead, (tiles, rows)."""
    series: float = 0.0
    """Resistance in series with each device [ohm]."""


class Amplitudes(NamedTuple):
    """Voltages of the pulses [V]."""

    reset: float
    set: float


def plan_stack(
    wanted: Floats | Sequence[PairTargets | Conductances], asked: Stack, deadband: float, *, threads: int | None = None
) -> PulsePlan:
    """Say which cells are to change, as :func:`circuitmem._kernels.pulses.changes` does for one tile.

    Parameters
    ----------
    wanted : sequence of PairTargets and Conductances, or (tiles, rows, columns) ndarray
        Weights or conductances of layers, whose tiles follow each other; or the conductances of all tiles [S]. The bits
        do not depend on the instruction set.
    asked : (tiles, rows, columns) array, or sequence of (rows, columns)
        What was asked for last [S].
    deadband : float
        Changes up to this are ignored [S].
    threads : int, optional
        Threads to use (see :func:`~circuitmem._kernels.select.thread_count`); the bits do not depend on it.

    Raises
    ------
    ValidationError
        If shapes disagree.
    """
    shape = (len(asked), *asked[0].shape)
    expect_each("asked", asked, shape)
    lowered, selected = np.empty(shape, dtype=bool), np.empty(shape, dtype=bool)
    if isinstance(wanted, np.ndarray):
        expect_each("wanted", wanted, shape)
        counts = _plan_stack(*_KNOWN, asked, wanted, lowered, selected, deadband, thread_count(threads))
        return PulsePlan(wanted, lowered, selected, counts)
    if sum(layer.tiles for layer in wanted) != shape[0]:
        raise ValidationError("wanted", f"must be of {shape[0]} tiles", sum(layer.tiles for layer in wanted))
    found, counts, first = np.empty(shape), np.empty((2, *shape[:2]), dtype=np.int64), 0
    for layer in wanted:
        part = slice(first, first + layer.tiles)
        first, into = part.stop, (found[part], lowered[part], selected[part])
        if isinstance(layer, Conductances):
            expect("wanted", layer.wanted, (layer.tiles, *shape[1:]))
            into[0][...] = layer.wanted
        else:
            counts[:, part] = _plan_stack(*_given(layer, shape), asked[part], *into, deadband, thread_count(threads))
            if layer.law is None:
                continue
            _apply_law(layer, into[0])
        counts[:, part] = _plan_stack(*_KNOWN, asked[part], *into, deadband, thread_count(threads))
    return PulsePlan(found, lowered, selected, counts)


_KNOWN = None, None, None, 0.0, 0.0, 0.0, 0.0, None, None
"""Arguments of the kernel for a layer whose conductances are given."""


def _apply_law(layer: PairTargets, wanted: Floats) -> None:
    """Turn conductances between the lines into those of devices, in the cells that stand for weights."""
    assert layer.law is not None
    lines, pairs = layer.tiling.inputs >= 0, layer.tiling.outputs >= 0
    used = np.zeros(wanted.shape, dtype=bool)
    used[:, :, : 2 * pairs.shape[1]] = lines[:, :, None] & np.repeat(pairs, 2, axis=1)[:, None, :]
    if layer.stuck is not None:
        used &= np.isnan(layer.stuck)
    wanted[used] = layer.law(wanted[used])


def wanted_conductances(
    layers: Sequence[PairTargets | Conductances], asked: Stack, *, threads: int | None = None
) -> Floats:
    """Return the conductances wanted of cells, (tiles, rows, columns) S; parameters as in :func:`plan_stack`."""
    return plan_stack(layers, asked, 0.0, threads=threads).wanted


def _given(layer: PairTargets, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return the arguments of the kernel for a layer on tiles of this shape."""
    weights, tiling, *numbers, prefactor, stuck, _ = layer
    own = layer.tiles, *shape[1:]
    for name, array, right in (
        ("weights", weights, tiling.shape),
        ("inputs", tiling.inputs, own[:2]),
        ("outputs", tiling.outputs, (own[0], own[2] // 2)),
        ("prefactor", prefactor, own),
        ("stuck", stuck, own),
    ):
        if array is not None:
            expect(name, array, right)
    ready = [None if each is None else np.ascontiguousarray(each, dtype=np.float64) for each in (prefactor, stuck)]
    return np.ascontiguousarray(weights, dtype=np.float64), tiling.inputs, tiling.outputs, *numbers, *ready


def two_pulse_stack(
    plan: PulsePlan,
    cells: CellArrays,
    slope: Stack,
    law: TwoPulseLaw,
    noise: Addresses,
    *,
    wires: PulseWires | None = None,
    amplitudes: Amplitudes | None = None,
    tiles: NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> Floats:
    """Give the pulses of a plan, in place; return the power of each row's RESET and SET, (2, tiles, rows) W.

    Rows are driven one after another, with the transistors of all other rows off. The cells end up as ``reset_pulse``
    and ``set_pulse`` leave them, bit for bit.

    Parameters
    ----------
    plan : PulsePlan
        Which cells get which pulses.
    cells : CellArrays
        The cells of all tiles.
    slope : (tiles, rows, columns) array, or sequence of (rows, columns)
        Conductance per gate voltage of each device [S/V].
    law : TwoPulseLaw
        What a pulse leaves.
    noise : Addresses
        Where the normal numbers are found: ``row·columns + column`` of each tile's stream.
    wires : PulseWires, optional
        What rows are driven through; without it the power is 0.
    amplitudes : Amplitudes, optional
        Voltages of the pulses, for their power.
    tiles : (some,) ndarray of int, optional
        Tiles that get their pulses; others are not touched. If left out, all tiles for which the plan has pulses.
    threads : int, optional
        Threads to use; the bits do not depend on it.

    Raises
    ------
    ValidationError
        If shapes disagree.
    """
    shape = plan.wanted.shape
    for name, each in (*zip(CellArrays._fields[:3], cells[:3], strict=True), ("slope", slope)):
        expect_each(name, each, shape)
    chosen = np.flatnonzero(plan.counts[1].any(axis=1)) if tiles is None else np.asarray(tiles, dtype=np.int64)
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < shape[0]:
        raise ValidationError("tiles", f"must be numbers from 0 to {shape[0] - 1}", chosen.tolist())
    word = ground = dead = None
    series = 0.0
    if wires is not None:
        word, ground, dead, series = wires
        expect_each("word", word, (len(word), shape[1], shape[2] + 1))
        expect_each("ground", ground, (len(ground), *shape[1:]))
    return np.asarray(
        _two_pulse_stack(
            cells.conductance,
            cells.effective,
            cells.stuck,
            cells.asked,
            slope,
            *plan,
            chosen,
            law,
            normal_table(),
            noise.keys,
            noise.operations,
            word,
            ground,
            dead,
            series,
            amplitudes or Amplitudes(0.0, 0.0),
            thread_count(threads),
        )
    )


def _reference_plan(
    weights: Floats | None,
    inputs: NDArray[np.int32] | None,
    outputs: NDArray[np.int32] | None,
    scale: float,
    minimum: float,
    maximum: float,
    series: float,
    prefactor: Floats | None,
    stuck: Floats | None,
    asked: Stack,
    wanted: Floats,
    lowered: Mask,
    selected: Mask,
    deadband: float,
    _threads: int,
) -> NDArray[np.int64]:
    if weights is not None and inputs is not None and outputs is not None:
        wanted[...] = np.array(asked, dtype=np.float64)
        for tile, (lines, pairs) in enumerate(zip(inputs, outputs, strict=True)):
            rows, places = np.flatnonzero(lines >= 0), np.flatnonzero(pairs >= 0)
            share = scale * weights[np.ix_(lines[rows], pairs[places])]
            for side, part in enumerate((share, -share)):
                own, other = np.ix_(rows, 2 * places + side), np.ix_(rows, 2 * places + 1 - side)
                between = np.minimum(np.maximum(part, 0.0) + minimum, maximum)
                if stuck is not None:
                    partner = np.minimum(np.maximum(stuck[tile][other] + part, minimum), maximum)
                    between = np.where(np.isnan(stuck[tile][other]), between, partner)
                if prefactor is not None:
                    between = np.minimum(np.maximum(between * prefactor[tile][own], minimum), maximum)
                device = between / np.maximum(1.0 - between * series, 1e-3) if series != 0.0 else between
                if stuck is not None:
                    device = np.where(np.isnan(stuck[tile][own]), device, asked[tile][own])
                wanted[tile][own] = device
    found = [_reference_changes(new, old, deadband) for new, old in zip(wanted, asked, strict=True)]
    for place, (falls, changes, _) in enumerate(found):
        lowered[place], selected[place] = falls, changes
    return np.ascontiguousarray(np.stack([counts for *_, counts in found], axis=1))


def _reference_pulses(
    conductance: Stack,
    effective: Stack,
    stuck: Sequence[Mask],
    asked: Stack,
    slope: Stack,
    wanted: Floats,
    lowered: Mask,
    selected: Mask,
    _counts: NDArray[np.int64],
    tiles: NDArray[np.int64],
    law: TwoPulseLaw,
    normal: Floats,
    keys: NDArray[np.uint64],
    operations: NDArray[np.uint64],
    word: Stack | None,
    ground: Stack | None,
    dead: Mask | None,
    series: float,
    voltages: Amplitudes,
    _threads: int,
) -> Floats:
    """Pulse tile after tile with the twins of ``reset_pulse``, ``set_pulse`` and ``row_power``."""
    power = np.zeros((2, *wanted.shape[:2]))

    def work_out(is_set: int, tile: int, chosen: Mask) -> None:
        if word is None or ground is None:
            return
        cells = effective[tile] / (1.0 + effective[tile] * series)
        wires = word[tile % len(word)], ground[tile % len(ground)]
        found = _reference_power(cells, chosen.view(np.uint8), *wires, voltages[is_set])
        power[is_set, tile] = found if dead is None else np.where(dead[tile], 0.0, found)

    for tile in tiles:
        state = conductance[tile], effective[tile], stuck[tile].view(np.uint8)
        work_out(0, tile, lowered[tile])
        _reference_reset(*state, lowered[tile].view(np.uint8), law.minimum_conductance)
        address = int(keys[tile, 0]), int(keys[tile, 1]), int(operations[tile])
        chosen = selected[tile].view(np.uint8)
        _reference_set_pulse(*state, chosen, wanted[tile], asked[tile], slope[tile], law, normal, *address)
        work_out(1, tile, selected[tile])
    return power


_plan_stack: Any = _reference_plan if _compiled is None else _compiled.plan_stack
_two_pulse_stack: Any = _reference_pulses if _compiled is None else _compiled.two_pulse_stack
