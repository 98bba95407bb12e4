"""The methods of a run, for every kind of network: one after another or in parallel, each with its own files.

A method writes checkpoints while it runs; a finished one is loaded. Meanwhile a random sample of the operations is
repeated in a circuit simulator.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from circuitmem.config import RunSpec
from circuitmem.control import Chip, Signals, Trace
from circuitmem.data import Dataset
from circuitmem.engine.bridges import one_blas_thread
from circuitmem.errors import DataFileError
from circuitmem.files import save_npz
from circuitmem.records import MethodRecord, read_record, write_record
from circuitmem.training.audit import RunAudit, load_sample, save_sample
from circuitmem.training.beside import Crew, OnProgress, Watches
from circuitmem.training.checkpoint import Keeper, restoring, save_state
from circuitmem.training.ex_situ import ExSituRecord
from circuitmem.training.methods import Hooks, MethodResult
from circuitmem.training.recipes import method_number
from circuitmem.training.results import results_of, run_provenance
from circuitmem.training.run_warnings import find_warnings

__all__ = ["ResumableMethod", "Start", "carry_out", "carry_out_method", "summary_of"]

_logger = logging.getLogger(__name__)


class ResumableMethod(Protocol):
    """A method on its chip, which may have begun or not."""

    result: MethodResult

    @property
    def chip(self) -> Chip:
        """The chip; until the method begins it is as fabricated."""

    def state(self) -> dict[str, Any]:
        """Return everything that has changed since the job was made; it always has ``chip`` and ``network``."""

    def restore(self, state: Any) -> None:
        """Go back to what :meth:`state` returned, on a freshly made job."""

    def finish(self) -> MethodResult:
        """Do the rest of the method."""


@dataclass(frozen=True)
class Start:
    """The digital network of a run, and the functions that put it on a chip.

    Attributes
    ----------
    digital : dict
        Test result of the digital network: ``accuracy_percent``, or ``rmse`` and ``r2``.
    guessing : float
        The loss of guessing.
    make : callable
        Called with a method's name and its hooks; returns the job.
    steps : callable
        Called with a method's name; returns the number of steps of its progress.
    training : ExSituRecord, optional
        How the digital network was trained, if that is known.
    samples : int, optional
        Number of inputs that calibration can learn from.
    results, provenance : dict
        Further entries of the files of these names.
    each : dict
        Test result of the digital network for each of several values.
    """

    digital: dict[str, float]
    guessing: float
    make: Callable[[str, Hooks], ResumableMethod]
    steps: Callable[[str], int]
    training: ExSituRecord | None = None
    samples: int | None = None
    results: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    each: dict[str, list[float | None]] = field(default_factory=dict)


def carry_out(
    spec: RunSpec,
    path: Path,
    data: Dataset,
    begin: Callable[[], Start],
    progress: OnProgress,
    crew: Crew | None = None,
) -> dict[str, Any]:
    """Do the missing parts of a run in its folder; returns the content of ``results.json``.

    Parameters
    ----------
    spec : RunSpec
        The run.
    path : path
        Its folder; the caller holds its lock.
    data : Dataset
        Its data.
    begin : callable
        Trains the digital network, or loads it.
    progress : callable
        Called with (what, steps done, steps).
    crew : Crew, optional
        Processes that carry out methods beside this one.
    """
    began = time.time()
    with ExitStack() as stack:
        audit = RunAudit(spec, path)
        stack.callback(audit.stop)
        hands = stack.enter_context(Crew() if crew is None else crew)
        stack.enter_context(one_blas_thread())
        start = begin()
        write_record(path / "digital.json", start.digital)
        # In parallel the longest methods start first, so that none of them runs on alone at the end.
        order = sorted(spec.methods, key=start.steps, reverse=True) if hands.helpers else spec.methods
        found = hands.carry_out(
            order, lambda name: carry_out_method(name, spec, path, start, audit, progress), audit, progress
        )
        results = {name: found[name] for name in spec.methods}
        progress("audit", 0, 1)
        audited = audit.finish()
        progress("audit", 1, 1)
    summary = summary_of(spec, data, start, results, audited)
    write_record(path / "provenance.json", run_provenance(spec, data, began) | start.provenance)
    write_record(path / "results.json", summary)
    return summary


def summary_of(
    spec: RunSpec, data: Dataset, start: Start, results: dict[str, MethodResult], audit: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of ``results.json`` for a run whose methods are done."""
    summary = results_of(spec, start.digital, results, audit, start.each)
    if data.task == "classes":
        chance = float(np.bincount(data.test_targets).max() / len(data.test_targets))
        reached = start.digital["accuracy_percent"]
    else:  # R2 is the fraction of the way from predicting the mean to being exact
        chance, reached = 0.0, 100.0 * start.digital["r2"]
    found = find_warnings(spec, reached, start.training, chance, results, start.samples, start.guessing)
    return summary | {"warnings": found} | start.results


