r"""Reads of all tiles of a layer in one call, from its codes to its sums: the face of the kernel, and its twin.

The inputs of a layer lie on groups of tiles (:mod:`circuitmem._kernels.tiling`). Each tile is read as in
:mod:`circuitmem._kernels.reads`. A column's code is corrected, ``gain·(code - offset)``, and added to the others of its
output in the order of the tiles; each product is rounded before it is added, as NumPy rounds it. So the sums have the
same bits as if the tiles were read one after another, for any number of threads.

**How far off.** As single reads. In the sums, each code adds two roundings: one of its product and one of the sum.

**Cost.** That of the reads of all tiles, shared by the threads, and one multiplication per code for the sums.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses, normal_table
from circuitmem._kernels.reads import Channels, _reference_codes
from circuitmem._kernels.select import load_kernel, thread_count
from circuitmem._kernels.stacks import Stack, expect_each
from circuitmem._kernels.tiling import Tiling
from circuitmem._kernels.tree import sense_ends
from circuitmem.errors import ValidationError

__all__ = ["IdealWires", "Matrices", "StackChannels", "StackCorrection", "StackRead", "add_codes", "read_stack"]

Floats = NDArray[np.float64]
Codes = NDArray[Any]
_compiled = load_kernel("layers").module


class StackChannels(NamedTuple):
    """The converters of all tiles, as :class:`circuitmem._kernels.reads.Channels` has those of one."""

    table: Stack
    """Voltage of each DAC code, (tiles, rows, levels) or (1, rows, levels) V."""
    factor: Floats
    """Voltage at the quantiser per column current, (tiles, columns) V/A."""
    offset: Floats
    """Offset of the voltage at the quantiser, (tiles, columns) V."""
    highest: Floats
    """Highest code, (tiles, columns); 0 for a dead channel."""
    minimum: float
    """Voltage of code 0 [V]."""
    lsb: float
    """Voltage of one LSB [V]."""
    noise: float
    """Standard deviation of the noise at the quantiser [V]."""
    top: int
    """The code that counts as saturated."""
    thresholds: Floats | None = None
    """Begin of each code but the lowest, (tiles, columns, codes - 1) LSB above ``minimum``; None without INL."""

    @classmethod
    def of(cls, channels: list[Channels], top: int) -> StackChannels:
        """Return the channels of tiles that are given one by one."""
        first = channels[0]
        thresholds = [each.thresholds for each in channels if each.thresholds is not None]
        columns = len(first.highest)
        return cls(
            [each.table for each in channels],
            np.stack([np.broadcast_to(each.factor, columns) for each in channels]),
            np.stack([np.broadcast_to(each.offset, columns) for each in channels]),
            np.stack([np.broadcast_to(each.highest, columns) for each in channels]),
            first.minimum,
            first.lsb,
            first.noise,
            top,
            np.stack(thresholds) if thresholds else None,
        )


class IdealWires(NamedTuple):
    """Tiles whose wires have no resistance but that of their sense ends."""

    conductance: Stack
    """Conductance of the cells as seen by the circuit, (tiles, rows, columns) S."""
    sense: Floats
    """Resistance of the sense ends of each bit line, (tiles, columns) or (1, columns) ohm."""


class Matrices(NamedTuple):
    """Tiles as :func:`circuitmem._kernels.tree.transfer_stack` describes them, in double or in single precision.

    Numbers of single precision are widened when a tile is read; what is computed with them is double.
    """

    matrix: Stack
    """Transfer matrices, (tiles, columns, rows) S."""
    admittance: Stack | None
    """Input admittances, (tiles, rows, rows) S; without them no power is computed."""


class StackCorrection(NamedTuple):
    """The terms of a layer's sums: ``plane_weights·slope·code`` of each read, and ``constant`` once."""

    slope: Floats
    """Weight of a code, (groups, tiles, columns), in units of the sums."""
    constant: Floats
    """Constant term, (tiles, columns), in units of the sums."""
    plane_weights: Floats
    """Weight of each read of an input, (planes,): 1 for inputs that are not read bit by bit."""


class StackRead(NamedTuple):
    """The results of a layer's reads."""

    codes: NDArray[np.uint16] | None
    """ADC codes, (tiles, reads, columns): group after group, input after input, plane after plane."""
    sums: Floats | None
    """Sums over the tiles of plus columns less minus columns, (batch, outputs)."""
    power: Floats
    """Power of the arrays, (tiles, reads) W."""
    saturated: NDArray[np.int64]
    """Number of codes of each tile that are ``top``, (tiles,)."""


