"""Answers of the fast engine, some of them computed again in SPICE, and a record of how far the two were apart."""

from __future__ import annotations

import copy
import dataclasses
import queue
import threading
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config import PulseTrain
from circuitmem.engine.base import Engine, ProgrammingResult, Solution
from circuitmem.engine.spice import SpiceEngine
from circuitmem.errors import CircuitmemError, SpiceUnavailableError, ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.tile import Tile
from circuitmem.validation import finite_array, in_range, integer

__all__ = ["AuditQueue", "AuditRecord", "AuditedEngine", "relative_error"]

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class AuditRecord:
    """What an audit found.

    Attributes
    ----------
    reads : int
        Input vectors that were computed again.
    largest_relative_error : float or None
        Largest difference of a column current, relative to the largest current of its vector; None without reads.
    failures : tuple of str
        Messages of the re-computations that ngspice could not do.
    skipped_reason : str or None
        Why some or all of the audit was not done.
    """

    reads: int = 0
    largest_relative_error: float | None = None
    failures: tuple[str, ...] = ()
    skipped_reason: str | None = None


def relative_error(currents: Floats, reference: Floats) -> float:
    """Return the largest difference, relative to the largest reference current of the same vector; both (batch, n) A.

    A difference where the reference is all 0 counts as infinite, and so does what is not a number.
    """
    difference = np.abs(currents - reference).max(axis=1, initial=0.0)
    scale = np.abs(reference).max(axis=1, initial=0.0)
    ratio = np.divide(difference, scale, out=np.where(difference > 0.0, np.inf, 0.0), where=scale > 0.0)
    # What is not a number would pass every comparison with a limit.
    known = np.isfinite(difference) & np.isfinite(scale)
    return float(np.where(known, ratio, np.inf).max(initial=0.0))


class _Ledger:
    """Collects the outcomes of an audit."""

    def __init__(self) -> None:
        self.reads = 0
        self.largest: float | None = None
        self.failures: list[str] = []
        self.skipped: str | None = None

    def check(self, reference: Engine, tile: Tile, voltages: Floats, currents: Floats) -> None:
        """Compute ``voltages``, (batch, rows) V, again and compare with ``currents``, (batch, columns) A."""
        try:
            error = relative_error(currents, reference.read(tile, voltages))
        except SpiceUnavailableError as problem:
            self.skipped = problem.reason
        except CircuitmemError as problem:
            self.failures.append(str(problem))
        else:
            self.reads += len(voltages)
            self.largest = error if self.largest is None else max(self.largest, error)

    def record(self) -> AuditRecord:
        return AuditRecord(self.reads, self.largest, tuple(self.failures), self.skipped)


class AuditedEngine:
    """An engine whose answers are the behavioral engine's, while a random part of its reads is computed in SPICE too.

    What ngspice cannot do stands in the record; it does not stop the caller.

    Parameters
    ----------
    behavioral : Engine
        Gives the answers.
    spice : Engine
        Computes the audited vectors again.
    fraction : float
        Expected fraction of the read vectors that is audited, in [0, 1].
    seed : int
        Seed of the choice, >= 0.

    Raises
    ------
    ValidationError
        If the fraction or the seed breaks its rule.
    """

    name = "audited"

    def __init__(self, behavioral: Engine, spice: Engine, fraction: float, seed: int = 0) -> None:
        self._behavioral = behavioral
        self._spice = spice
        self._fraction = in_range("fraction", fraction, 0.0, 1.0)
        self._choice = stream(integer("seed", seed), Purpose.AUDIT)
        self._ledger = _Ledger()

    @property
    def record(self) -> AuditRecord:
        """What has been audited so far."""
        return self._ledger.record()

    def read(self, tile: Tile, voltages: ArrayLike) -> Floats:
        """Return the column currents, (batch, columns) or (columns,) A, for voltages (batch, rows) or (rows,) V."""
        currents = self._behavioral.read(tile, voltages)
        rows, columns = tile.spec.shape
        vectors = np.asarray(voltages, dtype=np.float64).reshape(-1, rows)
        chosen = self._choice.random(len(vectors)) < self._fraction
        if chosen.any():
            self._ledger.check(self._spice, tile, vectors[chosen], currents.reshape(-1, columns)[chosen])
        return currents

    def solve(self, tile: Tile, voltages: ArrayLike) -> Solution:
        """Return every node voltage and terminal current for driver voltages (batch, rows) or (rows,) V."""
        return self._behavioral.solve(tile, voltages)

    def transfer_matrix(self, tile: Tile) -> Floats:
        """Return W, (columns, rows) S; linear cells only."""
        return self._behavioral.transfer_matrix(tile)

    def program(self, tile: Tile, train: PulseTrain, *, samples: int = 0) -> ProgrammingResult:
        """Return what a pulse train does to a tile of ODE devices. Only reads are audited."""
        return self._behavioral.program(tile, train, samples=samples)


