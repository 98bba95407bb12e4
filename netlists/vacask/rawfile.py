"""VACASK's result files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import SpiceError

__all__ = ["read_raw"]

_BINARY = b"\nBinary:\n"


def read_raw(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the vectors of a file of real numbers, by name; all have the same length, >= 1.

    Raises
    ------
    SpiceError
        If the file is missing or incomplete: in a run that was cut short, the number of points stays blank.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SpiceError("VACASK made no result") from None
    try:
        header, _, body = content.partition(_BINARY)
        lines = header.decode("ascii").split("\n")
        start = lines.index("Variables:")
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines[:start])}
        names = [line.split()[1] for line in lines[start + 1 :]]
        points, variables = int(fields["No. Points"]), int(fields["No. Variables"])
        values = np.frombuffer(body, "<f8").reshape(points, variables)
    except (ValueError, KeyError, IndexError):
        raise SpiceError("VACASK's result is broken or cut short") from None
    if fields.get("Flags") != "real" or len(names) != variables or points < 1:
        raise SpiceError("VACASK's result is broken or cut short")
    return {name: values[:, column] for column, name in enumerate(names)}
