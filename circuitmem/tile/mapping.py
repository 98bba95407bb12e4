"""Weights as conductances of columns, and currents of columns as weighted sums: one class for each kind of mapping.

Arrays of columns have those of a tile's outputs in order: first the reference columns that all share, then the columns
of each output, side by side (:class:`ColumnLayout`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import BitSlicingSpec, DifferentialSpec, MappingSpec, OffsetSpec
from circuitmem.errors import ValidationError
from circuitmem.registry import find

__all__ = [
    "PAIRS",
    "BitSlicing",
    "ColumnLayout",
    "OffsetMapping",
    "PairMapping",
    "WeightMapping",
    "layout_of",
    "mapping_of",
]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class ColumnLayout:
    """The bit lines of a tile that represent an output.

    Parameters
    ----------
    width : int
        Bit lines of an output, >= 1.
    references : int
        Bit lines at the tile's first columns that all its outputs share, >= 0.
    """

    width: int = 2
    references: int = 0

    def places(self, columns: int) -> int:
        """Return how many outputs a tile of so many columns has room for."""
        return (columns - self.references) // self.width

    def used(self, outputs: int) -> int:
        """Return how many columns so many outputs need."""
        return self.references + self.width * outputs

    def columns(self, places: Places) -> Places:
        """Return the bit lines of outputs at these places, in order, those that they share first."""
        own = self.references + self.width * places[:, None] + np.arange(self.width)
        return np.concatenate([np.arange(self.references), own.ravel()])


PAIRS = ColumnLayout()
"""The layout that kernels of whole layers know: plus before minus."""


@dataclass(frozen=True)
class WeightMapping(ABC):
    """Converts weights of a tile into conductances between its lines, and back.

    Your own kind is a frozen dataclass with a ``Spec``, its declaration.

    Parameters
    ----------
    minimum, maximum : float
        Working range of a device between its lines [S].
    largest_weight : float
        Magnitude of weight that uses the whole range, > 0; larger weights saturate.
    """

    Spec: ClassVar[type[MappingSpec]]

    minimum: float
    maximum: float
    largest_weight: float

    @classmethod
    def of(cls, spec: Any, minimum: float, maximum: float, largest_weight: float) -> Self:  # noqa: ARG003
        """Return the mapping that is declared.

        Parameters
        ----------
        spec : MappingSpec
            The declaration, of the class's ``Spec``.
        minimum, maximum : float
            Working range of a device between its lines [S].
        largest_weight : float
            Magnitude of the weight that uses the whole range, > 0.

        Returns
        -------
        WeightMapping
            The mapping, of this class.
        """
        return cls(minimum, maximum, largest_weight)

    @property
    @abstractmethod
    def layout(self) -> ColumnLayout:
        """Where its columns lie."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """What :meth:`difference` of conductances is for a weight of 1 [S]."""

    @property
    def combining(self) -> int:
        """Operations of the digital core to make one sum of an output's columns, beyond two a column."""
        return 0

    @abstractmethod
    def conductances(self, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return conductances (inputs, columns) S for weights (inputs, outputs).

        Parameters
        ----------
        weights : (inputs, outputs) ndarray
            The weights.
        stuck : (inputs, columns) ndarray, optional
            What devices conduct that do not follow pulses [S], nan for the others: those that are left to move make up
            for it, as far as their range goes.
        """

    @abstractmethod
    def limits(self, stuck: Floats) -> tuple[Floats, Floats]:
        """Return the lowest and the highest weight of each place, (inputs, places), with ``stuck`` as above."""

    @abstractmethod
    def frozen(self, stuck: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return weights with a stuck device and the others without pulses, and which are to be frozen there.

        Both are (inputs, outputs). Not those whose devices are all stuck: :meth:`limits` leaves them no room.
        """

    @abstractmethod
    def difference(self, columns: Floats) -> Floats:
        """Return one number an output, (..., outputs), of those of its columns, (..., columns): currents or others."""

    @abstractmethod
    def spread(self, error: Floats) -> Floats:
        """Return derivatives by columns, (..., columns), for those by :meth:`difference`, (..., outputs)."""

    @abstractmethod
    def moved(self, slopes: Floats, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return derivatives by weights, (inputs, outputs), for those by the devices that a weight moves.

        Parameters
        ----------
        slopes : (inputs, columns) ndarray
            Derivatives by conductances.
        weights : (inputs, outputs) ndarray
            What the devices are programmed towards.
        stuck : (inputs, columns) ndarray, optional
            Conductances of devices that do not follow pulses, as far as known [S]; nan for the others.
        """


@dataclass(frozen=True)
class PairMapping(WeightMapping):
    """``weight = (G+ - G-)/scale``; one device of a pair stays at the minimum.

    Columns of an output: G+, G-. The partner of a stuck device makes up for it.
    """

    Spec = DifferentialSpec

    @property
    def layout(self) -> ColumnLayout:
        """Two columns an output."""
        return PAIRS

    @property
    def scale(self) -> float:
        """Conductance per unit of weight [S]."""
        return (self.maximum - self.minimum) / self.largest_weight

    def conductances(self, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return (inputs, 2·outputs) S for weights (inputs, outputs): G+ in even columns, G- in odd ones."""
        pairs = np.empty((weights.shape[0], 2 * weights.shape[1]))
        pairs[:, 0::2] = self.scale * np.maximum(weights, 0.0)
        pairs[:, 1::2] = self.scale * np.maximum(-weights, 0.0)
        pairs = np.minimum(pairs + self.minimum, self.maximum)
        if stuck is not None:
            wanted = self.scale * weights
            plus, minus = stuck[:, 0::2], stuck[:, 1::2]
            for own, other, partner in ((0, minus, minus + wanted), (1, plus, plus - wanted)):
                limited = np.clip(partner, self.minimum, self.maximum)
                pairs[:, own::2] = np.where(np.isnan(other), pairs[:, own::2], limited)
        return pairs

    def limits(self, stuck: Floats) -> tuple[Floats, Floats]:
        """Return the lowest and the highest weight of each pair; the last of an odd number of columns is none."""
        stuck = stuck[:, : stuck.shape[1] // 2 * 2]
        least = np.where(np.isnan(stuck), self.minimum, stuck)
        most = np.where(np.isnan(stuck), self.maximum, stuck)
        lowest = (least[:, 0::2] - most[:, 1::2]) / self.scale
        return lowest, (most[:, 0::2] - least[:, 1::2]) / self.scale

    def frozen(self, stuck: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return what pairs with one stuck device stand for, the other at its minimum."""
        broken = np.isnan(stuck[:, 0::2]) != np.isnan(stuck[:, 1::2])
        known = np.where(np.isnan(stuck), self.minimum, stuck)
        return (known[:, 0::2] - known[:, 1::2]) / self.scale, broken

    def difference(self, columns: Floats) -> Floats:
        """Return plus less minus."""
        return columns[..., 0::2] - columns[..., 1::2]

    def spread(self, error: Floats) -> Floats:
        """Return the error for plus, and its opposite for minus."""
        columns = np.empty((*error.shape[:-1], 2 * error.shape[-1]))
        columns[..., 0::2], columns[..., 1::2] = error, -error
        return columns

    def moved(self, slopes: Floats, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return what holds for the device that a weight's sign says, or for the partner of one that is stuck.

        At a weight of 0 either may move, and the mean counts.
        """
        plus, minus = slopes[:, 0::2], -slopes[:, 1::2]
        moved = np.sign(weights)
        if stuck is not None:
            known = ~np.isnan(stuck)
            moved = np.where(known[:, 1::2], 1.0, np.where(known[:, 0::2], -1.0, moved))
        return self.scale * np.where(moved > 0, plus, np.where(moved < 0, minus, 0.5 * (plus + minus)))


@dataclass(frozen=True)
class OffsetMapping(WeightMapping):
    """``weight = (G - G_reference)/scale``, with a reference column in the middle of the range.

    One column an output, and the reference before them. Where the reference of an input is stuck, all its weights are
    counted from there; a stuck device of a single weight has no partner.
    """

    Spec = OffsetSpec

    @property
    def layout(self) -> ColumnLayout:
        """One column an output, and one for all."""
        return ColumnLayout(width=1, references=1)

    @property
    def scale(self) -> float:
        """Conductance per unit of weight [S]: half of that of a pair."""
        return (self.maximum - self.minimum) / (2.0 * self.largest_weight)

    @property
    def combining(self) -> int:
        """One: the reference is subtracted."""
        return 1

    @property
    def _middle(self) -> float:
        return 0.5 * (self.minimum + self.maximum)

    def conductances(self, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return (inputs, 1 + outputs) S for weights (inputs, outputs)."""
        found = np.empty((weights.shape[0], 1 + weights.shape[1]))
        found[:, 0] = self._middle
        reference = self._middle if stuck is None else np.where(np.isnan(stuck[:, :1]), self._middle, stuck[:, :1])
        found[:, 1:] = np.clip(reference + self.scale * weights, self.minimum, self.maximum)
        return found

    def limits(self, stuck: Floats) -> tuple[Floats, Floats]:
        """Return the lowest and the highest weight of each column but the reference."""
        reference, own = np.where(np.isnan(stuck[:, :1]), self._middle, stuck[:, :1]), stuck[:, 1:]
        least, most = np.where(np.isnan(own), self.minimum, own), np.where(np.isnan(own), self.maximum, own)
        return (least - reference) / self.scale, (most - reference) / self.scale

    def frozen(self, stuck: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return none to freeze: a weight whose device is stuck has no room anyway."""
        shape = len(stuck), stuck.shape[1] - 1
        return np.zeros(shape), np.zeros(shape, dtype=bool)

    def difference(self, columns: Floats) -> Floats:
        """Return each less the reference."""
        return columns[..., 1:] - columns[..., :1]

    def spread(self, error: Floats) -> Floats:
        """Return the errors, and before them the opposite of their sum."""
        return np.concatenate([-error.sum(axis=-1, keepdims=True), error], axis=-1)

    def moved(self, slopes: Floats, weights: Floats, stuck: Floats | None = None) -> Floats:  # noqa: ARG002
        """Return what holds for the weights' own devices: the reference stays."""
        return self.scale * slopes[:, 1:]


@dataclass(frozen=True)
class BitSlicing(WeightMapping):
    """``weight = unit·sum of 2^(bits·s)·(G+ - G-)/step`` over the slices s: digits on pairs, the highest slice first.

    A weight is rounded to whole units, of which the largest weight has ``2^(slices·bits) - 1``. What the devices of a
    slice cannot do because some are stuck is left to the slices below, as far as their range goes.

    Parameters
    ----------
    slices, bits : int
        Pairs of an output, and bits of the digit that each holds.
    """

    Spec = BitSlicingSpec

    slices: int
    bits: int

    @classmethod
    def of(cls, spec: BitSlicingSpec, minimum: float, maximum: float, largest_weight: float) -> Self:
        """Return the mapping that a ``spec`` declares."""
        return cls(minimum, maximum, largest_weight, spec.slices, spec.bits)

    @property
    def layout(self) -> ColumnLayout:
        """As many pairs an output as there are slices."""
        return ColumnLayout(width=2 * self.slices)

    @property
    def unit(self) -> float:
        """The smallest step of a weight."""
        return self.largest_weight / (2.0 ** (self.slices * self.bits) - 1.0)

    @property
    def _digits(self) -> PairMapping:
        """Digits to the conductances of a slice's pair."""
        return PairMapping(self.minimum, self.maximum, 2.0**self.bits - 1.0)

    @property
    def _significance(self) -> Floats:
        return np.array([2.0 ** (self.bits * place) for place in range(self.slices - 1, -1, -1)])

    @property
    def scale(self) -> float:
        """Conductance per unit of weight, digits counted with their significance [S]."""
        return float(self._digits.scale / self.unit)

    @property
    def combining(self) -> int:
        """A shift and an addition for each slice but the first."""
        return 2 * (self.slices - 1)

    def conductances(self, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return (inputs, 2·slices·outputs) S for weights (inputs, outputs)."""
        most, digits = 2.0 ** (self.slices * self.bits) - 1.0, self._digits
        rest = np.rint(np.clip(weights / self.unit, -most, most))
        found = np.empty((*weights.shape, self.slices, 2))
        for place, significance in enumerate(self._significance):
            share = np.clip(np.trunc(rest / significance), -digits.largest_weight, digits.largest_weight)
            known = None if stuck is None else stuck.reshape(found.shape)[:, :, place].reshape(len(weights), -1)
            pairs = digits.conductances(share, known)
            found[:, :, place] = pairs.reshape(*weights.shape, 2)
            if known is not None:
                is_stuck = ~np.isnan(known)
                done = digits.difference(np.where(is_stuck, known, pairs)) / digits.scale
                share = np.where(is_stuck[:, 0::2] | is_stuck[:, 1::2], done, share)
            rest = rest - share * significance
        return found.reshape(len(weights), -1)

    def _of_slices(self, stuck: Floats) -> Floats:
        """Return the columns of places, (inputs, 2·places·slices), without those that are left over."""
        return stuck[:, : stuck.shape[1] // self.layout.width * self.layout.width]

    def _summed(self, digits: Floats) -> Floats:
        """Return the numbers, (..., outputs), whose digits these are, (..., outputs·slices)."""
        return np.asarray((digits.reshape(*digits.shape[:-1], -1, self.slices) * self._significance).sum(axis=-1))

    def limits(self, stuck: Floats) -> tuple[Floats, Floats]:
        """Return the lowest and the highest weight of each place."""
        lowest, highest = self._digits.limits(self._of_slices(stuck))
        return self.unit * self._summed(lowest), self.unit * self._summed(highest)

    def frozen(self, stuck: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return what weights with a stuck device stand for, all their others at the minimum."""
        is_stuck = ~np.isnan(stuck.reshape(len(stuck), -1, self.layout.width))
        values, _ = self._digits.frozen(stuck)
        count = is_stuck.sum(axis=2)
        return self.unit * self._summed(values), (count > 0) & (count < self.layout.width)

    def difference(self, columns: Floats) -> Floats:
        """Return plus less minus of all slices, shifted and added."""
        return self._summed(columns[..., 0::2] - columns[..., 1::2])

    def spread(self, error: Floats) -> Floats:
        """Return the error for plus and its opposite for minus, with the significance of each slice."""
        return self._digits.spread((error[..., None] * self._significance).reshape(*error.shape[:-1], -1))

    def moved(self, slopes: Floats, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return what the highest slice says, as if it moved by less than a step: all say the same of ideal tiles."""
        first = [None if each is None else each.reshape(*weights.shape, -1) for each in (slopes, stuck)]
        own, known = (None if each is None else each[:, :, :2].reshape(len(weights), -1) for each in first)
        assert own is not None
        per_digit = self._digits.moved(own, weights, known)
        return np.asarray(per_digit / (self._significance[0] * self.unit))


def mapping_of(spec: MappingSpec, minimum: float, maximum: float, largest_weight: float) -> WeightMapping:
    """Return the mapping that a chip declares, for devices of a range [S] and weights of a largest magnitude.

    Parameters
    ----------
    spec : MappingSpec
        What the chip declares.
    minimum, maximum : float
        Range of the devices [S].
    largest_weight : float
        Magnitude of the weight that uses the whole range, > 0.

    Raises
    ------
    ValidationError
        If the class that the kind names has other columns than its declaration says.
    """
    kind: type[WeightMapping] = find("mappings", spec.kind, "chip.mapping.kind")
    mapping = kind.of(spec, minimum, maximum, largest_weight)
    if mapping.layout != layout_of(spec):
        rule = f"must name a class whose layout is that of its Spec, {layout_of(spec)}"
        raise ValidationError("chip.mapping.kind", rule, str(mapping.layout))
    return mapping


def layout_of(spec: MappingSpec) -> ColumnLayout:
    """Return where the columns of the mapping that a chip declares lie."""
    return ColumnLayout(spec.width, spec.references)
