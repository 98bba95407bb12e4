r"""Reads through a transfer matrix, in one pass from DAC codes to ADC codes: the face of the kernel, and its twin.

With the transfer matrix W of :mod:`circuitmem._kernels.tree`, and the DAC voltages v for the codes given, the code of a
channel is

.. math::

   \operatorname{clip}\!\Big(\operatorname{round}\frac{f\, (W v) + o + \sigma z - \text{minimum}}{\text{lsb}},
   \ 0,\ \text{highest}\Big),

ties to even, with z the standard normal number of its place (:mod:`circuitmem._kernels.noise`). The drivers deliver the
power :math:`v^T Y v`; with ideal wires it is the cells' own :math:`\sum_k c_k v_k^2`, less what the voltages of the bit
lines take off.

The kernel reads vectors in panels of 64, whose voltages stay in the nearest cache, with ROWS vectors by STRIP columns
at a time in registers. Word lines at rest are summed once for all vectors. Leaving out a line that no vector of a block
moves changes no bit, because it would add 0. So the bits depend neither on threads nor on the rest of a batch. The
order of summation differs from the one here: currents differ by rounding, and a code at a tie may go the other way.

**How far off.** Nothing is eliminated here: that was done for W. A current is a sum over n lines, so it is right to n
roundings of :math:`\sum_k |W_k v_k|`; voltages of both signs cannot lose more than that.

**Cost.** For each vector n multiplications per column, and n² for the power (n with ideal wires); lines that no vector
of a block moves cost nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address, normal_table
from circuitmem._kernels.noise import _reference as _normals
from circuitmem._kernels.select import load_kernel
from circuitmem.errors import ValidationError

__all__ = ["Channels", "IdealAdmittance", "read_codes", "read_currents"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
_compiled = load_kernel("reads").module


class Channels(NamedTuple):
    """The converters of a tile, as numbers.

    A column current I becomes the code ``clip(round((I·factor + offset + noise·z - minimum)/lsb), 0, highest)``,
    ties to even, with z a standard normal number. With ``thresholds`` the code is the number of thresholds that
    ``(I·factor + offset + noise·z - minimum)/lsb`` has reached, at most the highest code.
    """

    table: Floats
    """Voltage of each DAC code, (rows, levels) V."""
    factor: Floats
    """Voltage at the quantiser per column current, (columns,) V/A."""
    offset: Floats
    """Offset of the voltage at the quantiser, (columns,) V."""
    highest: Floats
    """Highest code, (columns,); 0 for a dead channel."""
    minimum: float
    """Voltage of code 0 [V]."""
    lsb: float
    """Voltage of one LSB [V]."""
    noise: float
    """Standard deviation of the noise at the quantiser [V]."""
    thresholds: Floats | None = None
    """Begin of each code but the lowest, ascending, (columns, codes - 1) LSB above ``minimum``; None without INL."""


class IdealAdmittance(NamedTuple):
    """Input admittance of a tile with ideal wires, without forming the matrix product for it.

    The power of voltages v whose column currents are I is ``own @ v**2 - losses @ I**2``: a bit line is not at
    0 V, but at the voltage that its current drops across its sense ends.
    """

    own: Floats
    """Conductance of all cells of a word line, (rows,) S."""
    losses: Floats
    """Power that is subtracted per square of a column's current, (columns,) ohm."""

    def power(self, voltages: Floats, currents: Floats) -> Floats:
        """Return the power, (batch,) W, of driver voltages (batch, rows) and their currents (batch, columns)."""
        # Each row is summed by itself: the bits of a matrix product would depend on the number of vectors.
        return np.asarray((voltages**2 * self.own).sum(axis=1) - (currents**2 * self.losses).sum(axis=1))


