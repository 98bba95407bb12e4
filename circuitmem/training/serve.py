"""The chip of a finished run in use: requests at random times, with checks and refreshes in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from circuitmem.calibration import DriftWatch, Refresh, refresh_periodically
from circuitmem.config import InferenceSpec, RunSpec, UseSpec, load_run
from circuitmem.control import ATTOJOULE, PICOSECOND, Ledger, Process, Trace, picoseconds
from circuitmem.data import Dataset
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.network import HardwareNetwork, RequestStream
from circuitmem.records import read_config
from circuitmem.registry import torch_room
from circuitmem.training.checkpoint import load_state, restoring
from circuitmem.training.data import check_classes, load_data
from circuitmem.training.ex_situ import accuracy_percent
from circuitmem.training.methods import build_network, trainer_of
from circuitmem.training.own import is_of_torch
from circuitmem.training.recipes import recipe_of
from circuitmem.training.run import load_digital
from circuitmem.training.run_folder import check_same_data
from circuitmem.training.use import Upkeep
from circuitmem.validation import did_you_mean

__all__ = ["age", "age_run", "last_method", "load_chip", "serve", "serve_run"]

FABRICATED = ("tile", "defects", "device", "mapping")
"""Tables of ``chip`` that describe its fabrication: they cannot change for a finished chip."""

PURPOSES = ("inference", "drift check", "re-calibration", "refresh")
"""Purposes for which a chip in use spends energy: phases of its accounts."""


def serve(network: HardwareNetwork, spec: InferenceSpec, data: Dataset) -> dict[str, Any]:
    """Serve requests with a network, and return the results.

    Parameters
    ----------
    network : HardwareNetwork
        Programmed, and calibrated or trained.
    spec : InferenceSpec
        The load.
    data : Dataset
        Requests are test samples; checks use training samples.

    Returns
    -------
    dict
        Accuracy, latency and throughput of the requests, energy, checks, refreshes, the fraction of the time for which
        each kind of resource was busy, and how transfer matrices were kept up to date.
    """
    chip = network.chip
    stream = RequestStream(network, data.test_inputs, spec.rate, spec.queue, spec.seed)
    watch = None
    if spec.check_every is not None:
        period = picoseconds(spec.check_every)
        watch = DriftWatch(network, data.train_inputs, spec.vectors, period, spec.limit, spec.correction)
        with chip.during("reference"):
            chip.run(watch.begin())
    began = chip.clock
    until = began + picoseconds(spec.duration)
    refreshes: list[Refresh] = []

    def load() -> Process:
        with chip.during("inference"):
            requests = chip.start(stream.arrivals(until))
        if watch is not None:
            chip.start(watch.keep(until))
        if spec.refresh_every is not None:
            period = picoseconds(spec.refresh_every)
            tolerance = chip.spec.programming.verify_tolerance
            chip.start(refresh_periodically(network, period, tolerance, until, refreshes))
        yield requests

    spent = _upkeep(chip.ledger)
    busy = {resource: resource.busy for resource in chip.resources}
    chip.run(load())
    elapsed = chip.clock - began
    used: dict[str, list[int]] = {}
    for resource in chip.resources:
        sums = used.setdefault(resource.kind, [0, 0])
        sums[0] += resource.busy - busy[resource]
        sums[1] += resource.capacity * elapsed
    fractions = {kind: held / there for kind, (held, there) in used.items()}
    return {
        **_answers(stream, data, elapsed),
        **_energy({name: used - spent[name] for name, used in _upkeep(chip.ledger).items()}, len(stream.predicted)),
        "checks": [asdict(check) for check in (watch.checks if watch else [])],
        "refreshes": [asdict(refresh) for refresh in refreshes],
        "utilisation": dict(sorted(fractions.items(), key=lambda item: -item[1])),
        "reuse": chip.electrics.transfers.record.as_dict(),
    }


def _answers(stream: RequestStream, data: Dataset, elapsed: int) -> dict[str, Any]:
    """Return accuracy, latency and throughput of the requests, and how many were on the chip at a time."""
    found: dict[str, Any] = {"requests": len(stream.predicted) + stream.refused, "refused": stream.refused}
    found |= {"elapsed_s": elapsed * PICOSECOND, "accuracy_percent": None, "latency_s": None}
    if stream.predicted:
        latencies = stream.latencies()
        quantiles = np.quantile(latencies, (0.5, 0.95, 0.99))
        labels = data.test_targets[stream.chosen]
        found["accuracy_percent"] = accuracy_percent(np.array(stream.predicted), labels)
        found["latency_s"] = dict(zip(("p50", "p95", "p99"), map(float, quantiles), strict=True))
        found["latency_s"] |= {"mean": float(latencies.mean()), "largest": float(latencies.max())}
    found["throughput_per_s"] = len(stream.predicted) / (elapsed * PICOSECOND)
    # Mean number of requests on the chip: each is there for its latency.
    mean = float(np.sum(stream.latencies())) / (elapsed * PICOSECOND)
    return found | {"on_chip": {"mean": mean, "largest": stream.largest}}


def _upkeep(ledger: Ledger) -> dict[str, int]:
    """Return the energy so far by purpose [aJ]."""
    phases = ledger.by("phase")
    return {name: phases[name].energy if name in phases else 0 for name in PURPOSES}


def _energy(spent: dict[str, int], answers: int) -> dict[str, Any]:
    """Return the energy by purpose, and for each answer [J]."""
    energy = {name: used * ATTOJOULE for name, used in spent.items()}
    return {
        "energy_j": energy,
        "energy_per_inference_j": energy["inference"] / answers if answers else None,
        "energy_per_inference_with_upkeep_j": sum(spent.values()) * ATTOJOULE / answers if answers else None,
    }


def load_chip(folder: str | Path, method: str, spec: RunSpec, data: Dataset) -> HardwareNetwork:
    """Return the network of a method of a finished run, on its chip in its state at the end of the method.

    Parameters
    ----------
    folder : path
        The folder of the run.
    method : str
        A method of the run.
    spec : RunSpec
        What the run declares.
    data : Dataset
        Its data.

    Raises
    ------
    DataFileError
        If the run has no finished method of that name.
    """
    path = Path(folder)
    return _as_left(path, method, spec, lambda: build_network(spec, load_digital(spec, path), data))


def _as_left(path: Path, method: str, spec: RunSpec, make: Callable[[], HardwareNetwork]) -> HardwareNetwork:
    """Return the network that ``make`` lays out on a fresh chip, restored to its state at the end of a method."""
    if method not in spec.methods:
        rule = f"must be one of {', '.join(spec.methods)}, the methods of the run{did_you_mean(method, spec.methods)}"
        raise ValidationError("--method", rule, method)
    file = path / f"chip_{method}.npz"
    if not file.is_file():
        raise DataFileError(path, f"has no finished chip of method {method} ({file.name}){_unfinished(path)}")
    network = make()
    trainer_of(recipe_of(spec, method), spec, network)  # the tiles that training has added
    saved = load_state(file, "chip", {"chip": network.chip.state(), "network": network.state()})
    with restoring(file):
        network.chip.restore(saved["chip"])
        network.restore(saved["network"])
    return network


def last_method(folder: str | Path) -> str:
    """Return the last method of a run that has a finished chip.

    Raises
    ------
    DataFileError
        If the folder is not a run, or no method has a chip.
    """
    path = Path(folder)
    for name in reversed(read_config(path).methods):
        if (path / f"chip_{name}.npz").is_file():
            return name
    raise DataFileError(path, f"has no finished chip{_unfinished(path)}")


def _unfinished(path: Path) -> str:
    """Return a hint if a run was interrupted."""
    return "" if (path / "results.json").exists() else f": the run was interrupted; circuitmem resume {path} goes on"


def age(network: HardwareNetwork, spec: UseSpec, ages: Sequence[float], data: Dataset) -> list[dict[str, Any]]:
    """Let a network rest, with upkeep, and test it at several ages; returns its accuracies and the cost of upkeep.

    Parameters
    ----------
    network : HardwareNetwork
        Programmed, and calibrated or trained.
    spec : UseSpec
        The upkeep.
    ages : sequence of float
        Time from now to each test [s], rising: the age of the chip when the test begins.
    data : Dataset
        Tests use all test samples, checks use training samples.
    """
    chip, upkeep = network.chip, Upkeep(network, spec, data.train_inputs)
    chip.run(upkeep.begin())
    found = []
    for seconds in ages:
        chip.run(upkeep.rest(seconds))
        summary = upkeep.summary()
        with chip.during("inference"):
            predicted = chip.run(network.classify(data.test_inputs))
        accuracy = accuracy_percent(predicted, data.test_targets)
        found.append({"age_s": seconds, "accuracy_percent": accuracy, "upkeep": summary})
    return found


def age_run(
    folder: str | Path,
    method: str,
    spec: UseSpec,
    ages: Sequence[float],
    overrides: list[str] | None = None,
    seed: int = 1,
) -> dict[str, Any]:
    """Let the chip of a finished run rest, and test it at several ages; returns the result of :func:`age` as ``ages``.

    Parameters and errors as in :func:`serve_run`; ``seed`` is the seed of the noise.
    """
    if not ages or any(after <= before for before, after in pairwise(ages)):
        raise ValidationError("--after", "must be times that rise", ", ".join(f"{age:g}" for age in ages))
    for seconds in ages:
        UseSpec(after=seconds)
    with _finished_chip(folder, method, overrides, seed, None) as (network, data):
        found = age(network, spec, ages, data)
    load = spec.model_dump(exclude_none=True, exclude={"after"})
    return {"run": str(folder), "method": method, "use": load, "ages": found}


def serve_run(
    folder: str | Path,
    method: str,
    spec: InferenceSpec,
    overrides: list[str] | None = None,
    trace: str | Path | None = None,
) -> dict[str, Any]:
    """Serve requests with the chip of a finished run; returns the result of :func:`serve`, with run, method and load.

    Parameters
    ----------
    folder : path
        The folder of the run.
    method : str
        The method whose chip is used.
    spec : InferenceSpec
        The load.
    overrides : list of str, optional
        Changes to the run's configuration, ``key=value``: how the chip ages or is clocked, not how it was fabricated.
    trace : path, optional
        Where to write every operation.

    Raises
    ------
    DataFileError
        If the folder has no such chip.
    ValidationError
        If a change concerns the fabrication of the chip, or the data are not those of the run.
    """
    with (
        ExitStack() as stack,
        _finished_chip(folder, method, overrides, spec.seed, spec.reuse_error) as (network, data),
    ):
        if trace is not None:
            network.chip.trace_to(stack.enter_context(Trace(trace, f"{method}, in use")))
        found = serve(network, spec, data)
    return {"run": str(folder), "method": method, "load": spec.model_dump(exclude_none=True), **found}


@contextmanager
def _finished_chip(
    folder: str | Path, method: str, overrides: list[str] | None, noise_seed: int, reuse_error: float | None
) -> Iterator[tuple[HardwareNetwork, Dataset]]:
    """Yield the network of a finished run and its data; ``noise_seed`` seeds the noise from now on."""
    path = Path(folder)
    made, run = read_config(path), load_run(path / "config.toml", overrides, own=False)
    same = {f"chip.{name}": (getattr(made.chip, name), getattr(run.chip, name)) for name in FABRICATED}
    same |= {name: (getattr(made, name), getattr(run, name)) for name in ("seed", "network", "data", "ex_situ")}
    for name, (before, after) in same.items():
        if before != after:
            raise ValidationError(name, "must be as in the run: the chip is made already")
    if reuse_error is not None:
        run = run.model_copy(update={"reuse_error": reuse_error})
    with threadpool_limits(limits=1, user_api="blas"), ExitStack() as stack:
        if is_of_torch(run.network):
            room = torch_room()
            stack.enter_context(room.one_thread())
            plan = room.load_model(path, run)
            data = plan.data
            check_classes(data)
            network = _as_left(path, method, run, plan.network)
        else:
            data = load_data(run.data, run.network, run.seed)
            check_same_data(path, data)
            network = load_chip(path, method, run, data)
        network.chip.context.noise_seed = noise_seed
        yield network, data
