"""A measured or planned array: its products, where their errors come from, and how a single cell reads."""

from __future__ import annotations

import csv
import math
import os
import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec, TileSpec
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.study.sheet import NUMBER, decoded, separator_of
from circuitmem.tile import DefectMap, Tile
from circuitmem.validation import finite_array

__all__ = [
    "UNITS", "VOLTS", "ArrayStudy", "CellRead", "load_conductances", "load_matrix", "load_stuck", "load_voltages",
    "random_inputs", "read_cell", "study_array",
]  # fmt: skip

Floats = NDArray[np.float64]

UNITS = {"S": 1.0, "mS": 1e-3, "uS": 1e-6, "nS": 1e-9, "pS": 1e-12}
"""Units of conductance, in S; µS is read as uS."""

VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6}
"""Units of voltage, in V."""

PLAUSIBLE = 0.1
"""Largest plausible conductance [S], that of a cell of 10 ohm: beyond it the user is asked for the unit."""

_BLANK = {"", "nan", "-"}
_OWN = {
    name: re.compile(rf"(?<![\w.])({'|'.join(units)})(?!\w)")
    for name, units in (("conductance", UNITS), ("voltage", VOLTS))
}
_BRACKETED = re.compile(r"[(\[]\s*([afpnumkMGT]?(?:[SsAVΩ]|[Oo]hms?)|\w*[Ss]iemens|\w*mhos?|G_?0)\s*[)\]]")
_BARE = re.compile(r"(?<![\w.])(?<!\d )([fpnumkMG][SAV]|[mkMG]?(?:[Oo]hms?|Ω))(?!\w)")
"""A bare unit after a number is a condition, as in "read at 200 mV"."""
_QUANTITY = re.compile(r"\b(resistance|current|voltage|conductance)s?\b", re.IGNORECASE)
_FLOATING_MICRO = str.maketrans({"µ": "u", "μ": "u", "\N{OHM SIGN}": "Ω"})
_BY_PANDAS = "leave it out (in pandas: to_csv(index=False, header=False))"


def load_matrix(path: str | os.PathLike[str], blank: float | None = None) -> tuple[Floats, str]:
    """Load a matrix of numbers from a text file: a row per line, separated by commas, semicolons, tabs, bars or blanks.

    Encodings, separators and decimal commas are found as for measured curves (:func:`.sheet.read_sheet`). Lines that
    begin with ``#`` and lines before the first row of numbers form the header.

    Parameters
    ----------
    path : path
        The file.
    blank : float, optional
        Value of an empty field; if left out, every field must be a number.

    Returns
    -------
    matrix : (rows, columns) ndarray
        The numbers.
    header : str
        The header.

    Raises
    ------
    DataFileError
        If the file cannot be read or has no numbers, or a line differs in length from the first or holds anything else.
    """
    lines = re.split(r"\r\n|\r|\n", decoded(path)[0])
    given = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    separator, _ = separator_of(given) if given else (",", 0)
    header: list[str] = []
    rows: list[list[str]] = []
    places: list[int] = []
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = [] if line.lstrip().startswith("#") else _fields(line, separator)
        wrong = next((text for text in row if not _is_value(text, blank)), None)
        if not row or (wrong is not None and not rows and not any(map(NUMBER.fullmatch, row[1:]))):
            header.append(line)
            continue
        if wrong == "" and row[-1] == "" and all(_is_value(text, blank) for text in row[:-1]):
            row, wrong = row[:-1], None  # a separator at the end of each line
        if wrong == "" and not rows and row[0] == "" and row[1:] == [str(k) for k in range(len(row) - 1)]:
            raise DataFileError(path, f"line {place} names the columns: {_BY_PANDAS}")
        if wrong is not None:
            raise DataFileError(path, f"line {place}: must have numbers only (got {wrong[:40]!r})")
        if rows and len(row) != len(rows[0]):
            raise DataFileError(path, f"line {place}: must have {len(rows[0])} numbers like the first (got {len(row)})")
        rows.append(row)
        places.append(place)
    if not rows:
        raise DataFileError(path, "must have at least one line of numbers")
    signs = {sign for row in rows for text in row for sign in ".," if sign in text}
    if len(signs) > 1:
        raise DataFileError(path, "numbers must have one decimal sign, a point or a comma, and none for thousands")
    matrix = np.array([[_value(text) for text in row] for row in rows])
    if not np.isfinite(matrix if blank is None else matrix[~np.isnan(matrix)]).all():
        raise DataFileError(path, f"line {places[int(np.argwhere(np.isinf(matrix))[0, 0])]}: must have finite numbers")
    if blank is not None:
        matrix = np.where(np.isnan(matrix), blank, matrix)
    width = len(rows[0])
    names = any(rows[0] == [str(k + first) for k in range(width)] for first in (0, 1))
    below = matrix[1:] != np.round(matrix[1:])
    if names and len(rows) > 1 and width > 2 and (width > 5 or below.any()):
        raise DataFileError(path, f"line {places[0]} counts the columns: {_BY_PANDAS}")
    count, rest = np.arange(len(matrix)), matrix[:, 1:]
    counts = len(matrix) > 2 and any((matrix[:, 0] == count + first).all() for first in (0, 1))
    if counts and (rest != np.round(rest)).any():
        raise DataFileError(path, "the first column counts the lines: leave it out")
    return matrix, "\n".join(header)


