"""The audit of a run: a random sample of its operations, repeated in a circuit simulator while the run goes on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from circuitmem._kernels.select import thread_count
from circuitmem.config import RunSpec
from circuitmem.control import Chip, ChipAuditor, Sample
from circuitmem.engine import (
    CONFIDENCE,
    REFEREES,
    AuditQueue,
    AuditRecord,
    RefereeName,
    referee_names,
    simulator_versions,
    stratified_bound,
)
from circuitmem.errors import SpiceUnavailableError
from circuitmem.rng import Purpose, stream
from circuitmem.training.checkpoint import load_state, restoring, save_state

__all__ = ["RunAudit", "load_sample", "sampler", "save_sample"]


SINGLE = 2e-5
"""Error that single precision may cause: that of 1024 x 1024 cells, relative to the largest current."""


class RunAudit:
    """Watches the chips of a run's methods, and has a sample of their operations repeated in circuit simulators.

    Parameters
    ----------
    spec : RunSpec
        The run.
    folder : path
        Folder of the run; operations whose error exceeds the limit are saved there.
    """

    def __init__(self, spec: RunSpec, folder: Path) -> None:
        self.spec = spec
        # Deliberate approximations of the run (reuse of matrices, single precision) widen the limit.
        self.limit = spec.audit.limit + spec.reuse_error + (SINGLE if spec.precision == "single" else 0.0)
        self._auditors: dict[str, ChipAuditor] = {}
        self._noted: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()
        self._folder = folder
        self._referees = referee_names(spec.audit.referee)
        # Starting a simulator takes a moment; the network is being trained meanwhile.
        asking = ThreadPoolExecutor(1)
        self._answer = asking.submit(_versions, spec)
        asking.submit(simulator_versions)  # for the run's provenance; the answer is cached
        asking.shutdown(wait=False)

    @cached_property
    def _queue(self) -> AuditQueue | None:
        if self.skipped is not None:
            return None
        workers = self.spec.audit.workers
        return AuditQueue(
            workers=workers,
            limit=self.limit,
            folder=self._folder,
            referees=self._referees,
            finishers=max(workers, thread_count()),
        )

    @property
    def _open(self) -> AuditQueue | None:
        """The queue, made when it is first needed."""
        with self._lock:
            return self._queue

    @property
    def skipped(self) -> str | None:
        """The reason why nothing is audited; None if operations are audited."""
        return self._answer.result()[1]

    def watch(self, chip: Chip, method: str, number: int) -> ChipAuditor:
        """Watch the chip of a method from now on."""
        auditor = sampler(self.spec, chip, number, lambda sample: self.take(method, sample))
        self._auditors[method] = auditor
        return auditor

    def take(self, method: str, sample: Sample) -> None:
        """Queue an operation of a method for a simulator, whichever process has chosen it."""
        queue = self._open
        if queue is not None:
            origin = {"seed": self.spec.seed, "method": method, **sample.provenance}
            name = f"{method}_{sample.name}"
            chosen = self._referee(f"{name} {sample.case.kind}")
            queue.add(sample.case, group=method, name=name, provenance=origin, referee=chosen)

    def note(self, method: str, seen: dict[str, int]) -> None:
        """Note the number of operations of each kind of a method that another process has carried out."""
        self._noted[method] = seen

    def _seen(self) -> dict[str, dict[str, int]]:
        """Return the number of operations of each kind by method, in the order in which the run declares them."""
        seen = self._noted | {method: auditor.seen for method, auditor in self._auditors.items()}
        return {method: seen[method] for method in self.spec.methods if method in seen}

    def _referee(self, operation: str) -> RefereeName:
        """Return the simulator that repeats an operation: drawn from its name, so that earlier ones do not matter."""
        coin = stream(self.spec.seed, Purpose.AUDIT, *operation.encode())
        return self._referees[int(coin.integers(len(self._referees)))]

    def stop(self) -> None:
        """End the simulators after the run was aborted."""
        with contextlib.suppress(Exception):  # an error is raised where the answer is used
            self._answer.result()
        queue = vars(self).get("_queue")
        if queue is not None:
            queue.finish(timeout=0.0)

    def so_far(self) -> dict[str, Any]:
        """Return the findings so far, while the simulators are still at work."""
        queue = self._open
        if queue is None:
            return {"skipped_reason": self.skipped}
        found = queue.record
        return {name: getattr(found, name) for name in ("reads", "pulse_trains", "largest_relative_error", "exceeded")}

    def finish(self) -> dict[str, Any]:
        """Wait until everything is computed; returns the audit's part of results.json."""
        queue = self._open
        total = AuditRecord(skipped_reason=self.skipped) if queue is None else queue.finish()
        methods = {method: self._method(method, seen) for method, seen in self._seen().items()}
        strata = [stratum for found in methods.values() for stratum in found.pop("strata")]
        return {
            **total.as_dict(),
            # Methods that run in parallel choose their operations in no defined order.
            "failures": sorted(total.failures),
            "files": sorted(Path(file).name for file in total.files),
            "referees": self._by_referee(),
            "limit": self.limit,
            "confidence": CONFIDENCE,
            "of_operations": sum(stratum[2] for stratum in strata),
            "fraction_bound": stratified_bound(strata) if total.operations else None,
            "methods": methods,
        }

    def _by_referee(self) -> dict[str, Any]:
        """Return the version, the operations and the largest errors of each simulator."""
        if self._queue is None:
            return {}
        records = {name: self._queue.record_of(referee=name) for name in self._referees}
        return {
            name: {
                "version": self._answer.result()[0][name],
                "reads": record.reads,
                "pulse_trains": record.pulse_trains,
                "largest_relative_error": record.largest_relative_error,
                "largest_state_error": record.largest_state_error,
            }
            for name, record in records.items()
        }

    def _method(self, method: str, seen: dict[str, int]) -> dict[str, Any]:
        if self._queue is None:
            records = {kind: AuditRecord() for kind in seen}
        else:
            records = {kind: self._queue.record_of(method, kind) for kind in seen}
        strata = [(records[kind].exceeded, records[kind].operations, seen[kind]) for kind in seen]
        known = [
            record.largest_relative_error for record in records.values() if record.largest_relative_error is not None
        ]
        states = [record.largest_state_error for record in records.values() if record.largest_state_error is not None]
        return {
            "reads": sum(record.reads for record in records.values()),
            "pulse_trains": sum(record.pulse_trains for record in records.values()),
            "largest_relative_error": max(known, default=None),
            "largest_state_error": max(states, default=None),
            "operations": sum(record.operations for record in records.values()),
            "exceeded": sum(record.exceeded for record in records.values()),
            "of_operations": sum(seen.values()),
            "fraction_bound": stratified_bound(strata) if known or states else None,
            "strata": strata,
        }


