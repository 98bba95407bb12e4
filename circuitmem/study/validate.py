"""Circuit simulators against the behavioral engine, stage by stage."""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import circuitmem
from circuitmem.config import load_run
from circuitmem.engine import (
    LIMIT,
    REFEREES,
    ReadCase,
    Referee,
    RefereeName,
    SavedCase,
    referee_names,
    save_case,
    simulator_versions,
    tile_netlist,
    vacask_netlist,
)
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import write_text
from circuitmem.records import Validation, read_record, write_record
from circuitmem.study.speed import measure_speed, speed_plot
from circuitmem.study.stages import STAGES, Stage, StageContext, StageResult, apart, own_stages
from circuitmem.validation import did_you_mean, integer
from circuitmem.versions import environment

__all__ = ["compare_records", "load_record", "validate_engines"]


def validate_engines(
    folder: str | Path,
    seed: int = 1,
    quick: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    baseline: str | Path | None = None,
    only: Sequence[str] = (),
    referee: str = "ngspice",
    config: str | None = None,
) -> dict[str, Any]:
    """Run every stage, write ``validation.json`` into ``folder``, and return its content.

    Parameters
    ----------
    folder : path
        Made if it does not exist.
    seed : int
        Seed of the random cases, >= 0.
    quick : bool
        Fewer and smaller cases.
    progress : callable
        Called with (stage, cases done, cases).
    baseline : path, optional
        An older ``validation.json``: the record then says what became better or worse.
    only : sequence of str
        Names of the stages to run; all when left out. Their cases are the same as in a validation of all.
    referee : str
        What computes the cases beside the kernels: ``ngspice``, ``vacask``, or ``all``. With ``all`` each stage has one
        line per referee, and the record says by how much the referees differ from each other.
    config : str, optional
        TOML file or preset: only the stages of its own tile and devices are then run, unless ``only`` names others.

    Raises
    ------
    ValidationError
        If the seed is not an integer >= 0, a stage or referee is unknown, or the referee cannot compute a stage.
    SpiceUnavailableError
        If a referee is not installed, or does not start.
    DataFileError
        If the folder cannot be made, or the baseline is not a record of a validation.
    """
    seed = integer("seed", seed)
    names = referee_names(referee)
    own = [] if config is None else own_stages(load_run(config).chip)
    chosen = _chosen(only, names, own)
    before = None if baseline is None else load_record(baseline)
    for name in names:
        REFEREES[name].probe()
    began = time.time()
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(folder, f"cannot be made: {error.strerror}") from None
    stages: list[dict[str, Any]] = []
    between: list[dict[str, Any]] = []
    with ExitStack() as stack:
        engines: dict[RefereeName, Referee] = {name: REFEREES[name]() for name in names}
        for engine in engines.values():
            stack.callback(engine.close)
        for stage in chosen:
            found = {
                name: _run(stage, name, engines[name], seed, quick, progress, Path(folder), config)
                for name in names
                if stage.refereed_by(name)
            }
            stages += [line for line, _ in found.values()]
            if len(found) > 1:
                between.append(_three_ways(stage.name, found))
        speed = measure_speed(engines, seed, quick, progress)
    record = {
        "stages": stages,
        "referee": referee,
        "between_referees": between,
        "speed": speed,
        "speed_plot": speed_plot(speed).as_dict(),
        "seed": seed,
        "quick": quick,
        **environment(),
        **simulator_versions(names),
        **{f"{name}_options": REFEREES[name].options() for name in names},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_time_s": round(time.time() - began, 1),
    }
    if before is not None:
        record["baseline"] = compare_records(before, record)
    write_record(Path(folder) / "validation.json", record)
    return record


def load_record(path: str | Path) -> dict[str, Any]:
    """Load a ``validation.json``.

    Raises
    ------
    DataFileError
        If it cannot be read, or is not the record of a validation.
    """
    return read_record(path, Validation)


