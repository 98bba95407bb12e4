"""Provenance of a study's results, written beside the table and into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from circuitmem.engine import simulator_versions
from circuitmem.study.spec import Point, Study
from circuitmem.training import load_source
from circuitmem.versions import environment

__all__ = ["failures", "study_provenance"]


def study_provenance(
    study: Study, points: Sequence[Point], records: Sequence[dict[str, Any]], how: dict[str, Any]
) -> dict[str, Any]:
    """Return version, code of the points, kernels, ngspice, seeds, platform, times, and the declaration's hash.

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
    data = {job.run.data for point in points for job in point.jobs}
    sets = [load_source(spec, seed=1) for spec in sorted(data, key=repr)]
    times = [record["wall_time_s"] for record in records]
    return {
        "study": study.name,
        "title": study.spec.title,
        "quick": study.quick,
        "config_hash": study.config_hash,
        "points": len(points),
        "finished": sum(record["status"] == "finished" for record in records),
        "failed": failures(records),
        "methods": list(study.spec.methods),
        "declared_repeats": study.declared_repeats,
        "seeds": sorted({record["seed"] for record in records}),
        "test_samples": min(len(each.test_targets) for each in sets),
        "data": sorted({(each.name, each.sha256) for each in sets}),
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
