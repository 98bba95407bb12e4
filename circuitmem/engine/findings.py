"""The findings of audits: a running record, and one file for each operation beyond the limit."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import circuitmem
from circuitmem.engine.base import Engine
from circuitmem.engine.cases import Case, case_from_arrays, numbers_of
from circuitmem.engine.circuit import CircuitEngine, Site
from circuitmem.engine.confidence import fraction_bound
from circuitmem.engine.referees import RefereeName
from circuitmem.engine.state_case import StateCase
from circuitmem.errors import CircuitmemError, DataFileError, SpiceUnavailableError
from circuitmem.files import load_npz, save_npz
from circuitmem.validation import finite_array, in_range

__all__ = ["LIMIT", "AuditCheck", "AuditRecord", "Findings", "SavedCase", "load_case", "save_case", "site_of"]

Floats = NDArray[np.float64]

LIMIT = 1e-6
"""Default limit of the relative difference; the engines agree to 1e-9 for linear cells and to 1e-7 for others."""

_FORMAT = 1


@dataclass(frozen=True)
class AuditRecord:
    """The findings of an audit.

    Attributes
    ----------
    reads : int
        Number of input vectors that were computed again.
    largest_relative_error : float or None
        Largest difference of a column current, relative to the largest current of its vector; also of the power of a
        pulse and of the conductances after it. None if nothing was audited.
    failures : tuple of str
        Messages of the operations that the simulator could not compute.
    skipped_reason : str or None
        Reason why some or all of the audit was not done.
    pulse_trains : int
        Number of programming trains with pulses that were computed again.
    operations : int
        Number of operations that were audited.
    exceeded : int
        Number of audited operations with a difference beyond the limit.
    files : tuple of str
        One file for each operation beyond the limit, for ``circuitmem replay``.
    largest_state_error : float or None
        Largest difference of the states after pulses on ODE devices, relative to their range, or a tenth of the
        relative difference of the energies: each engine integrates these pulses with its own steps. None if none was
        audited.
    """

    reads: int = 0
    largest_relative_error: float | None = None
    failures: tuple[str, ...] = ()
    skipped_reason: str | None = None
    pulse_trains: int = 0
    operations: int = 0
    exceeded: int = 0
    files: tuple[str, ...] = ()
    largest_state_error: float | None = None

    @property
    def fraction_bound(self) -> float:
        """Upper 95 % confidence bound on the fraction of operations beyond the limit (:func:`fraction_bound`)."""
        return fraction_bound(self.exceeded, self.operations)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return asdict(self) | {"failures": list(self.failures), "files": list(self.files)}


@dataclass(frozen=True)
class SavedCase:
    """An operation that an audit saved to a file.

    Attributes
    ----------
    case : ReadCase, PulseCase or StateCase
        The operation, with the answer that was given.
    reference : ndarray
        The simulator's answer: currents (reads, columns) A, power (pulses,) W, or energies and states.
    limit : float
        Relative difference that was allowed.
    provenance : dict
        Origin of the operation.
    """

    case: Case
    reference: Floats
    limit: float
    provenance: dict[str, Any]


def save_case(path: str | os.PathLike[str], saved: SavedCase) -> None:
    """Save a case to one npz file, with a SHA-256 and without pickle."""
    extra = {
        "format": np.array(_FORMAT),
        "reference": saved.reference,
        "limit": np.array(saved.limit),
        "provenance": np.array(json.dumps(saved.provenance)),
    }
    save_npz(path, {**{f"case_{name}": array for name, array in saved.case.arrays().items()}, **extra})


def load_case(path: str | os.PathLike[str]) -> SavedCase:
    """Load a case that :func:`save_case` saved.

    Raises
    ------
    DataFileError
        If the file is missing, corrupt, or not such a case.
    """
    arrays: dict[str, Any] = dict(load_npz(path))
    try:
        if int(arrays["format"]) != _FORMAT:
            raise DataFileError(path, f"is of format {int(arrays['format'])}, not {_FORMAT}")
        parts = {name.removeprefix("case_"): array for name, array in arrays.items() if name.startswith("case_")}
        saved = SavedCase(
            case_from_arrays(parts),
            finite_array("reference", numbers_of(arrays, "reference")),
            in_range("limit", float(arrays["limit"]), 0.0),
            dict(json.loads(str(arrays["provenance"]))),
        )
        saved.case.errors(saved.reference)
    except DataFileError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataFileError(path, f"is not a saved operation ({' '.join(str(error).split())})") from None
    return saved


@dataclass(frozen=True)
class AuditCheck:
    """A case to be computed again.

    Attributes
    ----------
    case : ReadCase, PulseCase or StateCase
        The operation, with its answer.
    group : str
        Group of cases that it is counted in (:meth:`Findings.record`).
    number : int
        Its position in the record.
    name : str
        Part of the name of its file, if it is saved; its number when left out.
    each : bool
        Whether each of its reads was sampled independently, and so counts as one operation.
    provenance : mapping, optional
        Plain values for its file.
    referee : str
        Name of the simulator that computes it again.
    company : int, optional
        Number of its company: cases with the same number are computed together, in one process. None for a case that is
        computed by itself.
    """

    case: Case
    group: str = ""
    number: int = 0
    name: str = ""
    each: bool = False
    provenance: Mapping[str, Any] | None = None
    referee: RefereeName = "ngspice"
    company: int | None = None


def site_of(engine: Engine, case: Case) -> Site | None:
    """Return the site of a case's reads, shared by all cases that an engine computes with it; None if it is alone."""
    if isinstance(case, StateCase) or not isinstance(engine, CircuitEngine):
        return None
    sites = [engine.site(read.tile) for read in case.reads()]
    alike = [site for site in sites if site is not None]
    if len(alike) < len(sites):
        return None
    blocks = {site.block for site in alike}
    return alike[0]._replace(block=blocks.pop() if len(blocks) == 1 else None)


