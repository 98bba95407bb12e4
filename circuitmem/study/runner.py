"""Computes the missing points of a study, on processes of this machine or on a Dask cluster, and writes its table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from circuitmem.errors import CircuitmemError, ValidationError, WorkerLostError
from circuitmem.registry import version_of
from circuitmem.study.cluster import run_on_cluster
from circuitmem.study.cost import estimate_seconds
from circuitmem.study.fingerprint import code_fingerprint
from circuitmem.study.inputs import Inputs
from circuitmem.study.local import run_locally
from circuitmem.study.provenance import failures, study_provenance
from circuitmem.study.spec import Chosen, Point, Study
from circuitmem.study.store import Store
from circuitmem.study.tuning import Trial, choose, failed_trials, trial_rows, trials_due, trials_of
from circuitmem.training import load_data, load_source
from circuitmem.training.data import check_classes
from circuitmem.validation import integer

__all__ = ["plan_study", "results_folder", "run_study"]


def results_folder(study: Study, out: str | Path | None = None) -> Path:
    """Return the folder of a study's results: ``out`` if given, else the study's own, or ``quick`` in it."""
    return Path(out) if out is not None else study.folder / "quick" if study.quick else study.folder


def plan_study(study: Study, out: str | Path | None = None, workers: int = 1) -> dict[str, Any]:
    """Return the points of a study, which of them have a record, and how long the others will take; writes nothing.

    If methods are tuned and trials are missing, the settings of the points are not known yet: the time is estimated
    with those of the first trials.

    Parameters
    ----------
    study, out, workers
        As in :func:`run_study`.

    Returns
    -------
    dict
        ``points`` and ``trials`` (``id``, ``levels``, ``seed``, ``status``, ``seconds``; trials have ``method`` and
        ``settings`` too), ``methods``, ``missing`` (number of both), ``workers``, ``seconds`` with that many workers,
        ``basis`` (of the estimate), ``other_code`` (number of points that other code than this computed), and
        ``other_inputs`` (of those that were computed from other content than data, weights and modules have now).
    """
    workers = integer("--workers", workers, 1)
    trials, store, inputs = trials_of(study), Store(results_folder(study, out), make=False), Inputs()
    store.check(study)
    records = store.records(_each_once(trials))
    due = trials_due(trials, records, study.spec.protocol.halving, guess=True)
    tried = _each_once(due)
    records = store.records(tried)
    chosen, _ = choose(due, records) if len(records) == len(tried) else (_of_first_trials(trials), [])
    points = study.points(chosen)
    _check_data([*tried, *points], fetch=False)
    records += store.records(points)
    by_id = {record["id"]: record for record in records}
    others = [point for point in (*tried, *points) if point.id in by_id and inputs.change(point, by_id[point.id])]
    seconds = estimate_seconds([*tried, *points], records, workers)
    missing = [point for point in (*tried, *points) if point.id not in by_id]
    longest = [max((seconds[p.id] for p in some if p.id not in by_id), default=0.0) for some in (tried, points)]

    def line(point: Point) -> dict[str, Any]:
        return {
            "id": point.id,
            "levels": point.levels,
            "seed": point.seed,
            "status": by_id[point.id]["status"] if point.id in by_id else "missing",
            "seconds": round(seconds[point.id], 2),
        }

    return {
        "study": study.name,
        "points": [line(point) for point in points],
        "trials": [line(each.point) | {"method": each.method, "settings": each.settings} for each in due],
        "methods": list(study.spec.methods),
        "missing": len(missing),
        "workers": workers,
        # All trials end before the first point begins.
        "seconds": round(max(sum(longest), sum(seconds[point.id] for point in missing) / workers), 1),
        "basis": f"measured with {len(by_id)} points" if by_id else "a rough estimate; none is finished yet",
        "other_code": _of_other_code(records),
        "other_inputs": len(others),
    }


def run_study(
    study: Study,
    out: str | Path | None = None,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    retry: bool = False,
    recompute: bool = False,
    collect: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Compute the points that have no record yet, then write the table of all points; returns a summary.

    If methods are tuned, all trials come first, and the points use the settings that the trials found. A point that
    fails leaves a record, and the others go on.

    Parameters
    ----------
    study : Study
        The study.
    out : path, optional
        Folder of the results; the study's own when left out.
    workers : int
        Processes of this machine, >= 1.
    scheduler : str, optional
        Address of a Dask scheduler, to compute on its workers instead.
    retry : bool
        Whether points that failed are computed again.
    recompute : bool
        Whether points are computed again that other code than this computed, or that were computed from other content
        than the user's data, weights and modules have now.
    collect : bool
        Whether to compute nothing, and only write the table of the points with a record (at least one).
    progress : callable
        Called with (what, points done, points); trials count as points.

    Returns
    -------
    dict
        ``study``, ``folder``, ``points``, ``finished``, ``trials``, ``computed`` (points and trials, by this call),
        ``failed``, ``failed_trials``, ``wall_time_s``, ``table``, and ``other_code`` (points and trials that other code
        than this computed).

    Raises
    ------
    ValidationError
        If a point or an argument breaks a rule, the folder is that of another study (nothing has begun then), there is
        nothing to collect, or a finished point was computed from other content than data, weights or modules have now.
    StudyBusyError
        If another process works in the folder.
    DataFileError
        If the samples cannot be loaded, the folder cannot be made, or a record is damaged.
    CircuitmemError
        If all trials of a method failed, or one was lost because its workers died.
    """
    began = time.time()
    workers = integer("--workers", workers, 1)
    trials, halving = trials_of(study), study.spec.protocol.halving
    tried, declared = _each_once(trials), study.points(_of_first_trials(trials))
    for name, given in (("--retry", retry), ("--recompute", recompute), ("--scheduler", scheduler)):
        if collect and given:
            raise ValidationError(name, "must be left out with --collect, which computes nothing", given)
    if not collect:
        _check_data([*tried, *declared])
    store, inputs = Store(results_folder(study, out), make=False), Inputs()
    store.check(study)
    if not collect:
        for point in (*tried, *declared):  # before anything is computed
            _is_missing(store, point, inputs, retry, recompute)
    else:
        kept = store.records(tried)
        due = trials_due(trials, kept, halving)
        if {trial.point.id for trial in due} - {record["id"] for record in kept}:
            raise ValidationError("--collect", "needs all trials of the tuning of this study", str(store.folder))
        if not store.records(study.points(choose(due, kept)[0])):
            raise ValidationError("--collect", "needs a finished point of this study in its folder", str(store.folder))
    store.make()
    done, computed = 0, 0
    total = len(_each_once(trials_due(trials, [], halving, guess=True))) + len(declared)

    def compute(points: Sequence[Point]) -> list[dict[str, Any]]:
        nonlocal done, computed
        found = {point.id: _is_missing(store, point, inputs, retry, recompute) for point in points}
        missing = [] if collect else [point for point in points if found[point.id]]
        done += len(points) - len(missing)
        computed += len(missing)
        progress(study.name, done, total)
        running = run_on_cluster(missing, scheduler) if scheduler is not None else run_locally(missing, workers)
        with closing(running):  # workers end with this loop, also when it is interrupted
            for point, record in running:
                changed = inputs.change(point, record)
                if changed is not None:  # while it was computed, or on another machine
                    raise changed
                store.save(record)
                done += 1
                progress(study.name, done, total)
        return store.records(points)

    with store.locked():
        tuning: list[dict[str, Any]] = []
        while True:  # with halving, once for each tuning map
            due = trials_due(trials, tuning, halving)
            known = {record["id"] for record in tuning}
            new = [point for point in _each_once(due) if point.id not in known]
            if not new:
                break
            tuning += compute(new)
            _check_none_lost(new, tuning)
        total = len(tuning) + len(declared)  # fewer, if settings failed or were drawn twice
        chosen, tuned = choose(due, tuning)
        store.write_trials(study, trial_rows(due, tuning))
        points = study.points(chosen)
        records = compute(points)
        how: dict[str, Any] = {"scheduler": scheduler} if scheduler is not None else {"workers": workers}
        if collect:  # who computed the points is not known
            how = {}
        how |= {"tuning": tuned} if tuned else {}
        table = store.write_table(study, records, study_provenance(study, points, records, how))
        store.pack([*_each_once(due), *points])
    return {
        "study": study.name,
        "folder": str(store.folder),
        "points": len(points),
        "finished": sum(record["status"] == "finished" for record in records),
        "trials": len(due),
        "computed": computed,
        "failed": failures(records),
        "failed_trials": failed_trials(due, tuning),
        "wall_time_s": round(time.time() - began, 1),
        "table": str(table),
        "other_code": _of_other_code([*tuning, *records]),
    }


