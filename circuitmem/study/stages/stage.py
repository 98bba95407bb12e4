"""What a stage of the validation gets, and what it returns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from circuitmem.engine import Referee, RefereeName
from circuitmem.rng import Purpose, stream
from circuitmem.study.plots import Plot
from circuitmem.tile import Tile

__all__ = ["EngineRole", "Stage", "StageContext", "StageFunction", "StageResult", "apart"]

Floats = NDArray[np.float64]
EngineRole = Literal["behavioral", "referee"]
StageVerdict = Literal["pass", "undecided", "fail"]
MOST = 0.5
"""A stage that leaves more of its comparisons undecided than this has not passed."""


@dataclass(frozen=True)
class StageContext:
    """What a stage works with.

    Attributes
    ----------
    name : str
        The stage's name.
    referee : SpiceEngine or VacaskEngine
        The circuit simulator that the kernels are compared with.
    seed : int
        Seed of the random cases.
    quick : bool
        Fewer and smaller cases.
    report : callable
        Called with (cases done, cases).
    seconds : dict
        Wall time spent so far in each engine; see :meth:`timed`.
    """

    name: str
    referee: Referee
    seed: int
    quick: bool = False
    report: Callable[[int, int], None] = lambda *_: None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def simulator(self) -> str:
        """The referee's program, as figures name it."""
        return self.referee.simulator

    @contextmanager
    def timed(self, engine: EngineRole) -> Iterator[None]:
        """Add the wall time of the ``with`` block to that of an engine."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[engine] = self.seconds.get(engine, 0.0) + time.perf_counter() - began

    def stream(self, *key: int) -> np.random.Generator:
        """Open a random stream of this stage only: its cases do not change when other stages are added or removed."""
        return stream(self.seed, Purpose.VALIDATION, *self.name.encode(), *key)


@dataclass(frozen=True)
class StageResult:
    """The differences between the engines that a stage has found.

    Attributes
    ----------
    differences : sequence of float
        One per case.
    bound : float
        The largest difference allowed; 0 where a difference is the number of unequal answers.
    details : dict
        Further numbers for the record, by name.
    plots : sequence of Plot
        What the report shows of the stage.
    worst_case : tuple of (Tile, voltages, behavioral currents, SPICE currents), optional
        The reads of the case with the largest difference, to be saved for ``circuitmem replay``.
    netlist : str, optional
        Circuit of that case for plain ``ngspice -b``, if it is not a read.
    answers : sequence of ndarray
        One per case: what the referee computed, in the unit of the differences.
    size : (int, int), optional
        Rows and columns of the largest tile; None where there is no tile.
    """

    differences: Sequence[float]
    bound: float
    details: dict[str, Any] = field(default_factory=dict)
    plots: Sequence[Plot] = ()
    worst_case: tuple[Tile, Floats, Floats, Floats] | None = None
    netlist: str | None = None
    answers: Sequence[NDArray[Any]] = ()
    size: tuple[int, int] | None = None

    @property
    def worst(self) -> float | None:
        """The largest difference; None if one is not finite: max() would miss a NaN, and JSON cannot hold it."""
        return max(self.differences, default=None) if all(map(math.isfinite, self.differences)) else None

    @property
    def passed(self) -> bool:
        """Whether there was a case, and every difference is within the bound."""
        return bool(self.differences) and self.worst is not None and self.worst <= self.bound

    @property
    def verdict(self) -> StageVerdict:
        """``pass`` or ``fail``; ``undecided`` if all is within the bound, but most comparisons decide nothing."""
        if not self.passed:
            return "fail"
        return "undecided" if self.details.get("undecided_of_all", 0.0) > MOST else "pass"


def apart(one: StageResult, other: StageResult) -> float | None:
    """Return the largest difference between two referees' answers to the same cases; None if one is not finite."""
    found = 0.0
    for first, second in zip(one.answers, other.answers, strict=True):
        away = np.abs(first - second)
        found = max(found, float(np.count_nonzero(away))) if one.bound == 0.0 else np.maximum(found, away.max())
    return float(found) if math.isfinite(found) else None


StageFunction = Callable[[StageContext], StageResult]


@dataclass(frozen=True)
class Stage:
    """One comparison of the validation.

    Attributes
    ----------
    name : str
        Name in the table of results, from which its random cases are derived.
    about : str
        What is compared, in a sentence.
    run : callable
        Compares the engines.
    only : {"ngspice", "vacask"}, optional
        The only referee that can compute it; either when left out.
    """

    name: str
    about: str
    run: StageFunction
    only: RefereeName | None = None

    def refereed_by(self, referee: RefereeName) -> bool:
        """Say whether a referee can compute the stage."""
        return self.only in (None, referee)