def read_stack(
    codes: Codes,
    source: IdealWires | Matrices,
    channels: StackChannels,
    noise: Addresses,
    *,
    tiling: Tiling | None = None,
    correction: StackCorrection | None = None,
    groups: int = 1,
    planes: int = 1,
    first: int = 0,
    keep_codes: bool = True,
    threads: int | None = None,
) -> StackRead:
    """Read all tiles of a layer for a batch of inputs; the codes of a tile are those of ``read_codes``, bit for bit.

    Parameters
    ----------
    codes : (batch, inputs) or (tiles, batch, rows) or (1, batch, rows) ndarray of int
        DAC codes: of the layer's inputs, which the ``tiling`` spreads over the word lines; or of the word lines of each
        tile; or of word lines, the same for all tiles.
    source : IdealWires or Matrices
        Description of the tiles.
    channels : StackChannels
        Their converters.
    noise : Addresses
        Where the noise is found: ``read·columns + column`` of each tile's stream.
    tiling : Tiling, optional
        Where inputs and outputs lie.
    correction : StackCorrection, optional
        With it and the tiling, the sums are computed; their bits do not depend on the instruction set.
    groups : int
        Groups of word lines that are read one after another, the others at code 0.
    planes : int
        1, or the number of bits of the DACs: then each input is read bit by bit, lowest first, at full scale or zero.
    first : int
        Number of reads that were made before at these addresses.
    keep_codes : bool
        Whether the codes are returned.
    threads : int, optional
        Threads to use (see :func:`~circuitmem._kernels.select.thread_count`); the bits do not depend on it.

    Raises
    ------
    ValidationError
        If shapes disagree, or a DAC code does not exist.
    """
    given, places, alike, shared = _spread(codes, channels, tiling)
    tiles, rows = places.shape
    columns = channels.factor.shape[1]
    if tiling is not None and correction is not None:
        if columns < 2:
            raise ValidationError("columns", "must be >= 2, of a pair, where sums are wanted", columns)
        _expect("slope", correction.slope, (groups, tiles, columns))
        _expect("constant", correction.constant, (tiles, columns))
        _expect("plane_weights", correction.plane_weights, (planes,))
        _expect("outputs", tiling.outputs, (tiles, columns // 2))
    else:
        correction = None
    if planes != 1 and 1 << planes != channels.table[0].shape[1]:
        raise ValidationError("planes", "must be 1 or the bits of the DACs", planes)
    if isinstance(source, IdealWires):
        expect_each("conductance", source.conductance, (tiles, rows, columns))
        _expect("sense", source.sense, (len(source.sense), columns), first=(1, tiles))
        cells, sense, matrix, admittance = *source, None, None
    else:
        single = tiles > 0 and source.matrix[0].dtype == np.float32
        dtype = np.float32 if single else np.float64
        expect_each("matrix", source.matrix, (tiles, columns, rows), dtype)
        if source.admittance is not None:
            expect_each("admittance", source.admittance, (tiles, rows, rows), dtype)
        cells, sense, (matrix, admittance) = None, None, source
    if given.shape[1] == 0:
        empty = np.zeros((tiles, 0, columns), dtype=np.uint16)
        sums = None if correction is None or tiling is None else np.zeros((0, tiling.shape[1]))
        return StackRead(empty if keep_codes else None, sums, np.zeros((tiles, 0)), np.zeros(tiles, dtype=np.int64))
    answer, sums, power, saturated = _read_stack(
        given,
        places,
        alike,
        shared,
        cells,
        _ready(sense),
        matrix,
        admittance,
        channels.table,
        _ready(channels.factor),
        _ready(channels.offset),
        _ready(channels.highest),
        channels.minimum,
        channels.lsb,
        channels.noise,
        float(channels.top),
        _ready(channels.thresholds),
        normal_table(),
        noise.keys,
        noise.operations,
        first,
        groups,
        planes,
        (1, tiles) if tiling is None else tiling.grid,
        None if correction is None else _ready(correction.slope),
        None if correction is None else _ready(correction.constant),
        None if correction is None else _ready(correction.plane_weights),
        None if tiling is None else tiling.outputs,
        0 if tiling is None else tiling.shape[1],
        keep_codes,
        thread_count(threads),
    )
    return StackRead(answer, sums, power, saturated)


def add_codes(codes: Codes, tiling: Tiling, correction: StackCorrection, *, groups: int = 1, planes: int = 1) -> Floats:
    """Return the sums, (batch, outputs), for ADC codes (tiles, reads, columns), with the bits of :func:`read_stack`.

    This is for codes that come in pieces, or from another engine. Parameters are those of :func:`read_stack`.
    """
    tiles, reads, columns = codes.shape
    batch = reads // (groups * planes)
    _expect("codes", codes, (tiling.grid[0] * tiling.grid[1], groups * batch * planes, columns))
    each = codes.reshape(tiles, groups, batch, planes, columns)
    sums = np.zeros((batch, tiling.shape[1]))
    for tile in range(tiles):
        total = np.broadcast_to(correction.constant[tile], (batch, columns)).copy()
        for group in range(groups):
            for plane, weight in enumerate(correction.plane_weights):
                total += each[tile, group, :, plane] * (weight * correction.slope[group, tile])
        used = np.flatnonzero(tiling.outputs[tile] >= 0)
        sums[:, tiling.outputs[tile, used]] += total[:, 2 * used] - total[:, 2 * used + 1]
    return sums


def _expect(name: str, array: NDArray[Any], shape: tuple[int, ...], first: tuple[int, ...] = ()) -> None:
    if array.shape != shape or (first and len(array) not in first):
        raise ValidationError(name, f"must have shape {shape}", array.shape)


def _ready(array: Floats | None) -> Floats | None:
    return None if array is None else np.ascontiguousarray(array, dtype=np.float64)


def _spread(
    codes: Codes, channels: StackChannels, tiling: Tiling | None
) -> tuple[NDArray[np.uint16], NDArray[np.int32], int, bool]:
    """Return codes (sets, batch, inputs), each line's place in them, how many tiles share codes, and if any do."""
    tiles, (rows, levels) = len(channels.factor), channels.table[0].shape
    if codes.dtype.kind not in "iu":
        raise ValidationError("codes", "must be integers", codes.dtype)
    if codes.size and (codes.min() < 0 or codes.max() >= levels):
        raise ValidationError("codes", f"must lie in [0, {levels - 1}]", (int(codes.min()), int(codes.max())))
    expect_each("table", channels.table, (tiles if len(channels.table) != 1 else 1, rows, levels))
    if codes.ndim == 2:
        if tiling is None:
            raise ValidationError("codes", "must have shape (tiles, batch, rows) without a tiling", codes.shape)
        _expect("codes", codes, (len(codes), tiling.shape[0]))
        _expect("inputs", tiling.inputs, (tiles, rows))
        places, alike = tiling.inputs, tiling.grid[1] if tiling.shares_inputs else 1
        codes = codes[None]
    else:
        _expect("codes", codes, (*codes.shape[:2], rows), first=(1, tiles))
        places = np.ascontiguousarray(np.broadcast_to(np.arange(rows, dtype=np.int32), (tiles, rows)))
        alike = tiles if len(codes) == 1 else 1
    return np.ascontiguousarray(codes, dtype=np.uint16), places, alike, alike > 1


def _reference_stack(
    codes: NDArray[np.uint16],
    places: NDArray[np.int32],
    _alike: int,
    _shared: bool,
    conductance: Stack | None,
    sense: Floats | None,
    matrix: Stack | None,
    admittance: Stack | None,
    table: Stack,
    factor: Floats,
    offset: Floats,
    highest: Floats,
    minimum: float,
    lsb: float,
    sigma: float,
    top: float,
    thresholds: Floats | None,
    normal: Floats,
    keys: NDArray[np.uint64],
    operations: NDArray[np.uint64],
    first: int,
    groups: int,
    planes: int,
    grid: tuple[int, int],
    slope: Floats | None,
    constant: Floats | None,
    weights: Floats | None,
    outputs: NDArray[np.int32] | None,
    output_count: int,
    keep: bool,
    _threads: int,
) -> tuple[NDArray[np.uint16] | None, Floats | None, Floats, NDArray[np.int64]]:
    """Read tile after tile with the twin of ``read_codes``."""
    (tiles, rows), batch = places.shape, codes.shape[1]
    answers, powers = [], []
    for tile in range(tiles):
        own = codes[tile % len(codes)][:, np.maximum(places[tile], 0)].astype(np.int64)
        own[:, places[tile] < 0] = 0
        if planes > 1:
            own = (own[:, None] >> np.arange(planes)[:, None] & 1).reshape(-1, rows) * ((1 << planes) - 1)
        driven = np.arange(rows) * groups // rows == np.arange(groups)[:, None]
        drives = np.where(driven[:, None], own, 0).reshape(-1, rows)
        taken = own_conductance = losses = None
        if conductance is not None and sense is not None:
            cells = conductance[tile]
            ends, left = sense_ends(cells, np.stack([np.full(cells.shape[1], np.inf), sense[tile % len(sense)]]))
            through, own_conductance, losses = (cells * left).T, cells.sum(axis=1), ends / left
        else:
            assert matrix is not None
            through, taken = matrix[tile], None if admittance is None else admittance[tile]
        known, found, power = _reference_codes(
            drives,
            through,
            taken,
            own_conductance,
            losses,
            table[tile % len(table)],
            factor[tile],
            offset[tile],
            highest[tile],
            minimum,
            lsb,
            sigma,
            None if thresholds is None else thresholds[tile],
            normal,
            int(keys[tile, 0]),
            int(keys[tile, 1]),
            int(operations[tile]),
            first,
            1,
        )
        assert known
        answers.append(found.astype(np.uint16))
        powers.append(power)
    answer: NDArray[np.uint16] = np.stack(answers)
    sums = None
    if slope is not None and constant is not None and weights is not None and outputs is not None:
        tiling = Tiling(places, outputs, grid, (batch, output_count))
        sums = add_codes(answer, tiling, StackCorrection(slope, constant, weights), groups=groups, planes=planes)
    saturated: NDArray[np.int64] = np.count_nonzero(answer == top, axis=(1, 2))
    return answer if keep else None, sums, np.stack(powers), saturated


_read_stack: Any = _reference_stack if _compiled is None else _compiled.read_stack
