"""Tables of measurements: CSV files whose first line names the columns."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from circuitmem.errors import DataFileError
from circuitmem.validation import did_you_mean

__all__ = ["read_table"]


def read_table(path: str | os.PathLike[str], columns: Mapping[str, Callable[[str], Any]]) -> dict[str, list[Any]]:
    """Read columns of a CSV file.

    Empty lines and lines that begin with ``#`` are skipped; other columns may be there, in any order.

    Parameters
    ----------
    path : path
        The file.
    columns : mapping
        Name of each column that is needed, and what makes a value of its text; that raises ValueError with the rule
        that the text breaks ("must be ...").

    Raises
    ------
    DataFileError
        If the file cannot be read, or a value breaks its rule: the message names line, column, rule and value.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    rows = [(place, line) for place, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if not rows:
        raise DataFileError(path, f"line 1: must name the columns {', '.join(columns)}")
    first, header = rows[0]
    names = [name.strip() for name in _fields(path, first, header)]
    for name in columns:
        if name not in names:
            raise DataFileError(path, f"line {first}: must have a column {name}{did_you_mean(name, names)}")
    found: dict[str, list[Any]] = {name: [] for name in columns}
    for place, line in rows[1:]:
        fields = _fields(path, place, line)
        if len(fields) != len(names):
            raise DataFileError(path, f"line {place}: must have {len(names)} columns (got {len(fields)})")
        for name, convert in columns.items():
            text = fields[names.index(name)].strip()
            try:
                found[name].append(convert(text))
            except ValueError as error:
                raise DataFileError(path, f"line {place}, column {name}: {error} (got {text[:40]!r})") from None
    return found


def _fields(path: str | os.PathLike[str], line: int, text: str) -> list[str]:
    try:
        return next(csv.reader([text]))
    except csv.Error as error:
        raise DataFileError(path, f"line {line}: must be comma-separated values ({error})") from None


def number(text: str) -> float:
    """Return a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value
