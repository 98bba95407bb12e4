"""Figures of one tile: voltage drops in its wires, currents of its cells, and errors of its products."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from circuitmem.engine import BehavioralEngine, tile_netlist
from circuitmem.files import write_text
from circuitmem.report.page import Page, make_output_folder
from circuitmem.report.prefixes import prefixed, with_unit
from circuitmem.report.stills import draw, draw_into
from circuitmem.study.array import ArrayStudy, CellRead
from circuitmem.study.plots import HeatMap, Lines, Plot, Series
from circuitmem.tile import Tile

__all__ = ["draw_array", "plot_cell_currents", "plot_error", "plot_voltages"]

Floats = NDArray[np.float64]


def plot_voltages(tile: Tile, voltages: ArrayLike, path: str | Path | None = None) -> Figure:
    """Draw the voltage lost between the drivers and each cell, into a file if one is given.

    Parameters
    ----------
    tile : Tile
        The tile.
    voltages : (rows,) array_like
        Driver voltages [V].
    path : path, optional
        The file, e.g. ``lost.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    Figure
        The figure.

    Raises
    ------
    ValidationError
        If the shape is wrong, an element is not finite, or the file has another ending.
    DataFileError
        If the file cannot be written.
    """
    return _drawn(_voltage_map(tile, tile.one_input(voltages)), path)


def plot_cell_currents(tile: Tile, voltages: ArrayLike, path: str | Path | None = None) -> Figure:
    """Draw the current of each cell; returns the figure. Parameters and errors are as in :func:`plot_voltages`."""
    return _drawn(_current_map(tile, tile.one_input(voltages)), path)


def plot_error(tile: Tile, voltages: ArrayLike, path: str | Path | None = None) -> Figure:
    """Draw each cell's current minus its programmed conductance times its driver's voltage.

    Parameters and errors are as in :func:`plot_voltages`.

    Returns
    -------
    Figure
        The figure.
    """
    return _drawn(_error_map(tile, tile.one_input(voltages)), path)


def draw_array(found: ArrayStudy, folder: str | Path, about: Sequence[tuple[str, str]] = ()) -> list[Path]:
    """Write the results of :func:`circuitmem.study.array.study_array` into a folder.

    Parameters
    ----------
    found : ArrayStudy
        The array.
    folder : path
        Folder of the results; made if it does not exist.
    about : sequence of (str, str)
        Further entries of the page about the input: name and text.

    Returns
    -------
    list of path
        ``report.html`` first; its figures, ``tile.json``, ``currents.csv`` and the netlist of the worst vector,
        ``tile.cir``.
    """
    path = Path(folder)
    make_output_folder(path)
    tile, worst = found.tile, found.voltages[found.worst]
    page = Page(path)
    plots: dict[str, Plot] = {
        "conductance": HeatMap("Conductance as the circuit has it", tile.effective_conductance * 1e6, "µS"),
        "voltages": _voltage_map(tile, worst),
        "cell currents": _current_map(tile, worst),
        "cell errors": _error_map(tile, worst),
        "products": _products(found),
        "columns": _columns(found),
    }
    content: dict[str, Any] = {
        "shape": f"{tile.spec.rows}x{tile.spec.columns}",
        "mac_error": {name: f"{value:.3%}" for name, value in found.mac_error.items()},
        "vectors": len(found.voltages),
        "worst": found.worst,
        "plots": [page.picture(plot.as_dict(), name) for name, plot in plots.items()],
        "cell": [
            ("cell", f"word line {found.cell.row}, bit line {found.cell.column}"),
            ("current, cell at its highest conductance", with_unit(found.cell.high_a, "A")),
            ("current, cell at its lowest conductance", with_unit(found.cell.low_a, "A")),
            ("read margin", f"{found.cell.margin:.1%}"),
            ("sneak current, other lines floating", _sneak(found.cell)),
            ("its worst path", _path(found.cell)),
        ],
        "about": list(about),
    }
    written = page.write("array.html", "report.html", content)
    csv = "\n".join(",".join(f"{value!r}" for value in row) for row in found.currents.tolist())
    write_text(path / "currents.csv", f"# column currents (A), a line a vector\n{csv}\n")
    write_text(path / "tile.json", json.dumps(found.as_dict()) + "\n")
    write_text(path / "tile.cir", tile_netlist(tile, worst))
    return [*written, *(path / name for name in ("tile.json", "currents.csv", "tile.cir"))]


def _path(cell: CellRead) -> str:
    """Return the three cells of the worst sneak path, and their current, in words."""
    if cell.sneak_path is None or cell.sneak_path_a is None:
        return "none"
    places = ", ".join(f"{row},{column}" for row, column in cell.sneak_path)
    return f"{with_unit(cell.sneak_path_a, 'A')} through the cells {places} (word line,bit line)"


def _sneak(cell: CellRead) -> str:
    """Return the sneak current in words, or that it is not defined."""
    return "not defined: lines end at both sides" if cell.sneak_a is None else with_unit(cell.sneak_a, "A")


def _drawn(plot: Plot, path: str | Path | None) -> Figure:
    return draw(plot.as_dict()) if path is None else draw_into(path, plot)


def _voltage_map(tile: Tile, voltages: Floats) -> HeatMap:
    solution = BehavioralEngine().solve(tile, voltages)
    lost = voltages[:, None] - (solution.word_line_voltage - solution.bit_line_voltage)
    return HeatMap("Voltage lost between the drivers and the cells", *_scaled(lost, "V"))


def _current_map(tile: Tile, voltages: Floats) -> HeatMap:
    current = BehavioralEngine().solve(tile, voltages).cell_current
    return HeatMap("Current of the cells", *_scaled(current, "A"))


def _error_map(tile: Tile, voltages: Floats) -> HeatMap:
    wanted = voltages[:, None] * tile.conductance
    error = BehavioralEngine().solve(tile, voltages).cell_current - wanted
    return HeatMap("Current of the cells, less what was wanted", *_scaled(error, "A"))


def _products(found: ArrayStudy) -> Lines:
    power, prefix = prefixed(float(np.abs(found.ideal).max()))
    ideal, currents, unit = found.ideal * 10.0**-power, found.currents * 10.0**-power, f"{prefix}A"
    ends = np.array([ideal.min(), ideal.max()])
    points, line = Series("products", ideal.ravel(), currents.ravel(), "points"), Series("ideal", ends, ends)
    return Lines("Products: what the array gives", f"wanted current [{unit}]", f"current [{unit}]", (points, line))


def _columns(found: ArrayStudy) -> Lines:
    place = np.arange(found.tile.spec.columns)
    series = tuple(
        Series(name, place, 100.0 * found.column_error[key])
        for name, key in (("largest", "largest"), ("root mean square", "rms"))
    )
    return Lines("Error of the products, column by column", "bit line", "% of full scale", series)


def _scaled(values: Floats, unit: str) -> tuple[Floats, str]:
    """Return values with a prefix before their unit, and that unit."""
    power, prefix = prefixed(float(np.abs(values).max()))
    return values * 10.0**-power, f"{prefix}{unit}"
