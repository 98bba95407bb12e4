"""One crossbar tile: its declared geometry, its defects, and the conductances programmed into it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config import TileSpec
from circuitmem.errors import ValidationError
from circuitmem.tile.defects import DefectMap
from circuitmem.validation import finite_array

__all__ = ["Mesh", "Tile"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Mesh(NamedTuple):
    """The circuit of a tile as the behavioral kernels take it, with defects applied.

    ``conductance`` : (rows, columns) S, from word line to bit line; for cells that are not linear, the conductance
    parameter of their law.

    ``word_resistance`` : (rows, columns + 1) Ω. Element k joins word-line node k - 1 to node k; element 0 joins the
    left driver to node 0 and includes the driver resistance, the last element joins the last node to the right
    driver (``inf`` if there is none). 0 is an ideal wire, ``inf`` a cut.

    ``bit_resistance`` : (rows + 1, columns) Ω. Row k joins bit-line node k - 1 to node k; row 0 leads to the top sense
    amplifier (``inf`` if there is none), the last row to the bottom one; both include the sense resistance.
    """

    conductance: Floats
    word_resistance: Floats
    bit_resistance: Floats


class Tile:
    """A tile that can be read and programmed.

    Parameters
    ----------
    spec : TileSpec
        Geometry, wires and cell law.
    conductance : (rows, columns) array_like
        Programmed conductance [S], >= 0. It is copied.
    defects : DefectMap, optional
        What is broken.

    Raises
    ------
    ValidationError
        If shapes disagree, a conductance is negative or not finite, or the defects disconnect the tile.
    """

    def __init__(self, spec: TileSpec, conductance: ArrayLike, defects: DefectMap | None = None) -> None:
        if not isinstance(spec, TileSpec):
            raise ValidationError("spec", "must be a TileSpec", spec)
        if not isinstance(defects, DefectMap | None):
            raise ValidationError("defects", "must be a DefectMap", defects)
        self._spec = spec
        self._defects = DefectMap() if defects is None else defects
        self._defects.check(spec)
        self._changes = np.zeros(2, dtype=np.int64)  # of state and defects, and of defects alone
        self._segments: tuple[Floats, Floats] | None = None
        self._home: tuple[Floats, Floats] | None = None
        self.program(conductance)

    # Only ``program`` and ``change`` change the state, and both increase the version. So whatever is derived from the
    # state may be cached under the version without ever becoming stale.
    @property
    def spec(self) -> TileSpec:
        """Geometry, wires and cell law."""
        return self._spec

    @property
    def defects(self) -> DefectMap:
        """What is broken."""
        return self._defects

    @property
    def conductance(self) -> Floats:
        """Programmed conductance, (rows, columns) S: a read-only view of the state; copy it if you want to keep it.

        Stuck cells appear with the value they were asked to have.
        """
        return self._conductance

    @property
    def effective_conductance(self) -> Floats:
        """Conductance in the circuit: stuck cells have their stuck value; otherwise like :attr:`conductance`."""
        return self._effective_conductance

    @property
    def version(self) -> int:
        """Counts the changes of state and defects, so that derived data can be cached under this number."""
        return int(self._changes[0])

    def program(self, conductance: ArrayLike) -> None:
        """Replace the programmed conductance, (rows, columns) S, >= 0. Stuck cells ignore it.

        Raises
        ------
        ValidationError
            If the shape is wrong or an element is negative or not finite; the tile is then unchanged.
        """
        programmed = finite_array("conductance", conductance, shape=self._spec.shape, minimum=0.0)
        programmed.flags.writeable = True  # it is our own copy
        self._set(programmed)

    def keep_in(self, conductance: Floats, effective: Floats, changes: NDArray[np.int64]) -> None:
        """Keep the state in arrays of the caller from now on: parts of a stack of tiles.

        The present state is copied into them.

        Parameters
        ----------
        conductance, effective : (rows, columns) ndarray
            Programmed conductance, and that in the circuit [S]. Whoever writes into them later must call
            :meth:`change`, or increase the first of ``changes``.
        changes : (2,) ndarray of int
            :attr:`version`, and how often the defects alone have changed.
        """
        changes[...] = self._changes
        self._home, self._changes = (conductance, effective), changes
        self._set(self._conductance)

    def _set(self, programmed: Floats) -> None:
        self._state = programmed, self._defects.conductance(programmed)
        if self._home is not None:
            for home, array in zip(self._home, self._state, strict=True):
                home[...] = array
            self._state = self._home
        self._conductance, self._effective_conductance = (array.view() for array in self._state)
        for view in (self._conductance, self._effective_conductance):
            view.flags.writeable = False
        self._changes[0] += 1

    def damage(self, defects: DefectMap) -> None:
        """Replace the defects, as when something breaks; the programmed conductance stays.

        Raises
        ------
        ValidationError
            If the defects do not fit, or disconnect the tile; the tile is then unchanged.
        """
        defects.check(self._spec)
        self._defects = defects
        self._changes[1] += 1
        self._segments = None
        self.program(self._conductance)

    def change(self) -> tuple[Floats, Floats]:
        """Return the state so that the law of a device can change it in place, for one pulse.

        Returns
        -------
        programmed, effective : (rows, columns) ndarray
            The arrays behind :attr:`conductance` and :attr:`effective_conductance` [S]; the same array if no cell is
            :attr:`stuck`. Stuck cells may change only in the first.
        """
        self._changes[0] += 1
        return self._state

    @property
    def stuck(self) -> Mask:
        """Whether each cell ignores pulses, (rows, columns)."""
        stuck = self._defects.stuck
        return np.zeros(self._spec.shape, dtype=bool) if stuck is None else stuck

    @property
    def mesh(self) -> Mesh:
        """The circuit with defects applied; its wires are computed only once."""
        return Mesh(self._spec.cell.mesh_conductance(self.effective_conductance), *self.wires)

    @property
    def wires(self) -> tuple[Floats, Floats]:
        """The segments of word and bit lines, as in :class:`Mesh`; tiles of one design share the arrays unless cut."""
        if self._segments is None:
            self._segments = self._cut(_designed_wires(self.spec))
        return self._segments

    def _cut(self, wires: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        defects = self.defects
        if not defects.cuts_lines:
            return wires
        word, bit = (array.copy() for array in wires)
        if defects.open_word_segments is not None:
            word[:, :-1][defects.open_word_segments] = np.inf
        if defects.open_bit_segments is not None:
            bit[1:, :][defects.open_bit_segments] = np.inf
        for array in (word, bit):
            array.flags.writeable = False
        return word, bit

    def input_voltages(self, voltages: ArrayLike) -> Floats:
        """Return checked driver voltages, (batch, rows) V, from (batch, rows) or (rows,): dead drivers hold 0 V.

        Raises
        ------
        ValidationError
            If the shape is wrong or an element is not finite.
        """
        given = finite_array("voltages", voltages, copy=False)
        if given.ndim not in (1, 2) or given.shape[-1] != self.spec.rows:
            rule = f"must have shape ({self.spec.rows},) or (batch, {self.spec.rows})"
            raise ValidationError("voltages", rule, given.shape)
        batch = given.reshape(-1, self.spec.rows)
        if self.defects.dead_drivers is not None:
            batch = np.where(self.defects.dead_drivers, 0.0, batch)
        return batch

    def one_input(self, voltages: ArrayLike) -> Floats:
        """Return the checked driver voltages, (rows,) V, of a single vector; otherwise like :meth:`input_voltages`."""
        batch = self.input_voltages(voltages)
        if len(batch) != 1:
            raise ValidationError("voltages", f"must be one vector of shape ({self.spec.rows},)", batch.shape)
        return np.asarray(batch[0])


@lru_cache(maxsize=8)
def _designed_wires(spec: TileSpec) -> tuple[Floats, Floats]:
    """Return the segments of word and bit lines without defects, read-only; all tiles of a design share them."""
    word, bit = spec.word_segments(), spec.bit_segments()
    word[:, [0, -1]] += spec.driver_resistance
    bit[[0, -1], :] += spec.sense_resistance
    for array in (word, bit):
        array.flags.writeable = False
    return word, bit
