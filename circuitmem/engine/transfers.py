"""The transfer matrices of a chip's tiles, kept up to date while their cells change, at the lowest cost allowed.

There are three ways, and the cheapest that applies is taken:

* If a few cells of a tile changed: one solution for each, and an update of low rank (Woodbury, Memorandum Report 42,
  Princeton 1950). The change of a cell is a conductance in parallel with it, so this is exact to rounding errors.
* If ``error`` allows it: each element is scaled with its cell, ``W G / G0``, from the last exact ``W`` at ``G0``. The
  error is estimated from the size of the change, with a factor learnt from samples that are solved exactly.
* Otherwise the tree kernel computes the matrix again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.reads import IdealAdmittance
from circuitmem._kernels.stack_reads import IdealWires, Matrices
from circuitmem._kernels.tree import (
    have_ideal_wires,
    lines_are_ideal,
    sense_ends,
    transfer_of_ideal,
    transfer_stack,
)
from circuitmem.engine.base import silence_dead_drivers
from circuitmem.engine.behavioral import BehavioralEngine
from circuitmem.engine.places import KnownVersions, Places
from circuitmem.engine.plan import make_plan
from circuitmem.engine.precision import PRECISION
from circuitmem.rng import Purpose, stream
from circuitmem.tile import DefectMap, Tile
from circuitmem.validation import in_range

__all__ = ["ReuseRecord", "TransferCache"]

Floats = NDArray[np.float64]

UPDATES = 64
"""Most cells updated by low rank before a matrix is computed again, because rounding errors add up."""

KEPT = 1e-3
"""Smallest ratio of a cell's old to its new conductance in an update of low rank; below it digits would be lost."""

SAFETY = 4.0
"""Safety factor on estimated errors: the estimate is learnt from few inputs, and other inputs may be worse."""

SAMPLED = 16
"""One in this many scaled matrices is compared with an exact solution."""

SAMPLED_SINGLE = 512
"""One in this many matrices of single precision is compared with double precision."""


