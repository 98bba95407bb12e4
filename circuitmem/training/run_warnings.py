"""Warnings of a run: figures that are not reliable, with the cause and the setting to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import log, sqrt
from typing import Any

import numpy as np

from circuitmem.config import OdeCellSpec, RunSpec
from circuitmem.config.law import law_range
from circuitmem.control import PICOSECOND
from circuitmem.device import conductance, simulate, state_of
from circuitmem.training.ex_situ import CONVERGED, ExSituRecord
from circuitmem.training.methods import MethodResult, tile_count, training_of
from circuitmem.training.recipes import method_title, recipe_of

__all__ = ["RunWarning", "find_warnings"]

NEAR_CHANCE = 0.25
"""Warn of a digital network that has come less than this fraction of the way from guessing to perfect: methods differ
by a fraction of that way, and a smaller difference is lost in the sampling error of a few hundred test samples."""

FALL = 5.0
"""Warn if test accuracy falls by more than this many points in training: it does in no method of the default run."""

DEVIATIONS = 4.0
"""The fall must also exceed this many standard deviations of the difference of two tests: one in 30,000 by chance."""

SATURATED = 0.01
"""Warn if more than this share of a layer's conversions saturates: ranges are chosen so that 0.1 % of activities do."""

MOVED = 0.01
"""Reads may move ODE devices by this fraction of the working range without a warning."""

LAWS = (
    "chip.device.programming_error",
    "chip.retention.drift_exponent",
    "chip.retention.drift_spread",
    "chip.noise.white",
    "chip.noise.flicker",
)
"""Settings that may be tables over the conductance."""

CLIPPED = 0.5
"""Warn if more than this share of a layer's weights is at the end of the range: then most have only a sign left."""


@dataclass(frozen=True)
class RunWarning:
    """One warning, as ``results.json`` holds it.

    Attributes
    ----------
    kind : str
        ``near-chance``, ``not-converged``, ``few-vectors``, ``no-pulses``, ``diverged``, ``adc-saturated``,
        ``dac-saturated``, ``weights-clipped``, ``reads-move-states`` or ``beyond-the-table``.
    message : str
        Cause, figure and remedy, on one line.
    setting : str
        The key to change.
    value : object
        Its value in this run.
    """

    kind: str
    message: str
    setting: str
    value: Any


def find_warnings(
    spec: RunSpec,
    digital_percent: float,
    training: ExSituRecord | None,
    chance: float,
    results: Mapping[str, MethodResult],
    samples: int | None = None,
    guessing: float | None = None,
) -> list[dict[str, Any]]:
    """Return the warnings about a run, each kind at most once.

    Parameters
    ----------
    spec : RunSpec
        The run.
    digital_percent : float
        Test accuracy of the digital network [%]; for one that predicts values, 100 times its R2.
    training : ExSituRecord, optional
        How the digital network was trained, if that is known.
    chance : float
        Share of the most frequent class in the test labels.
    results : mapping
        Result of each method.
    samples : int, optional
        Number of samples that calibration can learn from.
    guessing : float, optional
        The loss of guessing; when left out, that for as many classes as the network has outputs.
    """
    guessing = log(spec.network.layers[-1]) if guessing is None else guessing
    values = any(result.rmse is not None for result in results.values())
    found = [
        *_of_the_digital_network(spec, digital_percent, training, chance, values),
        *_of_training(spec, results, guessing),
        *_of_pulses(spec, results),
    ]
    found += _of_calibration(spec, results, samples)
    for part in ("adc", "dac"):
        found += _of_saturation(spec, results, part)
    found += _of_the_mapping(spec, results)
    found += _of_reads(spec, results)
    found += _of_tables(spec)
    return [asdict(each) for each in found]


def _warning(spec: RunSpec, kind: str, message: str, setting: str) -> RunWarning:
    value: Any = spec
    for name in setting.split("."):
        value = getattr(value, name)
    if isinstance(value, tuple):
        return RunWarning(kind, message, setting, list(value))
    return RunWarning(kind, f"{message} (it is {value})", setting, value)


def _of_the_digital_network(
    spec: RunSpec, accuracy: float, training: ExSituRecord | None, chance: float, values: bool
) -> Iterator[RunWarning]:
    if not spec.ex_situ.epochs and not spec.network.weights:
        return  # random weights were asked for
    poor = accuracy / 100.0 - chance < NEAR_CHANCE * (1.0 - chance)
    unfinished = training is not None and not training.converged
    if poor:
        reached = f"{accuracy:.1f} %, and guessing {100.0 * chance:.1f} %"
        if values:
            reached = f"an R2 of {accuracy / 100.0:.2f}, and giving the mean 0"
        figure = f"the digital network reaches {reached}, so that methods say"
        if training is not None and not training.converged:
            setting = "ex_situ.max_epochs"
            cause = f"its training had not converged after {training.epochs} epochs (loss {training.loss:.3g}); raise"
        else:
            setting = "network.model" if spec.network.model else "network.layers"
            cause = "its training has converged, but the network or its data are poor; see"
            if spec.network.weights:
                setting, cause = "network.weights", "the weights that were given, or how data are scaled, are poor; see"
        yield _warning(spec, "near-chance", f"{figure} little: {cause} {setting}", setting)
    elif unfinished:
        assert training is not None
        figure = f"the training of the digital network had not converged after {training.epochs} epochs"
        rest = f"the second half of its steps still brought more than {CONVERGED:.0%} of all that was learnt"
        setting = "ex_situ.max_epochs"
        yield _warning(spec, "not-converged", f"{figure} (loss {training.loss:.3g}): {rest}; raise {setting}", setting)


