"""Results of a study, in words and tables made from its table: no number is typed by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from circuitmem.config import ComparisonSpec, GapSpec, GoalSpec, PublishedSpec, TuningSpec
from circuitmem.errors import DataFileError
from circuitmem.files import write_text
from circuitmem.report.markdown import duration, interval, table
from circuitmem.report.study_figures import draw_study
from circuitmem.report.study_inference import inference_text
from circuitmem.report.study_pareto import pareto_text
from circuitmem.report.study_plots import AXIS_LABELS, SCALES, in_declared_order, method_label
from circuitmem.report.study_samples import Tested, samples_text, tested_with
from circuitmem.report.study_tuning import tuning_text
from circuitmem.study.spec import Study
from circuitmem.study.statistics import (
    Mean,
    Paired,
    at_equal_cost,
    holm,
    mean,
    paired,
    sampling_half_width,
    select,
    watched_rows,
)
from circuitmem.study.store import Row, load_table

__all__ = ["compared", "report_study", "study_text", "tested"]

BEGIN, END = "<!-- results: written by circuitmem study report -->", "<!-- end of results -->"
COSTS: dict[str, Any] = {"pulses": "pulses", "time": "simulated_time_s"}
AT = {"end": "at equal epochs", "pulses": "at equal pulses", "time": "at equal simulated time"}
Test = tuple[dict[str, Any], Paired | None, float]
"""Levels, the comparison of two methods there, and its p value after Holm's correction."""


def report_study(study: Study, folder: Path) -> dict[str, Any]:
    """Draw the figures and write ``results.md``, and its text into README.md if the folder has one.

    The README is changed between its two markers only. Figures of an older table are removed if all points failed.

    Returns
    -------
    dict
        ``report``, ``figures``, ``readme``: what was written.

    Raises
    ------
    DataFileError
        If the table is missing or was written for another declaration, or the README is not UTF-8.
    """
    rows, provenance = load_table(folder, study)
    readme = folder / "README.md"
    parts = _around_markers(readme) if readme.is_file() else None
    text = study_text(study, rows, provenance)
    figures = draw_study(study, folder) if rows else _without_figures(study, folder)
    write_text(folder / "results.md", f"# {study.spec.title}: results\n\n{text}\n")
    if parts is not None:
        head, tail = parts
        write_text(readme, f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}")
    return {
        "report": str(folder / "results.md"),
        "figures": [str(path) for path in figures],
        "readme": None if parts is None else str(readme),
    }


def _around_markers(readme: Path) -> tuple[str, str] | None:
    """Return what stands before and after the results in a README; None if it has no markers."""
    try:
        old = readme.read_bytes().decode()  # not as text, which would change its line ends
    except UnicodeDecodeError as error:
        raise DataFileError(readme, f"must be UTF-8 (byte {error.start} is not)") from None
    except OSError as error:
        raise DataFileError(readme, f"cannot be read: {error.strerror or error}") from None
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    return (head, tail) if begin and end else None


def _without_figures(study: Study, folder: Path) -> list[Path]:
    """Remove the figures of a study whose points all failed: they are of an older table."""
    for name in study.spec.figures:
        for suffix in ("png", "pdf"):
            (folder / "figures" / f"{name}.{suffix}").unlink(missing_ok=True)
    return []


