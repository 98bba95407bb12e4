"""The declared mapping: the columns of a tile that represent a weight, and how the digital core combines them."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Annotated, ClassVar, Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.config.names import declaration
from circuitmem.errors import ValidationError

__all__ = ["BitSlicingSpec", "DeclaredMapping", "DifferentialSpec", "MappingSpec", "OffsetSpec"]

MOST_BITS = 24
"""Most bits of a magnitude in all its slices: a weight then keeps more digits than any read resolves."""


class MappingSpec(Spec):
    """Parameters that all mappings have; your own adds its parameters and its number of columns.

    Parameters
    ----------
    kind : str
        Name of the kind (``circuitmem list mappings``), or ``"package.module:Name"`` of its class.
    largest_weight : {"layer", "output"}
        Whether the range of the devices covers weights up to the largest of the layer, or for each output up to its own
        largest; in that case the digital core multiplies each output by a factor. An output whose weights are all
        smaller than 1/64 of the layer's largest gets a range up to that.
    """

    references: ClassVar[int] = 0
    """Columns of a tile that all its outputs share."""

    kind: str
    largest_weight: Literal["layer", "output"] = "layer"

    @property
    @abstractmethod
    def width(self) -> int:
        """Columns of an output."""

    def check_step(self, span: float, deadband: float) -> None:
        """Raise :class:`ValidationError` if levels of cells are too close: ``span`` is their range, both in S."""


class DifferentialSpec(MappingSpec):
    """A pair of columns for each output: positive weights on the first, negative ones on the second.

    Parameters
    ----------
    kind : {"differential"}
        A signed weight is the difference of a pair of devices, one of which stays at its minimum.
    largest_weight : {"layer", "output"}
        Largest weight that the range of the devices covers: that of the layer, or that of each output.
    """

    kind: Literal["differential"] = "differential"

    @property
    def width(self) -> int:
        """Two."""
        return 2


class OffsetSpec(MappingSpec):
    """One column for each output, and one reference column a tile, which the digital core subtracts.

    Parameters
    ----------
    kind : {"offset"}
        A weight is what its device conducts above or below the middle of the range, which the reference column holds.
    largest_weight : {"layer", "output"}
        As in :class:`DifferentialSpec`.
    """

    references: ClassVar[int] = 1

    kind: Literal["offset"] = "offset"

    @property
    def width(self) -> int:
        """One."""
        return 1


class BitSlicingSpec(MappingSpec):
    """Several pairs of columns for each output: the digits of its weights, added up digitally with their significance.

    Parameters
    ----------
    kind : {"bit-slicing"}
        A weight is rounded to a sign and ``slices·bits`` bits of magnitude.
    slices : int
        Pairs of columns of an output, from 2.
    bits : int
        Bits of a device, >= 1: it conducts one of 2^bits levels. A step between levels must be larger than
        ``chip.programming.deadband``, and a weight has 24 bits at most.
    largest_weight : {"layer", "output"}
        As in :class:`DifferentialSpec`.
    """

    kind: Literal["bit-slicing"]
    slices: int = pydantic.Field(default=2, ge=2)
    bits: int = pydantic.Field(default=4, ge=1)

    @pydantic.model_validator(mode="after")
    def _check_bits(self) -> BitSlicingSpec:
        if self.slices * self.bits > MOST_BITS:
            raise ValidationError("slices", f"times bits (={self.bits}) must be <= {MOST_BITS}", self.slices)
        return self

    @property
    def width(self) -> int:
        """Columns of an output."""
        return 2 * self.slices

    def check_step(self, span: float, deadband: float) -> None:
        """Refuse levels that programming would not tell apart: ``span`` is the range of the cells, both in S."""
        step = span / (2**self.bits - 1)
        if step <= deadband:
            rule = f"must leave steps > programming.deadband (={deadband:g} S) between levels, not {step:.3g} S"
            raise ValidationError("mapping.bits", rule, self.bits)


DeclaredMapping = Annotated[
    pydantic.SerializeAsAny[MappingSpec],
    pydantic.BeforeValidator(partial(declaration, "mappings", "differential")),
]
"""A mapping of any kind that the registry knows."""
