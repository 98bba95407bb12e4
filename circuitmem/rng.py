"""Addressable random streams: a number depends on *what* it is for, never on when it is drawn.

A stream is named by a seed and a key of small integers (purpose, layer, tile, step ...). Two streams
with different keys are independent, and a stream can be opened in any order, on any thread or worker,
so that the same seed gives the same bits whatever the scheduling. Philox is counter-based (Salmon et
al., SC 2011); ``SeedSequence`` hashes the key.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from functools import lru_cache

import numpy as np

__all__ = ["Purpose", "name_number", "stream", "stream_key"]


class Purpose(IntEnum):
    """First element of every stream's key. Values are part of the file format: append, never renumber."""

    DEFECTS = 1
    DAC = 2
    ADC = 3
    DEVICE = 4
    READ_NOISE = 5
    PULSE_NOISE = 6
    WEIGHTS = 7
    BATCHES = 8
    CALIBRATION = 9
    AUDIT = 10
    VALIDATION = 11
    RETENTION = 12
    ENDURANCE = 13
    REUSE = 14
    FIT = 15
    ARRIVALS = 16
    LINE_DEFECTS = 17
    PRODUCT_ERROR = 18
    HELD_BACK = 19
    TUNING = 20
    TEST = 21
    TRANSFER = 22
    FLICKER = 23


def stream(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """Open the random stream of ``(seed, purpose, *key)``.

    Parameters
    ----------
    seed : int
        Seed of the run, >= 0.
    purpose : Purpose
        What the numbers are for.
    *key : int
        Further coordinates (layer, tile, step ...), each >= 0.

    Returns
    -------
    numpy.random.Generator
        A Philox generator at the beginning of that stream.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(int(purpose), *key))))


@lru_cache(maxsize=65_536)
def stream_key(seed: int, purpose: Purpose, *key: int) -> tuple[int, int]:
    """Return the key of Philox, two 64-bit words, of the random stream with these coordinates.

    Kernels draw numbers from that stream by address (:mod:`circuitmem._kernels.noise`); parameters are those of
    :func:`stream`.
    """
    words = np.random.SeedSequence(seed, spawn_key=(int(purpose), *key)).generate_state(2, np.uint64)
    return int(words[0]), int(words[1])


def name_number(name: str) -> int:
    """Return the coordinate that stands for a name in the key of a stream: at least 2^30, and the same for ever.

    Streams of named things are addressed by name, not by position in a list, to which others may be added.
    """
    digest = hashlib.sha256(name.encode()).digest()
    return (1 << 30) + int.from_bytes(digest[:4], "big") % (1 << 30)
