"""Successive approximation (SAR) with capacitor mismatch: from voltages to codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["approximate", "draw_capacitors", "sar_thresholds", "trial_levels"]

Floats = NDArray[np.float64]


def draw_capacitors(rng: np.random.Generator, columns: int, bits: int, unit: float, mismatch: float) -> Floats:
    """Return the capacitors of each column, (columns, bits + 1) F: bit 0 upwards, then the terminating capacitor.

    Bit k is made of ``2^k`` unit capacitors in parallel with independent errors, so the relative spread of their sum
    is ``2^(-k/2)`` times that of one.
    """
    units = np.append(2.0 ** np.arange(bits), 1.0)
    # Clipped at four standard deviations: at five, with the largest allowed mismatch, a unit capacitor would vanish.
    spread = np.clip(rng.standard_normal((columns, bits + 1)), -4.0, 4.0)
    return np.asarray(unit * units * (1.0 + mismatch * spread / np.sqrt(units)))


def trial_levels(capacitors: Floats) -> Floats:
    """Return the trial level of each bit, set alone, (columns, bits) LSB: its share of the reference."""
    bits = capacitors.shape[1] - 1
    return np.asarray(2.0**bits * capacitors[:, :bits] / capacitors.sum(axis=1, keepdims=True))


def approximate(capacitors: Floats, offset: Floats, steps: Floats) -> NDArray[np.int64]:
    """Return the codes, (batch, columns), that a SAR finds for voltages ``steps``, (batch, columns) LSB.

    Bits are tried from the highest down. A bit stays set if the voltage plus half an LSB plus the comparator's offset
    reaches the sum of the trial levels of this bit and of all bits set before it.

    Parameters
    ----------
    capacitors : (columns, bits + 1) ndarray
        From :func:`draw_capacitors`.
    offset : (columns,) ndarray
        Input offset of each comparator [LSB].
    steps : (batch, columns) ndarray
        Input voltages, counted from the minimum of the range [LSB].
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
    """Return the threshold at which each code begins, (columns, codes - 1) LSB; arguments as in :func:`approximate`.

    Thresholds exist because a larger voltage never leads to a smaller code: at the first bit where the searches for two
    voltages differ, the larger one keeps the bit. A code that never occurs gets the threshold of the next code.
    """
    level = trial_levels(capacitors)
    columns, bits = level.shape
    codes = 1 << bits
    sums = level @ ((np.arange(codes) >> np.arange(bits)[:, None]) & 1)
    found = np.empty((columns, codes + 1))
    found[:, 0], found[:, codes] = -np.inf, np.inf
    for bit in reversed(range(bits)):
        middle = np.arange(1 << bit, codes, 2 << bit)
        # The new threshold lies between those found for higher bits, or coincides with one of them.
        found[:, middle] = np.clip(sums[:, middle], found[:, middle - (1 << bit)], found[:, middle + (1 << bit)])
    return found[:, 1:codes] - 0.5 - offset[:, None]
