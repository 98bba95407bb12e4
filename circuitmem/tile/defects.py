"""The defects of a tile: data that are drawn once, saved and loaded, and the same for every engine and method."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config import ChipSpec, TileSpec
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import load_npz, save_npz
from circuitmem.rng import Purpose, stream
from circuitmem.validation import boolean_array, finite_array, in_range, integer, real_array

__all__ = ["STUCK_OFF_RANGE", "STUCK_ON_RANGE", "Bridge", "DefectMap", "Node"]

STUCK_ON_RANGE = (300e-6, 1200e-6)
"""Conductance of stuck-on (LRS) cells [S]; Liu et al., DAC 2017, taken from a digest of that paper [D]."""

STUCK_OFF_RANGE = (0.01e-6, 1e-6)
"""Conductance of stuck-off (HRS) cells [S]; Liu et al., DAC 2017, taken from a digest of that paper [D]."""


MINIMUM_CLUSTERING = 0.01
"""Smallest clustering parameter: gamma variates of a smaller shape too often fall below the smallest float."""

_Item = TypeVar("_Item")


class Node(NamedTuple):
    """A node of the tile: the point of its word line or bit line to which cell (row, column) connects."""

    line: Literal["word", "bit"]
    row: int
    column: int


class Bridge(NamedTuple):
    """An unwanted resistance [Ω], > 0, between two nodes, for instance of neighbouring lines."""

    first: Node
    second: Node
    resistance: float


class DefectMap:
    """The defects of one tile. All arguments are optional; ``DefectMap()`` is a perfect tile.

    Parameters
    ----------
    stuck : (rows, columns) array_like of bool
        Cells that ignore every pulse.
    stuck_conductance : (rows, columns) array_like
        Conductance [S], >= 0, of the stuck cells; other elements are ignored (and read back as 0). An open cell is
        stuck at 0 S, a shorted cell at the inverse of its short resistance.
    open_word_segments, open_bit_segments : (rows, columns) array_like of bool
        Cut segments: element (i, j) stands for the word-line segment *before* cell (i, j), or the bit-line segment
        *after* it.
    bridges : iterable of (node, node, resistance)
        Unwanted resistances [Ω], > 0; a node is ``("word" | "bit", row, column)``.
    dead_drivers : (rows,) array_like of bool
        Word-line drivers that hold 0 V whatever their input.
    dead_senses : (columns,) array_like of bool
        Sense channels whose converter gives a constant code. The current still flows into their virtual ground,
        so engines report it; the converter does not.

    Raises
    ------
    ValidationError
        If an argument breaks its rule, or shapes disagree with each other.
    """

    def __init__(
        self,
        *,
        stuck: ArrayLike | None = None,
        stuck_conductance: ArrayLike | None = None,
        open_word_segments: ArrayLike | None = None,
        open_bit_segments: ArrayLike | None = None,
        bridges: Iterable[Sequence[Any]] = (),
        dead_drivers: ArrayLike | None = None,
        dead_senses: ArrayLike | None = None,
    ) -> None:
        if (stuck is None) != (stuck_conductance is None):
            raise ValidationError("stuck", "and stuck_conductance must be given together")
        self.stuck = _optional("stuck", stuck, 2)
        # Only the values of stuck cells: for a large chip the zeros of all others would take too much memory.
        self._stuck_at: NDArray[np.float64] | None = None
        if self.stuck is not None and stuck_conductance is not None:
            given = real_array("stuck_conductance", stuck_conductance)
            given = given if given.ndim else np.full(self.stuck.shape, given)
            if given.shape != self.stuck.shape:
                raise ValidationError("stuck_conductance", f"must have shape {self.stuck.shape}", given.shape)
            checked = finite_array("stuck_conductance", np.where(self.stuck, given, 0.0), minimum=0.0)
            self._stuck_at = checked[self.stuck]
        self.open_word_segments = _optional("open_word_segments", open_word_segments, 2)
        self.open_bit_segments = _optional("open_bit_segments", open_bit_segments, 2)
        self.dead_drivers = _optional("dead_drivers", dead_drivers, 1)
        self.dead_senses = _optional("dead_senses", dead_senses, 1)
        self.bridges = tuple(_bridge(index, item) for index, item in enumerate(_items("bridges", bridges)))
        self._check_agreement()
        self._made = True

    def __setattr__(self, name: str, value: object) -> None:
        # Tiles, and everything derived from them, rely on defects that never change.
        if getattr(self, "_made", False):
            raise AttributeError(f"a DefectMap is not changed once it is made ({name}); make another")
        super().__setattr__(name, value)

    def _check_agreement(self) -> None:
        """Refuse arrays whose shapes cannot belong to one tile."""
        shapes = [
            array.shape for array in (self.stuck, self.open_word_segments, self.open_bit_segments) if array is not None
        ]
        for name, array, axis in (("dead_drivers", self.dead_drivers, 0), ("dead_senses", self.dead_senses, 1)):
            if array is not None and shapes and array.size != shapes[0][axis]:
                raise ValidationError(name, f"must have length {shapes[0][axis]}", array.size)
        if any(shape != shapes[0] for shape in shapes):
            raise ValidationError("defects", "must have arrays of one shape", tuple(shapes))

    def check(self, spec: TileSpec) -> None:
        """Raise :class:`ValidationError` unless these defects fit on a tile of ``spec`` and leave it connected."""
        for name in ("stuck", "open_word_segments", "open_bit_segments"):
            array = getattr(self, name)
            if array is not None and array.shape != spec.shape:
                raise ValidationError(f"defects.{name}", f"must have shape {spec.shape}", array.shape)
        for name, length in (("dead_drivers", spec.rows), ("dead_senses", spec.columns)):
            array = getattr(self, name)
            if array is not None and array.shape != (length,):
                raise ValidationError(f"defects.{name}", f"must have shape ({length},)", array.shape)
        for index, bridge in enumerate(self.bridges):
            for node in (bridge.first, bridge.second):
                if node.row >= spec.rows or node.column >= spec.columns:
                    rule = f"must lie on the tile of {spec.rows}x{spec.columns}"
                    raise ValidationError(f"defects.bridges[{index}]", rule, tuple(node))
        self._check_connected(spec)

    def _check_connected(self, spec: TileSpec) -> None:
        """Refuse a tile that is cut off from all its drivers or all its sense amplifiers: it computes nothing."""
        word, bit = self.open_word_segments, self.open_bit_segments
        if word is not None and spec.word_line_drive == "left" and word[:, 0].all():
            raise ValidationError(
                "defects.open_word_segments",
                "must leave a driver connected; every word line is cut before its first cell",
            )
        if bit is not None and spec.bit_line_sense == "bottom" and bit[-1, :].all():
            raise ValidationError(
                "defects.open_bit_segments", "must leave a sense connected; every bit line is cut after its last cell"
            )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is broken."""
        arrays = (self.stuck, self.open_word_segments, self.open_bit_segments, self.dead_drivers, self.dead_senses)
        return not self.bridges and not any(array is not None and array.any() for array in arrays)

    @property
    def cuts_lines(self) -> bool:
        """Whether a line has a cut segment, so that nodes may float."""
        return self.open_word_segments is not None or self.open_bit_segments is not None

    def lines_only(self) -> DefectMap:
        """Return only the defects of lines and drivers, without those of cells and sense channels."""
        return DefectMap(
            open_word_segments=self.open_word_segments,
            open_bit_segments=self.open_bit_segments,
            bridges=self.bridges,
            dead_drivers=self.dead_drivers,
        )

    def conductance(self, programmed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the conductance in the circuit, (rows, columns) S, if ``programmed`` (same shape) was asked for."""
        if self.stuck is None or self._stuck_at is None:
            return programmed
        found = programmed.copy()
        found[self.stuck] = self._stuck_at
        return found

    @property
    def stuck_conductance(self) -> NDArray[np.float64] | None:
        """Conductance of the stuck cells, (rows, columns) S, 0 for the others; None if stuck cells were not given."""
        if self.stuck is None or self._stuck_at is None:
            return None
        found = np.zeros(self.stuck.shape)
        found[self.stuck] = self._stuck_at
        found.flags.writeable = False
        return found

    @classmethod
    def fabricated(cls, chip: ChipSpec, seed: int, key: tuple[int, ...] = ()) -> DefectMap:
        """Return the defects of a tile, drawn as its chip declares; ``seed`` and ``key`` as in :meth:`random`."""
        defects, spec = chip.defects, chip.tile_spec
        found = cls.random(
            spec,
            yield_=defects.device_yield,
            stuck_on_fraction=defects.stuck_on_fraction,
            stuck_on_range=defects.stuck_on_range,
            stuck_off_range=defects.stuck_off_range,
            clustering=defects.clustering,
            seed=seed,
            key=key,
        )
        if not (defects.cut_word_lines or defects.cut_bit_lines or defects.dead_channels):
            return found
        rng = stream(seed, Purpose.LINE_DEFECTS, *key)
        cells = np.indices(spec.shape)
        # Each line draws the same position and the same chance whatever the fractions are, so that defects drawn with
        # two different fractions can be compared fairly.
        words = (rng.random(spec.rows) < defects.cut_word_lines)[:, None]
        words = words & (cells[1] == rng.integers(spec.columns, size=spec.rows)[:, None])
        bits = (rng.random(spec.columns) < defects.cut_bit_lines) & (
            cells[0] == rng.integers(spec.rows, size=spec.columns)
        )
        return cls(
            stuck=found.stuck,
            stuck_conductance=found.stuck_conductance,
            open_word_segments=words,
            open_bit_segments=bits,
            dead_senses=rng.random(spec.columns) < defects.dead_channels,
        )

    @classmethod
    def random(
        cls,
        spec: TileSpec,
        *,
        yield_: float,
        stuck_on_fraction: float = 0.5,
        seed: int,
        stuck_on_range: tuple[float, float] = STUCK_ON_RANGE,
        stuck_off_range: tuple[float, float] = STUCK_OFF_RANGE,
        clustering: float | None = None,
        key: tuple[int, ...] = (),
    ) -> DefectMap:
        """Draw stuck devices.

        Parameters
        ----------
        spec : TileSpec
            The tile.
        yield_ : float
            Expected fraction of *devices* that work, in [0, 1]. (A differential pair has two devices: at a yield
            of 0.8, 36 % of the pairs have a stuck one.)
        stuck_on_fraction : float
            Fraction of the stuck devices that are stuck-on (LRS), in [0, 1]; the others are stuck-off (HRS).
        seed : int
            Seed, >= 0.
        stuck_on_range, stuck_off_range : (float, float)
            Range [S] from which the conductance of a stuck device is drawn uniformly.
        clustering : float, optional
            Stapper's clustering parameter alpha, >= 0.01. The mean number of defects per device is drawn for each 8x8
            neighbourhood from a gamma distribution of shape alpha, so the number of defects is negative binomial. A
            device works if it has no defect: ``yield_ = (1 + mean / alpha) ** -alpha`` (Stapper, Proc. IEEE 71:453,
            1983). Small alpha clusters strongly; None draws uniformly.
        key : tuple of int
            Further coordinates of the random stream, for instance the index of the tile on its chip.

        Returns
        -------
        DefectMap
            Stuck devices and their conductances; nothing else is defective.

        Raises
        ------
        ValidationError
            If an argument breaks its rule.
        """
        yield_ = in_range("yield_", yield_, 0.0, 1.0)
        stuck_on_fraction = in_range("stuck_on_fraction", stuck_on_fraction, 0.0, 1.0)
        shape = _shape(spec)
        rng = stream(integer("seed", seed), Purpose.DEFECTS, *(integer("key", part) for part in key))
        rate = np.full(shape, 1.0 - yield_)
        if clustering is not None:
            rate = _clustered_rate(rng, shape, yield_, in_range("clustering", clustering, MINIMUM_CLUSTERING))
        stuck = rng.random(shape) < rate
        stuck_on = rng.random(shape) < stuck_on_fraction
        on = rng.uniform(*_range("stuck_on_range", stuck_on_range), shape)
        off = rng.uniform(*_range("stuck_off_range", stuck_off_range), shape)
        return cls(stuck=stuck, stuck_conductance=np.where(stuck_on, on, off))

    @classmethod
    def lines(
        cls,
        spec: TileSpec,
        *,
        rows: Iterable[int] = (),
        columns: Iterable[int] = (),
        conductance: float,
    ) -> DefectMap:
        """Make whole rows and columns stuck at ``conductance`` [S].

        Parameters
        ----------
        spec : TileSpec
            The tile.
        rows, columns : iterable of int
            Indices of the word lines and bit lines, counted from 0.
        conductance : float
            Conductance of all their cells [S], >= 0.

        Returns
        -------
        DefectMap
            These stuck cells; nothing else is defective.

        Raises
        ------
        ValidationError
            If a row or column is not on the tile, or the conductance is negative.
        """
        stuck = np.zeros(_shape(spec), dtype=bool)
        for name, indices, limit in (("rows", rows, spec.rows), ("columns", columns, spec.columns)):
            for index in _items(name, indices):
                if integer(name, index) >= limit:
                    raise ValidationError(name, f"must be < {limit}", index)
                stuck[(index, slice(None)) if name == "rows" else (slice(None), index)] = True
        return cls(stuck=stuck, stuck_conductance=np.full(spec.shape, in_range("conductance", conductance, 0.0)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save to one npz file, atomically and without pickle."""
        save_npz(path, self.arrays())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays, for a file; :meth:`from_arrays` reads them back."""
        arrays: dict[str, NDArray[Any]] = {
            name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None
        }
        arrays["bridges"] = np.array(json.dumps([[list(b.first), list(b.second), b.resistance] for b in self.bridges]))
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> DefectMap:
        """Make a defect map from the result of :meth:`arrays`."""
        rest = dict(arrays)
        return cls(bridges=json.loads(str(rest.pop("bridges"))), **rest)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> DefectMap:
        """Load what :meth:`save` saved.

        Raises
        ------
        DataFileError
            If the file is missing, corrupt, or not a defect map.
        """
        arrays: dict[str, Any] = dict(load_npz(path))
        try:
            return cls.from_arrays(arrays)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataFileError(path, f"is not a defect map ({error})") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DefectMap):
            return NotImplemented
        pairs = ((getattr(self, name), getattr(other, name)) for name in _ARRAYS)
        same = all(
            (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs
        )
        return same and self.bridges == other.bridges

    __hash__ = None  # type: ignore[assignment]


_ARRAYS = ("stuck", "stuck_conductance", "open_word_segments", "open_bit_segments", "dead_drivers", "dead_senses")


def _optional(name: str, value: ArrayLike | None, dimensions: int) -> NDArray[np.bool_] | None:
    if value is None:
        return None
    array = boolean_array(name, value)
    if array.ndim != dimensions:
        raise ValidationError(name, f"must have {dimensions} dimension{'s' * (dimensions > 1)}", array.shape)
    return array


def _shape(spec: object) -> tuple[int, int]:
    if not isinstance(spec, TileSpec):
        raise ValidationError("spec", "must be a TileSpec", spec)
    return spec.shape


def _items(name: str, value: Iterable[_Item]) -> tuple[_Item, ...]:
    try:
        return tuple(value)
    except TypeError:
        raise ValidationError(name, "must be a sequence", value) from None


def _bridge(index: int, item: Sequence[Any]) -> Bridge:
    name = f"bridges[{index}]"
    try:
        first, second, resistance = item
        nodes = [Node(line, integer(name, row), integer(name, column)) for line, row, column in (first, second)]
    except (TypeError, ValueError) as error:
        if isinstance(error, ValidationError):
            raise
        raise ValidationError(name, 'must be (("word"|"bit", row, column), the same, resistance)', item) from None
    if any(node.line not in ("word", "bit") for node in nodes):
        raise ValidationError(name, 'must name lines "word" or "bit"', item)
    if nodes[0] == nodes[1]:
        raise ValidationError(name, "must join two different nodes", item)
    resistance = in_range(f"{name}.resistance", resistance, 0.0)
    if resistance == 0.0:
        raise ValidationError(f"{name}.resistance", "must be > 0", resistance)
    return Bridge(nodes[0], nodes[1], resistance)


def _range(name: str, value: tuple[float, float]) -> tuple[float, float]:
    bounds = tuple(in_range(name, bound, 0.0) for bound in _items(name, value))
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        raise ValidationError(name, "must be (low, high) with low <= high", value)
    low, high = bounds
    return low, high


def _clustered_rate(
    rng: np.random.Generator, shape: tuple[int, int], yield_: float, alpha: float, side: int = 8
) -> NDArray[np.float64]:
    """Draw the local probability of a defective device, constant over ``side`` x ``side`` neighbourhoods."""
    blocks = rng.gamma(alpha, size=(-(-shape[0] // side), -(-shape[1] // side)))
    if yield_ == 0.0:
        return np.ones(shape)
    # yield_ = (1 + mean / alpha) ** -alpha, solved for mean / alpha. The limit of 700 avoids overflow, and only takes
    # effect for yields below 0.001.
    scale = math.expm1(min(-math.log(yield_) / alpha, 700.0))
    rate = -np.expm1(-blocks * scale)
    return np.repeat(np.repeat(rate, side, axis=0), side, axis=1)[: shape[0], : shape[1]]