def _fields(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    return [text.strip() for text in next(csv.reader([line], delimiter=separator))]


def _is_value(text: str, blank: float | None) -> bool:
    return bool(NUMBER.fullmatch(text)) or (blank is not None and text.lower() in _BLANK)


def _value(text: str) -> float:
    return math.nan if text.lower() in _BLANK else float(text.replace(",", ".").lower().replace("d", "e"))


def load_conductances(path: str | os.PathLike[str], unit: str | None = None) -> tuple[Floats, str]:
    """Load a matrix of conductances, one line per word line; returns it in S, and how its unit was found.

    Parameters
    ----------
    path : path
        The file.
    unit : str, optional
        A key of ``UNITS``. If left out, the unit in the header, as in ``# conductance (uS)``, or S if there is none.

    Raises
    ------
    DataFileError
        If the file is not a matrix of conductances, or its unit is ambiguous or implausible: the message asks for it.
    ValidationError
        If the unit is not known.
    """
    matrix, header = load_matrix(path)
    name, said = _unit_of(path, header, unit)
    siemens = matrix * UNITS[name]
    if siemens.min() < 0.0:
        place = tuple(int(k) for k in np.argwhere(siemens < 0.0)[0])
        raise DataFileError(path, f"conductance must be >= 0 at index {place} (got {matrix[place]:g})")
    if unit is None and siemens.max() > PLAUSIBLE:
        rule = f"conductance of up to {siemens.max():g} S ({1 / siemens.max():.2g} ohm) is no memristor's"
        hint = "say the unit with --unit (uS?), or --unit S if it is so; resistances and currents are not accepted"
        raise DataFileError(path, f"{rule}: {hint}")
    return siemens, f"{name}, {said}"


def load_voltages(path: str | os.PathLike[str]) -> tuple[Floats, str]:
    """Load driver voltages, one line per vector; returns them in V, and how their unit was found.

    The unit is the one in the header, as in ``# voltage (mV)``, a key of ``VOLTS``, or V if there is none.

    Raises
    ------
    DataFileError
        If the file is not a matrix of voltages, or its header states another unit.
    """
    matrix, header = load_matrix(path)
    name, said = _stated(path, header, "voltage", VOLTS)
    return matrix * VOLTS[name], f"{name}, {said}"


def _unit_of(path: str | os.PathLike[str], header: str, unit: str | None) -> tuple[str, str]:
    """Return the unit of conductances, a key of ``UNITS``, and how it was found."""
    if unit is None:
        return _stated(path, header, "conductance", UNITS)
    name = unit.translate(_FLOATING_MICRO)
    if name not in UNITS:
        raise ValidationError("unit", f"must be one of {', '.join(UNITS)}", unit)
    return name, "as given"


def _stated(path: str | os.PathLike[str], header: str, quantity: str, units: dict[str, float]) -> tuple[str, str]:
    """Return the unit that a header states, a key of ``units`` whose first is the default, and how it was found.

    Raises
    ------
    DataFileError
        If the header states several units, or another unit or quantity.
    """
    text, known = header.translate(_FLOATING_MICRO), ", ".join(units)
    stated = set(_OWN[quantity].findall(text))
    say = ": say which with --unit" if units is UNITS else f": must be one of {known}"
    if len(stated) > 1:
        raise DataFileError(path, f"names several units ({', '.join(sorted(stated))}){say}")
    if stated:
        return stated.pop(), "from its header"
    others = [*_BRACKETED.findall(text), *_BARE.findall(text)]
    if not others and quantity not in text.lower():
        others = [word.lower() for word in _QUANTITY.findall(text)]
    if others:
        raise DataFileError(path, f"must hold {quantity}s in one of {known} (its header states {others[0]})")
    return next(iter(units)), "none stated: SI"


def load_stuck(
    path: str | os.PathLike[str], shape: tuple[int, ...], unit: str | None, conductance: float | None
) -> DefectMap:
    """Load which cells are stuck, and at which conductance.

    The file holds the conductance of each stuck cell, and an empty field (or ``nan``) for each working one; or only 0
    and 1, where 1 marks a cell stuck at ``conductance``.

    Parameters
    ----------
    path : path
        The file.
    shape : (int, int)
        Rows and columns that the file must have.
    unit : str, optional
        As in :func:`load_conductances`.
    conductance : float, optional
        Conductance of the stuck cells [S], if the file has only 0 and 1.

    Raises
    ------
    DataFileError
        If the file has another shape, or is not such a map.
    ValidationError
        If ``conductance`` is needed and missing, or given and not needed.
    """
    found, header = load_matrix(path, blank=np.nan)
    if found.shape != tuple(shape):
        rule = f"must have {shape[0]} rows and {shape[1]} columns like the conductances"
        raise DataFileError(path, f"{rule} (got {found.shape[0]} and {found.shape[1]})")
    known = found[~np.isnan(found)]
    if known.size == found.size and np.isin(known, (0.0, 1.0)).all():
        if conductance is None:
            raise ValidationError("--stuck-conductance", "must be given for a map of 0 and 1, in S", None)
        return DefectMap(stuck=found == 1.0, stuck_conductance=np.where(found == 1.0, conductance, 0.0))
    if conductance is not None:
        raise ValidationError("--stuck-conductance", "is for a map of 0 and 1 only", conductance)
    siemens = found * UNITS[_unit_of(path, header, unit)[0]]
    if known.size and (known.min() < 0.0 or (unit is None and np.nanmax(siemens) > PLAUSIBLE)):
        rule = f"stuck cells must conduct 0 to {PLAUSIBLE:g} S, or --unit says in what they are given"
        raise DataFileError(path, f"{rule} (got {known.max() if known.min() >= 0.0 else known.min():g})")
    return DefectMap(stuck=~np.isnan(found), stuck_conductance=np.nan_to_num(siemens, nan=0.0))


class CellRead(NamedTuple):
    """Read of a single cell through its bit line, the other cells as they are.

    Attributes
    ----------
    row, column : int
        The cell; the one farthest from driver and sense amplifier if none is chosen.
    high_a, low_a : float
        Current of its column with the cell at the highest and the lowest conductance of the device [A], other word
        lines at 0 V.
    margin : float
        ``1 - low/high``: 1 is perfect, at 0 the cell cannot be read.
    sneak_a : float, optional
        Current of the column with the cell removed and all lines but its own two left floating [A]: the current
        through other cells. None where lines are driven or sensed from both ends and so cannot be left floating.
    sneak_path : tuple of (int, int), optional
        The path of most of that current: of all sets of three cells in series (along the row, back, and along the
        column), the one whose smallest current is largest. None also where no current flows.
    sneak_path_a : float, optional
        That smallest current [A].
    """

    row: int
    column: int
    high_a: float
    low_a: float
    margin: float
    sneak_a: float | None
    sneak_path: tuple[tuple[int, int], ...] | None = None
    sneak_path_a: float | None = None


class ArrayStudy(NamedTuple):
    """Products of an array, their errors, and the read of one cell.

    Attributes
    ----------
    tile : Tile
        The array.
    voltages : (vectors, rows) ndarray
        Driver voltages [V].
    currents, ideal : (vectors, columns) ndarray
        Column currents, and the ideal products [A].
    mac_error : dict
        ``rms`` and ``largest`` of the difference, as fractions of the largest ideal product.
    column_error : dict of (columns,) ndarray
        The same for each column.
    worst : int
        Index of the vector with the largest error.
    cell : CellRead
        The read of the worst-placed or chosen cell.
    """

    tile: Tile
    voltages: Floats
    currents: Floats
    ideal: Floats
    mac_error: dict[str, float]
    column_error: dict[str, Floats]
    worst: int
    cell: CellRead

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return {
            "rows": self.tile.spec.rows,
            "columns": self.tile.spec.columns,
            "vectors": len(self.voltages),
            "currents_a": self.currents.tolist(),
            "ideal_currents_a": self.ideal.tolist(),
            "mac_error": self.mac_error,
            "column_error": {name: values.tolist() for name, values in self.column_error.items()},
            "worst_vector": self.worst,
            "cell_read": self.cell._asdict(),
        }


def random_inputs(chip: ChipSpec, rows: int, count: int, seed: int) -> Floats:
    """Return random input vectors (count, rows) V, uniform from 0 to the full scale of the chip's DACs."""
    return chip.converters.dac.full_scale * stream(seed, Purpose.VALIDATION).random((count, rows))


def study_array(
    chip: ChipSpec,
    conductance: Floats,
    voltages: Floats,
    defects: DefectMap | None = None,
    cell: tuple[int, int] | None = None,
) -> ArrayStudy:
    """Compute the products of an array, and how one of its cells reads.

    Parameters
    ----------
    chip : ChipSpec
        Wires, drivers, sense amplifiers and cell law (``chip.tile``), and the range of the devices.
    conductance : (rows, columns) ndarray
        Conductances that the cells were programmed to, or that were measured [S]. The ideal products are
        ``voltages @ conductance``.
    voltages : (vectors, rows) ndarray
        Driver voltages [V].
    defects : DefectMap, optional
        The array's defects.
    cell : (int, int), optional
        The cell that is read by itself.

    Raises
    ------
    ValidationError
        If shapes do not match, or there is no vector.
    """
    rows, columns = conductance.shape
    declared = chip.tile_spec
    fields = {name: getattr(declared, name) for name in TileSpec.model_fields}
    tile = Tile(TileSpec(**(fields | {"rows": rows, "columns": columns})), conductance, defects)
    batch = finite_array("voltages", voltages)
    tile.input_voltages(batch)
    if not len(batch):
        raise ValidationError("voltages", "must have at least one vector", batch.shape)
    currents, ideal = BehavioralEngine().read(tile, batch), batch @ conductance
    scale = max(float(np.abs(ideal).max()), np.finfo(float).tiny)
    error = (currents - ideal) / scale
    return ArrayStudy(
        tile,
        batch,
        currents,
        ideal,
        {"rms": float(np.sqrt((error**2).mean())), "largest": float(np.abs(error).max())},
        {"rms": np.sqrt((error**2).mean(axis=0)), "largest": np.abs(error).max(axis=0)},
        int(np.abs(error).max(axis=1).argmax()),
        read_cell(chip, tile, cell),
    )


def read_cell(chip: ChipSpec, tile: Tile, cell: tuple[int, int] | None = None) -> CellRead:
    """Return how a cell, by default the one farthest from driver and amplifier, reads at the full scale of the DACs.

    Raises
    ------
    ValidationError
        If the tile has no such cell.
    """
    row, column = (0, tile.spec.columns - 1) if cell is None else cell
    for name, place, size in (("row", row, tile.spec.rows), ("column", column, tile.spec.columns)):
        if not 0 <= place < size:
            raise ValidationError(f"cell {name}", f"must be from 0 to {size - 1}", place)
    engine, device = BehavioralEngine(), chip.device
    voltage = np.where(np.arange(tile.spec.rows) == row, chip.converters.dac.full_scale, 0.0)

    def with_cell(value: float, defects: DefectMap) -> Tile:
        conductance = tile.effective_conductance.copy()
        conductance[row, column] = value
        return Tile(tile.spec, conductance, defects)

    def current(value: float, defects: DefectMap) -> float:
        return float(engine.read(with_cell(value, defects), voltage)[column])

    wires = tile.defects.lines_only()
    high, low = (current(value, wires) for value in (device.maximum_conductance, device.minimum_conductance))
    margin = 1.0 - low / high if high > 0.0 else 0.0
    both = "both" in (tile.spec.word_line_drive, tile.spec.bit_line_sense)
    if both:
        return CellRead(row, column, high, low, margin, None)
    solution = engine.solve(with_cell(0.0, _others_float(tile, wires, row, column)), voltage)
    path = _sneak_path(np.abs(solution.cell_current), row, column)
    return CellRead(row, column, high, low, margin, float(solution.column_current[column]), *path)


def _sneak_path(currents: Floats, row: int, column: int) -> tuple[tuple[tuple[int, int], ...] | None, float | None]:
    """Return the strongest sneak path around a cell, and its least current [A]; ``currents`` is (rows, columns) A."""
    least = np.minimum(np.minimum(currents[row, :], currents), currents[:, [column]])
    least[row, :] = least[:, column] = 0.0
    over, along = (int(place) for place in np.unravel_index(int(least.argmax()), least.shape))
    if least[over, along] <= 0.0:
        return None, None
    return ((row, along), (over, along), (over, column)), float(least[over, along])


def _others_float(tile: Tile, defects: DefectMap, row: int, column: int) -> DefectMap:
    """Return the defects with all lines but those of one cell cut off from their drivers and amplifiers."""
    word, bit = (
        np.zeros(tile.spec.shape, dtype=bool) if given is None else given.copy()
        for given in (defects.open_word_segments, defects.open_bit_segments)
    )
    word[np.arange(tile.spec.rows) != row, 0] = True
    bit[-1, np.arange(tile.spec.columns) != column] = True
    return DefectMap(
        open_word_segments=word, open_bit_segments=bit, bridges=defects.bridges, dead_drivers=defects.dead_drivers
    )
