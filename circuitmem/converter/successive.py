"""Successive approximation: what capacitors with mismatch make of a voltage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["approximate", "draw_capacitors", "sar_thresholds", "trial_levels"]

Floats = NDArray[np.float64]


def draw_capacitors(rng: np.random.Generator, columns: int, bits: int, unit: float, mismatch: float) -> Floats:
    """Return the capacitors of each column, (columns, bits + 1) F: bit 0 upwards, then the one that ends the array.

    Each of ``2^k`` units side by side is off by itself, so that their sum is off by ``2^(-k/2)`` of a unit's spread.
    """
    units = np.append(2.0 ** np.arange(bits), 1.0)
    # Five standard deviations at the largest legal mismatch would leave nothing of a unit capacitor.
    spread = np.clip(rng.standard_normal((columns, bits + 1)), -4.0, 4.0)
    return np.asarray(unit * units * (1.0 + mismatch * spread / np.sqrt(units)))


def trial_levels(capacitors: Floats) -> Floats:
    """Return what each bit is compared with when it is set alone, (columns, bits) LSB: its share of the reference."""
    bits = capacitors.shape[1] - 1
    return np.asarray(2.0**bits * capacitors[:, :bits] / capacitors.sum(axis=1, keepdims=True))


def approximate(capacitors: Floats, offset: Floats, steps: Floats) -> NDArray[np.int64]:
    """Return the codes, (batch, columns), that a SAR finds for voltages ``steps``, (batch, columns) LSB.

    The highest bit comes first; a bit stays if the voltage, half an LSB and the comparator's offset reach the sum of
    the capacitors set by then.

    Parameters
    ----------
    capacitors : (columns, bits + 1) ndarray
        From :func:`draw_capacitors`.
    offset : (columns,) ndarray
        Input offset of each comparator [LSB].
    steps : (batch, columns) ndarray
        Voltages above the minimum [LSB].
    """
    level = trial_levels(capacitors)
    codes = np.zeros(steps.shape, dtype=np.int64)
    reached = np.zeros(steps.shape)
    for bit in reversed(range(level.shape[1])):
        kept = steps + 0.5 + offset >= reached + level[:, bit]
        reached = np.where(kept, reached + level[:, bit], reached)
        codes |= kept.astype(np.int64) << bit
    return codes


def sar_thresholds(capacitors: Floats, offset: Floats) -> Floats:
    """Return where the codes begin, (columns, codes - 1) LSB; arguments as for :func:`approximate`.

    A larger voltage never leads to a smaller code: where two voltages part, the larger keeps the bit. So the codes
    have thresholds; a code that is never reached begins where the next one does.
    """
    level = trial_levels(capacitors)
    columns, bits = level.shape
    codes = 1 << bits
    sums = level @ ((np.arange(codes) >> np.arange(bits)[:, None]) & 1)
    found = np.empty((columns, codes + 1))
    found[:, 0], found[:, codes] = -np.inf, np.inf
    for bit in reversed(range(bits)):
        middle = np.arange(1 << bit, codes, 2 << bit)
        # Between the thresholds of the bits before, or at one of them.
        found[:, middle] = np.clip(sums[:, middle], found[:, middle - (1 << bit)], found[:, middle + (1 << bit)])
    return found[:, 1:codes] - 0.5 - offset[:, None]
