"""R-2R DACs: a transfer worked out from the very resistors that the SPICE netlist contains."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config.converter import DacSpec
from circuitmem.converter.linearity import Linearity, linearity
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.validation import finite_array

__all__ = ["DacBank"]

Floats = NDArray[np.float64]


class DacBank:
    """The DACs of one tile, one a word line, as fabricated.

    Bit ``k`` (0 is the least significant) switches its leg of nominally 2R, and the switch's own resistance, between
    ground and the reference. Links of
    nominally R join the leg nodes; a termination of nominally 2R ties the node of bit 0 to ground. The node of the most
    significant bit, unloaded, feeds the output buffer.

    Parameters
    ----------
    spec : DacSpec
        What was designed.
    rows : int
        Number of DACs.
    seed : int
        Seed of the fabrication.
    key : tuple of int
        Which bank on the chip.

    Attributes
    ----------
    leg : (rows, bits) ndarray
        Leg resistors [Ω], least significant first.
    link : (rows, bits - 1) ndarray
        Resistors between the nodes of bits k and k + 1 [Ω].
    termination : (rows,) ndarray
        Termination resistors [Ω].
    gain, offset : (rows,) ndarray
        Buffer gain and output offset [V].
    keeps_table : bool
        Whether :attr:`table` is kept once it is worked out, or worked out anew whenever it is wanted;
        :meth:`keep_table` says so.
    """

    def __init__(self, spec: DacSpec, rows: int, seed: int = 0, key: tuple[int, ...] = ()) -> None:
        rng = stream(seed, Purpose.DAC, *key)
        self.spec = spec
        self.rows = rows
        sigma = spec.resistor_mismatch
        # Five standard deviations at the largest legal mismatch still leave a resistor positive.
        spread = np.clip(rng.standard_normal((rows, 2 * spec.bits)), -5.0, 5.0)
        self.leg = 2.0 * spec.unit_resistance * (1.0 + sigma * spread[:, : spec.bits])
        self.link = spec.unit_resistance * (1.0 + sigma * spread[:, spec.bits : 2 * spec.bits - 1])
        self.termination = 2.0 * spec.unit_resistance * (1.0 + sigma * spread[:, -1])
        self.gain = 1.0 + spec.gain_error * rng.standard_normal(rows)
        self.offset = spec.offset_error * rng.standard_normal(rows)
        self.keeps_table = True
        self._table: Floats | None = None

    def keep_table(self, keep: bool) -> None:
        """Say whether :attr:`table` is to be kept from now on."""
        self.keeps_table = keep
        if not keep:
            self._table = None

    @property
    def table(self) -> Floats:
        """Output voltage of every code, (rows, 2^bits) V."""
        if self._table is not None:
            return self._table
        bits = (np.arange(self.spec.levels)[:, None] >> np.arange(self.spec.bits)) & 1
        table: Floats = self.gain[:, None] * (self._bit_weights() @ bits.T) + self.offset[:, None]
        self._table = table if self.keeps_table else None
        return table

    def _bit_weights(self) -> Floats:
        """Return the ladder output for each bit alone, (rows, bits) V, by Thévenin reduction from bit 0 up."""
        reference = self.spec.reference_voltage
        weights = np.zeros((self.rows, self.spec.bits))
        resistance = self.termination
        for bit in range(self.spec.bits):
            if bit > 0:
                resistance = resistance + self.link[:, bit - 1]
            leg = self.leg[:, bit] + self.spec.switch_resistance
            # The leg, seen with everything below it, divides both its own source and the sources below.
            weights[:, :bit] *= (leg / (leg + resistance))[:, None]
            weights[:, bit] = reference * resistance / (leg + resistance)
            resistance = leg * resistance / (leg + resistance)
        return weights

    def linearity(self) -> Linearity:
        """Return INL, (rows, 2^bits), and DNL, (rows, 2^bits - 1), in LSB: of the output of every code."""
        return linearity(self.table)

    def codes(self, values: ArrayLike) -> NDArray[np.int64]:
        """Quantise values in [0, 1] (others saturate) to codes of the same shape; ties to even.

        Raises
        ------
        ValidationError
            If a value is NaN, or no real number.
        """
        given = finite_array("values", values, allow_infinite=True)
        given.flags.writeable = True
        return self.quantise(given).astype(np.int64)

    def quantise(self, values: Floats) -> NDArray[np.uint16]:
        """Do as :meth:`codes` does with numbers that are known to be none but finite; ``values`` are used up."""
        values *= self.spec.levels - 1  # in place: of a convolution there are millions
        np.rint(values, out=values)
        np.clip(values, 0.0, self.spec.levels - 1.0, out=values)
        return values.astype(np.uint16)

    def nominal(self, codes: ArrayLike) -> Floats:
        """Return what perfect DACs would give for ``codes``, same shape, V."""
        return np.asarray(codes) * (self.spec.full_scale / (self.spec.levels - 1))

    def voltages(self, codes: ArrayLike) -> Floats:
        """Return the output voltages, (batch, rows) V, for integer codes (batch, rows).

        Raises
        ------
        ValidationError
            If the shape is wrong or a code is not an integer in [0, 2^bits - 1].
        """
        given = np.asarray(codes)
        self.check_shape(given)
        if given.size and (given.min() < 0 or given.max() >= self.spec.levels):
            raise ValidationError("codes", f"must lie in [0, {self.spec.levels - 1}]", (given.min(), given.max()))
        return np.asarray(self.table[np.arange(self.rows), given])

    def planes(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the codes that a product's reads are driven with, (batch·planes, rows), for ``codes`` (batch, rows).

        With bit-serial inputs there is a read for each bit of each vector, lowest first, in which the DACs give full
        scale or nothing; else they are ``codes`` themselves. What each counts is ``spec.plane_weights``.
        """
        if self.spec.input == "parallel":
            return codes
        bits = np.arange(self.spec.bits)[:, None]
        return (codes[:, None, :] >> bits & 1).reshape(-1, self.rows) * (self.spec.levels - 1)

    def check_one(self, codes: ArrayLike) -> NDArray[np.int64]:
        """Return one vector of codes, (rows,), after the checks of :meth:`voltages`."""
        given = np.asarray(codes)
        if given.shape != (self.rows,):
            raise ValidationError("codes", f"must have shape ({self.rows},)", given.shape)
        self.voltages(given[None])
        return given.astype(np.int64)

    def check_shape(self, codes: NDArray[Any]) -> None:
        """Raise :class:`ValidationError` unless ``codes`` are integers, (batch, rows)."""
        if codes.dtype.kind not in "iu":
            raise ValidationError("codes", "must be integers", codes.dtype)
        if codes.ndim != 2 or codes.shape[1] != self.rows:
            raise ValidationError("codes", f"must have shape (batch, {self.rows})", codes.shape)
