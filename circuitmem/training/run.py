"""The main job: one chip, one network, every method on the same defect map, and an audit in a circuit simulator.

A run is a folder. What is finished stays finished: the digital network and each method are written when they are done,
and a method leaves checkpoints while it runs. :func:`resume_run` does only what is missing, with the same result to the
last bit, because every random number is addressed by what it is for.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from circuitmem.config import RunSpec, needed_packages, to_toml
from circuitmem.control import Chip, Signals, Trace, check_devices, check_faults, check_vcd
from circuitmem.data import Dataset
from circuitmem.engine import software
from circuitmem.errors import DataFileError, RunBusyError, ValidationError
from circuitmem.files import is_leftover, load_npz, locked, remove_leftovers, save_npz, write_text
from circuitmem.network import HardwareNetwork, Perceptron, patches_of
from circuitmem.records import (
    EX_SITU_ARRAYS,
    DataRecord,
    Method,
    Results,
    Shape,
    read_arrays,
    read_config,
    read_record,
    write_record,
)
from circuitmem.training.audit import RunAudit, load_sample, save_sample
from circuitmem.training.checkpoint import Keeper, restoring, save_state
from circuitmem.training.data import load_data, located
from circuitmem.training.ex_situ import ExSituRecord, accuracy_percent, train_ex_situ
from circuitmem.training.methods import MethodResult, MethodRun, build_network, tile_count
from circuitmem.training.recipes import method_number, recipe_of
from circuitmem.training.run_warnings import find_warnings

__all__ = [
    "check_data",
    "check_new",
    "load_digital",
    "make_folder",
    "results_of",
    "resume_run",
    "run_provenance",
    "start_run",
]

_logger = logging.getLogger(__name__)

LOCK = ".lock"
"""File of a run folder that the process holds which works on it."""

Progress = Callable[[str, int, int], None]


def start_run(spec: RunSpec, folder: str | Path, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Make a new run folder and run everything; returns what ``results.json`` holds.

    Parameters
    ----------
    spec : RunSpec
        What to run.
    folder : path
        A folder that does not exist or is empty.
    progress : callable
        Called with (what, steps done, steps).

    Raises
    ------
    ValidationError
        If the folder holds something.
    DataFileError
        If the samples or the folder cannot be had.
    """
    path, spec = Path(folder), located(spec)
    progress("data", 0, 1)
    data = _data(spec)
    check_new(path)
    check_faults(spec.chip, tile_count(spec))
    check_devices(spec.chip)
    if spec.vcd:
        check_vcd()
    with make_folder(path, spec, data):
        return _run(spec, path, data, progress)