def _of_calibration(spec: RunSpec, results: Mapping[str, MethodResult], samples: int | None) -> Iterator[RunWarning]:
    """Warn that calibration had fewer inputs to learn from than declared."""
    calibrated = any("after" in result.product_errors for result in results.values())
    if calibrated and samples is not None and samples < spec.calibration.vectors:
        setting = "calibration.vectors"
        figure = f"calibration learns from {samples} inputs, all that the training part has"
        yield _warning(spec, "few-vectors", f"{figure}, and not from as many as {setting} says", setting)


def _of_training(spec: RunSpec, results: Mapping[str, MethodResult], guessing: float) -> Iterator[RunWarning]:
    """Warn of the method that lost most accuracy in training, or whose loss ended above that of guessing."""
    found: list[tuple[float, str, str]] = []
    tests = sum(sum(row) for row in next(iter(results.values())).confusion) if results else 0
    for name, result in results.items():
        best = 0.0
        for entry in result.history:
            accuracy = entry.get("accuracy_percent", 0.0)  # with values only the loss is checked
            best = max(best, accuracy)
            spread = 100.0 * sqrt(2.0 * max(best * (100.0 - best) / 1e4, 1.0 / max(tests, 1)) / max(tests, 1))
            if best - accuracy > max(FALL, DEVIATIONS * spread):
                epoch = int(entry["epoch"])
                words = f"from {best:.1f} to {accuracy:.1f} % by epoch {epoch} of {method_title(name)}"
                found.append((best - accuracy, name, f"test accuracy fell {words}"))
        losses = result.losses
        if len(losses) > 1 and not losses[-1] <= max(guessing, losses[0]):
            words = f"from {losses[0]:.3g} to {losses[-1]:.3g}, above the {guessing:.3g} of guessing"
            found.append((0.0, name, f"the loss of {method_title(name)} grew {words}"))
    if found:
        _, name, figure = max(found, key=lambda each: each[0])
        setting = "best.learning_rate" if recipe_of(spec, name).best else "in_situ.learning_rate"
        others = len({other for _, other, _ in found} - {name})
        more = f", and {others} more method{'s' * (others > 1)} diverged" if others else ""
        text = f"training in situ diverged: {figure}{more}; lower {setting}"
        if recipe_of(spec, name).calibrate and spec.in_situ.recalibrate != "never":
            text += f", or calibrate less often (in_situ.recalibrate = {spec.in_situ.recalibrate})"
        yield _warning(spec, "diverged", text, setting)


def _of_pulses(spec: RunSpec, results: Mapping[str, MethodResult]) -> Iterator[RunWarning]:
    """Warn of methods that trained without giving a single pulse: their cells are as if they had not trained."""
    silent = [
        name
        for name, result in results.items()
        if result.losses and result.phases and not result.phases.get("training", {}).get("pulses", 0)
    ]
    if silent:
        recipe, deadband = recipe_of(spec, silent[0]), spec.chip.programming.deadband
        own = "in_situ.calibrated_learning_rate" if recipe.calibrate else "in_situ.learning_rate"
        own = "best.learning_rate" if recipe.best else own
        rate, setting = training_of(recipe, spec).learning_rate, "chip.programming.deadband"
        figure = f"training gave not one pulse in {', '.join(map(method_title, silent))}: all wanted changes were too"
        figure += f" small, with a dead band of {deadband:g} S and a step size of {rate:g} ({own})"
        text = f"{figure}; at most biases have moved. Raise {own}, or lower {setting}"
        yield _warning(spec, "no-pulses", text, setting)


