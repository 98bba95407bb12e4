"""Text files of numbers as instruments write them: encoding, preamble, separator, decimal sign, headings."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitmem.errors import CircuitmemError, DataFileError

__all__ = ["COMMENT", "NUMBER", "Sheet", "decoded", "read_sheet", "separator_of"]

SEPARATORS = {";": "semicolon", "\t": "tab", "|": "bar", ",": "comma", " ": "blank"}
"""In the order in which they are tried: a file that is separated by commas has no decimal commas."""
SAMPLE = 500
"""Number of lines from which the separator is found."""

NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eEdD][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?|[+-]?\d{1,3}(\.\d{3})+(,\d*)?")
"""Numbers with a thousands separator: recognised as numbers, but refused, because 1,234 is ambiguous."""
COMMENT = ("#", "%", "//", "!", "*")


@dataclass(frozen=True)
class Sheet:
    """Fields of a text file.

    Attributes
    ----------
    names : list of str
        Headings; empty if there are none.
    units : list of str
        Fields of a line of units below the headings; empty if there is none.
    first : int
        Line of the headings, or of the first values.
    columns : list of list of str
        Fields by column, numbers with a decimal point.
    lines : list of int
        Line in the file of each row.
    stray : list of str
        Words of the line before the first values, if there are not as many as columns.
    assumed : list of str
        Assumptions about the file, in words.
    """

    names: list[str]
    units: list[str]
    first: int
    columns: list[list[str]]
    lines: list[int]
    stray: list[str]
    assumed: list[str]


def read_sheet(path: str | os.PathLike[str]) -> Sheet:
    """Read the fields of a text file.

    Raises
    ------
    DataFileError
        If the file cannot be read, holds no table, or rows have different numbers of columns.
    """
    text, assumed = decoded(path)
    every = [(place, line) for place, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]
    lines = [(place, line) for place, line in every if not line.lstrip().startswith(COMMENT)]
    if not lines:
        raise DataFileError(path, "line 1: must be a table of numbers (got an empty file)")
    separator, width = separator_of([line for _, line in lines])
    begin = next((k for k, (_, line) in enumerate(lines) if _is_data(line, separator, width)), len(lines))
    # A preamble may look like data ("Compliance,1,mA"): headings are the last line of words in its first half.
    half = begin + max(1, (len(lines) - begin) // 2)
    heads = [k for k, (_, line) in enumerate(lines[:half]) if _is_heading(line, separator, width)]
    titles: list[str] = []
    units: list[str] = []
    stray: list[str] = []
    first = lines[min(begin, len(lines) - 1)][0]
    repeated = lines[heads[0]][1] if heads else None
    if heads:
        wanted = heads[-1]
        distinct = [k for k in heads if lines[k][1] != lines[wanted][1]]
        wanted = next(k for k in heads if lines[k][1] == lines[wanted][1])
        if wanted - 1 in distinct and _are_units(_split(lines[wanted][1], separator)):
            units, wanted = _split(lines[wanted][1], separator), wanted - 1
            begin = wanted + 2
        else:
            begin = wanted + 1
        first, repeated = lines[wanted][0], lines[wanted][1]
        titles = _split(repeated, separator)
    else:
        stray = _split(lines[begin - 1][1], separator) if 0 < begin < len(lines) else []
        if any(_is_number(field) for field in stray):
            stray = []
        elif len(stray) > width > 1 and separator != " ":  # columns at the end without any value
            titles, first, stray = stray[:width], lines[begin - 1][0], []
        commented = [(p, line) for p, line in every if p < first and line.lstrip().startswith(COMMENT)]
        if commented and not titles:  # as numpy.savetxt writes it
            place, line = commented[-1]
            fields = _split(line.lstrip().lstrip("#%/!*").strip(), separator)
            if len(fields) == width and width > 1:
                first, titles = place, fields
                assumed.append(f"headings: line {place}, a comment")
    skipped = sum(place < first for place, line in lines)
    if skipped:
        assumed.append(f"preamble: {skipped} lines before line {first} are skipped")
    rows = [(place, line) for place, line in lines[begin:] if line != repeated]
    if separator != ",":
        assumed.append(f"separator: {SEPARATORS[separator]}")
    columns = _columns(path, rows, separator, len(titles) or width)
    if separator != ",":
        columns = _with_points(path, columns, assumed)
    return Sheet(titles, units, first, columns, [place for place, _ in rows], stray, assumed)


def decoded(path: str | os.PathLike[str]) -> tuple[str, list[str]]:
    """Return the text of a file, and what was assumed about its encoding.

    Raises
    ------
    DataFileError
        If the file cannot be read, or is not a text file.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise DataFileError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        choices = [("utf-16", "encoding: UTF-16")]
    elif data[1:200:2].count(0) > len(data[1:200:2]) // 2:
        choices = [("utf-16-le", "encoding: UTF-16, little-endian, without a mark")]
    elif data[:200:2].count(0) > len(data[:200:2]) // 2:
        choices = [("utf-16-be", "encoding: UTF-16, big-endian, without a mark")]
    else:
        choices = [("utf-8-sig", ""), ("latin-1", "encoding: Latin-1")]
    for encoding, words in choices:
        try:
            text = data.decode(encoding).replace("\u2212", "-")
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text, [words] if words else []
    raise DataFileError(path, "must be a text file (UTF-8, UTF-16 or Latin-1)")


