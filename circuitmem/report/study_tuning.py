"""Results and cost of tuning a study's methods, in words and a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from circuitmem.config import SearchedSpec
from circuitmem.report.markdown import duration, interval, table
from circuitmem.report.study_plots import method_label
from circuitmem.report.study_samples import Tested, unseen_text
from circuitmem.study.spec import Study
from circuitmem.study.statistics import Mean

__all__ = ["tuning_text"]


def _end(searched: SearchedSpec | None, value: Any) -> str:
    """Return a note if a setting is at an end of the values tried: beyond it there may be a better one."""
    tried = [each for each in searched.values if _is_number(each)] if searched is not None else []
    if len(set(tried)) < 2 or value not in (min(tried), max(tried)):
        return ""
    return " (the smallest tried)" if value == min(tried) else " (the largest tried)"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def tuning_text(study: Study, tuned: Sequence[dict[str, Any]], tested: Iterable[Tested]) -> str:
    """Return the settings of each method, their accuracy on validation samples, and the cost of finding them.

    Parameters
    ----------
    study : Study
        What was declared.
    tuned : sequence of dict
        ``tuning`` of its provenance (:class:`circuitmem.records.Tuned`).
    tested : iterable of Tested
        What its points are tested with.
    """
    protocol, lines = study.spec.protocol, []
    for entry in tuned:
        searched = protocol.tune.get(entry["method"], {})
        settings = ", ".join(
            f"{key} = {value}{_end(searched.get(key), value)}" for key, value in entry["settings"].items()
        )
        width = float("nan") if entry["half_width"] is None else entry["half_width"]
        reached = Mean(entry["percent"], width, entry["maps"])
        trials = f"{entry['trials']}" + (f" ({entry['failed']} failed)" if entry["failed"] else "")
        costs = [f"{entry['simulated_time_s']:.4g}", f"{entry['energy_j']:.3g}", f"{entry['pulses'] / 1e6:.3g}"]
        cells = [trials, settings, interval(reached), f"{entry['lowest_percent']:.2f}", *costs]
        own = [str(entry["levels"][axis]) for axis in study.spec.axes]
        lines.append([method_label(study, entry["method"]), *own, *cells, duration(entry["computing_time_s"])])
    seeds = protocol.tuning_seeds
    maps = f"{len(seeds)} map{'s' * (len(seeds) != 1)} that {'are' if len(seeds) != 1 else 'is'} not reported"
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    halved = protocol.halving and len(seeds) > 1
    left = [method_label(study, name) for name in study.spec.methods if name not in protocol.tune]
    intro = (
        f"Tuned on {protocol.validation:,} validation samples and {maps} ({which}), {protocol.trials} trials of each "
        f"method ({protocol.search} search), {unseen_text(tested)}"
        + (" After each map the better half of them, rounded up, went on to the next." if halved else "")
        + "".join(f" At {axis} {level}, for all levels of {axis}." for axis, level in protocol.at.items())
        + (f" Not tuned: {', '.join(left)}." if left else "")
        + " The settings with the best mean, and what all trials together cost on chips and to compute:"
    )
    heads = ["method", *study.spec.axes, "trials", "settings", "validation %", "worst trial %"]
    heads += ["chip time (s)", "energy (J)", "M pulses", "computing"]
    return f"{intro}\n\n{table(heads, lines)}"