def _references(engine: Engine, cases: Sequence[Case]) -> list[Floats | CircuitmemError]:
    """Return an engine's answer to each case, or the error that it raised."""
    if len(cases) > 1:
        try:
            return list(_together(engine, cases))
        except CircuitmemError:
            pass  # the cases are tried one by one below, to find those that fail
    found: list[Floats | CircuitmemError] = []
    for case in cases:
        try:
            found.append(_together(engine, [case])[0])
        except CircuitmemError as problem:
            found.append(problem)
    return found


def _together(engine: Engine, cases: Sequence[Case]) -> list[Floats]:
    """Return an engine's answers to cases; a circuit simulator gets all their reads in one call."""
    if not isinstance(engine, CircuitEngine) or any(isinstance(case, StateCase) for case in cases):
        return [case.reference(engine) for case in cases]
    circuits = [case for case in cases if not isinstance(case, StateCase)]
    reads = [case.reads() for case in circuits]
    answers = iter(engine.terminals([read for some in reads for read in some]))
    return [case.answered([next(answers) for _ in some]) for case, some in zip(circuits, reads, strict=True)]


@dataclass(frozen=True)
class _Outcome:
    """The result of one case."""

    number: int
    group: str
    kind: str
    size: int
    referee: str
    limit: float = LIMIT
    of_states: bool = False
    errors: tuple[float, ...] = ()
    failure: str | None = None
    file: str | None = None


@dataclass
class Findings:
    """Collects the results of cases, from several threads.

    Attributes
    ----------
    limit : float
        Relative difference beyond which an operation is reported, >= 0.
    folder : path, optional
        Folder where operations beyond the limit are saved; they are not saved when left out.
    skipped : str or None
        Reason why no more cases are audited; None while they are.
    """

    limit: float = LIMIT
    folder: str | os.PathLike[str] | None = None
    skipped: str | None = None
    _outcomes: list[_Outcome] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, engine: Engine, *checks: AuditCheck) -> None:
        """Compute cases again, and note the differences or the reason why this failed.

        Parameters
        ----------
        engine : Engine
            The reference; a circuit simulator gets the circuits of all cases in one call.
        *checks : AuditCheck
            The cases, with what is to be noted about each.
        """
        for check, reference in zip(checks, _references(engine, [check.case for check in checks]), strict=True):
            self._note(check, reference)

    def _note(self, check: AuditCheck, reference: Floats | CircuitmemError) -> None:
        case = check.case
        kept = _Outcome(check.number, check.group, case.kind, case.size, check.referee)
        if isinstance(reference, SpiceUnavailableError):
            self.skipped = reference.reason
        elif isinstance(reference, CircuitmemError):
            self._add(replace(kept, failure=str(reference)))
        else:
            errors = case.errors(reference)
            worst, file = float(errors.max(initial=0.0)), None
            limit = self.limit if case.agreement is None else case.agreement
            if not worst <= limit and self.folder is not None:
                file = str(Path(self.folder) / f"audit_{check.name or check.number}_{case.kind}.npz")
                origin = {"circuitmem": circuitmem.__version__, "error": worst, "referee": check.referee}
                origin |= check.provenance or {}
                save_case(file, SavedCase(case, reference, limit, origin))
            found = tuple(errors.tolist()) if check.each else (worst,)
            states = case.agreement is not None
            self._add(replace(kept, limit=limit, of_states=states, errors=found, file=file))

    def record(self, group: str | None = None, kind: str | None = None, referee: str | None = None) -> AuditRecord:
        """Return the findings so far, optionally only for one group, one kind of operation or one referee."""
        with self._lock:
            outcomes = sorted(self._outcomes, key=lambda outcome: outcome.number)
        outcomes = [one for one in outcomes if group in (None, one.group) and kind in (None, one.kind)]
        outcomes = [one for one in outcomes if referee in (None, one.referee)]
        done = [outcome for outcome in outcomes if outcome.failure is None]
        errors = [(error, outcome) for outcome in done for error in outcome.errors]
        return AuditRecord(
            reads=sum(outcome.size for outcome in done if outcome.kind == "read"),
            largest_relative_error=max((error for error, one in errors if not one.of_states), default=None),
            largest_state_error=max((error for error, one in errors if one.of_states), default=None),
            failures=tuple(outcome.failure for outcome in outcomes if outcome.failure is not None),
            skipped_reason=self.skipped,
            pulse_trains=sum(outcome.kind == "pulse_train" for outcome in done),
            operations=len(errors),
            exceeded=sum(not error <= outcome.limit for error, outcome in errors),
            files=tuple(outcome.file for outcome in outcomes if outcome.file is not None),
        )

    def drop_failure(self, number: int) -> None:
        """Drop the failure of a case: it was caused by the end of the audit itself."""
        with self._lock:
            kept = [outcome for outcome in self._outcomes if outcome.number != number or outcome.failure is None]
            self._outcomes[:] = kept

    def _add(self, outcome: _Outcome) -> None:
        with self._lock:
            self._outcomes.append(outcome)