def study_text(study: Study, rows: Sequence[Row], provenance: dict[str, Any]) -> str:
    """Return the results as Markdown.

    Parameters
    ----------
    study : Study
        What was declared.
    rows : sequence of dict
        The table.
    provenance : dict
        Provenance of the table.
    """
    rows = in_declared_order(study, rows)
    parts = [_origin(provenance)]
    if provenance["failed"]:
        parts.append("\n".join(_failures(provenance["failed"])))
    if rows:
        used = tested_with(study, _groups(study, rows), rows, provenance.get("test_samples"))
        every = [each for own in used.values() for each in own.values()]
        parts.append(_accuracies(study, rows, used))
        drawn = dict.fromkeys(figure.y for figure in study.spec.figures.values())
        parts += [_costs(study, rows, cost) for cost in drawn if cost != "accuracy_percent"]
        if any(figure.kind == "pareto" for figure in study.spec.figures.values()):
            parts.append(pareto_text(study, _groups(study, rows), rows))
        inferences = inference_text(study, rows, _groups(study, rows))
        parts += [inferences] if inferences else []
        parts += [tuning_text(study, provenance["tuning"], every)] if provenance.get("tuning") else []
        parts += _comparisons(study, rows)
        if study.spec.published:
            parts.append(_published(study, study.spec.published, rows))
        parts += [_gaps(study, gaps, rows) for gaps in study.spec.gaps]
        if study.spec.tunings:
            parts.append(_tunings(study, study.spec.tunings, rows))
        if study.spec.goals:
            parts.append(_goals(study, study.spec.goals, rows))
        parts += [f"![{name}](figures/{name}.png)" for name in study.spec.figures]
    return "\n\n".join(parts)


def _origin(provenance: dict[str, Any]) -> str:
    seeds = provenance["seeds"]
    workers = provenance.get("workers")
    where = "on a Dask cluster" if "scheduler" in provenance else "in all"
    if workers is not None:
        where = f"on {workers} worker process{'es' * (workers != 1)}"
    declared = provenance.get("declared_repeats", len(seeds))  # a table of an older version has all
    maps = f"{len(seeds)} of the {declared} defect maps that the declaration asks for"
    if provenance["finished"] + len(provenance["failed"]) < provenance["points"]:
        maps += ", some points with fewer"
    kernels = sorted(set(provenance["kernels"].values()))
    data = ", ".join(name for name, _ in provenance["data"])
    codes = provenance.get("codes", {})
    mixed = ""
    if len(codes) > 1:
        each = ", ".join(f"{count} of {code}" for code, count in codes.items())
        mixed = f" **The points are of {len(codes)} versions of the code** ({each})."
    quick = "; **the quick form: sizes are too small to mean anything**" if provenance["quick"] else ""
    return (
        f"{provenance['finished']} of {provenance['points']} points, {maps} (seeds {seeds[0]} to {seeds[-1]}){quick}. "
        f"{data}. circuitmem {provenance['circuitmem']}, kernels {'; '.join(kernels)}, {provenance['platform']}; "
        f"{duration(provenance['computing_time_s'])} of computing {where}, "
        f"{provenance['longest_point_s']:.0f} s the longest point; written {provenance['written']}, "
        f"declaration {provenance['config_hash'][:12]}.{mixed}"
    )


def _failures(failed: list[dict[str, Any]]) -> Iterator[str]:
    yield f"**{len(failed)} points failed** and are missing below:\n"
    for entry in failed:
        levels = ", ".join(f"{axis} {level}" for axis, level in entry["levels"].items())
        yield f"- {levels}, seed {entry['seed']}: {entry['type']}: {entry['message']}"


def _accuracies(study: Study, rows: Sequence[Row], used: Mapping[tuple[Any, ...], Mapping[str, Tested]]) -> str:
    """Return the table of mean accuracies at the end, with 95 % confidence intervals over maps and over test samples.

    ``used`` says by levels and method what they are tested with.
    """
    names = ["digital", *study.spec.methods]
    heads = [method_label(study, name) for name in names]
    lines = []
    for levels in _groups(study, rows):
        own = select(rows, end=True, **levels)
        means = [_mean(select(own, method=name)) for name in names]
        count = max(len(select(own, method=name)) for name in names)
        samples = [used[tuple(levels.values())].get(name) for name in names]
        cells = [interval(found) + _sampling(found, own) for found, own in zip(means, samples, strict=True)]
        lines.append([*map(str, levels.values()), *cells, str(count)])
    intro = "Test accuracy in %, mean and 95 % confidence interval over the defect maps"
    intro += samples_text(each for own in used.values() for each in own.values())
    return f"{intro}:\n\n{table([*study.spec.axes, *heads, 'maps'], lines)}"


