"""Computation of one point: every method on the same chip, from the point and its seed alone."""

from __future__ import annotations

import time
import traceback
from copy import deepcopy
from functools import lru_cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from circuitmem.config import DataSpec, ExSituSpec, NetworkSpec, RunSpec, needed_packages
from circuitmem.data import Dataset
from circuitmem.engine import BehavioralEngine
from circuitmem.network import Network, Perceptron
from circuitmem.registry import torch_room
from circuitmem.study.fingerprint import code_fingerprint
from circuitmem.study.inputs import data_used, files_used
from circuitmem.study.spec import MethodAtPoint, Point, config_values
from circuitmem.training import (
    Hooks,
    MethodResult,
    MethodRun,
    accuracy_percent,
    build_network,
    load_data,
    train_ex_situ,
)
from circuitmem.training.data import check_classes
from circuitmem.training.own import check_own_run, is_of_torch, own_network

__all__ = ["SISTERS", "compute_point", "failure"]

SISTERS = {"raw": "in_situ", "calibration": "calibration_in_situ"}
"""A method without training equals its trained sister before the first epoch, to the last bit: one is enough."""

CODE = code_fingerprint()
"""The code that was there when this process began to import it; files that change later do not change what runs."""


def compute_point(point: Point) -> dict[str, Any]:
    """Run a point on one thread; returns its record.

    The record has ``status`` ``"finished"`` with the history of each method, or ``"failed"`` with the type of the
    error, the fingerprint of the ``code``, and hashes of the ``data`` and of the user's ``files``. Except for
    ``wall_time_s`` it depends on the point, these files and the code alone.
    """
    began = time.perf_counter()
    record: dict[str, Any] = {"id": point.id, "levels": point.levels, "seed": point.seed}
    try:
        record["files"] = files_used(point)
        # One BLAS thread: results must not depend on the number of threads.
        with threadpool_limits(limits=1, user_api="blas"):
            record |= {"status": "finished", **_methods(point)}
    except Exception as error:  # whatever the error is, the other points go on
        record |= failure(error)
    record["wall_time_s"] = round(time.perf_counter() - began, 2)
    record["config"], record["code"] = config_values(point), CODE
    packages = {package for job in point.jobs for package in needed_packages(job.run, job.method)}
    if packages:
        record["packages"] = sorted(packages)
    return record


def failure(error: BaseException) -> dict[str, Any]:
    """Return the part of a record that describes an error."""
    first = error
    while first.__cause__ is not None:  # the chip's clock raises the errors of its processes again
        first = first.__cause__
    places = traceback.extract_tb(first.__traceback__)
    where = f"{places[-1].filename}:{places[-1].lineno}" if places else ""
    message = " ".join(str(error).split())
    return {"status": "failed", "error": {"type": type(error).__name__, "message": message, "where": where}}


def _methods(point: Point) -> dict[str, Any]:
    histories: dict[str, list[dict[str, float]]] = {}
    tests: dict[str, float] = {}
    inferences: dict[str, dict[str, float]] = {}
    digital: dict[str, float] = {}
    maps: dict[str, Any] = {}
    used: list[dict[str, Any]] = []
    by_name = {job.name: job for job in point.jobs}
    # If the only test is at the end, a sister makes its own, on the chip as it was when the trained method began.
    starts: dict[str, dict[str, Any]] = {}
    wanted = {SISTERS.get(job.method, "") for job in point.jobs}
    # Trained methods first: their sisters reuse what they have in common.
    for job in sorted(point.jobs, key=lambda job: job.method in SISTERS):
        sister = by_name.get(SISTERS.get(job.method, ""))
        shared = sister is not None and sister.run == job.run and sister.method == sister.name
        if sister is not None and shared and not _tests_at_the_end(job):
            histories[job.name] = histories[sister.name][:1]
        else:
            start = starts.pop(sister.name, None) if sister is not None and shared else None
            keeps = starts if _tests_at_the_end(job) and job.name in wanted else None
            result, digital[job.name], inferences[job.name], data = _method(job, point, maps, keeps, start)
            used += [data] if data not in used else []
            histories[job.name] = sorted((*result.history, *result.between), key=lambda entry: entry["epoch"])
            if _tests_at_the_end(job):
                tests[job.name] = result.accuracy_percent
    # Variants may start from different digital networks; the table has that of the first method.
    first = next(job.name for job in point.jobs if job.name in digital)
    ordered = {name: histories[name] for name in by_name}
    in_order = {name: inferences[name] for name in by_name if name in inferences}
    found = {"digital_percent": digital[first], "histories": ordered, "inferences": in_order, "maps": maps}
    found |= {"data": used}
    return found | {"tests": {name: tests[name] for name in by_name}} if tests else found


