"""Warnings of a run: numbers that are not reliable, with their cause and the setting to change."""

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
from circuitmem.training.methods import MethodResult, tile_count
from circuitmem.training.recipes import method_title, recipe_of

__all__ = ["RunWarning", "find_warnings"]

NEAR_CHANCE = 0.25
"""A digital network that has come less than this of the way from guessing to perfect: what methods differ by is a
fraction of that way, and a smaller one drowns in the sampling error of a few hundred test samples."""

FALL = 5.0
"""Points by which the test accuracy falls while training in situ: what no method of the default run loses."""

DEVIATIONS = 4.0
"""Standard deviations of the difference of two tests that a fall must have too: one in 30,000 by chance."""

SATURATED = 0.01
"""Share of a layer's conversions that saturate: ranges are chosen so that a thousandth of the activities does."""

MOVED = 0.01
"""Of the working range: by so much reads may move ODE devices without a word."""

LAWS = (
    "chip.device.programming_error",
    "chip.retention.drift_exponent",
    "chip.retention.drift_spread",
    "chip.noise.white",
    "chip.noise.flicker",
)
"""Settings that may be tables over conductances."""

CLIPPED = 0.5
"""Share of a layer's weights at the end of their range: most are signs then, not weights."""


@dataclass(frozen=True)
class RunWarning:
    """One warning, as ``results.json`` holds it.

    Attributes
    ----------
    kind : str
        ``near-chance``, ``not-converged``, ``few-vectors``, ``diverged``, ``adc-saturated``, ``dac-saturated``,
        ``weights-clipped``, ``reads-move-states`` or ``beyond-the-table``.
    message : str
        Cause, figure and what to do, on one line.
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
    """Return the warnings that a run deserves, each kind at most once.

    Parameters
    ----------
    spec : RunSpec
        The run.
    digital_percent : float
        Test accuracy of the digital network; of one that predicts values 100 times its R2.
    training : ExSituRecord, optional
        How it was trained, if that is known.
    chance : float
        Share of the most frequent class in the test labels.
    results : mapping
        What each method gave.
    samples : int, optional
        How many calibration has to learn from.
    guessing : float, optional
        The loss of guessing; that of as many classes as the network has outputs when left out.
    """
    guessing = log(spec.network.layers[-1]) if guessing is None else guessing
    values = any(result.rmse is not None for result in results.values())
    found = [
        *_of_the_digital_network(spec, digital_percent, training, chance, values),
        *_of_training(spec, results, guessing),
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
        return  # random weights are what was asked for
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
    """Say that calibration had fewer inputs to learn from than were declared."""
    calibrated = any("after" in result.product_errors for result in results.values())
    if calibrated and samples is not None and samples < spec.calibration.vectors:
        setting = "calibration.vectors"
        figure = f"calibration learns from {samples} inputs, all that the training part has"
        yield _warning(spec, "few-vectors", f"{figure}, and not from as many as {setting} says", setting)


def _of_training(spec: RunSpec, results: Mapping[str, MethodResult], guessing: float) -> Iterator[RunWarning]:
    """Find the method that lost most while it was trained, or whose loss ended above that of guessing."""
    found: list[tuple[float, str, str]] = []
    tests = sum(sum(row) for row in next(iter(results.values())).confusion) if results else 0
    for name, result in results.items():
        best = 0.0
        for entry in result.history:
            accuracy = entry.get("accuracy_percent", 0.0)  # of values the loss alone is looked at
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


def _of_saturation(spec: RunSpec, results: Mapping[str, MethodResult], part: str) -> Iterator[RunWarning]:
    """Find the layer whose converters saturate most."""
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
    """Find the layer that training has left with most weights at the end of their range."""
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
    """Say that reads would have moved the states of the devices, which keep them here."""
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
    """Say that conductances of the devices lie beyond the table that says how they behave."""
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
    """Return what a reader calls a layer: counted from 1, as on the page, and by its name if it has one."""
    layers = results[name].layers
    own = layers[number].get("name")
    return f"layer {number + 1} of {len(layers)}" + (f" ({own})" if own else "")
