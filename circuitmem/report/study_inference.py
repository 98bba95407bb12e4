"""Cost of an inference at each point of a study, and the errors of its products, in words and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuitmem.report.markdown import table
from circuitmem.report.study_plots import method_label
from circuitmem.study.spec import Study
from circuitmem.study.statistics import mean, select
from circuitmem.study.store import INFERENCE, Row

__all__ = ["inference_text"]

SHOWN = {
    "inference_s": ("time (us)", 1e6, "{:.4g}"),
    "inference_j": ("energy (nJ)", 1e9, "{:.4g}"),
    "digital_products": ("digital products (%)", 1e2, "{:.2f}"),
    "mac_error_raw": ("error of products as programmed (%)", 1e2, "{:.2f}"),
    "mac_error": ("and calibrated (%)", 1e2, "{:.2f}"),
    "tiles": ("tiles", 1.0, "{:g}"),
}
"""Heading, factor and format of each column of a table."""


def inference_text(study: Study, rows: Sequence[Row], groups: Sequence[dict[str, Any]]) -> str:
    """Return the cost of a test sample after each method, and errors of products: means over maps; empty if unknown.

    Parameters
    ----------
    study : Study
        What was declared.
    rows : sequence of dict
        The table.
    groups : sequence of dict
        Combinations of levels in the table.
    """
    lines = []
    for levels in groups:
        for method in study.spec.methods:
            own = [row for row in select(rows, end=True, method=method, **levels) if row.get("mac_error") is not None]
            if own:
                lines.append([*map(str, levels.values()), method_label(study, method), *map(_shown(own), INFERENCE)])
    if not lines:
        return ""
    intro = (
        "One inference on the chip, from the events of the test at the end: time from the first to the last, "
        "and energy, a sample. Errors of products before training are root mean squares, in % of the largest ideal "
        "product of a layer, the mean over the layers. Digital products are multiplications that no tile does:"
    )
    return f"{intro}\n\n{table([*study.spec.axes, 'method', *(head for head, _, _ in SHOWN.values())], lines)}"


def _shown(rows: Sequence[Any]) -> Any:
    def cell(name: str) -> str:
        _, factor, words = SHOWN[name]
        found = [row[name] for row in rows if row[name] is not None]
        return words.format(factor * mean(found).mean) if found else ""

    return cell
