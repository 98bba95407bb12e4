"""The main job: one chip, one network, every method on the same defect map, and an audit in a circuit simulator.

A run is a folder. What is finished stays finished: the digital network and each method are written when they are done,
and a method leaves checkpoints while it runs. :func:`resume_run` does only what is missing, with the same result to the
last bit, because every random number is addressed by what it is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from circuitmem.config import RunSpec
from circuitmem.control import check_devices, check_faults, check_vcd
from circuitmem.data import Dataset
from circuitmem.errors import ValidationError
from circuitmem.files import load_npz, save_npz
from circuitmem.network import Perceptron, patches_of
from circuitmem.records import EX_SITU_ARRAYS, Results, Shape, read_arrays, read_record
from circuitmem.training.carry_out import Start, carry_out
from circuitmem.training.data import load_data, located
from circuitmem.training.ex_situ import ExSituRecord, train_ex_situ
from circuitmem.training.methods import Hooks, MethodRun, build_network, tile_count
from circuitmem.training.objective import objective_of
from circuitmem.training.recipes import check_values, recipe_of
from circuitmem.training.run_folder import check_data, check_new, go_on_in, make_folder

__all__ = ["load_digital", "resume_run", "start_run"]

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
    ValidationError
        If its configuration or its data have changed, or its network is one of torch.
    """
    path = Path(folder)
    with go_on_in(path) as spec:
        if (path / "results.json").exists():
            return read_record(path / "results.json", Results)
        if spec.network.model:
            rule = "must be left out: a run of torch goes on by circuitmem.torch.resume_model_run"
            raise ValidationError("network.model", rule, spec.network.model)
        data = _data(spec)
        check_data(path, data)
        return _run(spec, path, data, progress)


def _data(spec: RunSpec) -> Dataset:
    data = load_data(spec.data, spec.network, spec.seed, values=True)
    if data.task == "values":
        check_values(spec)
        objective_of(data)
    return data


def _run(spec: RunSpec, path: Path, data: Dataset, progress: Progress) -> dict[str, Any]:
    def begin() -> Start:
        model, training = _digital(spec, path, data, progress)
        digital = objective_of(data).score(model.logits(data.test_inputs), data.test_targets)

        def make(name: str, hooks: Hooks) -> MethodRun:
            return MethodRun(name, spec, build_network(spec, model, data), data, hooks)

        def steps(name: str) -> int:
            return spec.in_situ.epochs * recipe_of(spec, name).train + 1

        objective = objective_of(data)
        return Start(digital, objective.guessing, make, steps, training, len(data.train_inputs), objective.record())

    return carry_out(spec, path, data, begin, progress)


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
            objective_of(data),
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