def _of_saturation(spec: RunSpec, results: Mapping[str, MethodResult], part: str) -> Iterator[RunWarning]:
    """Warn of the layer whose converters saturate most."""
    found = [
        (each[f"{part}_saturated"] / each[part], name, number, each)
        for name, result in results.items()
        for number, each in enumerate(result.layers)
        if each[part] and each[f"{part}_saturated"] > SATURATED * each[part]
    ]
    if not found:
        return
    share, name, number, layer = max(found, key=lambda each: each[0])
    recipe = recipe_of(spec, name)
    what, whose = ("outputs", "ADCs") if part == "adc" else ("inputs", "DACs")
    where, count = _layer(results, name, number), layer[f"{part}_saturated"]
    figure = (
        f"{share:.1%} of the {what} of {where} saturate its {whose} in {method_title(name)} ({count:,} conversions)"
    )
    others = len({other for _, other, _, _ in found} - {name})
    more = f", also in {others} more method{'s' * (others > 1)}" if others else ""
    if part == "adc" and layer["least_gain"]:
        setting = "chip.converters.tia.feedback_resistance"
        cause = f"reads at gain 1 fill the range of {layer['least_gain']} of its tiles; lower {setting}"
    elif not recipe.calibrate:
        setting = "methods"
        cause = "defects make it larger than the digital network's, for which ranges are chosen; a method that "
        cause += f"calibrates takes that away: see {setting}"
    elif recipe.train:
        setting = "best.learning_rate" if recipe.best else "in_situ.learning_rate"
        cause = f"training has left the range that was chosen before it; lower {setting}"
    else:
        setting = "calibration.method"
        cause = f"the calibration leaves it larger than the digital network's; try another {setting}"
    yield _warning(spec, f"{part}-saturated", f"{figure}{more}: {cause}", setting)


def _of_the_mapping(spec: RunSpec, results: Mapping[str, MethodResult]) -> Iterator[RunWarning]:
    """Warn of the layer with the largest share of weights at the end of their range after training."""
    found = [
        (each["limited_after"] / each["weights"], name, number, each)
        for name, result in results.items()
        for number, each in enumerate(result.layers)
        if each["limited_after"] > max(CLIPPED * each["weights"], each["limited_before"])
    ]
    if not found:
        return
    share, name, number, layer = max(found, key=lambda each: each[0])
    before = layer["limited_before"] / layer["weights"]
    where = _layer(results, name, number)
    figure = f"{share:.0%} of the weights of {where} were at the end of their range after {method_title(name)}"
    rate = "best.learning_rate" if recipe_of(spec, name).best else "in_situ.learning_rate"
    setting = "network.weight_range" if spec.network.model else "ex_situ.weight_limit"
    clips = f"at {spec.network.room:g} times the largest starting weight"
    cause = f"({before:.0%} before): the mapping clips them {clips}; raise {setting}, or lower {rate}"
    yield _warning(spec, "weights-clipped", f"{figure} {cause}", setting)


def _of_reads(spec: RunSpec, results: Mapping[str, MethodResult]) -> Iterator[RunWarning]:
    """Warn that reads would have moved the states of the devices, which the simulation keeps constant."""
    device, scale = spec.chip.device, spec.chip.converters.dac.full_scale
    if not isinstance(device, OdeCellSpec) or not results:
        return
    seconds, name = max(
        (result.accounts.get("mac_read", {}).get("busy", 0) * PICOSECOND, name) for name, result in results.items()
    )
    seconds /= tile_count(spec)
    if seconds == 0.0:
        return
    ends = [device.minimum_conductance, device.maximum_conductance]
    state = state_of(device.model, ends)
    after = simulate(device.model, [0.0, seconds], [scale, scale], state=state, threads=1).state[:, -1]
    moved = float(np.abs(conductance(device.model, after) - ends).max()) / (ends[1] - ends[0])
    if moved > MOVED:
        setting = "chip.converters.dac.full_scale"
        figure = (
            f"reads drove the word lines for {seconds:.2g} s in {method_title(name)}: at full scale that moves the "
        )
        figure += f"devices by up to {moved:.0%} of their working range, which is not modelled"
        yield _warning(spec, "reads-move-states", f"{figure}; lower {setting}", setting)


def _of_tables(spec: RunSpec) -> Iterator[RunWarning]:
    """Warn that the working range of the devices extends beyond a table that describes them."""
    device = spec.chip.device
    for setting in LAWS:
        table, _, name = setting.removeprefix("chip.").partition(".")
        ends = law_range(getattr(getattr(spec.chip, table), name, 0.0))
        if ends is None or (ends[0] <= device.minimum_conductance and ends[1] >= device.maximum_conductance):
            continue
        figure = f"devices work from {device.minimum_conductance:.3g} to {device.maximum_conductance:.3g} S, and"
        text = f"{figure} {setting} says something from {ends[0]:.3g} to {ends[1]:.3g} S: its ends were taken beyond"
        yield RunWarning("beyond-the-table", text, setting, [list(ends)])
        return


def _layer(results: Mapping[str, MethodResult], name: str, number: int) -> str:
    """Return the name of a layer for readers: its number from 1, as on the page, and its own name if it has one."""
    layers = results[name].layers
    own = layers[number].get("name")
    return f"layer {number + 1} of {len(layers)}" + (f" ({own})" if own else "")
