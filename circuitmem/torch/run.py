"""A run of a user's own network: ``[network] model`` and ``weights``; without weights it is trained on a computer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch

from circuitmem.config import RunSpec
from circuitmem.control import check_devices, check_vcd
from circuitmem.engine import Engine
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import save_npz, sha256_of_file
from circuitmem.network import NetworkSummary
from circuitmem.records import Begun, Results, Weights, read_record, write_record
from circuitmem.torch.bring_up import JOINED
from circuitmem.torch.convert import prepared
from circuitmem.torch.ex_situ import check_trainable, train_digital
from circuitmem.torch.examples import Examples
from circuitmem.torch.observe import drawing
from circuitmem.torch.plan import RunPlan, one_thread, outputs_of
from circuitmem.torch.product import checked_methods
from circuitmem.torch.source import check_begun, sha256_of_weights, sources_of
from circuitmem.torch.state import as_array
from circuitmem.torch.summary import summary
from circuitmem.torch.weights import build_model, load_weights
from circuitmem.training import load_source
from circuitmem.training.beside import OnProgress
from circuitmem.training.carry_out import Start, carry_out
from circuitmem.training.data import located
from circuitmem.training.ex_situ import ExSituRecord
from circuitmem.training.run_folder import check_data, check_new, check_same_data, go_on_in, make_folder

__all__ = ["begin_model", "load_model", "resume_model_run", "start_model_run", "summarize_model", "train_model"]


def start_model_run(spec: RunSpec, folder: str | Path, progress: OnProgress = lambda *_: None) -> dict[str, Any]:
    """Make a new run folder and run all methods on a user's network; returns what ``results.json`` holds.

    Parameters
    ----------
    spec : RunSpec
        What to run; it has a ``network.model``.
    folder : path
        A folder that does not exist or is empty.
    progress : callable
        Called with (what, steps done, steps).

    Raises
    ------
    ValidationError
        If the configuration asks for what such runs cannot do, or the network does not fit its weights or its data.
    DataFileError
        If a file cannot be obtained.
    """
    path, spec = Path(folder), _resolved(located(spec))
    check_new(path)
    check_devices(spec.chip)
    if spec.vcd:
        check_vcd()
    progress("data", 0, 1)
    with one_thread():
        examples, model = _examples(spec), build_model(spec)
        if spec.network.weights is not None:
            load_weights(model, spec.network.weights)
        plan = _plan(spec, model, examples)
        with make_folder(path, spec, examples.data):
            write_record(path / "model.json", _begun_with(spec, model))
            return _run(plan, path, progress)


def resume_model_run(folder: str | Path, progress: OnProgress = lambda *_: None) -> dict[str, Any]:
    """Continue an interrupted run of a user's network; a finished run is returned unchanged.

    Raises
    ------
    DataFileError
        If the folder is not a run, or a file of it is corrupt.
    ValidationError
        If the configuration, the data, the source of the network or its weights are not what the run was begun with.
    """
    path = Path(folder)
    with go_on_in(path) as spec, one_thread():
        if (path / "results.json").exists():
            return read_record(path / "results.json", Results)
        file = path / "model.json"
        before = read_record(file, Begun) if file.exists() else None
        if before is not None and before["model"] is None:
            rule = "must be given to circuitmem.evaluate(..., out=, resume=True), which the run was begun by"
            raise ValidationError("model", rule)
        examples = _examples(spec)
        check_data(path, examples.data)
        model = build_model(spec)
        now = _begun_with(spec, model)
        if before is not None:
            check_begun(before, now)
        else:  # killed before the file was written
            write_record(file, now)
        if not (path / "weights.npz").exists() and spec.network.weights is not None:
            load_weights(model, spec.network.weights)
        return _run(_plan(spec, model, examples), path, progress)


def begin_model(
    spec: RunSpec,
    progress: OnProgress = lambda *_: None,
    engine: Engine | None = None,
    trained: tuple[torch.nn.Module, Examples] | None = None,
) -> RunPlan:
    """Return an object that puts the trained network of a configuration on chips, without a folder.

    Parameters
    ----------
    spec : RunSpec
        The run; it has a ``network.model``.
    progress : callable
        Called with (what, steps done, steps).
    engine : Engine, optional
        Engine that computes circuits, instead of the one that the run names.
    trained : optional
        What :func:`train_model` returned for the run.
    """
    model, examples = train_model(spec, progress) if trained is None else trained
    return RunPlan(_resolved(spec), model, examples, engine=engine)


def train_model(spec: RunSpec, progress: OnProgress = lambda *_: None) -> tuple[torch.nn.Module, Examples]:
    """Return the network of a configuration, with weights from its file or trained here, and its examples."""
    examples, model = _examples(spec), build_model(spec)
    if spec.network.weights is not None:
        load_weights(model, spec.network.weights)
    else:
        fitted = _plan(_resolved(spec), model, examples).examples  # refuses what cannot run, before it is trained
        train_digital(model, fitted, spec.ex_situ, spec.seed, lambda done, total: progress("digital", done, total))
    return model, examples


def load_model(folder: str | Path, spec: RunSpec) -> RunPlan:
    """Return an object that puts the network of a run on chips, with the weights that the methods begin from.

    Raises
    ------
    DataFileError
        If the run has no weights yet.
    ValidationError
        If its data or the source of the network have changed.
    """
    path = Path(folder)
    if (path / "model.json").exists():
        before = read_record(path / "model.json", Begun)
        if before["model"] is None:
            raise ValidationError(
                "network.model", "must name a function: the network of this run was given to evaluate"
            )
    else:
        before = None
    examples, model = _examples(spec), build_model(spec)
    check_same_data(path, examples.data)
    if before is not None:
        check_begun(before, _begun_with(spec, model))
    load_weights(model, path / "weights.npz")
    return _plan(_resolved(spec), model, examples)


def summarize_model(spec: RunSpec) -> NetworkSummary:
    """Return what the network of a run needs of its chip; refuses a network that does not fit its data."""
    examples, model = _examples(spec), build_model(spec)
    if spec.network.weights is not None:
        load_weights(model, spec.network.weights)
    prepared(model, spec.network.digital)  # refuses what cannot go on tiles, before a forward pass is tried
    fitted = examples.fitting(model)
    fitted.for_outputs(tuple(outputs_of(model, fitted.test_inputs[:2], spec.seed).shape))
    with drawing(spec.seed):
        return summary(model, examples.data, spec.chip, spec.seed, digital=spec.network.digital)


def _run(plan: RunPlan, path: Path, progress: OnProgress) -> dict[str, Any]:
    def begin() -> Start:
        return plan.start(_digital(plan, path, progress))

    return carry_out(plan.spec, path, plan.examples.data, begin, progress)


def _digital(plan: RunPlan, path: Path, progress: OnProgress) -> ExSituRecord | None:
    """Train the network of a run, or load its weights if there are some; return the record of any training."""
    file, about = path / "weights.npz", path / "weights.json"
    if not file.exists():
        training: dict[str, Any] = {}
        if plan.spec.network.weights is None:
            record = train_digital(
                plan.model,
                plan.examples,
                plan.spec.ex_situ,
                plan.spec.seed,
                lambda done, total: progress("digital", done, total),
            )
            training = {"training": asdict(record)}
        write_record(about, {"sha256": sha256_of_weights(plan.model), **training})
        save_npz(file, {name: as_array(own) for name, own in plan.model.state_dict().items()})
    load_weights(plan.model, file)
    known = read_record(about, Weights)
    if known["sha256"] != (found := sha256_of_weights(plan.model)):
        rule = f"must be what the run was begun with: the weights had sha256 {known['sha256'][:12]}..."
        raise DataFileError(file, f"{rule} (got {found[:12]}...)")
    return ExSituRecord(**known["training"]) if "training" in known else None


def _begun_with(spec: RunSpec, model: torch.nn.Module) -> dict[str, Any]:
    """Return the contents of ``model.json``: hashes of everything that the starting weights come from."""
    given = spec.network.weights
    return {
        "model": spec.network.model,
        "sources": sources_of(model, spec.network.model),
        "torch": torch.__version__,
        # The run has its own copy: the file may be gone by now, but it must not have changed.
        **({"weights_file": sha256_of_file(given)} if given is not None and Path(given).exists() else {}),
    }


def _resolved(spec: RunSpec) -> RunSpec:
    """Return a run with the calibration filled in that it will use."""
    method = spec.calibration.method if "method" in spec.calibration.model_fields_set else JOINED
    calibration = spec.calibration.model_copy(update={"method": checked_methods(method)})
    return spec.model_copy(update={"calibration": calibration})


def _plan(spec: RunSpec, model: torch.nn.Module, examples: Examples) -> RunPlan:
    if spec.network.weights is None:
        check_trainable(model)
    return RunPlan(spec, model, examples)


def _examples(spec: RunSpec) -> Examples:
    """Return the data of a run, scaled for a network of torch."""
    data = load_source(spec.data, spec.seed)
    if spec.data.scale == "auto":
        scale = "none" if data.bounded or spec.network.weights is not None else "standard"
    else:
        scale = spec.data.scale
    return Examples.of(data.scaled(cast(Any, scale)), in_units=spec.network.weights is not None)
