"""Cost of a method's accuracy: an inference, and what came before the first one, amortised over many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuitmem.report.markdown import table
from circuitmem.report.study_plots import method_label, pareto_front, pareto_points
from circuitmem.study.spec import Study
from circuitmem.study.statistics import select
from circuitmem.study.store import Row

__all__ = ["pareto_text"]

AMORTISED = (10_000, 1_000_000)
"""Numbers of inferences over which the cost of bringing up, calibrating and training a chip is amortised."""
COLUMNS = "accuracy_percent", "digital_products", "inference_j", "energy_j", "simulated_time_s"


def pareto_text(study: Study, groups: Sequence[dict[str, Any]], rows: Sequence[Row]) -> str:
    """Return the table of accuracies and costs at all levels.

    Parameters
    ----------
    study : Study
        What was declared.
    groups : sequence of dict
        Levels of the axes.
    rows : sequence of dict
        The table of results.
    """
    lines = []
    for levels in groups:
        own = {name: select(rows, method=name, end=True, **levels) for name in study.spec.methods}
        known = {name: some for name, some in own.items() if some and some[0]["inference_j"] is not None}
        front = pareto_front([p for some in known.values() for p in pareto_points(some, "inference_j")])
        for method, some in known.items():
            accuracy, digital, energy, before, time = (float(np.mean([row[name] for row in some])) for name in COLUMNS)
            spread = [f"{1e9 * (energy + before / count):.1f}" for count in AMORTISED]
            cells = [f"{accuracy:.2f}", f"{100 * digital:.1f}", f"{1e9 * energy:.2f}", f"{1e3 * before:.4f}"]
            surpassed = "no" if (energy, accuracy) in front else "yes"
            cells += [f"{1e3 * time:.3f}", *spread, surpassed]
            lines.append([method_label(study, method), *map(str, levels.values()), *cells])
    heads = ["method", *study.spec.axes, "accuracy %", "digital products %", "energy of an inference nJ"]
    heads += ["energy before mJ", "time before ms", *(f"nJ with it over {count:,}" for count in AMORTISED), "surpassed"]
    intro = (
        "What an inference costs, and what comes before the first: programming, calibration, training, and validation"
    )
    intro += " that a method reads for itself. A method is surpassed where another is as accurate for less energy:"
    return f"{intro}\n\n{table(heads, lines)}"
