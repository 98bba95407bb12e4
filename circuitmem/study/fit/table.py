"""Tables of measurements: the columns that are wanted, in SI units, and the assumptions made to find them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import DataFileError, ValidationError
from circuitmem.study.fit.columns import QUANTITIES, Quantity, heading, named_unit, unit_scale, wanted_units
from circuitmem.study.sheet import Sheet, read_sheet
from circuitmem.validation import did_you_mean

__all__ = ["Reading", "Table", "read_table"]

Floats = NDArray[np.float64]
OVERFLOW = 9.9e37
"""What SCPI instruments write for an overflow (9.9E37) and for no number (9.91E37)."""


@dataclass(frozen=True)
class Reading:
    """How to read a file, where that is not certain.

    Attributes
    ----------
    columns : mapping of str
        Heading, or number from 1, of the column of a quantity.
    units : mapping of str
        Unit of a quantity.
    step : float, optional
        Time from one point to the next [s], for tables without time.
    polarity : {1, -1}, optional
        Sign of the voltage that raises the conductance; found from the data when left out.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    step: float | None = None
    polarity: int | None = None


@dataclass(frozen=True)
class Table:
    """Columns by quantity.

    Attributes
    ----------
    numbers : dict of ndarray
        In SI units.
    words : dict of list of str
        Columns of words.
    lines : list of int
        Line of each row.
    assumed : list of str
        Assumptions about the file, in words.
    """

    numbers: dict[str, Floats]
    words: dict[str, list[str]]
    lines: list[int]
    assumed: list[str]


def read_table(
    path: str | os.PathLike[str],
    wanted: Sequence[str],
    *,
    optional: Sequence[str] = (),
    reading: Reading | None = None,
) -> Table:
    """Read the columns of some quantities from a text file.

    Parameters
    ----------
    path : path
        The file.
    wanted, optional : sequence of str
        Names of :data:`~circuitmem.study.fit.columns.QUANTITIES`: required, and read if present. In a file without
        headings, columns are taken in the order optional, wanted, or wanted only.
    reading : Reading, optional
        What the user says of columns and units.

    Raises
    ------
    DataFileError
        If the file is not such a table, a column or a unit is not clear, or a value is not a number.
    ValidationError
        If ``reading`` names a quantity, a column or a unit that does not exist.
    """
    told = reading or Reading()
    every = (*optional, *wanted)
    for option, given in (("--columns", told.columns), ("--units", told.units)):
        for name in given:
            if name not in every:
                raise ValidationError(option, f"must name some of {', '.join(every)}{did_you_mean(name, every)}", name)
    sheet = read_sheet(path)
    if "cell" in every and "cell" not in told.columns:
        sheet = _with_cells(sheet)
    assumed = list(sheet.assumed)
    places = _places(path, sheet, wanted, optional, told, assumed)
    numbers: dict[str, Floats] = {}
    words: dict[str, list[str]] = {}
    for name, place in places.items():
        quantity, column = QUANTITIES[name], sheet.columns[place]
        title = f"column {sheet.names[place]}" if sheet.names else f"column {place + 1}"
        if quantity.is_text:
            words[name] = column
            continue
        values = _numbers(path, column, sheet.lines, title)
        numbers[name] = _times(values, _scale(path, sheet, quantity, place, values, told, assumed))
        _check_magnitude(path, sheet, quantity, numbers[name])
    return Table(numbers, words, sheet.lines, assumed)


def _places(
    path: str | os.PathLike[str],
    sheet: Sheet,
    wanted: Sequence[str],
    optional: Sequence[str],
    told: Reading,
    assumed: list[str],
) -> dict[str, int]:
    width = len(sheet.columns)
    places: dict[str, int] = {}
    for name, text in told.columns.items():
        places[name] = _told(sheet, name, text)
    rest = [name for name in (*optional, *wanted) if name not in places]
    if not sheet.names:
        missing = [name for name in wanted if name not in places]
        if missing and any(heading(QUANTITIES[name], text)[0] for name in (*optional, *wanted) for text in sheet.stray):
            rule = f"line {sheet.first}: has {width} columns, and the line before names {len(sheet.stray)}"
            raise DataFileError(path, f"{rule} ({_list(sheet.stray)}); say --columns {_example(wanted)}")
        order = next((some for some in ((*optional, *wanted), tuple(wanted)) if len(some) == width), ())
        if missing and (places or not order):
            rule = f"line {sheet.first}: has no headings and {width} columns; wanted {_list(wanted)}; say --columns "
            raise DataFileError(path, rule + _example(wanted))
        if missing:
            assumed.append(f"columns: no headings; taken to be {', '.join(order)}")
            return {name: k for k, name in enumerate(order)}
        return places
    several: dict[str, str] = {}
    for name in rest:
        found = [k for k, text in enumerate(sheet.names) if heading(QUANTITIES[name], text)[0]]
        found = [k for k in found if k not in places.values()]
        if len(found) > 1:
            several[name] = ", ".join(sheet.names[k] for k in found)
        elif found:
            places[name] = found[0]
            plain = QUANTITIES[name].names[0]
            if not sheet.names[found[0]].lower().startswith(plain):
                assumed.append(f"{name}: column {sheet.names[found[0]]}")
    if several:
        which = ", ".join(f"{name} ({found})" for name, found in several.items())
        options = ",".join(f"{name}=HEADING" for name in several)
        raise DataFileError(path, f"line {sheet.first}: has several columns for {which}; say --columns {options}")
    missing = [name for name in wanted if name not in places]
    if missing:
        rule = f"line {sheet.first}: has columns {_list(sheet.names)}; wanted {_list(wanted)}, of which "
        raise DataFileError(path, rule + f"{_list(missing)} cannot be told; say --columns {_example(missing)}")
    return places


