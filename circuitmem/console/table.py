"""Printing of all tables: text that does not fit is wrapped between words, then rows are stacked; no number is cut.

A table is as wide as its content. If the terminal (or ``COLUMNS``) is narrower, texts and headings are wrapped between
words; if that is not enough, each row becomes a block of lines, one for each cell. In a pipe the width is unlimited and
each row is one line.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Collection, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

__all__ = ["print_table", "terminal"]

UNLIMITED = 100_000
"""Width of a pipe [characters]."""
GAP = "  "


def terminal() -> Console:
    """Return a console on stdout that prints text as it is, without markup and without wrapping it."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(soft_wrap=True, highlight=False, markup=False, width=UNLIMITED)
    return console


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[int]) -> None:
    """Print a table.

    Parameters
    ----------
    headings : sequence of str
        One for each column; all empty for a table without a head.
    rows : sequence of sequences of str
        Cells; the first of each row names it.
    texts : collection of int
        Columns of words, which are left-aligned and may be wrapped. The others hold numbers with their units, which
        are right-aligned and not wrapped.
    """
    console = terminal()
    lines = _side_by_side(headings, rows, texts, console.width)
    if lines is None:
        for line in _stacked(headings, rows, console.width):
            console.print(line)
        return
    head, body = lines
    for line in head:
        console.print(Text(line, "bold"))
    if head:
        rule = "─" if console.encoding.lower().startswith("utf") else "-"
        console.print(rule * max(cell_len(line) for line in [*head, *body]))
    for line in body:
        console.print(line)


def _side_by_side(
    headings: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[int], width: int
) -> tuple[list[str], list[str]] | None:
    """Return the lines of the head and of the rows, or None where they are wider than the terminal."""
    columns = [[heading, *(row[k] for row in rows)] for k, heading in enumerate(headings)]
    natural = [max(map(cell_len, column)) for column in columns]
    least = []
    for k, column in enumerate(columns):
        folded, kept = (column, []) if k in texts else (column[:1], column[1:])
        words = [word for cell in folded for word in cell.split()]
        least.append(max(map(cell_len, [*words, *kept]), default=0))
    spare = width - len(GAP) * (len(columns) - 1) - sum(least)
    if spare < 0:
        return None
    widths = list(least)
    wanting = [k for k in range(len(widths)) if widths[k] < natural[k]]
    while spare and wanting:  # columns are widened in turn, so that none stays narrow while another has room
        for k in wanting[:spare]:
            widths[k] += 1
        spare -= len(wanting[:spare])
        wanting = [k for k in wanting if widths[k] < natural[k]]
    left = [k in texts for k in range(len(headings))]
    head = _row(headings, widths, left) if any(headings) else []
    return head, [line for row in rows for line in _row(row, widths, left)]


def _row(cells: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> list[str]:
    """Return the lines of one row."""
    folded = [_fold(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for k in range(max(map(len, folded))):
        parts = [part[k] if k < len(part) else "" for part in folded]
        blanks = [" " * (width - cell_len(part)) for part, width in zip(parts, widths, strict=True)]
        padded = [
            part + blank if first else blank + part for part, blank, first in zip(parts, blanks, left, strict=True)
        ]
        lines.append(GAP.join(padded).rstrip())
    return lines


def _stacked(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return each row as a block: its name, then heading and cell of each column on lines of their own."""
    lines: list[str] = []
    for row in rows:
        lines += _fold(row[0] or "-", width)
        for heading, cell in zip(headings[1:], row[1:], strict=True):
            if not cell:
                continue
            label = f"{GAP}{heading}: " if heading else GAP
            if cell_len(label + cell) <= width:
                lines.append(label + cell)
            else:
                lines += [label.rstrip()] if heading else []
                lines += [2 * GAP + line for line in _fold(cell, width - 2 * len(GAP))]
    return lines


def _fold(cell: str, width: int) -> list[str]:
    """Return the lines of a cell, wrapped between words only; a word longer than the width stays whole."""
    return textwrap.wrap(cell, max(width, 1), break_long_words=False, break_on_hyphens=False) or [""]
