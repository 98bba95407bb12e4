"""Tuning of a study's methods, as its protocol declares: equally many trials for each, on separate defect maps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import exp, log
from typing import Any

from circuitmem.config import ProtocolSpec, SearchedSpec
from circuitmem.errors import CircuitmemError
from circuitmem.rng import Purpose, name_number, stream
from circuitmem.study.spec import Chosen, FactorLevel, Point, Study
from circuitmem.study.statistics import mean

__all__ = ["Trial", "choose", "failed_trials", "settings_tried", "trial_rows", "trials_due", "trials_of"]

COSTS = ("simulated_time_s", "energy_j", "pulses")
"""What a trial cost on its chip."""


@dataclass(frozen=True)
class Trial:
    """Some settings of one method, on one tuning map.

    Attributes
    ----------
    method : str
        Name of the method in the study.
    number : int
        Which trial of this method, from 0.
    settings : dict
        Values by dotted key.
    point : Point
        What is computed: this method alone, tested with validation samples.
    """

    method: str
    number: int
    settings: dict[str, Any]
    point: Point


def settings_tried(protocol: ProtocolSpec) -> dict[str, list[dict[str, Any]]]:
    """Return the settings of all trials of each method, in their order."""
    found = {}
    for method, searched in protocol.tune.items():
        if protocol.search == "grid":
            grid = product(*(own.values for own in searched.values()))
            found[method] = [dict(zip(searched, chosen, strict=True)) for chosen in grid]
        else:
            found[method] = [_drawn(protocol, method, searched, trial) for trial in range(protocol.trials)]
    return found


def _drawn(protocol: ProtocolSpec, method: str, searched: Mapping[str, SearchedSpec], trial: int) -> dict[str, Any]:
    """Draw the settings of a trial: they depend on the method, the trial and the first tuning seed alone."""
    rng = stream(protocol.first_tuning_seed, Purpose.TUNING, name_number(method), trial)
    found: dict[str, Any] = {}
    for key, own in searched.items():
        if own.low is None or own.high is None:
            found[key] = own.values[int(rng.integers(len(own.values)))]
        else:
            found[key] = float(f"{exp(rng.uniform(log(own.low), log(own.high))):.3g}")
    return found


def trials_of(study: Study) -> list[Trial]:
    """Return all trials of a study, map after map.

    Raises
    ------
    ValidationError
        If the run that one of them makes breaks a rule.
    """
    protocol = study.spec.protocol
    tried = settings_tried(protocol)
    return [
        Trial(method, number, settings, study.trial(levels, seed, method, settings))
        for seed in protocol.tuning_seeds
        for levels in study.tuned_combinations()
        for method, all_settings in tried.items()
        for number, settings in enumerate(all_settings)
    ]


def trials_due(
    trials: Sequence[Trial], records: Sequence[dict[str, Any]], halving: bool, *, guess: bool = False
) -> list[Trial]:
    """Return the trials that are due according to the records so far, including those that have a record.

    With ``halving`` (successive halving: Jamieson & Talwalkar, AISTATS 2016) the better half of a method's settings,
    rounded up, goes on to the next map, so that methods with equally many settings get equally many trials. The trials
    on a map are known when every due trial on the maps before it has a record. Settings that failed do not go on.

    Parameters
    ----------
    trials : sequence of Trial
        All trials of a study.
    records : sequence of dict
        Records of some of them.
    halving : bool
        Whether settings are eliminated from map to map; if not, all trials are due.
    guess : bool
        Whether to go on with the first half if the better half is not known yet, to count the trials that will be due.
    """
    if not halving:
        return list(trials)
    by_id = {record["id"]: record for record in records}
    due: set[int] = set()
    for own in _by_method(trials).values():
        left = list(dict.fromkeys(trial.number for trial in own))
        reached: dict[int, list[float]] = {number: [] for number in left}
        for seed in dict.fromkeys(trial.point.seed for trial in own):
            here = [trial for trial in own if trial.point.seed == seed and trial.number in left]
            due.update(id(trial) for trial in here)
            kept = (len(left) + 1) // 2
            if all(trial.point.id in by_id for trial in here):
                for trial in here:
                    record = by_id[trial.point.id]
                    if record["status"] == "finished":
                        reached[trial.number].append(record["tests"][trial.method])
                    else:
                        left.remove(trial.number)
                # Sorting is stable: of equally good settings the first goes on.
                left.sort(key=lambda number: -sum(reached[number]))
            elif not guess:
                break
            left = left[:kept]
    return [trial for trial in trials if id(trial) in due]


def _by_method(trials: Sequence[Trial]) -> dict[tuple[str, tuple[FactorLevel, ...]], list[Trial]]:
    """Return the trials of each method at each of its levels."""
    groups: dict[tuple[str, tuple[FactorLevel, ...]], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.method, tuple(trial.point.levels.values())), []).append(trial)
    return groups


def trial_rows(trials: Sequence[Trial], records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one table row for each trial on each map: settings as JSON, the accuracy reached, and the cost."""
    by_id, rows = {record["id"]: record for record in records}, []
    for trial in trials:
        record, point = by_id[trial.point.id], trial.point
        row: dict[str, Any] = {**point.levels, "method": trial.method, "trial": trial.number, "seed": point.seed}
        row |= {"settings": json.dumps(trial.settings), "status": record["status"]}
        found = record["status"] == "finished"
        row["validation_percent"] = record["tests"][trial.method] if found else None
        row |= {name: record["histories"][trial.method][-1][name] if found else None for name in COSTS}
        rows.append(row)
    return rows


