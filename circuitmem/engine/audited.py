"""Audits: a circuit simulator computes some of the fast engine's answers again, and the differences are recorded."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config import PulseTrain
from circuitmem.engine.base import Engine, ProgrammingResult, Solution
from circuitmem.engine.cases import Case, ReadCase, relative_errors
from circuitmem.engine.circuit import Site
from circuitmem.engine.findings import LIMIT, AuditCheck, AuditRecord, Findings, site_of
from circuitmem.engine.referees import REFEREES, Referee, RefereeName
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.tile import Tile
from circuitmem.validation import finite_array, in_range, integer

__all__ = ["AuditQueue", "AuditRecord", "AuditedEngine", "relative_error"]

Floats = NDArray[np.float64]


def relative_error(currents: Floats, reference: Floats) -> float:
    """Return the largest value of :func:`relative_errors` for two (batch, n) arrays."""
    return float(relative_errors(currents, reference).max(initial=0.0))


def _as_it_is(tile: Tile) -> Tile:
    """Return a copy of a tile in its present state, because pulses change a tile in place."""
    return Tile(tile.spec, tile.conductance, tile.defects)


class _Finished(ABC):
    """A context manager that finishes at the end of its ``with`` statement; after an error it does not wait."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(timeout=0.0 if kind else None)

    @abstractmethod
    def finish(self, timeout: float | None = None) -> AuditRecord:
        """Wait until everything is computed, at most ``timeout`` seconds, and return the record."""


AT_ONCE = 96
"""Most input vectors that one process computes: about three seconds at 64x64 cells, of which a tenth of a second is the
fixed cost of a process."""

ENOUGH, PATIENCE = 80, 2.0
"""Number of waiting operations that start a process at once, and the time that fewer wait for more to come [s]."""

FEWEST = 24
"""Fewest input vectors that are worth another process when the program waits for the last ones."""