def carry_out_method(
    name: str, spec: RunSpec, path: Path, start: Start, audit: Watches, progress: OnProgress
) -> MethodResult:
    """Run a method, or load its result; the result file is written last, so its presence means that all files exist."""
    progress(name, 0, start.steps(name))  # before devices are made
    file = path / f"method_{name}.json"
    partial = path / f"partial_{name}.json"  # for the page that shows the method while it runs
    keeper = Keeper(path, name, spec.checkpoint_interval)
    records: dict[str, Trace | Signals] = {}
    states: dict[str, Any] = {}

    def snapshot(key: str) -> None:
        states[key] = np.array([unit.tile.effective_conductance for unit in chip.units], dtype=np.float32)

    def keep(ended: bool) -> None:
        if keeper.is_worth_it if ended else keeper.due:
            parts = {"method": job.state(), "auditor": auditor.state(), "states": states}
            keeper.save(parts | {key: record.state() for key, record in records.items()})
        if ended:
            write_record(partial, job.result.as_dict() | {"audit_so_far": audit.so_far()})

    def tidy() -> None:
        keeper.clear()
        partial.unlink(missing_ok=True)

    job = start.make(name, Hooks(functools.partial(progress, name), lambda: snapshot("before"), keep))
    chip = job.chip
    auditor = audit.watch(chip, name, method_number(name))  # the number does not depend on the run's other methods
    if file.exists():
        load_sample(path / f"audit_{name}.npz", auditor)
        tidy()  # the process that wrote the result may have been killed before it tidied up
        return _finished(file)
    made = {"method": _lasting(job), "auditor": auditor.state()}
    saved, source = keeper.newest(made)
    states["stuck"] = np.array([unit.tile.stuck for unit in chip.units])
    with ExitStack() as stack:
        records, saved = _open_records(stack, spec, path, name, chip, saved)
        if saved:
            with restoring(source):
                job.restore(saved["method"])
                auditor.restore(saved["auditor"])
                states = saved["states"]
        result = job.finish()
    snapshot("after")
    auditor.finish()
    save_sample(path / f"audit_{name}.npz", auditor)
    save_npz(path / f"state_{name}.npz", states)
    save_state(path / f"chip_{name}.npz", _lasting(job), "chip")
    write_record(file, result.as_dict())
    tidy()
    return result


def _lasting(job: ResumableMethod) -> dict[str, Any]:
    """Return the state of a job's chip and network, which exist from the beginning to the end."""
    state = job.state()
    return {"chip": state["chip"], "network": state["network"]}


def _open_records(
    stack: ExitStack, spec: RunSpec, path: Path, name: str, chip: Chip, saved: dict[str, Any] | None
) -> tuple[dict[str, Trace | Signals], dict[str, Any] | None]:
    """Open a method's trace and signals where a checkpoint left them, or new ones without it if one is lost."""
    number, shown, signals = method_number(name), path / f"trace_{name}.json.gz", path / f"signals_{name}.vcd"
    records: dict[str, Trace | Signals] = {}
    try:
        if spec.trace:
            trace = Trace(shown, name, number + 1, saved["trace"] if saved else None)
            records["trace"] = stack.enter_context(trace)
            chip.trace_to(trace)
        if spec.vcd:
            wires = Signals(signals, chip.resources, saved["vcd"] if saved else None)
            records["vcd"] = stack.enter_context(wires)
            chip.signal_to(wires)
    except DataFileError as error:
        if saved is None:
            raise
        _logger.warning("circuitmem: %s; %s begins again", error, name)
        for record in records.values():
            record.abandon()
        stack.pop_all()
        return _open_records(stack, spec, path, name, chip, None)
    return records, saved


def _finished(file: Path) -> MethodResult:
    found, known = read_record(file, MethodRecord), {field.name for field in fields(MethodResult)}
    return MethodResult(**{key: value for key, value in found.items() if key in known})  # a later version may add keys
