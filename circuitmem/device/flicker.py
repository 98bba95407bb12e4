"""1/f noise at any time of a clock, by address: asking for the same time again gives the same noise.

It is a sum of step functions: band k covers durations between 2·t_r·4^k and four times that, and its value is drawn
anew every 4·t_r·4^k, at moments that differ from cell to cell. The variance of a band is the logarithm of the ratio of
its ends, with durations cut off at t + t_r a time t after the last pulse: so all bands together have the variance
ln((t + t_r)/(2·t_r)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem._kernels.noise import Address, standard_normal

__all__ = ["flicker", "flicker_covariance"]

Floats = NDArray[np.float64]

RATIO = 4
"""Ratio of the durations at the two ends of a band."""
PICOSECOND = 1e-12


def flicker(key: Callable[[int], tuple[int, int]], when: int, age: Floats, phase: Floats, time: float) -> Floats:
    """Return the noise, for an amplitude of 1, of the shape of ``age``.

    Parameters
    ----------
    key : callable
        Gives the key of the random stream of a band.
    when : int
        Time on the clock [ps].
    age : ndarray
        Time since each cell's last pulse [s].
    phase : ndarray
        Phase of each cell's steps, in [0, 1).
    time : float
        t_r [s].
    """
    found = np.zeros(age.shape)
    for band, (width, variance) in enumerate(_bands(age, time)):
        slot, passed = divmod(when, width)
        later = phase * width + passed >= width
        first = 0.0 if later.all() else _normal(key(band), slot, found)
        second = _normal(key(band), slot + 1, found) if later.any() else 0.0
        found += np.sqrt(variance) * np.where(later, second, first)
    return found


def flicker_covariance(first: ArrayLike, second: ArrayLike, time: float) -> Floats:
    """Return the covariance of the noise, for an amplitude of 1, at two times since the last pulse [s].

    Parameters
    ----------
    first, second : array_like
        Times since the last pulse [s], >= 0; of shapes that go together.
    time : float
        ``flicker_time`` [s], > 0: faster fluctuations belong to the white noise.
    """
    a, b = np.broadcast_arrays(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))
    found = np.zeros(a.shape)
    apart = np.abs(a - b) / PICOSECOND
    for (width, one), (_, other) in zip(_bands(np.maximum(a, b), time), _bands(np.minimum(a, b), time), strict=False):
        found += np.sqrt(one * other) * np.maximum(1.0 - apart / width, 0.0)
    return found


def _bands(age: Floats, time: float) -> Iterator[tuple[int, Floats]]:
    """Yield for each band how long a value holds [ps], and its variance after ``age`` [s]."""
    reach, begin = age + time, 2.0 * time
    longest = float(np.max(reach, initial=0.0))
    while begin < longest:
        held = np.minimum(reach, RATIO * begin)
        yield max(round(2.0 * begin / PICOSECOND), 1), np.log(np.maximum(held / begin, 1.0))
        begin *= RATIO


def _normal(key: tuple[int, int], slot: int, like: Floats) -> Floats:
    return standard_normal(Address(key, slot), like.size).reshape(like.shape)
