"""Comparison of calibration methods, each on its own chip from the same seed: the same devices and defects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from threadpoolctl import threadpool_limits

from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of, mac_error
from circuitmem.config import RunSpec, check_joined
from circuitmem.data import Dataset
from circuitmem.errors import ValidationError
from circuitmem.network import HardwareNetwork, Network
from circuitmem.registry import check, names, torch_room
from circuitmem.rng import Purpose, stream
from circuitmem.training.bring_up import bring_up
from circuitmem.training.data import check_classes, load_data
from circuitmem.training.ex_situ import accuracy_percent, train_ex_situ
from circuitmem.training.methods import build_network
from circuitmem.training.own import is_of_torch, own_network

__all__ = ["calibrate_run", "compare_calibrations"]


def calibrate_run(
    spec: RunSpec,
    methods: Sequence[str] | None,
    held_out: int,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Return a comparison of calibrations for the weights of a run after training ex situ.

    Parameters are those of :func:`compare_calibrations`, but ``progress`` is called with (what, steps done, steps).
    """
    check_methods(methods or ())
    if is_of_torch(spec.network):
        room = torch_room()
        with threadpool_limits(limits=1, user_api="blas"), room.one_thread():
            plan = room.begin_model(spec, progress)
            check_classes(plan.data)
            return _compare(spec, plan.network, plan.data, methods, held_out, partial(progress, "calibrations"))
    data = load_data(spec.data, spec.network, spec.seed)
    train = data.train_inputs, data.train_targets
    with threadpool_limits(limits=1, user_api="blas"):
        tell, model = partial(progress, "digital"), own_network(spec.network)
        if model is None:
            model = train_ex_situ(spec.ex_situ, spec.network, *train, spec.seed, tell, validation=data.validation)
        return compare_calibrations(spec, model, data, methods, held_out, partial(progress, "calibrations"))


def check_methods(methods: Sequence[str]) -> None:
    """Raise :class:`ValidationError` unless each method is the name of a calibration, or several joined by ``+``."""
    for joined in methods:
        for name in joined.split("+"):
            check("calibrations", name, "method")
        check_joined("method", tuple(joined.split("+")))


def compare_calibrations(
    spec: RunSpec,
    model: Network,
    data: Dataset,
    methods: Sequence[str] | None = None,
    held_out: int = 200,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Bring up the chip of a run once for every method, calibrate it, and measure products on held-out samples.

    Parameters
    ----------
    spec : RunSpec
        The chip, and the settings of the methods (``calibration``).
    model : Network
        Weights to program.
    data : Dataset
        Training samples are used to calibrate; test samples, and the activities that they cause, are held out.
    methods : sequence of str
        Names of calibrations, all known ones when left out; several joined by ``+`` learn one after another.
    held_out : int
        Number of test samples to measure with, >= 1.
    progress : callable
        Called with (methods done, methods).

    Returns
    -------
    dict
        For each method the error of every layer's product before and after calibration (relative to the largest
        magnitude of the ideal product; before it with raw codes), the accuracy on the held-out samples, and the cost of
        calibrating.

    Raises
    ------
    ValidationError
        If a method is not known, or there is no sample to measure with.
    """
    return _compare(spec, lambda: build_network(spec, model, data), data, methods, held_out, progress)


def _compare(
    spec: RunSpec,
    make: Callable[[], HardwareNetwork],
    data: Dataset,
    methods: Sequence[str] | None,
    held_out: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Do the work of :func:`compare_calibrations`, with networks that ``make`` lays out on fresh chips."""
    methods = names("calibrations") if methods is None else methods
    check_methods(methods)
    if held_out < 1:
        raise ValidationError("held_out", "must be >= 1", held_out)
    images, labels = data.test_inputs[:held_out], data.test_targets[:held_out]
    found: dict[str, Any] = {}
    for number, name in enumerate(methods):
        progress(number, len(methods))
        network = make()
        chip, model, record, layers = network.chip, network.model, CalibrationRecord(), []
        rng = stream(spec.seed, Purpose.CALIBRATION)
        chosen = rng.permutation(len(data.train_inputs))[: spec.calibration.vectors]
        seen, unseen = model.vectors(data.train_inputs[chosen], rng), model.vectors(images, rng)
        chip.run(bring_up(network, spec, data, False))
        for layer, weights, known, new in zip(network.layers, model.weights, seen, unseen, strict=True):
            within = layer.within_range(new)
            wanted = within @ weights
            before = chip.run(mac_error(layer, within, wanted))
            calibration = calibration_of(name.split("+"), spec.calibration)
            chip.run(calibrate_layer(calibration, layer, layer.within_range(known), record))
            after = chip.run(mac_error(layer, within, wanted))
            layers.append(
                {
                    "rmse_before": before.rmse,
                    "largest_before": before.largest,
                    "rmse_after": after.rmse,
                    "largest_after": after.largest,
                }
            )
        if name != "none":
            chip.run(network.settle(data.train_inputs, record))
        accuracy = accuracy_percent(chip.run(network.classify(images)), labels)
        found[name] = {"layers": layers, "accuracy_percent": accuracy, **record.as_dict()}
    progress(len(methods), len(methods))
    return found