def _each_once(trials: Sequence[Trial]) -> list[Point]:
    """Return the points of trials; two trials may have drawn the same settings."""
    return list({trial.point.id: trial.point for trial in trials}.values())


def _of_first_trials(trials: Sequence[Trial]) -> Chosen:
    """Return the settings of the first trial of each method at each of its levels, used until the best are known."""
    return {(each.method, tuple(each.point.levels.values())): each.settings for each in trials if each.number == 0}


def _is_missing(store: Store, point: Point, inputs: Inputs, retry: bool, recompute: bool) -> bool:
    """Say whether a point is to be computed; raise the error of one that was computed from other files than now."""
    record = store.load(point)
    if record is None:
        return True
    changed = inputs.change(point, record)
    if changed is not None and not recompute:
        raise changed
    other = changed is not None or _of_other_code([record]) > 0
    return (retry and record["status"] == "failed") or (recompute and other)


def _check_none_lost(points: Sequence[Point], records: Sequence[dict[str, Any]]) -> None:
    """Refuse to choose settings where a trial is not known: its workers died, which says nothing of its settings."""
    by_id = {record["id"]: record for record in records}
    lost = [p for p in points if by_id[p.id].get("error", {}).get("type") == WorkerLostError.__name__]
    if lost:
        message = by_id[lost[0].id]["error"]["message"]
        rule = f"lost {len(lost)} of its trials ({lost[0].description}: {message}); --retry computes them again"
        raise CircuitmemError(f"the tuning {rule}, and without them no settings are chosen")


def _of_other_code(records: Sequence[dict[str, Any]]) -> int:
    return sum(record.get("code") != code_fingerprint() or _of_other_packages(record) for record in records)


def _of_other_packages(record: dict[str, Any]) -> bool:
    """Say whether third-party packages that computed a point have another version now."""
    pairs = (package.split(" ", 1) for package in record.get("packages", ()))
    return any(version_of(name) != version for name, version in pairs)


def _check_data(points: list[Point], fetch: bool = True) -> None:
    """Check before anything is computed that the samples can be loaded; without ``fetch`` nothing is downloaded."""
    for data, network in {(job.run.data, job.run.network) for point in points for job in point.jobs}:
        if fetch or data.source != "download":
            if network.model:
                check_classes(load_source(data, seed=1))
            else:
                load_data(data, network, seed=1)
