"""Self-contained pages: one HTML file each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

import circuitmem
from circuitmem.errors import DataFileError
from circuitmem.files import write_bytes, write_text
from circuitmem.report.interactive import interactive, plotly_source
from circuitmem.report.stills import INK, draw, pdf, png, svg, svg_file

__all__ = ["ENDINGS", "Page", "make_output_folder", "slug"]

_TEMPLATES = Path(__file__).parent / "templates"

ENDINGS = (".svg", ".png")
"""Formats in which figures are saved by default."""
_FORMATS: dict[str, Callable[[Figure, str], bytes]] = {
    ".svg": lambda _, element: svg_file(element).encode(),
    ".png": lambda figure, _: png(figure),
    ".pdf": lambda figure, _: pdf(figure),
}

_KEPT = 64
"""Number of pictures that are cached: a page that is drawn again takes no time for those that did not change."""


class Page:
    """A page under construction, and the figures that are saved beside it.

    Parameters
    ----------
    folder : path
        Where the page goes; made if it does not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._figures: dict[str, tuple[Figure, str]] = {}

    def picture(self, plot: dict[str, Any], name: str) -> dict[str, Any]:
        """Return the values of a plot (:mod:`circuitmem.study.plots`) for the template, and keep it as a figure."""
        name = slug(name)
        drawn = self._figures[name] = _drawn(json.dumps(plot), name)
        options = plot["options"] if plot["kind"] == "views" else [plot]
        live = interactive(plot) if plotly_source() else None
        return {
            "name": name,
            "title": plot["label"] if plot["kind"] == "views" else plot["title"],
            "wide": plot["kind"] == "views" and live is None,  # all views are shown unless the reader can choose one
            "group": plot.get("group", ""),
            "choices": [option["title"] for option in options] if plot["kind"] == "views" else [],
            "description": "; ".join(_describe(option) for option in options),
            "svg": drawn[1],
            "live": live,
        }

    def write(self, template: str, name: str, content: dict[str, Any], figures: Sequence[str] = ENDINGS) -> list[Path]:
        """Render the page, and save its figures into ``figures``.

        Parameters
        ----------
        template, name : str
            The template, and the name of the page's file.
        content : dict
            Values for the template.
        figures : sequence of {".svg", ".png", ".pdf"}
            Formats of the figures; if empty, only the page is written. PDF takes longer than the others together.

        Returns
        -------
        list of path
            What was written, the page first.
        """
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
        )
        assets = {
            "style": (_TEMPLATES / "style.css").read_text("utf-8"),
            "live": (_TEMPLATES / "live.js").read_text("utf-8"),
            "plotly": plotly_source(),
            "version": circuitmem.__version__,
            "figures": bool(figures),
        }
        text = environment.get_template(template).render(assets | content)
        written = [self.folder / name]
        if figures:
            make_output_folder(self.folder / "figures")
        for figure, (drawn, element) in self._figures.items():
            path = self.folder / "figures" / figure
            for ending in figures:
                written.append(path.with_suffix(ending))
                write_bytes(written[-1], _FORMATS[ending](drawn, element))
        write_text(self.folder / name, text)
        return written


@lru_cache(maxsize=_KEPT)
def _drawn(plot: str, name: str) -> tuple[Figure, str]:
    """Return a plot, given as JSON, as a figure and as an element of a page."""
    figure = draw(json.loads(plot), INK)
    return figure, svg(figure, name)


def make_output_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    DataFileError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(path, f"cannot be made: {error.strerror}") from None


def slug(text: str) -> str:
    """Return a text as lower-case letters, digits and dashes, for the names of files and anchors."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _describe(plot: dict[str, Any]) -> str:
    """Describe a plot in words, for readers who cannot see it."""
    if plot["kind"] == "heat map":
        values = [value for row in plot["values"] for value in row if value is not None]
        if plot.get("classes"):
            counts = ", ".join(f"{values.count(k)} {name}" for k, name in enumerate(plot["classes"]))
            return f"{plot['title']}: {counts}"
        text = f"{plot['title']}, {len(plot['values'])} by {len(plot['values'][0])} map"
        return f"{text}, from {min(values):.3g} to {max(values):.3g} {plot['value_label']}" if values else text
    if plot["kind"] == "bars":
        sums = [sum(value or 0.0 for value in values) for values in zip(*plot["parts"].values(), strict=True)]
        bars = (f"{name} {value:.3g}" for name, value in zip(plot["categories"], sums, strict=True))
        return f"{plot['title']}, {plot['value_label']}: {', '.join(bars)}"
    texts = []
    for series in plot["series"]:
        values = [value for value in series["y"] if value is not None]
        texts.append(f"{series['name']} from {min(values):.3g} to {max(values):.3g}" if values else series["name"])
    return f"{plot['title']}: {plot['y_label']} over {plot['x_label']}; {', '.join(texts)}"
