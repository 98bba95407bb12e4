"""Convert weights to column conductances, and column currents to weighted sums: one class for each kind of mapping.

Wherever an array has an axis of columns, the reference columns that all outputs share come first, then the columns of
each output, side by side, in the order of the outputs (:class:`ColumnLayout`).
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
    """How the outputs of a tile are laid out on its bit lines.

    Parameters
    ----------
    width : int
        Bit lines per output, >= 1.
    references : int
        Number of reference bit lines, shared by all outputs, in the first columns of the tile, >= 0.
    """

    width: int = 2
    references: int = 0

    def places(self, columns: int) -> int:
        """Return the number of outputs that fit on a tile with this many columns."""
        return (columns - self.references) // self.width

    def used(self, outputs: int) -> int:
        """Return the number of columns that this many outputs need."""
        return self.references + self.width * outputs

    def columns(self, places: Places) -> Places:
        """Return the bit lines of the outputs at these places, in order, with the shared reference lines first."""
        own = self.references + self.width * places[:, None] + np.arange(self.width)
        return np.concatenate([np.arange(self.references), own.ravel()])


PAIRS = ColumnLayout()
"""The only layout that the kernels for whole layers support: the plus column before the minus column."""


@dataclass(frozen=True)
class WeightMapping(ABC):
    """Converts weights of a tile into conductances between its lines, and back.

    To add your own kind, write a frozen dataclass with a ``Spec``, the class of its declaration.

    Parameters
    ----------
    minimum, maximum : float
        Working range of a device between its lines [S].
    largest_weight : float
        Magnitude of the weight that uses the whole range, > 0; larger weights saturate.
    """

    Spec: ClassVar[type[MappingSpec]]

    minimum: float
    maximum: float
    largest_weight: float

    @classmethod
    def of(cls, spec: Any, minimum: float, maximum: float, largest_weight: float) -> Self:  # noqa: ARG003
        """Return the mapping that ``spec`` declares.

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
        """The layout of its columns."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """Result of :meth:`difference` for the conductances of a weight of 1 [S]."""

    @property
    def combining(self) -> int:
        """Digital-core operations to combine the columns of one output, in addition to two per column."""
        return 0

    @abstractmethod
    def conductances(self, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return conductances (inputs, columns) S for weights (inputs, outputs).

        Parameters
        ----------
        weights : (inputs, outputs) ndarray
            The weights.
        stuck : (inputs, columns) ndarray, optional
            Conductance of the devices that do not follow pulses [S], nan for the others. The other devices of the same
            weight compensate for them, as far as their range allows.
        """

    @abstractmethod
    def limits(self, stuck: Floats) -> tuple[Floats, Floats]:
        """Return lowest and highest weight of each place, (inputs, places); ``stuck`` as in :meth:`conductances`."""

    @abstractmethod
    def frozen(self, stuck: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the weights if all devices that are not stuck get no pulses, and which weights to freeze there.

        Both are (inputs, outputs). To be frozen are weights with some, but not all, devices stuck; if all are stuck,
        :meth:`limits` leaves no range anyway.
        """

    @abstractmethod
    def difference(self, columns: Floats) -> Floats:
        """Combine numbers per column (currents, for instance), (..., columns), to one per output, (..., outputs)."""

    @abstractmethod
    def spread(self, error: Floats) -> Floats:
        """Backpropagate through :meth:`difference`: from derivatives (..., outputs) to derivatives (..., columns)."""

    @abstractmethod
    def moved(self, slopes: Floats, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return the derivatives with respect to weights, (inputs, outputs), from those of the devices they move.

        Parameters
        ----------
        slopes : (inputs, columns) ndarray
            Derivatives with respect to conductances.
        weights : (inputs, outputs) ndarray
            Target weights of the devices.
        stuck : (inputs, columns) ndarray, optional
            Conductances of the devices known not to follow pulses [S]; nan for the others.
        """


@dataclass(frozen=True)
class PairMapping(WeightMapping):
    """``weight = (G+ - G-)/scale``; one device of a pair stays at the minimum.

    The columns of an output are G+, G-. The partner of a stuck device compensates for it.
    """

    Spec = DifferentialSpec

    @property
    def layout(self) -> ColumnLayout:
        """Two columns per output."""
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
        """Return the lowest and the highest weight of each pair; a last column without a partner is ignored."""
        stuck = stuck[:, : stuck.shape[1] // 2 * 2]
        least = np.where(np.isnan(stuck), self.minimum, stuck)
        most = np.where(np.isnan(stuck), self.maximum, stuck)
        lowest = (least[:, 0::2] - most[:, 1::2]) / self.scale
        return lowest, (most[:, 0::2] - least[:, 1::2]) / self.scale

    def frozen(self, stuck: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the weights of pairs with one stuck device if the other stays at its minimum, and which these are."""
        broken = np.isnan(stuck[:, 0::2]) != np.isnan(stuck[:, 1::2])
        known = np.where(np.isnan(stuck), self.minimum, stuck)
        return (known[:, 0::2] - known[:, 1::2]) / self.scale, broken

    def difference(self, columns: Floats) -> Floats:
        """Return the plus columns minus the minus columns."""
        return columns[..., 0::2] - columns[..., 1::2]

    def spread(self, error: Floats) -> Floats:
        """Return the error for plus, and its opposite for minus."""
        columns = np.empty((*error.shape[:-1], 2 * error.shape[-1]))
        columns[..., 0::2], columns[..., 1::2] = error, -error
        return columns

    def moved(self, slopes: Floats, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return the derivative for the device that the weight's sign selects, or for the partner of a stuck device.

        At a weight of 0 either device may move: the result is the mean of both.
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

    There is one column per output, and the reference column before them. If the reference device of an input is stuck,
    all weights of that input are counted from its stuck value. A stuck device of a single weight cannot be compensated.
    """

    Spec = OffsetSpec

    @property
    def layout(self) -> ColumnLayout:
        """One column per output, and one shared reference."""
        return ColumnLayout(width=1, references=1)

    @property
    def scale(self) -> float:
        """Conductance per unit of weight [S]: half that of :class:`PairMapping`."""
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
        """Return the lowest and the highest weight of each column except the reference."""
        reference, own = np.where(np.isnan(stuck[:, :1]), self._middle, stuck[:, :1]), stuck[:, 1:]
        least, most = np.where(np.isnan(own), self.minimum, own), np.where(np.isnan(own), self.maximum, own)
        return (least - reference) / self.scale, (most - reference) / self.scale

    def frozen(self, stuck: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return zeros, and nothing to freeze: a weight whose only device is stuck has no range anyway."""
        shape = len(stuck), stuck.shape[1] - 1
        return np.zeros(shape), np.zeros(shape, dtype=bool)

    def difference(self, columns: Floats) -> Floats:
        """Return each column minus the reference."""
        return columns[..., 1:] - columns[..., :1]

    def spread(self, error: Floats) -> Floats:
        """Return minus the sum of the errors for the reference column, then the errors."""
        return np.concatenate([-error.sum(axis=-1, keepdims=True), error], axis=-1)

    def moved(self, slopes: Floats, weights: Floats, stuck: Floats | None = None) -> Floats:  # noqa: ARG002
        """Return the derivatives for the weights' own devices: the reference does not move."""
        return self.scale * slopes[:, 1:]


@dataclass(frozen=True)
class BitSlicing(WeightMapping):
    """``weight = unit·sum of 2^(bits·s)·(G+ - G-)/step`` over the slices s: one digit per pair, highest slice first.

    A weight is rounded to a multiple of :attr:`unit`; the largest weight is ``2^(slices·bits) - 1`` units. If stuck
    devices keep a slice from its digit, the lower slices compensate for the difference, as far as their range allows.

    Parameters
    ----------
    slices, bits : int
        Number of pairs per output, and bits of the digit that each pair holds.
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
        """One pair per slice and output."""
        return ColumnLayout(width=2 * self.slices)

    @property
    def unit(self) -> float:
        """The smallest step of a weight."""
        return self.largest_weight / (2.0 ** (self.slices * self.bits) - 1.0)

    @property
    def _digits(self) -> PairMapping:
        """Mapping from a digit to the conductances of a slice's pair."""
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
        """A shift and an addition for each slice except the first."""
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
        """Return the columns that belong to whole places, (inputs, 2·places·slices); the rest is cut off."""
        return stuck[:, : stuck.shape[1] // self.layout.width * self.layout.width]

    def _summed(self, digits: Floats) -> Floats:
        """Combine digits, (..., outputs·slices), to one number per output, (..., outputs)."""
        return np.asarray((digits.reshape(*digits.shape[:-1], -1, self.slices) * self._significance).sum(axis=-1))

    def limits(self, stuck: Floats) -> tuple[Floats, Floats]:
        """Return the lowest and the highest weight of each place."""
        lowest, highest = self._digits.limits(self._of_slices(stuck))
        return self.unit * self._summed(lowest), self.unit * self._summed(highest)

    def frozen(self, stuck: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the weights with their stuck devices and all others at the minimum, and which weights to freeze."""
        is_stuck = ~np.isnan(stuck.reshape(len(stuck), -1, self.layout.width))
        values, _ = self._digits.frozen(stuck)
        count = is_stuck.sum(axis=2)
        return self.unit * self._summed(values), (count > 0) & (count < self.layout.width)

    def difference(self, columns: Floats) -> Floats:
        """Return the plus columns minus the minus columns of all slices, shifted and added."""
        return self._summed(columns[..., 0::2] - columns[..., 1::2])

    def spread(self, error: Floats) -> Floats:
        """Return the error for plus and its opposite for minus, with the significance of each slice."""
        return self._digits.spread((error[..., None] * self._significance).reshape(*error.shape[:-1], -1))

    def moved(self, slopes: Floats, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return the derivatives of the highest slice, treated as continuous; on ideal tiles all slices agree."""
        first = [None if each is None else each.reshape(*weights.shape, -1) for each in (slopes, stuck)]
        own, known = (None if each is None else each[:, :, :2].reshape(len(weights), -1) for each in first)
        assert own is not None
        per_digit = self._digits.moved(own, weights, known)
        return np.asarray(per_digit / (self._significance[0] * self.unit))


def mapping_of(spec: MappingSpec, minimum: float, maximum: float, largest_weight: float) -> WeightMapping:
    """Return the mapping that a chip declares, for a given range of devices and largest weight.

    Parameters
    ----------
    spec : MappingSpec
        The declaration.
    minimum, maximum : float
        Range of the devices [S].
    largest_weight : float
        Magnitude of the weight that uses the whole range, > 0.

    Raises
    ------
    ValidationError
        If the layout of the class that ``spec.kind`` names differs from that of its declaration.
    """
    kind: type[WeightMapping] = find("mappings", spec.kind, "chip.mapping.kind")
    mapping = kind.of(spec, minimum, maximum, largest_weight)
    if mapping.layout != layout_of(spec):
        rule = f"must name a class whose layout is that of its Spec, {layout_of(spec)}"
        raise ValidationError("chip.mapping.kind", rule, str(mapping.layout))
    return mapping


def layout_of(spec: MappingSpec) -> ColumnLayout:
    """Return the column layout of the mapping that a chip declares."""
    return ColumnLayout(spec.width, spec.references)