def failed_trials(trials: Sequence[Trial], records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return method, settings, levels, seed and error of each trial that failed."""
    by_id = {record["id"]: record for record in records}
    return [
        {"point": t.point.id, "method": t.method, "settings": t.settings, "levels": t.point.levels}
        | {"seed": t.point.seed, **by_id[t.point.id]["error"]}
        for t in trials
        if by_id[t.point.id]["status"] == "failed"
    ]


def choose(trials: Sequence[Trial], records: Sequence[dict[str, Any]]) -> tuple[Chosen, list[dict[str, Any]]]:
    """Return the settings with the best mean accuracy on the validation samples, and the cost of finding them.

    Of equally good settings the first counts; those that failed on a map, or were eliminated on the way, do not count.

    Parameters
    ----------
    trials : sequence of Trial
        All trials that were due (:func:`trials_due`).
    records : sequence of dict
        A record of each.

    Raises
    ------
    CircuitmemError
        If all trials of a method failed.
    """
    by_id = {record["id"]: record for record in records}
    chosen: Chosen = {}
    tuned = []
    for (method, levels), own in _by_method(trials).items():
        found: dict[int, list[dict[str, Any]]] = {}
        for trial in own:
            found.setdefault(trial.number, []).append(by_id[trial.point.id])
        finished = {k: some for k, some in found.items() if all(record["status"] == "finished" for record in some)}
        maps = len({trial.point.seed for trial in own})
        good = {k: some for k, some in finished.items() if len(some) == maps}
        if not good:
            lost = next(trial.point for trial in own if by_id[trial.point.id]["status"] != "finished")
            error = lost.description, by_id[lost.id]["error"]["message"]
            raise CircuitmemError(f"all trials of {method} failed while it was tuned ({error[0]}: {error[1]})")
        percents = {k: mean([record["tests"][method] for record in some]) for k, some in finished.items()}
        best = max(good, key=lambda k: percents[k].mean)
        settings = next(trial.settings for trial in own if trial.number == best)
        chosen[method, levels] = settings
        ends = [record["histories"][method][-1] for some in finished.values() for record in some]
        tuned.append(
            {
                "method": method,
                "levels": own[0].point.levels,
                "settings": settings,
                "trials": len(found),
                "maps": len(found[best]),
                "failed": len(found) - len(finished),
                "percent": percents[best].mean,
                "half_width": percents[best].half_width if percents[best].count > 1 else None,
                "lowest_percent": min(each.mean for each in percents.values()),
                **{name: sum(end[name] for end in ends) for name in COSTS},
                "computing_time_s": round(sum(by_id[trial.point.id]["wall_time_s"] for trial in own), 2),
            }
        )
    return chosen, tuned