def resume_run(folder: str | Path, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Go on with a run that was interrupted; a finished run is returned as it is.

    Raises
    ------
    DataFileError
        If the folder is not a run, or a file of it is corrupt.
    """
    path = Path(folder)
    if (path / "begun.toml").is_file() and not (path / "config.toml").exists():  # killed between the first two files
        with _locked(path):
            write_text(path / "config.toml", to_toml(read_config(path, "begun.toml")))
    spec = read_config(path)
    with _locked(path):
        remove_leftovers(path)
        _check_unchanged(spec, path)
        if (path / "results.json").exists():
            return read_record(path / "results.json", Results)
        if spec.network.model:
            rule = (
                "must be left out for a run to be resumed: networks of torch have no checkpoints; begin in a new folder"
            )
            raise ValidationError("network.model", rule, spec.network.model)
        data = _data(spec)
        check_data(path, data)
        return _run(spec, path, data, progress)


@contextlib.contextmanager
def make_folder(path: Path, spec: RunSpec, data: Dataset) -> Iterator[None]:
    """Make the folder of a new run with what it is begun with, and hold its lock within this block.

    Raises
    ------
    ValidationError
        If the folder holds something.
    DataFileError
        If it cannot be made.
    """
    check_new(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(path, f"cannot be made: {error.strerror}") from None
    with _locked(path):
        check_new(path)  # nobody has begun here since
        remove_leftovers(path)
        write_text(path / "begun.toml", to_toml(spec))
        write_text(path / "config.toml", to_toml(spec))
        write_record(path / "data.json", data.record(), indent=None)
        yield


def check_data(path: Path, data: Dataset) -> None:
    """Refuse data that are not what a run was begun with; write down what they are if it does not know."""
    file = path / "data.json"
    if not file.exists():  # a run of an older version, or killed before it could say
        write_record(file, data.record(), indent=None)
        return
    before = read_record(file, DataRecord)
    if before["sha256"] != data.sha256:
        rule = f"must be {before['sha256'][:12]}..., as when the run was begun: {before['name']} has changed"
        raise ValidationError("data.sha256", rule, f"{data.sha256[:12]}...")


def check_new(path: Path) -> None:
    """Refuse a folder that holds more than what a run leaves that was killed before its first file was whole."""
    if path.exists() and (not path.is_dir() or any(p.name != LOCK and not is_leftover(p) for p in path.iterdir())):
        raise ValidationError("--out", "must be a new or empty folder; circuitmem resume goes on with a run", str(path))


def _locked(path: Path) -> AbstractContextManager[None]:
    return locked(path / LOCK, RunBusyError(f"{path}: another process works on this run"))


def _check_unchanged(spec: RunSpec, path: Path) -> None:
    """Refuse a configuration that is not what the run was begun with; a run of an older version does not know."""
    file = path / "begun.toml"
    if not file.exists():
        return
    before, now = (_flat(each.model_dump()) for each in (read_config(path, file.name), spec))
    for key in [*before, *now]:
        if before.get(key) != now.get(key):
            rule = f"must be {before.get(key)!r} in {path / 'config.toml'}, as when the run was begun"
            raise ValidationError(key, rule, repr(now.get(key)))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one, by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _data(spec: RunSpec) -> Dataset:
    return load_data(spec.data, spec.network, spec.seed)


def _run(spec: RunSpec, path: Path, data: Dataset, progress: Progress) -> dict[str, Any]:
    began = time.time()
    with ExitStack() as stack:
        audit = RunAudit(spec, path)
        stack.callback(audit.stop)
        # One BLAS thread: results must not depend on the number of threads, and the kernels have their own.
        stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
        model, training = _digital(spec, path, data, progress)
        digital = accuracy_percent(model.logits(data.test_inputs).argmax(axis=1), data.test_targets)
        write_record(path / "digital.json", {"accuracy_percent": digital})
        results: dict[str, MethodResult] = {}
        for name in spec.methods:
            progress(name, 0, spec.in_situ.epochs * recipe_of(spec, name).train + 1)  # before devices are made
            network = build_network(spec, model, data)
            results[name] = _method(name, spec, path, network, data, audit, progress)
        progress("audit", 0, 1)
        found = audit.finish()
        progress("audit", 1, 1)
    chance = float(np.bincount(data.test_targets).max() / len(data.test_targets))
    summary = results_of(spec, digital, results, found)
    summary["warnings"] = find_warnings(spec, digital, training, chance, results, len(data.train_inputs))
    write_record(path / "provenance.json", run_provenance(spec, data, began))
    write_record(path / "results.json", summary)
    return summary


def _digital(spec: RunSpec, path: Path, data: Dataset, progress: Progress) -> tuple[Perceptron, ExSituRecord | None]:
    """Train the starting weights, or load them if that was done before, and how it went if that is known."""
    file = path / "digital.npz"
    if not file.exists():
        training = ExSituRecord()
        model = train_ex_situ(
            spec.ex_situ,
            spec.network,
            data.train_inputs,
            data.train_targets,
            spec.seed,
            lambda done, total: progress("digital", done, total),
            training,
            data.validation,
        )
        layers = range(len(model.weights))
        arrays = {f"weights_{k}": model.weights[k] for k in layers}
        arrays |= {f"biases_{k}": model.biases[k] for k in layers}
        save_npz(file, arrays | {name: np.array(value) for name, value in asdict(training).items()})
    if not EX_SITU_ARRAYS.keys() & load_npz(file).keys():  # a run of an older version
        return load_digital(spec, path), None
    saved = read_arrays(file, EX_SITU_ARRAYS)
    return load_digital(spec, path), ExSituRecord(**{name: saved[name].item() for name in EX_SITU_ARRAYS})


def load_digital(spec: RunSpec, path: Path) -> Perceptron:
    """Load the starting weights of a run."""
    layers = range(len(spec.network.shapes))
    declared: dict[str, tuple[str, Shape]] = {}
    for k, shape in enumerate(spec.network.shapes):
        declared |= {f"weights_{k}": ("f", shape), f"biases_{k}": ("f", shape[1:])}
    saved: Any = read_arrays(path / "digital.npz", declared)
    weights, biases = ([saved[f"{name}_{k}"] for k in layers] for name in ("weights", "biases"))
    return Perceptron(weights, biases, patches_of(spec.network))


def _method(
    name: str,
    spec: RunSpec,
    path: Path,
    network: HardwareNetwork,
    data: Dataset,
    audit: RunAudit,
    progress: Progress,
) -> MethodResult:
    """Run a method, or load its result; the result file is written last and so says that all of it is there."""
    file = path / f"method_{name}.json"
    number = method_number(name)  # whatever the other methods of this run are
    auditor = audit.watch(network.chip, name, number)
    if file.exists():
        load_sample(path / f"audit_{name}.npz", auditor)
        return _finished(file)
    partial = path / f"partial_{name}.json"  # what a page shows of it while it runs
    keeper = Keeper(path, name, spec.checkpoint_interval)
    chip = network.chip
    made = {"method": {"chip": chip.state(), "network": network.state()}, "auditor": auditor.state()}
    saved, source = keeper.newest(made)
    states: dict[str, Any] = {"stuck": np.array([unit.tile.stuck for unit in chip.units])}

    def snapshot(key: str) -> None:
        states[key] = np.array([unit.tile.effective_conductance for unit in chip.units], dtype=np.float32)

    with ExitStack() as stack:
        records, saved = _open_records(stack, spec, path, name, chip, saved)

        def keep(ended: bool) -> None:
            if ended or keeper.due:
                parts = {"method": method.state(), "auditor": auditor.state(), "states": states}
                keeper.save(parts | {key: record.state() for key, record in records.items()})
            if ended:
                write_record(partial, method.result.as_dict() | {"audit_so_far": audit.so_far()})

        steps = functools.partial(progress, name)
        method = MethodRun(name, spec, network, data, steps, lambda: snapshot("before"), keep)
        if saved:
            with restoring(source):
                method.restore(saved["method"])
                auditor.restore(saved["auditor"])
                states = saved["states"]
        result = method.finish()
    snapshot("after")
    auditor.finish()
    save_sample(path / f"audit_{name}.npz", auditor)
    save_npz(path / f"state_{name}.npz", states)
    save_state(path / f"chip_{name}.npz", {"chip": chip.state(), "network": network.state()}, "chip")
    write_record(file, result.as_dict())
    keeper.clear()
    partial.unlink(missing_ok=True)
    return result


def _open_records(
    stack: ExitStack, spec: RunSpec, path: Path, name: str, chip: Chip, saved: dict[str, Any] | None
) -> tuple[dict[str, Trace | Signals], dict[str, Any] | None]:
    """Open a method's trace and signals where a checkpoint left them, or anew and without it if one of them is lost."""
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


def results_of(
    spec: RunSpec, digital: float, results: dict[str, MethodResult], audit: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of results.json, under the names that stay."""
    return {
        "seed": spec.seed,
        "accuracy_percent": {"digital": digital} | {name: r.accuracy_percent for name, r in results.items()},
        "simulated_time_s": {name: r.simulated_time_s for name, r in results.items()},
        "energy_j": {name: r.energy_j for name, r in results.items()},
        "pulses": {name: r.pulses for name, r in results.items()},
        "calibration_and_in_situ_against_in_situ": _comparison(results),
        "audit": audit,
        "history": {name: r.history for name, r in results.items()},
        "between": {name: r.between for name, r in results.items()},
        "confusion": {name: r.confusion for name, r in results.items()},
        "accounts": {name: r.accounts for name, r in results.items()},
        "phases": {name: r.phases for name, r in results.items()},
        "energy_by_part_aj": {name: r.energy_by_part for name, r in results.items()},
        "saturated_codes": {name: r.saturated_codes for name, r in results.items()},
        "calibration": {name: r.calibration for name, r in results.items()},
        "product_errors": {name: r.product_errors for name, r in results.items()},
        "reuse": {name: r.reuse for name, r in results.items()},
        "utilisation": {name: r.utilisation for name, r in results.items()},
    }


def _comparison(results: dict[str, MethodResult]) -> dict[str, float | None] | None:
    """Compare the two trained methods at equal epochs, and at the pulses that the thriftier of them spent.

    Between tests accuracy is interpolated linearly, but not before the first within or after an epoch, where it is no
    line: where the other method had spent as many pulses by then, ``equal_pulses_points`` is None.
    None instead of all if a run does not have both methods.
    """
    if not {"in_situ", "calibration_in_situ"} <= set(results):
        return None
    alone, both = results["in_situ"], results["calibration_in_situ"]
    pulses = float(min(alone.pulses, both.pulses))
    trained = [sorted((*r.history[1:], *r.between), key=lambda entry: entry["epoch"]) for r in (both, alone)]
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
    """Return the content of provenance.json of a run that began at a time [s] and ends now."""
    packages = needed_packages(spec)
    return {
        **software(),
        **({"packages": packages} if packages else {}),
        "data": {"name": data.name, "sha256": data.sha256, "licence": data.licence},
        "seed": spec.seed,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_time_s": round(time.time() - began, 1),
    }


def _finished(file: Path) -> MethodResult:
    found, known = read_record(file, Method), {field.name for field in fields(MethodResult)}
    return MethodResult(**{key: value for key, value in found.items() if key in known})  # a later version may add keys
