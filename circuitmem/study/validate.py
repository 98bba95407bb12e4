"""SPICE against behavioral, stage by stage."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import circuitmem
from circuitmem._kernels import kernel_info
from circuitmem.engine import SpiceEngine
from circuitmem.errors import DataFileError
from circuitmem.files import write_text
from circuitmem.study.stages import STAGES, Context, StageModule
from circuitmem.validation import integer

__all__ = ["validate_engines"]


def validate_engines(
    folder: str | Path, seed: int = 1, quick: bool = False, progress: Callable[[str, int, int], None] = lambda *_: None
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

    Raises
    ------
    ValidationError
        If the seed is not an integer >= 0.
    SpiceUnavailableError
        If there is no ngspice to compare with.
    DataFileError
        If the folder cannot be made.
    """
    seed = integer("seed", seed)
    library, began = SpiceEngine.probe(), time.time()
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(folder, f"cannot be made: {error.strerror}") from None
    with SpiceEngine() as spice:
        stages = [_run(stage, spice, seed, quick, progress) for stage in STAGES]
    record = {
        "stages": stages,
        "seed": seed,
        "quick": quick,
        "circuitmem": circuitmem.__version__,
        "kernels": kernel_info(),
        "ngspice": library.version,
        "platform": platform.platform(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_time_s": round(time.time() - began, 1),
    }
    write_text(Path(folder) / "validation.json", json.dumps(record, indent=2) + "\n")
    return record


def _run(
    module: StageModule, spice: SpiceEngine, seed: int, quick: bool, progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Run one stage and return its line of the record."""
    began = time.perf_counter()
    stage = module.run(Context(module.NAME, spice, seed, quick, lambda done, cases: progress(module.NAME, done, cases)))
    return {
        "stage": module.NAME,
        "cases": len(stage.differences),
        "worst": stage.worst,
        "bound": stage.bound,
        "pass": stage.passed,
        "wall_time_s": round(time.perf_counter() - began, 2),
        **stage.details,
    }