def sampler(spec: RunSpec, chip: Chip, number: int, take: Callable[[Sample], None]) -> ChipAuditor:
    """Watch the chip of a method from now on, and pass on the operations that the run's audit chooses.

    Parameters
    ----------
    spec : RunSpec
        The run.
    chip : Chip
        The chip.
    number : int
        Number of the method (:func:`circuitmem.training.recipes.method_number`).
    take : callable
        Called with each :class:`circuitmem.control.Sample`.
    """
    fraction, reads, pulses = spec.audited
    chip.context.auditor = ChipAuditor(
        take,
        fraction=fraction if spec.audit.tiles else 0.0,
        least=spec.audit.tiles,
        reads=reads,
        pulses=pulses,
        seed=spec.seed,
        key=(number,),
    )
    return chip.context.auditor


def save_sample(path: str | os.PathLike[str], auditor: ChipAuditor) -> None:
    """Save all operations that were chosen to one npz file."""
    save_state(Path(path), auditor.state(), "audit")


def load_sample(path: str | os.PathLike[str], auditor: ChipAuditor) -> None:
    """Restore an auditor from the file that :func:`save_sample` wrote.

    Raises
    ------
    DataFileError
        If the file is missing, corrupt, from another version, or not a sample of an audit.
    """
    saved = load_state(Path(path), "audit", auditor.state())
    with restoring(Path(path)):
        auditor.restore(saved)


def _versions(spec: RunSpec) -> tuple[dict[RefereeName, str], str | None]:
    """Return the version of each requested simulator, and the reason if nothing is audited."""
    found: dict[RefereeName, str] = {}
    if spec.audit.tiles == 0:
        return found, "audit.tiles is 0"
    for name in referee_names(spec.audit.referee):
        try:
            found[name] = REFEREES[name].probe().version
        except SpiceUnavailableError as error:
            return found, str(error)
    return found, None
