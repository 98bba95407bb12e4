"""R-2R DACs: their transfer curve is calculated from the same resistors that the SPICE netlist contains."""

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
    """The DACs of one tile, one per word line, as fabricated.

    Bit ``k`` (0 is the least significant) switches its leg, nominally 2R plus the resistance of the switch, between
    ground and the reference. Links of nominally R join the leg nodes; a termination of nominally 2R connects the node
    of bit 0 to ground. The node of the most significant bit is unloaded and feeds the output buffer.

    Parameters
    ----------
    spec : DacSpec
        The design of the DACs.
    rows : int
        Number of DACs.
    seed : int
        Seed for the random fabrication errors.
    key : tuple of int
        Identifies the bank on the chip.

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
        Whether :attr:`table` is kept after it is first computed, or computed again on every access; set by
        :meth:`keep_table`.
    """

    def __init__(self, spec: DacSpec, rows: int, seed: int = 0, key: tuple[int, ...] = ()) -> None:
        rng = stream(seed, Purpose.DAC, *key)
        self.spec = spec
        self.rows = rows
        sigma = spec.resistor_mismatch
        # Clipped at five standard deviations: even at the largest allowed mismatch every resistor stays positive.
        spread = np.clip(rng.standard_normal((rows, 2 * spec.bits)), -5.0, 5.0)
        self.leg = 2.0 * spec.unit_resistance * (1.0 + sigma * spread[:, : spec.bits])
        self.link = spec.unit_resistance * (1.0 + sigma * spread[:, spec.bits : 2 * spec.bits - 1])
        self.termination = 2.0 * spec.unit_resistance * (1.0 + sigma * spread[:, -1])
        self.gain = 1.0 + spec.gain_error * rng.standard_normal(rows)
        self.offset = spec.offset_error * rng.standard_normal(rows)
        self.keeps_table = True
        self._table: Floats | None = None

    def keep_table(self, keep: bool) -> None:
        """Set whether :attr:`table` is kept from now on; a table that was kept is dropped if not."""
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
        """Return the ladder output for each bit set alone, (rows, bits) V, by Thévenin reduction from bit 0 up."""
        reference = self.spec.reference_voltage
        weights = np.zeros((self.rows, self.spec.bits))
        resistance = self.termination
        for bit in range(self.spec.bits):
            if bit > 0:
                resistance = resistance + self.link[:, bit - 1]
            leg = self.leg[:, bit] + self.spec.switch_resistance
            # The leg and the ladder below it form a voltage divider, for the leg's own source and for those below.
            weights[:, :bit] *= (leg / (leg + resistance))[:, None]
            weights[:, bit] = reference * resistance / (leg + resistance)
            resistance = leg * resistance / (leg + resistance)
        return weights

    def linearity(self) -> Linearity:
        """Return INL, (rows, 2^bits), and DNL, (rows, 2^bits - 1), of the output voltages in LSB."""
        return linearity(self.table)

    def codes(self, values: ArrayLike) -> NDArray[np.int64]:
        """Quantise values in [0, 1] (others saturate) to codes of the same shape; ties go to the even code.

        Raises
        ------
        ValidationError
            If a value is NaN or not a real number.
        """
        given = finite_array("values", values, allow_infinite=True)
        given.flags.writeable = True
        return self.quantise(given).astype(np.int64)

    def quantise(self, values: Floats) -> NDArray[np.uint16]:
        """Quantise like :meth:`codes`, but without checks: ``values`` must hold no NaN, and are overwritten."""
        values *= self.spec.levels - 1  # in place: a convolution has millions of values
        np.rint(values, out=values)
        np.clip(values, 0.0, self.spec.levels - 1.0, out=values)
        return values.astype(np.uint16)

    def nominal(self, codes: ArrayLike) -> Floats:
        """Return the output voltages of perfect DACs for ``codes``, same shape, V."""
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
        """Return the DAC codes of the reads of one product, (batch·planes, rows), for ``codes`` (batch, rows).

        With bit-serial inputs each bit of each vector takes one read, lowest bit first, and the DACs output either full
        scale or zero. With parallel inputs the result is ``codes``. ``spec.plane_weights`` has the weight of each read.
        """
        if self.spec.input == "parallel":
            return codes
        bits = np.arange(self.spec.bits)[:, None]
        return (codes[:, None, :] >> bits & 1).reshape(-1, self.rows) * (self.spec.levels - 1)

    def check_one(self, codes: ArrayLike) -> NDArray[np.int64]:
        """Check one vector of codes as :meth:`voltages` does, and return it, (rows,)."""
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