def _inference(method: MethodRun, on_tiles: float) -> dict[str, float]:
    """Return time and energy of an inference, the digital part of the products, their errors, and the number of tiles.

    ``on_tiles`` is the part of the network's products that tiles compute; calibration may take some away from them.
    """
    result, cost = method.result, method.result.calibration
    errors = {when: float(np.mean([own["rmse"] for own in some])) for when, some in result.product_errors.items()}
    found = {"mac_error_raw": errors["before"]} if "before" in errors else {}
    found |= {"mac_error": errors.get("after", errors["before"])} if "before" in errors else {}
    return {
        "inference_s": result.inference["time_s"],
        "inference_j": result.inference["energy_j"],
        "digital_products": 1.0 - on_tiles * (1.0 - cost["digital_products"] / max(cost["products"], 1)),
        "tiles": len(method.chip.units),
        **found,
    }


def _tests_at_the_end(job: MethodAtPoint) -> bool:
    return bool(job.run.data.held_back or job.run.use.after)


def _method(
    job: MethodAtPoint,
    point: Point,
    maps: dict[str, Any],
    starts: dict[str, dict[str, Any]] | None,
    start: dict[str, Any] | None,
) -> tuple[MethodResult, float, dict[str, float], dict[str, Any]]:
    """Return a method's result, the accuracy [%] of its digital network, an inference, and its data; add to ``maps``.

    If ``starts`` is given, the state of the method before its first epoch is added to it, unless validation is charged
    to the chip (with patience), which it is not for methods without training. With a ``start``, the method goes on from
    that state.
    """
    run = job.run
    engine = BehavioralEngine(threads=1, precision=run.precision) if run.engine == "behavioral" else None
    hooks = Hooks(brought_up=lambda: keep("before"), safe=lambda _: keep_start())
    method, digital, on_tiles = (_of_torch if is_of_torch(run.network) else _of_layers)(job, engine, hooks)

    def keep(when: str) -> None:
        for index in point.map_tiles:
            if index < len(method.chip.units):
                tile = method.chip.units[index].tile
                maps[f"{job.name}/{index}/{when}"] = tile.effective_conductance.astype(np.float32)
                maps[f"{job.name}/{index}/stuck"] = tile.stuck.copy()

    def keep_start() -> None:
        if starts is not None and job.name not in starts and not run.in_situ.patience:
            starts[job.name] = deepcopy(method.state())

    if start is not None:
        method.restore(start)
        keep("before")
    result = method.finish()
    keep("after")
    return result, digital, _inference(method, on_tiles), data_used(run.data.source, method.data)


def _of_layers(job: MethodAtPoint, engine: BehavioralEngine | None, hooks: Hooks) -> tuple[MethodRun, float, float]:
    """Return a method on a fresh chip, the test accuracy [%] of its digital network, and the part of products on tiles.

    The network is built from layers, or is a user's own that asks for products and brings its weights.
    """
    run = job.run
    own = own_network(run.network)
    if own is not None:
        check_own_run(run.model_copy(update={"methods": (job.method,)}), own)
    data = _samples(run.data, run.network, run.seed)
    model: Network
    if own is None:
        model, digital = _digital(run.ex_situ, run.network, run.data, run.seed)
    else:
        model, digital = own, accuracy_percent(own.logits(data.test_inputs).argmax(axis=1), data.test_targets)
    return MethodRun(job.method, run, build_network(run, model, data, engine), data, hooks), digital, 1.0


def _of_torch(job: MethodAtPoint, engine: BehavioralEngine | None, hooks: Hooks) -> tuple[MethodRun, float, float]:
    """Do the same as :func:`_of_layers`, for a torch network."""
    run, room = job.run, torch_room()
    with room.one_thread():
        trained = _trained(run.ex_situ, run.network, run.data, run.seed)
        plan = room.begin_model(run, engine=engine, trained=trained)
        check_classes(plan.data)
        start = plan.start()
        return plan.make(job.method, hooks), start.digital["accuracy_percent"], start.results["on_tiles"]


@lru_cache(maxsize=4)
def _trained(ex_situ: ExSituSpec, network: NetworkSpec, source: DataSpec, seed: int) -> Any:
    """Return the trained torch network and its data; points with the same seed share them."""
    return torch_room().train_model(RunSpec(seed=seed, ex_situ=ex_situ, network=network, data=source))


@lru_cache(maxsize=2)
def _samples(spec: DataSpec, network: NetworkSpec, seed: int) -> Dataset:
    return load_data(spec, network, seed)


@lru_cache(maxsize=4)
def _digital(spec: ExSituSpec, network: NetworkSpec, source: DataSpec, seed: int) -> tuple[Perceptron, float]:
    """Return the digitally trained network and its test accuracy [%]; points with the same seed share it."""
    data = _samples(source, network, seed)
    train = data.train_inputs, data.train_targets
    model = train_ex_situ(spec, network, *train, seed, lambda *_: None, validation=data.validation)
    predicted = model.logits(data.test_inputs).argmax(axis=1)
    return model, accuracy_percent(predicted, data.test_targets)