@dataclass
class ReuseRecord:
    """How matrices were updated, and the errors that were found.

    Attributes
    ----------
    exact, cells, scaled : int
        Number of matrices that the tree kernel computed, that were updated for single cells, and that were scaled.
    checks : int
        Number of matrices, scaled or in single precision, that were compared with an exact solution in double.
    refused : int
        Number of scaled matrices among them that had a larger error than allowed and were not used.
    largest_error : float
        Largest error found in a matrix that was used: of a column current relative to the largest column current, or
        of the power relative to the power.
    """

    exact: int = 0
    cells: int = 0
    scaled: int = 0
    checks: int = 0
    refused: int = 0
    largest_error: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return plain values, for a file."""
        return asdict(self)


@dataclass
class _Entry:
    tile: Tile
    defects: DefectMap
    version: int
    conductance: Floats
    matrix: Floats
    admittance: Floats | IdealAdmittance
    exact: tuple[Floats, Floats, Any]  # the last exact conductance, matrix and admittance
    updates: int = 0

    @property
    def is_exact(self) -> bool:
        return self.matrix is self.exact[1]


_NOTHING = np.zeros(0)


class TransferCache:
    """Transfer matrices by tile number, for tiles of one shape with linear cells.

    A matrix always belongs to the present state of its tile, never to an earlier one. It is exact to rounding errors if
    ``error`` is 0; otherwise it is within ``error``, which is checked on samples.

    Parameters
    ----------
    engine : BehavioralEngine
        The solver, which also sets the precision of the matrices.
    error : float
        Error allowed, in [0, 0.1], relative to the largest column current. At 0 the tree kernel computes every matrix:
        then each bit of it depends only on the present state.
    seed : int
        Seed for the random inputs of the checks.

    Attributes
    ----------
    record : ReuseRecord
        What has been done so far.
    """

    def __init__(self, engine: BehavioralEngine, error: float = 0.0, seed: int = 0) -> None:
        self._engine = engine
        self._error = in_range("reuse_error", error, 0.0, 0.1)
        self._seed = seed
        self._entries: dict[int, _Entry] = {}
        self._unwritten = KnownVersions()  # tiles with ideal wires that were read without storing their matrices
        self._placed = Places()  # matrices that are not in the entries
        self._lines: tuple[tuple[Floats, Floats], NDArray[np.bool_]] | None = None  # wires, and whether they are ideal
        self._per_change = 0.0
        self._turn = 0
        self._single = 0  # number of matrices computed in single precision
        self.record = ReuseRecord()

    def clear(self) -> None:
        """Forget all matrices."""
        self._entries.clear()
        self._unwritten, self._placed = KnownVersions(), Places()

    def state(self) -> dict[str, Any]:
        """Return everything that results and the record depend on, for a checkpoint.

        If no error is allowed, a matrix depends only on its tile; then it is enough to save which ones are up to date.
        """
        # Sorted by tile, because the order of the entries depends on when a run was resumed.
        entries = dict(sorted(self._entries.items()))
        fresh = {number for number, entry in entries.items() if entry.version == entry.tile.version}
        fresh |= self._unwritten.fresh() | self._placed.fresh()
        state = {
            "record": self.record.as_dict(),
            "fresh": sorted(fresh),
            "per_change": self._per_change,
            "turn": self._turn,
        }
        if self._engine.precision != "double":
            state["single"] = self._single
        if self._error > 0.0:
            state["entries"] = [
                [number, entry.defects is entry.tile.defects, entry.is_exact, entry.updates, *_arrays(entry)]
                for number, entry in entries.items()
            ]
        return state

    def restore(self, state: Mapping[str, Any], tiles: Mapping[int, Tile]) -> None:
        """Restore what :meth:`state` returned; ``tiles`` must be in the states that they had then."""
        self.clear()
        self._per_change, self._turn = state["per_change"], state["turn"]
        fresh = set(state["fresh"])
        for number, same_defects, is_exact, updates, *arrays in state.get("entries", ()):
            now, exact = arrays[:3], arrays[3:]
            conductance, matrix, admittance = exact if is_exact else now
            tile = tiles[number]
            self._entries[number] = _Entry(
                tile,
                tile.defects if same_defects else DefectMap(),
                tile.version if number in fresh else -1,
                conductance,
                matrix,
                admittance,
                (exact[0], exact[1], exact[2]),
                updates,
            )
        if self._error == 0.0:
            self._exactly({number: tiles[number] for number in state["fresh"]})
        self._single = state.get("single", 0)
        self.record = ReuseRecord(**state["record"])

    def get(self, number: int, tile: Tile) -> tuple[Floats, Floats | IdealAdmittance]:
        """Return the transfer matrix (columns, rows) S and input admittance (rows, rows) S of a tile.

        For ideal wires the admittance is kept in factored form, unless ``error`` is more than 0.
        """
        self.refresh({number: tile})
        if self._placed.has(number, tile):
            matrix, admittance = self._placed.matrices[number], self._placed.admittances[number]
            return np.asarray(matrix, dtype=np.float64), np.asarray(admittance, dtype=np.float64)
        entry = self._entries[number]
        if isinstance(entry.admittance, IdealAdmittance):
            return entry.matrix, entry.admittance
        return np.asarray(entry.matrix, dtype=np.float64), np.asarray(entry.admittance, dtype=np.float64)

    def refresh(self, tiles: dict[int, Tile]) -> None:
        """Bring the matrices of tiles up to date, with one call of the tree kernel for all tiles that need it."""
        stale = {number: tile for number, tile in tiles.items() if not self._is_fresh(number, tile)}
        if self._error > 0.0:
            rest = {number: tile for number, tile in stale.items() if not self._by_cells(number, tile)}
            stale = self._by_scaling(rest)
        self._exactly(stale)

    def stack(
        self, tiles: Sequence[Tile], part: slice, cells: Floats, versions: NDArray[np.int64], *, is_plain: bool
    ) -> IdealWires | Matrices | None:
        """Return matrices or ideal wires of tiles of one chip, to read all at once; None if they are read one by one.

        Parameters
        ----------
        tiles : sequence of Tile
            All tiles of the chip in order: the same object in each call.
        part : slice
            Which of them are wanted.
        cells : (wanted, rows, columns) ndarray
            Conductances of their cells in the circuit [S].
        versions : (tiles,) ndarray of int
            Versions of all tiles.
        is_plain : bool
            Whether no tile of the chip has a cut line, a bridge or a dead driver.
        """
        wires = tiles[part.start].wires
        if self._lines is None or self._lines[0] is not wires:
            self._lines = wires, lines_are_ideal(wires[0][None], wires[1][None])
        ideal = have_ideal_wires(cells, wires[0][None], wires[1][None], self._lines[1])
        own = dict(enumerate(tiles[part], part.start))
        if self._error == 0.0 and ideal.all():
            if not (is_plain or all(_is_plain(tile) and tile.defects.dead_drivers is None for tile in own.values())):
                return None
            self._note_unwritten(tiles, part, versions)
            return IdealWires(cells, sense_ends(cells[0], wires[1])[0][None])
        alike = is_plain or all(tile.wires is wires and not tile.defects.bridges for tile in own.values())
        if self._error == 0.0 and alike and not ideal.any():
            return self._in_places(tiles, part, cells, versions, is_plain=is_plain)
        self.refresh(own)
        pairs = [self.get(number, tile) for number, tile in own.items()]
        admittances = [admittance for _, admittance in pairs if not isinstance(admittance, IdealAdmittance)]
        return Matrices([matrix for matrix, _ in pairs], admittances) if len(admittances) == len(pairs) else None

    def _note_unwritten(self, tiles: Sequence[Tile], part: slice, versions: NDArray[np.int64]) -> None:
        """Count the tiles that have changed since they were last read directly, or their matrices computed."""
        self._unwritten.follow(tiles)
        changed = self._unwritten.changed(part, versions)
        if self._entries:
            changed = np.array([k for k in changed.tolist() if not self._is_fresh(k, tiles[k])], dtype=np.int64)
        self.record.exact += changed.size
        self._unwritten.note(changed, versions)

    def _in_places(
        self, tiles: Sequence[Tile], part: slice, cells: Floats, versions: NDArray[np.int64], *, is_plain: bool
    ) -> Matrices:
        """Bring the matrices of tiles with undamaged wires up to date, in stacks for all tiles of the chip."""
        placed = self._placed
        placed.make_room(tiles, cells.shape[1:], PRECISION[self._engine.precision])
        matrices, admittances = placed.matrices[part], placed.admittances[part]
        stale = placed.changed(part, versions)
        if self._entries:
            stale = np.array([k for k in stale.tolist() if not self._place(k, tiles[k])], dtype=np.int64)
        if stale.size:
            self.record.exact += stale.size - self._unwritten.count(tiles, stale, versions)
            own, out = stale - part.start, (matrices, admittances)
            threads, wires = self._engine.threads, tiles[part.start].wires
            transfer_stack(cells, *wires, dtype=matrices.dtype, threads=threads, tiles=own, out=out)
            if not is_plain:
                for k in stale.tolist():
                    silence_dead_drivers(tiles[k], placed.matrices[k], placed.admittances[k])
            if self._engine.precision != "double":
                for k in stale[self._sampled(stale.size)].tolist():
                    self._compare(tiles[k], placed.matrices[k], placed.admittances[k])
            placed.note(stale, versions)  # last: after an interruption there must be no stale matrix
        return Matrices(matrices, admittances)

    def _place(self, number: int, tile: Tile) -> bool:
        """Move a matrix that was computed by itself to its place, and forget it; return whether it is up to date."""
        is_fresh = self._is_fresh(number, tile)
        entry = self._entries.pop(number, None)
        if entry is None or not is_fresh or isinstance(entry.admittance, IdealAdmittance):
            return False
        self._placed.put(number, entry.matrix, entry.admittance)
        return True

    def _is_fresh(self, number: int, tile: Tile) -> bool:
        if self._placed.has(number, tile):
            return True
        entry = self._entries.get(number)
        return entry is not None and entry.tile is tile and entry.version == tile.version

    def _exactly(self, tiles: dict[int, Tile]) -> None:
        self.record.exact += sum(not self._unwritten.has(number, tile) for number, tile in tiles.items())
        if self._error == 0.0:
            tiles = {number: tile for number, tile in tiles.items() if not self._has_ideal_wires(number, tile)}
        if not tiles:
            return
        transfer = self._engine.transfer(list(tiles.values()))
        matrices, admittances = (
            np.asarray(each, dtype=np.float64) for each in (transfer.matrix, transfer.input_admittance)
        )
        if self._engine.precision != "double":
            for k in range(len(matrices))[self._sampled(len(matrices))]:
                self._compare(list(tiles.values())[k], matrices[k], admittances[k])
        for (number, tile), matrix, admittance in zip(tiles.items(), matrices, admittances, strict=True):
            exact = tile.mesh.conductance.copy(), matrix, admittance
            self._entries[number] = _Entry(tile, tile.defects, tile.version, *exact, exact)

    def _sampled(self, count: int) -> slice:
        """Return which of so many more matrices in single precision are compared, the very first one included."""
        before = self._single
        self._single += count
        return slice(-before % SAMPLED_SINGLE, None, SAMPLED_SINGLE)

    def _compare(self, tile: Tile, matrix: Floats, admittance: Floats) -> None:
        """Compare a matrix in single precision with double precision."""
        error = self._check(tile, (matrix, admittance), 0.0)
        self.record.largest_error = max(self.record.largest_error, error)

    def _has_ideal_wires(self, number: int, tile: Tile) -> bool:
        """Compute the matrix of a tile if its wires are ideal and undamaged; return whether that was possible."""
        if not _is_plain(tile) or tile.defects.dead_drivers is not None:
            return False
        found = transfer_of_ideal(*tile.mesh)
        if found is None:
            return False
        matrix, admittance = found[0], IdealAdmittance(*found[1:])
        exact = tile.mesh.conductance, matrix, admittance
        self._entries[number] = _Entry(tile, tile.defects, tile.version, *exact, exact)
        return True

    def _known(self, number: int, tile: Tile) -> _Entry | None:
        """Return the entry of an earlier state of the same tile with the same defects, if there is one."""
        entry = self._entries.get(number)
        same = entry is not None and entry.tile is tile and entry.defects is tile.defects
        return entry if same else None

    def _by_cells(self, number: int, tile: Tile) -> bool:
        """Update a matrix if only a few cells changed; return whether that was possible."""
        entry = self._known(number, tile)
        if entry is None:
            return False
        now = tile.mesh.conductance
        rows, columns = np.nonzero(now != entry.conductance)
        if len(rows) == 0:
            entry.version = tile.version
            return True
        before, after = entry.conductance[rows, columns], now[rows, columns]
        allowed = entry.is_exact and entry.updates + len(rows) <= UPDATES and np.all(before >= KEPT * after)
        if not allowed or len(rows) >= make_plan(tile).break_even or not _is_plain(tile):
            return False
        updated = self._engine.update_transfer(tile, *entry.exact[1:], rows, columns, after - before)
        exact = now.copy(), *updated
        self._entries[number] = _Entry(tile, tile.defects, tile.version, *exact, exact, entry.updates + len(rows))
        self.record.cells += 1
        return True

    def _by_scaling(self, tiles: dict[int, Tile]) -> dict[int, Tile]:
        """Scale the matrices that may be scaled; return the tiles for which this is not accurate enough."""
        found = ((number, self._known(number, tile)) for number, tile in tiles.items())
        known = {number: entry for number, entry in found if entry is not None}
        if not known:
            return tiles
        change = {number: _change(tiles[number], entry) for number, entry in known.items()}
        errors: dict[int, float] = {}
        if self._per_change == 0.0:  # nothing is known yet: learn from the largest change
            largest = max(change, key=lambda number: change[number] if change[number] < np.inf else 0.0)
            errors[largest] = self._check(tiles[largest], _scale(tiles[largest], known[largest]), change[largest])
        for number, entry in known.items():
            if not self._allows(change[number]):
                continue
            tile = tiles[number]
            scaled = _scale(tile, entry)
            self._turn += 1
            if self._turn % SAMPLED == 0 and number not in errors:
                errors[number] = self._check(tile, scaled, change[number])
            error = errors.get(number, 0.0)
            if not error <= self._error:
                self.record.refused += 1
                continue
            self.record.largest_error = max(self.record.largest_error, error)
            del tiles[number]
            state = tile.mesh.conductance.copy(), *scaled
            self._entries[number] = _Entry(tile, tile.defects, tile.version, *state, entry.exact)
            self.record.scaled += 1
        return tiles

    def _allows(self, change: float) -> bool:
        return change < np.inf and SAFETY * self._per_change * change <= self._error

    def _check(self, tile: Tile, scaled: tuple[Floats, Floats], change: float) -> float:
        """Return the error of a scaled matrix against an exact solution for a random input, and learn from it."""
        voltages = stream(self._seed, Purpose.REUSE, self.record.checks).random(tile.spec.rows)
        exact = self._engine.solve(tile, voltages)
        self.record.checks += 1
        matrix, admittance = scaled
        scale = max(float(np.abs(exact.column_current).max()), 1e-300)
        error = float(np.abs(matrix @ voltages - exact.column_current).max()) / scale
        power = float(voltages @ admittance @ voltages)
        error = max(error, abs(power / max(float(exact.power), 1e-300) - 1.0))
        if 0.0 < change < np.inf:
            self._per_change = max(self._per_change, error / change)
        return error


def _arrays(entry: _Entry) -> list[Floats]:
    """Return the arrays of an entry; empty arrays replace the present ones if they are the exact ones."""
    now = [np.zeros(0)] * 3 if entry.is_exact else [entry.conductance, entry.matrix, entry.admittance]
    return [*now, *entry.exact]


def _change(tile: Tile, entry: _Entry) -> float:
    """Return the relative change of a tile since its matrix was exact; infinity if a cell grew from 0 S."""
    now, base = tile.mesh.conductance, entry.exact[0]
    if ((base == 0.0) & (now > 0.0)).any():
        return float(np.inf)
    return float(np.abs(now - base).sum() / max(float(base.sum()), 1e-300))


def _scale(tile: Tile, entry: _Entry) -> tuple[Floats, Floats]:
    """Return transfer matrix and input admittance, scaled from the last exact ones."""
    base, matrix, admittance = entry.exact
    ratio = np.divide(tile.mesh.conductance, base, out=np.ones_like(base), where=base > 0.0)
    scaled = matrix * ratio.T
    # The additional column currents come from the drivers.
    return scaled, admittance + np.diag((scaled - matrix).sum(axis=0))


def _is_plain(tile: Tile) -> bool:
    """Say whether a tile has neither cut lines nor bridges, so that the mesh kernel alone can solve it."""
    return not tile.defects.cuts_lines and not tile.defects.bridges