def _sampling(found: Mean | None, used: Tested | None) -> str:
    if found is None or used is None or used.samples is None:
        return ""
    return f" (± {sampling_half_width(found.mean, used.samples):.2f})"


def _costs(study: Study, rows: Sequence[Row], cost: str) -> str:
    """Return the table of total costs of the methods, the mean over the defect maps."""
    names = study.spec.methods
    lines = []
    for levels in _groups(study, rows):
        own = select(rows, end=True, **levels)
        found = [[SCALES[cost] * row[cost] for row in select(own, method=name)] for name in names]
        lines.append([*map(str, levels.values()), *(f"{mean(some).mean:.4f}" if some else "" for some in found)])
    label = AXIS_LABELS[cost]
    intro = f"{label[0].upper()}{label[1:]} of a whole method, bringing the chip up included, its test not:"
    return f"{intro}\n\n{table([*study.spec.axes, *(method_label(study, name) for name in names)], lines)}"


def _comparisons(study: Study, rows: Sequence[Row]) -> list[str]:
    """Return a table of each declared comparison: two methods on the same defect maps."""
    return [_comparison(study, spec, found, unknown) for spec, found, unknown in tested(study, rows)]


def tested(study: Study, rows: Sequence[Any]) -> list[tuple[ComparisonSpec, list[Test], int]]:
    """Return each declared comparison at all levels, and how many of its pairs cannot be compared.

    All tests of a report are one family of Holm's correction.
    """
    groups = _groups(study, rows)
    found = [[compared(spec, select(rows, **levels)) for levels in groups] for spec in study.spec.comparisons]
    p_values = [math.nan if pair is None else pair.p_value for own in found for pair, _ in own]
    together = iter(holm(p_values))
    return [
        (
            spec,
            [(levels, pair, next(together)) for levels, (pair, _) in zip(groups, own, strict=True)],
            sum(unknown for _, unknown in own),
        )
        for spec, own in zip(study.spec.comparisons, found, strict=True)
    ]


def _comparison(study: Study, spec: ComparisonSpec, found: Sequence[Test], unknown: int) -> str:
    lines = []
    for levels, pair, corrected in found:
        if pair is not None:
            tests = [_probability(value) for value in (pair.p_value, corrected, pair.rank_p_value)]
            cells = [interval(pair.difference, "+"), *tests, str(pair.difference.count)]
            lines.append([*map(str, levels.values()), *cells])
    names = method_label(study, spec.method), method_label(study, spec.against)
    what = "points (paired t test, Holm's correction over all tests of this report, Wilcoxon's)"
    intro = f"{names[0][:1].upper()}{names[0][1:]} against {names[1]}, {AT[spec.at]}, in {what}:"
    heads = [*study.spec.axes, "difference", "p of t", "Holm's", "p of ranks", "pairs"]
    note = ""
    if unknown:
        note = f"\n\nLeft out: {unknown} pairs whose equal cost lies within the first epoch, which no test divides."
    return f"{intro}\n\n{table(heads, lines)}{note}"


def compared(spec: ComparisonSpec, rows: Sequence[Any]) -> tuple[Paired | None, int]:
    """Return the comparison over all pairs that can be compared, and how many cannot."""
    names = spec.method, spec.against
    first, second = ({row["seed"]: row for row in select(rows, method=name, end=True)} for name in names)
    if spec.at == "end":
        ends = [{seed: row["accuracy_percent"] for seed, row in each.items()} for each in (first, second)]
        return paired(*ends), 0
    pairs, unknown = {}, 0
    for seed in sorted(first.keys() & second.keys()):
        found = (watched_rows(select(rows, method=name, seed=seed)) for name in names)
        histories = [sorted(own, key=lambda row: row["epoch"]) for own in found]
        reached = at_equal_cost(histories[0], histories[1], COSTS[spec.at])
        if reached is None:
            unknown += 1
        else:
            pairs[seed] = reached
    both = ({seed: pair[k] for seed, pair in pairs.items()} for k in range(2))
    return paired(*both), unknown