class AuditQueue:
    """Computes reads again in ngspice in the background, while the program goes on.

    ::

        audit = AuditQueue()
        audit.submit(tile, voltages, currents)   # as often as wanted
        record = audit.finish(timeout=60.0)

    Parameters
    ----------
    time_limit : float
        Seconds that ngspice may take for one submitted batch, > 0.
    """

    def __init__(self, time_limit: float = 600.0) -> None:
        self._engine = SpiceEngine(time_limit=time_limit)
        self._ledger = _Ledger()
        self._jobs: queue.SimpleQueue[tuple[Tile, Floats, Floats] | None] = queue.SimpleQueue()
        self._submitted = 0
        self._done = 0
        self._stopping = threading.Event()
        self._record: AuditRecord | None = None
        self._thread = threading.Thread(target=self._work, name="circuitmem-audit", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(timeout=0.0 if kind else None)

    def submit(self, tile: Tile, voltages: ArrayLike, currents: ArrayLike) -> None:
        """Queue a batch. The tile is audited as it is now, whatever is programmed into it later.

        Parameters
        ----------
        tile : Tile
            The tile that was read.
        voltages : (batch, rows) array_like
            Driver voltages [V].
        currents : (batch, columns) array_like
            Column currents [A] that the other engine found.

        Raises
        ------
        ValidationError
            If shapes disagree, a value is not finite, or the audit is finished.
        """
        if self._record is not None:
            raise ValidationError("audit", "must not be finished")
        rows, columns = tile.spec.shape
        checked = finite_array("voltages", voltages)
        if checked.ndim != 2 or checked.shape[1] != rows or len(checked) == 0:
            raise ValidationError("voltages", f"must have shape (batch, {rows})", checked.shape)
        found = finite_array("currents", currents, shape=(len(checked), columns))
        self._submitted += len(checked)
        # program() replaces the tile's arrays and never changes them, so that a shallow copy keeps this state.
        self._jobs.put((copy.copy(tile), checked, found))

    def finish(self, timeout: float | None = None) -> AuditRecord:
        """Wait until all is computed, at most ``timeout`` seconds, and return the record; what is left is skipped."""
        if self._record is None:
            self._jobs.put(None)
            self._thread.join(timeout)
            if self._thread.is_alive():
                self._stopping.set()
                while self._thread.is_alive():
                    self._engine.kill()
                    self._thread.join(0.1)
            self._record = self._ledger.record()
            left = self._submitted - self._done
            if left:
                when = f"within the {timeout:g} s given" if timeout is not None else "because the audit broke off"
                reason = f"{left} of {self._submitted} reads were not computed {when}"
                self._record = dataclasses.replace(self._record, skipped_reason=reason)
        return self._record

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and not self._stopping.is_set():
            failures = len(self._ledger.failures)
            if self._ledger.skipped is None:
                self._ledger.check(self._engine, *job)
            if self._stopping.is_set():
                # finish() has ended ngspice: that is no failure of the circuit.
                del self._ledger.failures[failures:]
            else:
                self._done += len(job[1])
        self._engine.close()
