"""The declared geometry of one crossbar tile."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from circuitmem.config.base import Spec
from circuitmem.config.cell import Cell, LinearCell
from circuitmem.config.quantity import Count
from circuitmem.errors import ValidationError
from circuitmem.validation import finite_array

__all__ = ["SegmentResistance", "TileSpec"]

CELLS = 1 << 26
"""Most cells of a tile: each array that describes them then takes half a gigabyte."""

SegmentResistance = float | tuple[tuple[float, ...], ...]
"""One resistance [Ω] for all segments of a kind of line, or one value a segment."""


class TileSpec(Spec):
    """A crossbar of ``rows`` word lines (inputs) and ``columns`` bit lines (outputs).

    Word line ``i`` is driven at its left end through ``driver_resistance``; one segment lies before each of
    its cells. Bit line ``j`` ends in a virtual ground below its last cell, behind ``sense_resistance``; one
    segment lies after each of its cells. (The convention of badcrossbar, SoftwareX 12:100617, 2020.)

    Parameters
    ----------
    rows, columns : int
        Number of word lines and of bit lines, >= 1.
    word_line_resistance : float or array_like
        Resistance of a word-line segment [Ω], >= 0. An array gives each segment its own: shape
        (rows, columns), element (i, j) before cell (i, j); or (rows, columns + 1) when ``word_line_drive``
        is ``"both"``, the last column being the segment towards the second driver.
    bit_line_resistance : float or array_like
        Resistance of a bit-line segment [Ω], >= 0. As an array: shape (rows, columns), element (i, j) after
        cell (i, j); or (rows + 1, columns) when ``bit_line_sense`` is ``"both"``, the *first* row being the
        segment towards the second sense amplifier.
    driver_resistance : float
        Source resistance of each word-line driver [Ω], >= 0.
    sense_resistance : float
        Input resistance of each sense amplifier [Ω], >= 0.
    word_line_capacitance, bit_line_capacitance : float
        Capacitance of a word-line and of a bit-line segment to ground [F], >= 0, at the node of its cell. It affects
        only settling: reads are the settled values, and programming is quasi-static.
    cell : LinearCell, TransistorCell, SinhCell or SelectorCell
        Static law of the cells.
    word_line_drive : {"left", "both"}
        Drive word lines from the left end or, with the same voltage, from both ends.
    bit_line_sense : {"bottom", "both"}
        Sense bit lines at the bottom or at both ends; the column current is the sum of both.

    Raises
    ------
    ValidationError
        If a value breaks its rule. A resistance of 0 is legal and means an ideal line.
    """

    rows: Count
    columns: Count
    word_line_resistance: SegmentResistance = 0.0
    bit_line_resistance: SegmentResistance = 0.0
    driver_resistance: float = pydantic.Field(default=0.0, ge=0.0)
    sense_resistance: float = pydantic.Field(default=0.0, ge=0.0)
    word_line_capacitance: float = pydantic.Field(default=0.0, ge=0.0)
    bit_line_capacitance: float = pydantic.Field(default=0.0, ge=0.0)
    cell: Cell = LinearCell()
    word_line_drive: Literal["left", "both"] = "left"
    bit_line_sense: Literal["bottom", "both"] = "bottom"

    @pydantic.model_validator(mode="before")
    @classmethod
    def _check_segments(cls, values: object) -> object:
        """Check the resistances before pydantic does: its messages for unions are long."""
        if not isinstance(values, dict):
            return values
        checked = dict(values)
        for name in ("word_line_resistance", "bit_line_resistance"):
            if name in checked:
                array = finite_array(name, checked[name], minimum=0.0)
                checked[name] = _nested(name, array)
        return checked

    @pydantic.model_validator(mode="after")
    def _check_size(self) -> TileSpec:
        if self.rows * self.columns > CELLS:
            raise ValidationError("rows", f"times columns (={self.columns}) must be <= {CELLS} cells", self.rows)
        return self

    @pydantic.model_validator(mode="after")
    def _check_segment_shapes(self) -> TileSpec:
        word_shape = (self.rows, self.columns + (self.word_line_drive == "both"))
        bit_shape = (self.rows + (self.bit_line_sense == "both"), self.columns)
        for name, shape in (("word_line_resistance", word_shape), ("bit_line_resistance", bit_shape)):
            value = getattr(self, name)
            if not isinstance(value, float):
                finite_array(name, value, shape=shape)
        return self

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    def word_segments(self) -> NDArray[np.float64]:
        """Return the resistance of every word-line segment, (rows, columns + 1) Ω.

        Column ``k`` is the segment before cell ``k``; the last column is the one towards the second driver,
        ``inf`` if there is none. Driver resistances are not included.
        """
        segments = np.full((self.rows, self.columns + 1), np.inf)
        used = self.columns + (self.word_line_drive == "both")
        segments[:, :used] = np.asarray(self.word_line_resistance)
        return segments

    def bit_segments(self) -> NDArray[np.float64]:
        """Return the resistance of every bit-line segment, (rows + 1, columns) Ω.

        Row ``k + 1`` is the segment after cell ``k``; row 0 is the one towards the second sense amplifier,
        ``inf`` if there is none. Sense resistances are not included.
        """
        segments = np.full((self.rows + 1, self.columns), np.inf)
        first = 0 if self.bit_line_sense == "both" else 1
        segments[first:, :] = np.asarray(self.bit_line_resistance)
        return segments


def _nested(name: str, array: NDArray[np.float64]) -> SegmentResistance:
    """Return a scalar array as float and a matrix as nested tuples, which are hashable and frozen."""
    if array.ndim == 0:
        return float(array)
    if array.ndim == 2:
        return tuple(tuple(float(x) for x in row) for row in array)
    raise ValidationError(name, "must be a number or a two-dimensional array", array.shape)