def _published(study: Study, published: Sequence[PublishedSpec], rows: Sequence[Row]) -> str:
    """Return published figures beside ours, absolute and relative to the digital network, if that was trained."""
    lines = []
    for spec in published:
        ours, where = ["", ""], [f"{axis} {level}" for axis, level in spec.where.items()]
        if spec.method is not None:
            own = select(rows, end=True, **spec.where)
            accuracy, digital = (_over_maps(study, select(own, method=name)) for name in (spec.method, "digital"))
            if accuracy and digital:
                ours = [interval(mean([*accuracy.values()])), _share(study, own, accuracy, digital)]
            where += [f"mean over {axis}" for axis in _pooled(study, select(own, method=spec.method))]
        name = method_label(study, spec.method) if spec.method else ""
        lines.append([f"{spec.source} [{spec.mark}]", ", ".join(where), f"{spec.value:g}", name, *ours])
    intro = "Published figures ([P] read in a primary source, [D] in a digest of it, [I] inferred) beside ours:"
    heads = ["source", "where", "published %", "our method", "ours %", "of our digital network"]
    return f"{intro}\n\n{table(heads, lines)}"


def _share(study: Study, rows: Sequence[Any], ours: Mapping[int, float], digital: Mapping[int, float]) -> str:
    """Return what part of the digital network's mean accuracy ours is, for rows of some levels; or why there is none.

    A network starts from random weights where ``ex_situ.epochs`` is 0 and no file has its weights.
    """
    runs = [study.run_values(levels, "digital") for levels in _groups(study, rows)]
    if any(run.get("ex_situ", {}).get("epochs") == 0 and not run.get("network", {}).get("weights") for run in runs):
        return "(not trained)"
    ideal = mean([*digital.values()]).mean
    return f"{100 * mean([*ours.values()]).mean / ideal:.2f} %" if ideal else "(it has 0 %)"


def _gaps(study: Study, spec: GapSpec, rows: Sequence[Row]) -> str:
    """Return the gaps of a method at all levels, and where each candidate comes nearest to the published ones."""
    names = [spec.over, *spec.candidates]
    lines: list[list[str]] = []
    nearest: dict[str, tuple[float, list[str]]] = {}
    for levels in _groups(study, select(rows, **spec.where)):
        own = select(rows, **levels)
        found = [compared(ComparisonSpec(method=spec.method, against=name), own)[0] for name in names]
        gaps = [None if pair is None else pair.difference for pair in found]
        if gaps[0] is None:
            continue
        lines.append([*map(str, levels.values()), *(interval(gap, "+") for gap in gaps)])
        for name, gap in zip(spec.candidates, gaps[1:], strict=True):
            if gap is not None:
                off = max(abs(gaps[0].mean - spec.gap), abs(gap.mean - spec.candidate_gap))
                cells = [method_label(study, name), *lines[-1][: len(levels) + 1], interval(gap, "+"), f"{off:.2f}"]
                nearest[name] = min(nearest.get(name, (off, cells)), (off, cells))
    labels = [method_label(study, name) for name in names]
    where = "".join(f", {axis} {level}" for axis, level in spec.where.items())
    intro = f"How far {method_label(study, spec.method)} is above the others{where}, in points:"
    ranking = (
        f"{spec.source} [{spec.mark}]: {spec.gap:+g} points over {labels[0]}, {spec.candidate_gap:+g} over one of the "
        "others. Where each of them comes nearest to both, and by how much the worse of its two gaps is off:"
    )
    parts = [f"{intro}\n\n{table([*study.spec.axes, *labels], lines)}"]
    heads = ["candidate", *study.spec.axes, f"over {labels[0]}", "over the candidate", "off"]
    parts.append(f"{ranking}\n\n{table(heads, [cells for _, cells in sorted(nearest.values())])}")
    return "\n\n".join(parts)