def _split(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    try:
        fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except (csv.Error, StopIteration):
        fields = line.split(separator)
    while len(fields) > 1 and not fields[-1].strip():  # a separator at the end of each line
        fields.pop()
    return [field.strip() for field in fields]


def _is_data(line: str, separator: str, width: int) -> bool:
    fields = _split(line, separator)
    return len(fields) == width and any(_is_number(field) for field in fields)


def _is_heading(line: str, separator: str, width: int) -> bool:
    fields = _split(line, separator)
    return len(fields) == width and not any(_is_number(field) for field in fields) and any(fields)


def _is_number(field: str) -> bool:
    return bool(NUMBER.fullmatch(field) or _GROUPED.fullmatch(field))


def _are_units(fields: list[str]) -> bool:
    unit = re.compile(r"[(\[]?([fpnu\u00b5\u03bcmkMG]?(A|V|S|s|Ohm|ohm|\u03a9)|-|1|#|)[)\]]?")
    return all(unit.fullmatch(field) for field in fields)


def separator_of(lines: list[str]) -> tuple[str, int]:
    """Return the separator that most lines of the sample agree on, and how many columns it makes."""
    sample = lines[-SAMPLE:]
    found = []
    for order, separator in enumerate(SEPARATORS):
        widths: Counter[int] = Counter()
        for line in sample:
            fields = _split(line, separator)
            known = sum(_is_number(field) for field in fields)
            broken = any(re.search(r"[\d.,]\s+[+-]?[\d.,]", field) for field in fields)
            if len(fields) > 1 and known and not broken:
                widths[len(fields)] += 1
        if widths:
            width, agreeing = widths.most_common(1)[0]
            found.append((agreeing < 0.8 * len(sample), order, separator, width))
    if found:
        _, _, separator, width = min(found)
        return separator, width
    last = [(len(_split(sample[-1], separator)), -k, separator) for k, separator in enumerate(SEPARATORS)]
    width, _, separator = max(last)
    return (separator, width) if width > 1 else (",", 1)


def _columns(path: str | os.PathLike[str], rows: list[tuple[int, str]], separator: str, width: int) -> list[list[str]]:
    """Return the fields of each column, as pandas splits them."""
    try:
        import pandas
    except ImportError:
        raise CircuitmemError("fit needs pandas to read tables: pip install 'circuitmem[fit]'") from None
    for place, line in rows:
        fields = len(_split(line, separator))
        if fields != width and not _padded(line, separator, width):
            raise DataFileError(path, f"line {place}: must have {width} columns (got {fields})")
    if not rows:
        return [[] for _ in range(width)]
    options: dict[str, Any] = {"sep": r"\s+" if separator == " " else separator}
    try:
        frame = pandas.read_csv(
            io.StringIO("\n".join(_cut(line, separator, width) for _, line in rows)),
            header=None,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            names=range(width),
            index_col=False,
            **options,
        )
    except (pandas.errors.ParserError, ValueError) as error:
        raise DataFileError(path, f"cannot be read as a table: {str(error).splitlines()[0]}") from None
    return [frame[k].fillna("").str.strip().tolist() for k in range(width)]


def _cut(line: str, separator: str, width: int) -> str:
    """Return a row without empty fields beyond the last column."""
    while separator != " " and line.count(separator) >= width and line.rstrip(" ").endswith(separator):
        line = line.rstrip(" ")[: -len(separator)]
    return line.strip(" ")


def _padded(line: str, separator: str, width: int) -> bool:
    """Say whether a row looks short only because the fields at its end are empty."""
    return separator != " " and line.count(separator) >= width - 1 and len(_split(line, separator)) < width


def _with_points(path: str | os.PathLike[str], columns: list[list[str]], assumed: list[str]) -> list[list[str]]:
    numbers = [field for column in columns for field in column if NUMBER.fullmatch(field)]
    grouped = next((f for column in columns for f in column if _GROUPED.fullmatch(f) and not NUMBER.fullmatch(f)), None)
    if grouped is not None:
        raise DataFileError(path, f"numbers must have no sign for thousands (got {grouped})")
    commas = [field for field in numbers if "," in field]
    if not commas:
        return columns
    points = [field for field in numbers if "." in field]
    if points:
        rule = "numbers must have one decimal sign, a point or a comma"
        raise DataFileError(path, f"{rule} (got {points[0]} and {commas[0]})")
    assumed.append("decimal sign: comma")
    return [[f.replace(",", ".") if NUMBER.fullmatch(f) else f for f in column] for column in columns]
