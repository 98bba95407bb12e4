"""The main job: one chip, one network, every method on the same defect map, and an audit in a circuit simulator.

A run is a folder. The digital network and each method are saved when they are done, and a method writes checkpoints
while it runs. :func:`resume_run` does only the missing parts, with the same result to the last bit, because every
random number is addressed by its purpose.
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.select import thread_count
from circuitmem.config import RunSpec
from circuitmem.control import check_devices, check_faults, check_vcd
from circuitmem.data import Dataset
from circuitmem.engine.bridges import one_blas_thread
from circuitmem.errors import ValidationError
from circuitmem.files import load_npz, save_npz
from circuitmem.network import Network, Perceptron, patches_of
from circuitmem.records import EX_SITU_ARRAYS, Results, Shape, read_arrays, read_record
from circuitmem.training.beside import Crew, OnProgress, Watches, serve_methods
from circuitmem.training.carry_out import Start, carry_out, carry_out_method
from circuitmem.training.data import load_data, located
from circuitmem.training.ex_situ import ExSituRecord, train_ex_situ
from circuitmem.training.methods import Hooks, MethodResult, MethodRun, build_network, engine_of, tile_count
from circuitmem.training.objective import objective_of
from circuitmem.training.own import check_own_run, own_network, shapes_of
from circuitmem.training.recipes import check_values, recipe_of
from circuitmem.training.run_folder import check_data, check_new, go_on_in, make_folder
from circuitmem.validation import integer

__all__ = ["arrays_of", "load_digital", "resume_run", "start_of", "start_run"]


PRODUCTS = 2e9
"""Number of products of an input with a weight above which another process is worth starting: some seconds of work."""

CELLS = 1 << 22
"""Number of cells above which a chip is too large to copy to other processes unless the user asks for them."""


def start_run(
    spec: RunSpec, folder: str | Path, progress: OnProgress = lambda *_: None, workers: int | None = 1
) -> dict[str, Any]:
    """Make a new run folder and run everything; returns the content of ``results.json``.

    Parameters
    ----------
    spec : RunSpec
        What to run.
    folder : path
        A folder that does not exist or is empty.
    progress : callable
        Called with (what, steps done, steps); with several workers it is called from several threads, one at a time.
    workers : int, optional
        Processes that carry out methods in parallel, >= 1: this one, and others that it starts, each with its own chip
        in memory and its share of the threads. The results are the same to the last bit. None takes as many as there
        are threads, at most one for each method, if the run is long enough and its chip small. A script that asks for
        several needs ``if __name__ == "__main__":``.

    Raises
    ------
    ValidationError
        If the folder is not empty, or there are no workers.
    DataFileError
        If the samples cannot be read or the folder cannot be made.
    """
    path, spec = Path(folder), located(spec)
    _check_workers(workers)
    progress("data", 0, 1)
    data = _data(spec)
    check_new(path)
    check_faults(spec.chip, tile_count(spec))
    check_devices(spec.chip)
    if spec.vcd:
        check_vcd()
    with make_folder(path, spec, data):
        return _run(spec, path, data, progress, workers)


def resume_run(folder: str | Path, progress: OnProgress = lambda *_: None, workers: int | None = 1) -> dict[str, Any]:
    """Resume an interrupted run; a finished run is returned as it is. Arguments as in :func:`start_run`.

    Raises
    ------
    DataFileError
        If the folder is not a run, or a file of it is corrupt.
    ValidationError
        If its configuration or its data have changed, or its network is one of torch.
    """
    path = Path(folder)
    _check_workers(workers)
    with go_on_in(path) as spec:
        if (path / "results.json").exists():
            return read_record(path / "results.json", Results)
        if spec.network.model and own_network(spec.network) is None:
            rule = "must be left out: a run of torch goes on by circuitmem.torch.resume_model_run"
            raise ValidationError("network.model", rule, spec.network.model)
        data = _data(spec)
        check_data(path, data)
        return _run(spec, path, data, progress, workers)


def _check_workers(workers: int | None) -> None:
    if workers is not None:
        integer("workers", workers, minimum=1)


def _data(spec: RunSpec) -> Dataset:
    own = own_network(spec.network)
    if own is not None:
        check_own_run(spec, own)
    data = load_data(spec.data, spec.network, spec.seed, values=True)
    if data.task == "values":
        check_values(spec)
        objective_of(data)
    return data


def _run(spec: RunSpec, path: Path, data: Dataset, progress: OnProgress, workers: int | None) -> dict[str, Any]:
    count = min(_fitting(spec, data) if workers is None else workers, len(spec.methods))
    threads = None if count == 1 else max(1, thread_count() // count)
    lock = threading.Lock()

    def one_at_a_time(what: str, done: int, total: int) -> None:
        with lock:
            progress(what, done, total)

    def begin() -> Start:
        return start_of(spec, data, *_digital(spec, path, data, one_at_a_time), threads)

    return carry_out(spec, path, data, begin, one_at_a_time, Crew(count - 1, _help, spec, path, threads))


def _fitting(spec: RunSpec, data: Dataset) -> int:
    """Return how many processes are worthwhile for the methods of a run, if the user leaves that open."""
    rows, columns = spec.chip.tile.shape
    trained = sum(recipe_of(spec, name).train for name in spec.methods) * spec.in_situ.epochs
    products = sum(m * n for m, n in shapes_of(spec.network)) * len(data.train_inputs) * (trained + len(spec.methods))
    few = products < PRODUCTS or tile_count(spec) * rows * columns > CELLS
    return 1 if few else thread_count()


def _help(pipe: Connection[Any, Any], spec: RunSpec, path: Path, threads: int) -> None:
    """Carry out methods of a run in a helper process, as the process that began the run tells it."""
    data = _data(spec)  # while the digital network is trained
    known: list[Start] = []

    def work(name: str, audit: Watches, progress: OnProgress) -> MethodResult:
        if not known:
            check_data(path, data)
            known.append(start_of(spec, data, load_digital(spec, path), None, threads))
        return carry_out_method(name, spec, path, known[0], audit, progress)

    with one_blas_thread():
        serve_methods(pipe, spec, work)


def start_of(spec: RunSpec, data: Dataset, model: Network, training: ExSituRecord | None, threads: int | None) -> Start:
    """Return the :class:`Start` of a digital network, for chips whose kernels use ``threads`` threads."""
    objective = objective_of(data)
    outputs = model.logits(data.test_inputs)
    digital = objective.score(outputs, data.test_targets)

    def make(name: str, hooks: Hooks) -> MethodRun:
        return MethodRun(name, spec, build_network(spec, model, data, engine_of(spec, threads)), data, hooks)

    def steps(name: str) -> int:
        batches = -(-len(data.train_inputs) // spec.in_situ.batch)
        return spec.in_situ.epochs * batches * recipe_of(spec, name).train + 1

    each, samples = objective.score_each(outputs, data.test_targets), len(data.train_inputs)
    return Start(digital, objective.guessing, make, steps, training, samples, objective.record(), each=each)


def _digital(spec: RunSpec, path: Path, data: Dataset, progress: OnProgress) -> tuple[Network, ExSituRecord | None]:
    """Train the starting weights, or load them if that was done before; returns also how it went, if known."""
    file = path / "digital.npz"
    own = own_network(spec.network)
    if own is not None and not file.exists():
        save_npz(file, arrays_of(own))
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
        save_npz(file, arrays_of(model) | {name: np.array(value) for name, value in asdict(training).items()})
    if not EX_SITU_ARRAYS.keys() & load_npz(file).keys():  # a run of an older version, or of a network that asks
        return load_digital(spec, path), None
    saved = read_arrays(file, EX_SITU_ARRAYS)
    return load_digital(spec, path), ExSituRecord(**{name: saved[name].item() for name in EX_SITU_ARRAYS})


def arrays_of(model: Network) -> dict[str, NDArray[Any]]:
    """Return the arrays of a network that ``digital.npz`` holds."""
    parts = {"weights": model.weights, "biases": model.biases}
    return {f"{name}_{k}": own for name, each in parts.items() for k, own in enumerate(each)}


def load_digital(spec: RunSpec, path: Path) -> Network:
    """Load the starting weights of a run."""
    own = own_network(spec.network)
    layers = range(len(spec.network.shapes))
    declared: dict[str, tuple[str, Shape]] = {}
    if own is not None:
        declared = {name: ("f", array.shape) for name, array in arrays_of(own).items()}
    else:
        for k, shape in enumerate(spec.network.shapes):
            declared |= {f"weights_{k}": ("f", shape), f"biases_{k}": ("f", shape[1:])}
    saved: Any = read_arrays(path / "digital.npz", declared)
    if own is not None:
        parts = {"weights": own.weights, "biases": own.biases}
        return own.holding(*([saved[f"{name}_{k}"] for k in range(len(each))] for name, each in parts.items()))
    weights, biases = ([saved[f"{name}_{k}"] for k in layers] for name in ("weights", "biases"))
    return Perceptron(weights, biases, patches_of(spec.network))