def compare_records(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Say for each stage of either record whether its worst error became ``better``, ``worse``, or is the ``same``.

    A stage counts separately for each referee. A stage that is in one record only is ``new`` or ``gone``. Errors within
    a factor of two of each other, and errors below a thousandth of the bound, count as the same: such differences are
    rounding, which changes with the seed and the machine.
    """
    old, new = ({_title(stage): stage for stage in record["stages"]} for record in (before, after))
    lines = []
    for name in [*new, *(name for name in old if name not in new)]:
        line: dict[str, Any] = {"stage": name, "before": None, "after": None}
        if name in old:
            line["before"], line["passed_before"] = old[name]["worst"], old[name]["pass"]
        if name in new:
            line["after"], line["passed"] = new[name]["worst"], new[name]["pass"]
        if name not in old or name not in new:
            line["change"] = "new" if name in new else "gone"
        else:
            small = 1e-3 * new[name]["bound"]
            first, second = (math.inf if x is None else max(x, small) for x in (line["before"], line["after"]))
            worse, better = second > 2.0 * first, first > 2.0 * second
            line["change"] = "worse" if worse else "better" if better else "same"
        lines.append(line)
    return lines


def _title(stage: Mapping[str, Any]) -> str:
    """Return the name of a stage, with that of its referee if it is not ngspice."""
    referee = stage.get("referee", "ngspice")
    return str(stage["stage"]) if referee == "ngspice" else f"{stage['stage']} ({referee})"


def _three_ways(name: str, found: Mapping[RefereeName, tuple[dict[str, Any], StageResult]]) -> dict[str, Any]:
    """Return how much the kernels and the two referees differ pairwise at one stage."""
    first, second = (result for _, result in found.values())
    worst = {f"behavioral_{referee}": result.worst for referee, (_, result) in found.items()}
    return {"stage": name, **worst, "ngspice_vacask": apart(first, second), "bound": first.bound}


def _run(
    stage: Stage,
    referee: RefereeName,
    engine: Referee,
    seed: int,
    quick: bool,
    progress: Callable[[str, int, int], None],
    folder: Path,
    config: str | None,
) -> tuple[dict[str, Any], StageResult]:
    """Run one stage and return its line of the record, and what it found."""
    began = time.perf_counter()
    title = _title({"stage": stage.name, "referee": referee})
    context = StageContext(stage.name, engine, seed, quick, lambda done, cases: progress(title, done, cases))
    result = stage.run(context)
    line = {
        "stage": stage.name,
        "referee": referee,
        "about": stage.about,
        "cases": len(result.differences),
        "size": result.size,
        "worst": result.worst,
        "bound": result.bound,
        "pass": result.passed,
        "verdict": result.verdict,
        "wall_time_s": round(time.perf_counter() - began, 2),
        "seconds": {engine: round(seconds, 6) for engine, seconds in context.seconds.items()},
        **result.details,
        "plots": [plot.as_dict() for plot in result.plots],
        "replay": _keep_worst(result, stage.name, referee, seed, quick, folder, config),
    }
    return line, result


def _keep_worst(
    result: StageResult, name: str, referee: RefereeName, seed: int, quick: bool, folder: Path, config: str | None
) -> dict[str, Any]:
    """Save the worst case of a stage for ``circuitmem replay``, and its netlist; say how to compute it again."""
    own = "" if config is None else f"{shlex.quote(config)} "
    again = f'circuitmem validate {own}-o again --stage "{name}" --seed {seed}{" --quick" if quick else ""}'
    if referee != "ngspice":
        again += f" --referee {referee}"
    if result.worst_case is None and (result.netlist is None or referee != "ngspice"):
        return {"files": [], "command": again}
    (folder / "cases").mkdir(exist_ok=True)
    stem = "cases/" + re.sub(r"[^a-z0-9]+", "-", _title({"stage": name, "referee": referee}).lower()).strip("-")
    if result.worst_case is None:
        write_text(folder / f"{stem}.cir", result.netlist or "")
        return {"files": [f"{stem}.cir"], "command": again}
    tile, voltages, ours, theirs = result.worst_case
    provenance = {"circuitmem": circuitmem.__version__, "stage": name, "seed": seed, "quick": quick}
    provenance["referee"] = referee
    limit = result.bound or LIMIT  # a stage of codes has the bound 0, but its currents differ by rounding
    save_case(folder / f"{stem}.npz", SavedCase(ReadCase(tile, voltages, ours), theirs, limit, provenance))
    if referee == "vacask":
        write_text(folder / f"{stem}.sim", vacask_netlist(tile, voltages[0])[0])
        return {"files": [f"{stem}.npz", f"{stem}.sim"], "command": f"circuitmem replay {stem}.npz --referee vacask"}
    write_text(folder / f"{stem}.cir", tile_netlist(tile, voltages[0]))
    return {"files": [f"{stem}.npz", f"{stem}.cir"], "command": f"circuitmem replay {stem}.npz"}


def _chosen(only: Sequence[str], referees: Sequence[RefereeName], own: Sequence[Stage]) -> list[Stage]:
    """Return the stages that a referee can compute, in their order: the named ones, else a chip's own, else all."""
    names = {stage.name: stage for stage in (*own, *STAGES)}
    for name in only:
        if name not in names:
            raise ValidationError("stage", f"must be one of {', '.join(names)}{did_you_mean(name, names)}", name)
        if not any(names[name].refereed_by(referee) for referee in referees):
            other = next(referee for referee in REFEREES if names[name].refereed_by(referee))
            raise ValidationError("referee", f"must be {other} for the stage {name}", referees[0])
    every = names if only or not own else {stage.name: stage for stage in own}
    able = {name: stage for name, stage in every.items() if any(stage.refereed_by(referee) for referee in referees)}
    return [stage for name, stage in able.items() if not only or name in only]
