"""Messages between the program and its ngspice worker: a JSON header and an array of numbers, never pickle."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PREFIX", "decode", "encode", "sizes"]

PREFIX = 16
"""Bytes before a message: the lengths of its header and of its array, little-endian 64-bit."""

_LENGTHS = struct.Struct("<QQ")


def encode(header: dict[str, Any], array: NDArray[np.float64] | None = None) -> bytes:
    """Return the bytes of one message; the array may have any shape."""
    body = np.zeros(0) if array is None else np.ascontiguousarray(array, dtype="<f8")
    text = json.dumps({**header, "shape": body.shape}).encode()
    return _LENGTHS.pack(len(text), body.nbytes) + text + body.tobytes()


def sizes(prefix: bytes) -> tuple[int, int]:
    """Return the byte lengths of header and array from the first :data:`PREFIX` bytes of a message."""
    header, array = _LENGTHS.unpack(prefix)
    return header, array


def decode(header: bytes, body: bytes) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Return the header and the array of a message.

    Raises
    ------
    ValueError
        If the bytes are not a message.
    """
    fields: dict[str, Any] = json.loads(header)
    return fields, np.frombuffer(body, dtype="<f8").reshape(fields.pop("shape"))