def _tunings(study: Study, tunings: Sequence[TuningSpec], rows: Sequence[Row]) -> str:
    """Return the best point of every tuned method, and how far below it the default is."""
    lines = []
    for spec in tunings:
        found = {
            tuple(levels.values()): _mean(select(rows, method=spec.method, end=True, **levels))
            for levels in _groups(study, rows)
        }
        means = {levels: value for levels, value in found.items() if value is not None}
        default = tuple(spec.default[axis] for axis in study.spec.axes)
        if not means:
            continue
        best = max(means, key=lambda levels: means[levels].mean)
        cells = ["", "", "not run"]
        if default in means:
            below = means[best].mean - means[default].mean
            verdict = "reached" if below <= spec.within else "**not reached**"
            cells = [interval(means[default]), f"{below:.2f}", f"within {spec.within:g}: {verdict}"]
        place = [", ".join(map(str, levels)) for levels in (best, default)]
        name = method_label(study, spec.method)
        lines.append([name, str(len(means)), place[0], interval(means[best]), place[1], *cells])
    heads = ["method", "points", "best", "its accuracy", "default", "its accuracy", "below the best", "verdict"]
    return f"The best of all points ({', '.join(study.spec.axes)}) and the default, in %:\n\n{table(heads, lines)}"


def _goals(study: Study, goals: Sequence[GoalSpec], rows: Sequence[Row]) -> str:
    """Return what each goal wants and what was found; the mean decides, differences are paired by map."""
    lines = []
    for goal in goals:
        values = _over_maps(study, select(rows, end=True, method=goal.method, **goal.where))
        if goal.against is not None or goal.against_where is not None:
            where = goal.where if goal.against_where is None else goal.against_where
            others = _over_maps(study, select(rows, end=True, method=goal.against or goal.method, **where))
            values = {seed: value - others[seed] for seed, value in values.items() if seed in others}
        found = mean([*values.values()]) if values else None
        verdict = "not run" if found is None else "reached" if found.mean >= goal.minimum else "**not reached**"
        lines.append([goal.claim, f"{goal.minimum:g}", interval(found), str(len(values)), verdict])
    intro = "Goals, with the mean and its 95 % confidence interval over the defect maps:"
    return f"{intro}\n\n{table(['goal', 'wanted', 'found', 'maps', 'verdict'], lines)}"


def _over_maps(study: Study, rows: Sequence[Any]) -> dict[int, float]:
    """Return the accuracy of each map by its seed, the mean over the levels in the rows of one method.

    Levels share their maps: taken together they would count as many times as many maps. A map counts if it has all
    levels that any has.
    """
    found: dict[int, list[float]] = {}
    for row in rows:
        found.setdefault(row["seed"], []).append(row["accuracy_percent"])
    levels = len(_groups(study, rows))
    return {seed: mean(values).mean for seed, values in sorted(found.items()) if len(values) == levels}


def _pooled(study: Study, rows: Sequence[Any]) -> list[str]:
    """Return the axes of which rows have several levels."""
    return [axis for axis in study.spec.axes if len({row[axis] for row in rows}) > 1]


def _groups(study: Study, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the combinations of levels that the table has, in its order."""
    axes = list(study.spec.axes)
    return [dict(zip(axes, found, strict=True)) for found in dict.fromkeys(tuple(row[a] for a in axes) for row in rows)]


def _mean(rows: Sequence[Any]) -> Mean | None:
    return mean([row["accuracy_percent"] for row in rows]) if rows else None


def _probability(value: float) -> str:
    return "" if math.isnan(value) else "< 0.0001" if value < 1e-4 else f"{value:.4f}"