class AuditQueue(_Finished):
    """Computes operations again in a circuit simulator in the background, while the program goes on.

    ::

        audit = AuditQueue()
        audit.submit(tile, voltages, currents)   # as often as wanted
        print(audit.record)                      # so far
        record = audit.finish(timeout=60.0)

    Parameters
    ----------
    time_limit : float
        Seconds that a simulator may take for one submitted batch, > 0.
    workers : int
        Processes of each simulator at once, >= 1.
    niceness : int
        Niceness of these processes, 0 to 19: higher values leave more processor time to the program itself.
    limit : float
        Relative difference beyond which an operation is reported, >= 0.
    folder : path, optional
        Folder where such operations are saved, for ``circuitmem replay``.
    referees : sequence of str
        The simulators, ``ngspice`` or ``vacask``; operations that name no referee go to the first.
    finishers : int, optional
        Processes of each simulator at once while :meth:`finish` waits for them, >= ``workers``; ``workers`` when left
        out.
    """

    def __init__(
        self,
        time_limit: float = 600.0,
        *,
        workers: int = 1,
        niceness: int = 10,
        limit: float = LIMIT,
        folder: str | os.PathLike[str] | None = None,
        referees: Sequence[RefereeName] = ("ngspice",),
        finishers: int | None = None,
    ) -> None:
        self._finishers = workers if finishers is None else integer("finishers", finishers, minimum=workers)
        self._engines: dict[RefereeName, Referee] = {
            name: REFEREES[name](time_limit=time_limit, workers=workers, niceness=niceness) for name in referees
        }
        self._findings = Findings(in_range("limit", limit, 0.0), folder)
        self._waiting: deque[AuditCheck] = deque()
        self._companies: list[tuple[RefereeName, Site]] = []
        self._closed = False
        self._submitted: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._numbered = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._stopping = threading.Event()
        self._record: AuditRecord | None = None
        self._threads: list[threading.Thread] = []
        self._employ(workers)

    def _employ(self, workers: int) -> None:
        """Start threads until there are ``workers``; each has one case, or one company of cases, computed at a time."""
        new = [
            threading.Thread(target=self._work, name="circuitmem-audit", daemon=True)
            for _ in range(workers - len(self._threads))
        ]
        self._threads += new
        for thread in new:
            thread.start()

    @property
    def limit(self) -> float:
        """Relative difference beyond which an operation is reported."""
        return self._findings.limit

    @property
    def record(self) -> AuditRecord:
        """The findings so far."""
        return self._findings.record() if self._record is None else self._record

    def record_of(
        self, group: str | None = None, kind: str | None = None, referee: RefereeName | None = None
    ) -> AuditRecord:
        """Return the findings so far, optionally only for one group, one kind of case or one referee.

        Parameters
        ----------
        group : str, optional
            Group of the cases, for instance one method; all groups when left out.
        kind : str, optional
            Kind of case, for instance ``"read"``; all kinds when left out.
        referee : {"ngspice", "vacask"}, optional
            Simulator that computed the cases again; all when left out.
        """
        return self._findings.record(group, kind, referee)

    def submit(self, tile: Tile, voltages: ArrayLike, currents: ArrayLike, *, each: bool = False) -> None:
        """Queue a batch of reads. The tile is audited in its present state, even if it is programmed later.

        Parameters
        ----------
        tile : Tile
            The tile that was read.
        voltages : (batch, rows) array_like
            Driver voltages [V].
        currents : (batch, columns) array_like
            Column currents [A] that the other engine computed.
        each : bool
            Whether each read was sampled independently, and so counts as one operation.

        Raises
        ------
        ValidationError
            If shapes disagree, a value is not finite, or the audit is finished.
        """
        rows, columns = tile.spec.shape
        checked = finite_array("voltages", voltages)
        if checked.ndim != 2 or checked.shape[1] != rows or len(checked) == 0:
            raise ValidationError("voltages", f"must have shape (batch, {rows})", checked.shape)
        found = finite_array("currents", currents, shape=(len(checked), columns))
        self.add(ReadCase(_as_it_is(tile), checked, found), each=each)

    def add(
        self,
        case: Case,
        *,
        group: str = "",
        name: str = "",
        each: bool = False,
        provenance: Mapping[str, Any] | None = None,
        referee: RefereeName | None = None,
    ) -> None:
        """Queue an operation; the other arguments are as in :class:`AuditCheck`."""
        if self._record is not None:
            raise ValidationError("audit", "must not be finished")
        chosen = next(iter(self._engines)) if referee is None else referee
        site = site_of(self._engines[chosen], case)
        with self._lock:
            amount = case.size if case.kind == "read" else 1
            self._submitted[case.kind] = self._submitted.get(case.kind, 0) + amount
            number, self._numbered = self._numbered, self._numbered + 1
            company = None if site is None else self._company(chosen, site)
            self._waiting.append(AuditCheck(case, group, number, name, each, provenance, chosen, company))
            self._changed.notify()

    def finish(self, timeout: float | None = None) -> AuditRecord:
        """Wait for the results, at most ``timeout`` seconds, and return the record; operations left are skipped."""
        if self._record is None:
            with self._lock:
                self._closed = True
                self._changed.notify_all()
            if timeout is None:  # the program does nothing else meanwhile
                for engine in self._engines.values():
                    engine.widen(self._finishers)
                self._employ(self._finishers)
            deadline = None if timeout is None else time.monotonic() + timeout
            for thread in self._threads:
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            while any(thread.is_alive() for thread in self._threads):
                self._stopping.set()
                for engine in self._engines.values():
                    engine.kill()
                self._threads[-1].join(0.1)
            for engine in self._engines.values():
                engine.close()
            record = self._findings.record()
            left = [
                f"{count - self._done.get(kind, 0)} of {count} {kind.replace('_', ' ')}s"
                for kind, count in self._submitted.items()
                if count > self._done.get(kind, 0)
            ]
            if left:
                when = f"within the {timeout:g} s given" if timeout is not None else "because the audit broke off"
                reason = f"{' and '.join(left)} were not computed {when}"
                record = dataclasses.replace(record, skipped_reason=record.skipped_reason or reason)
            self._record = record
        return self._record

    def _work(self) -> None:
        while (checks := self._next()) and not self._stopping.is_set():
            if self._findings.skipped is None:
                self._findings.check(self._engines[checks[0].referee], *checks)
            for check in checks:
                if self._stopping.is_set():
                    # finish() has ended the simulator, so this is not a failure of the circuit.
                    self._findings.drop_failure(check.number)
                    continue
                amount = check.case.size if check.case.kind == "read" else 1
                with self._lock:
                    self._done[check.case.kind] = self._done.get(check.case.kind, 0) + amount

    def _company(self, referee: RefereeName, site: Site) -> int:
        """Return the number of the company of cases at one referee and site: they are computed together."""
        if (referee, site) not in self._companies:
            self._companies.append((referee, site))
        return self._companies.index((referee, site))

    def _next(self) -> list[AuditCheck]:
        """Wait, and take the next case from the queue, or as much as fits of the largest company that waits."""
        with self._changed:
            self._wait()
            if not self._waiting:
                return []
            if self._waiting[0].company is None:
                return [self._waiting.popleft()]
            companies = Counter(check.company for check in self._waiting if check.company is not None)
            company = companies.most_common(1)[0][0]
            most = self._at_once(company)
            chosen, size, left = list[AuditCheck](), 0, deque[AuditCheck]()
            for check in self._waiting:
                if check.company == company and (not chosen or size + check.case.size <= most):
                    chosen.append(check)
                    size += check.case.size
                else:
                    left.append(check)
            self._waiting = left
            return chosen

    def _at_once(self, company: int | None) -> int:
        """Return how many vectors of a company one process takes; at the end they are shared among all processes."""
        if not self._closed or self._finishers == 1:
            return AT_ONCE
        left = sum(check.case.size for check in self._waiting if check.company == company)
        return min(AT_ONCE, max(FEWEST, -(-left // self._finishers)))

    def _wait(self) -> None:
        """Wait for a case, for more of them if it can be computed with others, or until no more will come."""
        while not self._closed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._waiting and self._waiting[0].company is not None:
                self._changed.wait_for(lambda: self._closed or len(self._waiting) >= ENOUGH, PATIENCE)
            if self._waiting:  # another thread may have taken them meanwhile
                return


class AuditedEngine(_Finished):
    """An engine that answers like the behavioral engine, and computes a random sample of its reads in SPICE as well.

    If the simulator fails, that is noted in the record and does not stop the caller. When given to a :class:`Chip`, it
    audits that fraction of the chip's reads and of its pulse trains.

    Parameters
    ----------
    behavioral : Engine
        The engine whose answers are returned.
    spice : Engine, optional
        Engine that computes the audited vectors again, within the same call. When left out, ngspice does so in the
        background, in the audit's own worker processes; :meth:`finish` waits for them.
    fraction : float
        Expected fraction of the read vectors that is audited, in [0, 1].
    seed : int
        Seed for the random choice, >= 0.
    limit : float
        Relative difference beyond which an operation is reported, >= 0.
    folder : path, optional
        Folder where such operations are saved, for ``circuitmem replay``.

    Raises
    ------
    ValidationError
        If the fraction, the seed or the limit breaks its rule.
    """

    name = "audited"

    def __init__(
        self,
        behavioral: Engine,
        spice: Engine | None = None,
        fraction: float = 0.01,
        seed: int = 0,
        *,
        limit: float = LIMIT,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.behavioral = behavioral
        self._spice = spice
        self.fraction = in_range("fraction", fraction, 0.0, 1.0)
        self.seed = integer("seed", seed)
        self._choice = stream(self.seed, Purpose.AUDIT)
        self._findings = Findings(in_range("limit", limit, 0.0), folder)
        self._numbered = 0
        self._queue = AuditQueue(limit=limit, folder=folder) if spice is None else None

    @property
    def record(self) -> AuditRecord:
        """The findings so far."""
        return self._findings.record() if self._queue is None else self._queue.record

    def finish(self, timeout: float | None = None) -> AuditRecord:
        """Wait for the background computations, at most ``timeout`` seconds, and return the record."""
        return self.record if self._queue is None else self._queue.finish(timeout)

    def audit(
        self, case: Case, *, each: bool = False, name: str = "", provenance: Mapping[str, Any] | None = None
    ) -> None:
        """Compute an operation again, now or in the background.

        Parameters
        ----------
        case : ReadCase, PulseCase or StateCase
            The operation, with its answer.
        each : bool
            Whether each of its reads was sampled independently, and so counts as one operation.
        name : str
            Part of the name of the file in which the case is saved if it differs; its number when left out.
        provenance : mapping, optional
            The origin of the case, to be saved in that file.
        """
        if self._queue is not None:
            self._queue.add(case, each=each, name=name, provenance=provenance)
            return
        assert self._spice is not None
        check = AuditCheck(case, number=self._numbered, each=each, name=name, provenance=provenance)
        self._findings.check(self._spice, check)
        self._numbered += 1

    def read(self, tile: Tile, voltages: ArrayLike) -> Floats:
        """Return the column currents, (batch, columns) or (columns,) A, for voltages (batch, rows) or (rows,) V."""
        currents = self.behavioral.read(tile, voltages)
        rows, columns = tile.spec.shape
        vectors = np.asarray(voltages, dtype=np.float64).reshape(-1, rows)
        chosen = self._choice.random(len(vectors)) < self.fraction
        if chosen.any():
            found = currents.reshape(-1, columns)[chosen]
            self.audit(ReadCase(_as_it_is(tile), vectors[chosen], found), each=True)
        return currents

    def solve(self, tile: Tile, voltages: ArrayLike) -> Solution:
        """Return every node voltage and terminal current for driver voltages (batch, rows) or (rows,) V."""
        return self.behavioral.solve(tile, voltages)

    def transfer_matrix(self, tile: Tile) -> Floats:
        """Return W, (columns, rows) S; linear cells only."""
        return self.behavioral.transfer_matrix(tile)

    def program(self, tile: Tile, train: PulseTrain, *, samples: int = 0) -> ProgrammingResult:
        """Return what a pulse train does to a tile of ODE devices; this is not audited.

        Parameters
        ----------
        tile, train, samples
            As in :meth:`Engine.program`.
        """
        return self.behavioral.program(tile, train, samples=samples)
