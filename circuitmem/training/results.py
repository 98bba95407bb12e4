"""Content of the files of a finished run: ``results.json`` and ``provenance.json``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import numpy as np

from circuitmem.config import RunSpec, needed_packages
from circuitmem.data import Dataset
from circuitmem.engine import simulator_versions
from circuitmem.training.methods import MethodResult
from circuitmem.versions import environment

__all__ = ["results_of", "run_provenance"]


def results_of(
    spec: RunSpec,
    digital: dict[str, float],
    results: dict[str, MethodResult],
    audit: dict[str, Any],
    each: dict[str, list[float | None]],
) -> dict[str, Any]:
    """Return the content of results.json; its names stay the same in later versions.

    Scores of the digital network are in ``digital``, and those of each of several values in ``each``.
    """
    single = {"precision": spec.precision} if spec.precision != "double" else {}
    return {
        "seed": spec.seed,
        **single,
        **{key: {"digital": own} | {name: r.score[key] for name, r in results.items()} for key, own in digital.items()},
        **_of_targets(spec, each, results),
        "simulated_time_s": {name: r.simulated_time_s for name, r in results.items()},
        "energy_j": {name: r.energy_j for name, r in results.items()},
        "pulses": {name: r.pulses for name, r in results.items()},
        "calibration_and_in_situ_against_in_situ": _comparison(results),
        "audit": audit,
        "history": {name: r.history for name, r in results.items()},
        "between": {name: r.between for name, r in results.items()},
        "losses": {name: r.losses for name, r in results.items() if r.losses},
        **({"confusion": {name: r.confusion for name, r in results.items()}} if "accuracy_percent" in digital else {}),
        "accounts": {name: r.accounts for name, r in results.items()},
        "phases": {name: r.phases for name, r in results.items()},
        "energy_by_part_aj": {name: r.energy_by_part for name, r in results.items()},
        "saturated_codes": {name: r.saturated_codes for name, r in results.items()},
        "calibration": {name: r.calibration for name, r in results.items()},
        "product_errors": {name: r.product_errors for name, r in results.items()},
        "reuse": {name: r.reuse for name, r in results.items()},
        "utilisation": {name: r.utilisation for name, r in results.items()},
        **({"upkeep": {name: r.upkeep for name, r in results.items()}} if spec.use.after else {}),
    }


def _of_targets(
    spec: RunSpec, digital: dict[str, list[float | None]], results: dict[str, MethodResult]
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return the scores of each of several values by its name, or by its number if the data name none."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    if not digital or not all(r.each for r in results.values()):  # a method of an older version has none
        return found
    target = spec.data.target
    for key, own in digital.items():
        names = target if isinstance(target, tuple) else [str(place) for place in range(len(own))]
        every = {"digital": own} | {name: r.each[key] for name, r in results.items()}
        found[f"{key}_of_targets"] = {name: dict(zip(names, each, strict=True)) for name, each in every.items()}
    return found


def _comparison(results: dict[str, MethodResult]) -> dict[str, float | None] | None:
    """Compare the two trained methods at equal epochs, and at the number of pulses of the one that used fewer.

    Accuracy is interpolated linearly between tests, but not before the first test of training, where it does not follow
    a line: if the other method had already used more pulses by then, ``equal_pulses_points`` is None.
    The whole comparison is None if a run does not have both methods, trains neither, or predicts values.
    """
    if not {"in_situ", "calibration_in_situ"} <= set(results) or results["in_situ"].rmse is not None:
        return None
    alone, both = results["in_situ"], results["calibration_in_situ"]
    if max(len(alone.history), len(both.history)) < 2:  # in_situ.epochs = 0
        return None
    pulses = float(min(alone.pulses, both.pulses))
    # Tests within epochs only: an entry at a whole epoch is a test of a chip that has rested since.
    within = [[entry for entry in r.between if entry["epoch"] % 1.0] for r in (both, alone)]
    trained = [
        sorted((*r.history[1:], *own), key=lambda entry: entry["epoch"])
        for r, own in zip((both, alone), within, strict=True)
    ]
    points = None
    if all(history and history[0]["pulses"] <= pulses for history in trained):
        reached = [
            float(np.interp(pulses, [h["pulses"] for h in history], [h["accuracy_percent"] for h in history]))
            for history in trained
        ]
        points = reached[0] - reached[1]
    return {
        "equal_epochs_points": both.accuracy_percent - alone.accuracy_percent,
        "equal_pulses": pulses,
        "equal_pulses_points": points,
    }


def run_provenance(spec: RunSpec, data: Dataset, began: float) -> dict[str, Any]:
    """Return the content of provenance.json for a run that began at a given time [s] and ends now."""
    packages = needed_packages(spec)
    return {
        **environment(),
        **simulator_versions(),
        **({"packages": packages} if packages else {}),
        "data": {"name": data.name, "sha256": data.sha256, "licence": data.licence, "credit": data.credit},
        "seed": spec.seed,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_time_s": round(time.time() - began, 1),
    }
