"""Tables of samples, a line each: CSV and Parquet."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.data.parts import LARGEST
from circuitmem.data.targets import MISSING
from circuitmem.errors import CircuitmemError, DataFileError, ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["DataTable", "read_csv", "read_parquet"]

SEPARATORS = (";", "\t", "|", ",")
_COMMA = re.compile(r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class DataTable:
    """Columns of a file by name.

    Attributes
    ----------
    path : str
        The file.
    columns : dict of str to ndarray
        Numbers, or texts as they stand in the file.
    lines : sequence of int
        Line of each row in the file.
    """

    path: str
    columns: dict[str, NDArray[Any]]
    lines: Sequence[int]

    def divided(
        self, target: str | Sequence[str] | None, ignore: Sequence[str]
    ) -> tuple[NDArray[np.float64], NDArray[Any], tuple[str, ...]]:
        """Return the inputs (rows, columns), the targets, and the names of the columns of the inputs.

        Raises
        ------
        ValidationError
            If a named column does not exist, or no column is left.
        DataFileError
            If a column of the inputs has no numbers, or a number or a label is missing.
        """
        known = ", ".join(self.columns)
        if target is None:
            raise ValidationError("data.target", f"must name the column of the targets, one of {known}")
        wanted = [target] if isinstance(target, str) else list(target)
        for parameter, names in (("data.target", wanted), ("data.ignore", ignore)):
            for name in names:
                if name not in self.columns:
                    rule = f"must name a column of {self.path}, of {known}{did_you_mean(name, self.columns)}"
                    raise ValidationError(parameter, rule, name)
        features = tuple(name for name in self.columns if name not in (*wanted, *ignore))
        if not features:
            raise ValidationError("data.ignore", "must leave a column that is no target", list(ignore))
        texts = [name for name in features if _is_text(self.columns[name])]
        if texts:
            rule = f"columns {', '.join(texts)} are no numbers: write them as numbers, or name them in data.ignore"
            raise DataFileError(self.path, rule)
        inputs = np.stack([self._numbers(name) for name in features], axis=1)
        targets = [self._labels(name) for name in wanted]
        return inputs, targets[0] if len(targets) == 1 else np.stack(targets, axis=1), features

    def _numbers(self, name: str) -> NDArray[np.float64]:
        column = self.columns[name]
        if column.dtype.kind in "biuf":
            found = column.astype(np.float64)
        else:
            found = np.array([_number(text) for text in column], dtype=np.float64)
        for row in np.flatnonzero(~np.isfinite(found)).tolist():
            raise DataFileError(
                self.path, f"line {self.lines[row]}: {name} must be a finite number (got {str(column[row])!r})"
            )
        self._check_magnitude(name, column, found)
        return found

    def _check_magnitude(self, name: str, column: NDArray[Any], found: NDArray[np.float64]) -> None:
        """Refuse numbers whose squares are infinite, and integers that float64 has not."""
        for row in np.flatnonzero(np.abs(found) >= 2.0**53).tolist():
            text = str(column[row]).strip()
            if abs(found[row]) > LARGEST:
                rule = f"must be within {LARGEST:g}"
            elif text.lstrip("+-").isdigit() and int(text) != int(found[row]):
                rule = "must be within 2^53, beyond which float64 has not every integer"
            else:
                continue
            raise DataFileError(self.path, f"line {self.lines[row]}: {name} {rule} (got {text})")

    def _labels(self, name: str) -> NDArray[Any]:
        """Return a column as numbers if all of it is numbers, and as texts otherwise."""
        column = self.columns[name]
        if column.dtype.kind in "biuf":
            missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), dtype=np.bool_)
        else:
            missing = np.array([text.strip().lower() in MISSING for text in column])
        for row in np.flatnonzero(missing).tolist():
            raise DataFileError(self.path, f"line {self.lines[row]}: {name}, the target, must not be missing")
        if column.dtype.kind in "biuf":
            self._check_magnitude(name, column, column.astype(np.float64))
            return column
        numbers = np.array([_number(text) for text in column], dtype=np.float64)
        if np.isnan(numbers).any():
            return column
        self._check_magnitude(name, column, np.where(np.isinf(numbers), 0.0, numbers))
        return numbers


def _is_text(column: NDArray[Any]) -> bool:
    """Say whether a column has no number at all."""
    return column.dtype.kind not in "biuf" and all(np.isnan(_number(text)) and text.strip() for text in column)


def _number(text: str) -> float:
    """Return a text as a number; NaN if it is not one."""
    try:
        return float(text) if "_" not in text else np.nan  # Python reads 1_000 as 1000
    except ValueError:
        return float(text.replace(",", ".")) if _COMMA.fullmatch(text) else np.nan


def read_csv(path: str | os.PathLike[str]) -> DataTable:
    """Read a table of text: names of columns in the first line, then a line a sample.

    Separators are commas, semicolons, tabs or bars; numbers may have a decimal comma where commas do not separate
    fields. Empty lines, and lines that begin with ``#``, are skipped. A first line of only numbers is data: the columns
    are then called ``1``, ``2``, ...

    Raises
    ------
    DataFileError
        If the file cannot be read, has no rows, or a row is not as long as the first.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip() and not line.startswith("#")), "")
            separator = max(SEPARATORS, key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
            for row in reader:
                if not any(field.strip() for field in row) or row[0].startswith("#"):
                    continue
                if rows and len(row) != len(rows[0]):
                    rule = (
                        f"line {reader.line_num}: must have {len(rows[0])} columns, as the first line (got {len(row)})"
                    )
                    raise DataFileError(path, rule)
                rows.append(row)
                lines.append(reader.line_num)
    except UnicodeDecodeError:
        raise DataFileError(path, "must be UTF-8 text: save it as that (Excel: CSV UTF-8)") from None
    except (OSError, csv.Error, ValueError) as error:
        if isinstance(error, CircuitmemError):
            raise
        raise DataFileError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not rows:
        raise DataFileError(path, "must have a line of column names, then a line a sample (it is empty)")
    if all(np.isfinite(_number(field)) for field in rows[0]):
        names = [str(place) for place in range(1, len(rows[0]) + 1)]
    else:
        names, rows, lines = [field.strip() for field in rows[0]], rows[1:], lines[1:]
    _check_names(path, names, len(rows))
    columns = {name: np.array([row[place] for row in rows], dtype=object) for place, name in enumerate(names)}
    return DataTable(str(path), columns, lines)


def read_parquet(path: str | os.PathLike[str]) -> DataTable:
    """Read a Parquet file.

    Raises
    ------
    DataFileError
        If it cannot be read, or a column holds neither numbers nor texts.
    CircuitmemError
        If pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise CircuitmemError(f"{path}: Parquet files need pyarrow: pip install 'circuitmem[study]'") from None
    try:
        table = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        raise DataFileError(path, f"cannot be read: {' '.join(str(error).split())}") from None
    _check_names(path, list(table.column_names), table.num_rows)
    columns: dict[str, NDArray[Any]] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        found = column.to_numpy()  # what is missing becomes NaN
        if found.dtype.kind not in "biuf":
            values = column.to_pylist()
            if not all(value is None or isinstance(value, str | bool) for value in values):
                raise DataFileError(path, f"column {name} must be numbers or texts (it is {column.type})")
            if all(isinstance(value, bool) for value in values):
                found = np.array(values)
            else:
                found = np.array(["" if value is None else str(value) for value in values], dtype=object)
        columns[name] = found
    return DataTable(str(path), columns, range(1, table.num_rows + 1))


def _check_names(path: str | os.PathLike[str], names: Sequence[str], rows: int) -> None:
    if not rows:
        raise DataFileError(path, "must have samples, a line each (it has none)")
    twice = next((name for place, name in enumerate(names) if name in names[:place] or not name), None)
    if twice == "" and not names[0] and len(names) > 1 and names.count("") == 1:
        rule = "the first column has no name: leave it out if it counts the lines (in pandas: to_csv(index=False))"
        raise DataFileError(path, rule)
    if twice is not None:
        raise DataFileError(path, f"must give each column a name of its own (got {twice!r} again, or empty)")