def read_currents(voltages: Floats, matrix: Floats, *, threads: int = 1) -> Floats:
    """Return the column currents, (batch, columns) A: ``voltages @ matrix.T``.

    The bits do not depend on the number of threads, nor on the other vectors of the batch.

    Parameters
    ----------
    voltages : (batch, rows) ndarray
        Driver voltages [V].
    matrix : (columns, rows) ndarray
        Transfer matrix [S].
    threads : int
        Threads to use, >= 1.
    """
    given = (np.ascontiguousarray(array, dtype=np.float64) for array in (voltages, matrix))
    return np.asarray(_read_currents(*given, threads))


def read_codes(
    codes: Codes,
    matrix: Floats,
    admittance: Floats | IdealAdmittance | None,
    channels: Channels,
    noise: Address,
    *,
    first: int = 0,
    threads: int = 1,
) -> tuple[Codes, Floats]:
    """Return the ADC codes, (batch, columns), and the power of the array, (batch,) W, 0 without ``admittance``.

    Parameters
    ----------
    codes : (batch, rows) ndarray of int
        DAC codes.
    matrix : (columns, rows) ndarray
        Transfer matrix [S].
    admittance : (rows, rows) ndarray, optional
        Input admittance [S], symmetric, or that of ideal wires; without it no power is computed.
    channels : Channels
        The converters.
    noise : Address
        Where the noise of these conversions is found: number ``vector·columns + column``.
    first : int
        Number of the first of these vectors at that address: those with lower numbers were read before.
    threads : int
        Threads to use, >= 1.

    Raises
    ------
    ValidationError
        If a DAC code does not exist.
    """
    own = losses = None
    if isinstance(admittance, IdealAdmittance):
        own, losses = (np.ascontiguousarray(part, dtype=np.float64) for part in admittance)
        admittance = None
    known, answer, power = _read_codes(
        np.ascontiguousarray(codes, dtype=np.int64),
        np.ascontiguousarray(matrix, dtype=np.float64),
        None if admittance is None else np.ascontiguousarray(admittance, dtype=np.float64),
        own,
        losses,
        *channels,
        normal_table(),
        *noise.key,
        noise.operation,
        first,
        threads,
    )
    if not known:
        levels = channels.table.shape[1]
        raise ValidationError("codes", f"must lie in [0, {levels - 1}]", (int(codes.min()), int(codes.max())))
    return answer, power


def _reference_currents(voltages: Floats, matrix: Floats, _threads: int) -> Floats:
    return np.asarray(np.einsum("bi,ji->bj", voltages, matrix))


def _reference_codes(
    codes: Codes,
    matrix: Floats,
    admittance: Floats | None,
    own: Floats | None,
    losses: Floats | None,
    table: Floats,
    factor: Floats,
    offset: Floats,
    highest: Floats,
    minimum: float,
    lsb: float,
    sigma: float,
    thresholds: Floats | None,
    normal: Floats,
    key0: int,
    key1: int,
    operation: int,
    skip: int,
    _threads: int,
) -> tuple[bool, Codes, Floats]:
    if codes.size and (codes.min() < 0 or codes.max() >= table.shape[1]):
        return False, codes, factor
    voltages = table[np.arange(table.shape[0]), codes]
    currents = _reference_currents(voltages, matrix, 1)
    volts = currents * factor + offset
    if sigma > 0.0:
        before = skip * volts.shape[1]
        volts += sigma * _normals(key0, key1, operation, before + volts.size, normal)[before:].reshape(volts.shape)
    steps = (volts - minimum) / lsb
    if thresholds is None:
        answer = np.clip(np.rint(steps), 0, highest).astype(np.int64)
    else:
        passed = [np.searchsorted(row, steps[:, j], side="right") for j, row in enumerate(thresholds)]
        answer = np.minimum(np.stack(passed, axis=1), highest.astype(np.int64))
    if own is not None and losses is not None:
        return True, answer, IdealAdmittance(own, losses).power(voltages, currents)
    if admittance is None:
        return True, answer, np.zeros(len(codes))
    return True, answer, (_reference_currents(voltages, admittance, 1) * voltages).sum(axis=1)


_read_currents: Any = _reference_currents if _compiled is None else _compiled.read_currents
_read_codes: Any = _reference_codes if _compiled is None else _compiled.read_codes