def _with_cells(sheet: Sheet) -> Sheet:
    """Return a sheet whose cells are named by row and column, if it has these and no column of cells."""
    found = [
        [k for k, text in enumerate(sheet.names) if heading(QUANTITIES[name], text)[0]]
        for name in ("cell", "row", "column")
    ]
    if found[0] or len(found[1]) != 1 or len(found[2]) != 1:
        return sheet
    (row,), (column,) = found[1:]
    cells = [f"{i}, {j}" for i, j in zip(sheet.columns[row], sheet.columns[column], strict=True)]
    said = f"cell: {sheet.names[row]} and {sheet.names[column]}"
    return replace(
        sheet,
        names=[*sheet.names, "cell"],
        units=[*sheet.units, *([""] * (len(sheet.names) + 1 - len(sheet.units)))] if sheet.units else [],
        columns=[*sheet.columns, cells],
        assumed=[*sheet.assumed, said],
    )


def _told(sheet: Sheet, name: str, text: str) -> int:
    plain = [title.lower() for title in sheet.names]
    if text in sheet.names:
        return sheet.names.index(text)
    if plain.count(text.lower()) == 1:
        return plain.index(text.lower())
    if text.isdigit() and 1 <= int(text) <= len(sheet.columns):
        return int(text) - 1
    known = f"one of {_list(sheet.names)}, or " if sheet.names else ""
    raise ValidationError(f"--columns {name}", f"must be {known}a number from 1 to {len(sheet.columns)}", text)


def _numbers(path: str | os.PathLike[str], column: list[str], lines: list[int], title: str) -> Floats:
    import pandas

    fortran = [text.replace("D", "e").replace("d", "e") for text in column]
    values = np.asarray(pandas.to_numeric(pandas.Series(fortran, dtype=object), errors="coerce"), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(bad[0])
        shown, rule = column[row][:40], "must be a finite number"
        if re.fullmatch(r"[+-]?\d{1,3}([.,]\d{3})+([.,]\d*)?", column[row]):
            rule += ", without a sign for thousands"
        raise DataFileError(path, f"line {lines[row]}, {title}: {rule} (got {shown!r})")
    over = np.flatnonzero(np.abs(values) >= OVERFLOW)
    if over.size:
        row = int(over[0])
        rule = "is no measured value but what instruments write where they have none"
        raise DataFileError(path, f"line {lines[row]}, {title}: {column[row]} {rule}; leave the row out")
    # pandas rounds some decimals to a neighbour of the nearest number; float() does not.
    return np.array([float(text) for text in fortran], dtype=np.float64)


def _scale(
    path: str | os.PathLike[str],
    sheet: Sheet,
    quantity: Quantity,
    place: int,
    values: Floats,
    told: Reading,
    assumed: list[str],
) -> float:
    if not quantity.unit:
        return 1.0
    name = quantity.name
    option = f"--units {name}={'|'.join(wanted_units(quantity))}"
    if name in told.units:
        unit = told.units[name]
        scale = unit_scale(quantity, unit)
        if scale is None:
            raise ValidationError(f"--units {name}", f"must be a unit of {quantity.unit}, e.g. u{quantity.unit}", unit)
        return scale
    unit = named_unit(quantity, sheet.names[place]) if sheet.names else ""
    if sheet.units and place < len(sheet.units):
        unit = sheet.units[place].strip("()[] ") or unit
    if not unit:
        largest = float(np.abs(values).max(initial=0.0))
        if largest > quantity.largest:
            rule = f"line {sheet.first}: names no unit of {name}, whose largest value is {largest:g}; say {option}"
            raise DataFileError(path, rule)
        assumed.append(f"{name}: in {quantity.unit}; no unit is named")
        return 1.0
    scale = unit_scale(quantity, unit)
    if scale is None or not math.isfinite(scale):
        raise DataFileError(path, f"line {sheet.first}: the unit {unit} of {name} cannot be told; say {option}")
    if scale != 1.0:
        assumed.append(f"{name}: in {unit}, times {scale:g} {quantity.unit}")
    return scale


def _times(values: Floats, scale: float) -> Floats:
    """Return values times a scale; a power of ten gives, to the last bit, what the file would hold in SI units.

    So a curve in uA and the same curve in A have the same fit, even where the last bit decides between equally good
    fits.
    """
    power = round(math.log10(scale))
    if not power or float(f"1e{power}") != scale:
        return np.asarray(values * scale)
    return np.array([float(Decimal(repr(value)).scaleb(power)) for value in values.tolist()])


def _check_magnitude(path: str | os.PathLike[str], sheet: Sheet, quantity: Quantity, values: Floats) -> None:
    """Refuse magnitudes that no device has, because the unit must be wrong; a column of zeros is left to the caller."""
    largest, (least, most) = float(np.abs(values).max(initial=0.0)), quantity.between
    if largest and not least <= largest <= most:
        rule = f"the largest {quantity.name} must be from {least:g} to {most:g} {quantity.unit} (it is {largest:g})"
        hint = f"say --units {quantity.name}={'|'.join(wanted_units(quantity))} if the unit is another"
        raise DataFileError(path, f"line {sheet.first}: {rule}; {hint}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(name or "(empty)" for name in names)


def _example(names: Sequence[str]) -> str:
    return ",".join(f"{name}=HEADING" for name in names) + " (or numbers from 1)"
