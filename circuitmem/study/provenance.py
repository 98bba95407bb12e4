"""Provenance of a study's results, written beside the table and into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from circuitmem.engine import simulator_versions
from circuitmem.study.declared import points_hash
from circuitmem.study.inputs import data_used
from circuitmem.study.spec import Point, Study
from circuitmem.training import load_source
from circuitmem.versions import environment

__all__ = ["failures", "study_provenance"]


def study_provenance(
    study: Study, points: Sequence[Point], records: Sequence[dict[str, Any]], how: dict[str, Any]
) -> dict[str, Any]:
    """Return version, code, data, kernels, ngspice, seeds, platform, times, and hashes of the declaration.

    Parameters
    ----------
    study : Study
        The study.
    points : sequence of Point
        All declared points.
    records : sequence of dict
        Records of those that were computed.
    how : dict
        How it was run: workers or the scheduler, and tuning.
    """
    used = [data for record in records for data in record.get("data") or ()]
    # Records of older versions do not say with which data, and those of failed points may not: with those of now.
    silent = {record["id"] for record in records if not record.get("data")}
    specs = {job.run.data for point in points if point.id in silent for job in point.jobs}
    sets = [data_used(spec.source, load_source(spec, seed=1)) for spec in sorted(specs, key=repr)]
    files = {pair for record in records for pair in (record.get("files") or {}).items()}
    times = [record["wall_time_s"] for record in records]
    return {
        "study": study.name,
        "title": study.spec.title,
        "quick": study.quick,
        "config_hash": study.config_hash,
        "points_hash": points_hash(study),
        "points": len(points),
        "finished": sum(record["status"] == "finished" for record in records),
        "failed": failures(records),
        "methods": list(study.spec.methods),
        "declared_repeats": study.declared_repeats,
        "seeds": sorted({record["seed"] for record in records}),
        "test_samples": min(each["test_samples"] for each in [*used, *sets]),
        "data": sorted({(each["name"], each["sha256"]) for each in [*used, *sets]}),
        "files": sorted(files),
        "codes": dict(sorted(Counter(record.get("code", "not recorded") for record in records).items())),
        **environment(),
        **simulator_versions(),
        **how,
        "computing_time_s": round(sum(times), 1),
        "longest_point_s": max(times, default=0.0),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def failures(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return point, levels, seed and error of each point that failed."""
    return [
        {"point": record["id"], "levels": record["levels"], "seed": record["seed"], **record["error"]}
        for record in records
        if record["status"] == "failed"
    ]
