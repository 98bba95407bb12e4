"""Fit of a device that follows an ODE to a measured I-V curve."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import VteamSpec, YakopcicSpec
from circuitmem.device import simulate
from circuitmem.errors import CircuitmemError, ValidationError
from circuitmem.study.fit.chip import CHOSEN, around, cells_of
from circuitmem.study.fit.curves import read_iv
from circuitmem.study.fit.estimate import Parameter, estimate
from circuitmem.study.fit.model import Curve, Fit
from circuitmem.study.fit.table import Reading
from circuitmem.validation import did_you_mean

__all__ = ["fit_ode"]

Floats = NDArray[np.float64]

ROUGH, TOLERANCE = 1e-6, 1e-9
"""Of the ODE, while searching and at the end: derivatives are differences of solutions."""


def fit_ode(
    path: str | os.PathLike[str],
    model: str,
    *,
    held: dict[str, float] | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    reading: Reading | None = None,
) -> Fit:
    """Fit a Yakopcic or VTEAM device to a table of voltage, current and time (:func:`.curves.read_iv`).

    Straight lines lie between the points of the voltage. A VTEAM device begins off.

    Parameters
    ----------
    path : path
        The file.
    model : {"yakopcic", "vteam"}
        Which.
    held : dict, optional
        Parameters that are known, by name, and not searched.
    seed : int
        Seed of the starts.
    confidence : float
        Of the intervals.
    reading : Reading, optional
        How to read the file.

    Raises
    ------
    DataFileError
        If the file is not such a table.
    ValidationError
        If a parameter that is held is none of the model's, or breaks a rule.
    """
    measured = read_iv(path, reading)
    # A model is fitted as if its electrodes were the other way round where the measured device's are.
    mirrored = measured.polarity != _SET_SIGN[model]
    way = -1.0 if mirrored else 1.0
    time, voltage, current = measured.time, way * measured.voltage, way * measured.current
    scale = float(np.abs(current).max())
    ranges, build = _MODELS[model]
    every = ranges(time, voltage, current)
    known = held or {}
    for name in known:
        names = [parameter.name for parameter in every]
        if name not in names:
            rule = f"is no parameter of {model}, whose are {', '.join(names)}{did_you_mean(name, names)}"
            raise ValidationError(f"--fix {name}", rule)
    parameters = [parameter for parameter in every if parameter.name not in known]
    if not parameters:
        raise ValidationError("--fix", "must leave a parameter to be found")
    middle = {p.name: float(p.out(0.5 * (p.into(p.sign * p.low) + p.into(p.sign * p.high)))) for p in parameters}
    build(middle | known)  # a value that is held may break a rule

    def fitted(values: dict[str, float], rough: bool = False) -> Floats:
        tolerance = ROUGH if rough else TOLERANCE
        return simulate(build(values | known), time, voltage, tolerance=tolerance, threads=1).current

    def improve(values: dict[str, float]) -> dict[str, float]:
        """Scale the amplitudes of both signs to the data: the state does not depend on them."""
        if model != "yakopcic":
            return values
        shape, better = fitted(values, True), dict(values)
        for name, some in (("a1", voltage > 0.0), ("a2", voltage < 0.0)):
            power = float(shape[some] @ shape[some])
            if name in values and power > 0.0:
                factor = float(shape[some] @ current[some]) / power
                parameter = next(p for p in parameters if p.name == name)
                better[name] = min(max(values[name] * max(factor, 0.0), parameter.low), parameter.high)
        return better

    found = estimate(
        parameters,
        lambda values, rough: (fitted(values, rough) - current) / scale,
        len(time),
        seed=seed,
        confidence=confidence,
        improve=improve,
    )
    device = build(found.values | known)
    notes = [_MIRRORED.format(_SIGNS[_SET_SIGN[model]], _SIGNS[measured.polarity])] if mirrored else []
    # All numbers of the law: a chip would take those of a published set for what is left out.
    beside, others = {name: value for name, value in device.model_dump().items() if name not in found.values}, {}
    try:
        cells = cells_of(device, time, voltage)
    except CircuitmemError as error:
        notes.append(f"working range and pulses of a chip are left out, and are yours to add: {error}")
    else:
        beside, others = beside | {name: getattr(cells, name) for name in CHOSEN}, around(cells)
        notes.append(_CHOSEN)
    return Fit(
        model=model,
        spec=device,
        table="chip.device",
        parameters=parameters,
        estimate=found,
        derived=dict(known),
        curve=Curve(
            "voltage [V]",
            way * voltage,
            "current [A]",
            way * current,
            way * fitted(found.values),
            np.gradient(way * voltage) >= 0.0,
            ("voltage rises", "voltage falls"),
            in_order=True,
        ),
        scale=scale,
        assumed=measured.assumed,
        notes=notes,
        polarity=measured.polarity,
        beside=beside,
        around=others,
    )


def _yakopcic_ranges(time: Floats, voltage: Floats, current: Floats) -> list[Parameter]:
    volts, amperes, seconds = float(np.abs(voltage).max()), float(np.abs(current).max()), float(time[-1] - time[0])
    push = math.expm1(volts)
    slowest, fastest = 0.1 / (seconds * push), 1e5 / (seconds * push)
    return [
        Parameter("a1", 1e-3 * amperes, 1e5 * amperes, unit="A"),
        Parameter("a2", 1e-3 * amperes, 1e5 * amperes, unit="A"),
        Parameter("b", 1e-2 / volts, 20.0 / volts, unit="1/V"),
        Parameter("positive_threshold", 0.02 * volts, volts, unit="V"),
        Parameter("negative_threshold", 0.02 * volts, volts, unit="V"),
        Parameter("positive_rate", slowest, fastest, unit="1/s"),
        Parameter("negative_rate", slowest, fastest, unit="1/s"),
        Parameter("positive_limit", 0.02, 0.98, "logit"),
        Parameter("negative_limit", 0.02, 0.98, "logit"),
        Parameter("positive_decay", 0.05, 20.0),
        Parameter("negative_decay", 0.05, 20.0),
        Parameter("initial_state", 1e-3, 0.999, "logit"),
    ]


def _vteam_ranges(time: Floats, voltage: Floats, current: Floats) -> list[Parameter]:
    volts, seconds = float(np.abs(voltage).max()), float(time[-1] - time[0])
    # What is seen lies between the two resistances; a few points of noise do not count.
    seen = np.abs(voltage[np.abs(voltage) > 0.3 * volts] / _nonzero(current[np.abs(voltage) > 0.3 * volts]))
    least, most = (float(np.quantile(seen, part)) for part in (0.05, 0.95))
    between = math.sqrt(least * most)
    slowest, fastest = 1e-3 * _LENGTH / seconds, 1e6 * _LENGTH / seconds
    return [
        Parameter("on_resistance", 0.01 * least, between, unit="ohm"),
        Parameter("off_resistance", 1.0001 * between, 1e3 * most, unit="ohm"),
        Parameter("on_speed", slowest, fastest, unit="m/s", sign=-1),
        Parameter("off_speed", slowest, fastest, unit="m/s"),
        Parameter("on_voltage", 0.02 * volts, volts, unit="V", sign=-1),
        Parameter("off_voltage", 0.02 * volts, volts, unit="V"),
        Parameter("on_power", 1.0, 10.0),
        Parameter("off_power", 1.0, 10.0),
    ]


def _nonzero(current: Floats) -> Floats:
    least = 1e-6 * float(np.abs(current).max())
    return np.where(np.abs(current) > least, current, least)


_LENGTH = 3e-9
"""Only speed and length together show in a curve; this is the length of the published sets [m]."""


def _yakopcic(values: dict[str, Any]) -> YakopcicSpec:
    return YakopcicSpec(**values)


def _vteam(values: dict[str, Any]) -> VteamSpec:
    return VteamSpec(**({"length": _LENGTH} | values))


_SET_SIGN = {"yakopcic": 1, "vteam": -1}
"""Sign of the voltage that raises the conductance of each model as it is declared."""
_SIGNS = {1: "positive", -1: "negative"}
_MIRRORED = (
    "a {} voltage raises the conductance of the model, a {} one that of the measured device: the parameters are "
    "those of the device with its electrodes exchanged"
)

_CHOSEN = (
    "on a chip: the working range is what the curve passed through, pulses have its largest voltages and are so long "
    "that some tens of them cross the range"
)

_Build = Callable[[dict[str, float]], Any]
_Ranges = Callable[[Floats, Floats, Floats], list[Parameter]]
_MODELS: dict[str, tuple[_Ranges, _Build]] = {
    "yakopcic": (_yakopcic_ranges, _yakopcic),
    "vteam": (_vteam_ranges, _vteam),
}
