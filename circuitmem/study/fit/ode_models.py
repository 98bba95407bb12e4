"""Devices that follow an ODE, for fits: which parameters are searched in which range, and which are held."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import IonDriftSpec, StanfordSpec, VteamSpec, YakopcicSpec
from circuitmem.study.fit.problem import Parameter

__all__ = ["ODE_MODELS", "Build", "OdeModel"]

Floats = NDArray[np.float64]
Build = Callable[[dict[str, float]], Any]
"""Makes a device from its parameters."""


class OdeModel(NamedTuple):
    """One model."""

    ranges: Callable[[Floats, Floats, Floats], list[Parameter]]
    """Returns the parameters that are searched, for time [s], voltage [V] and current [A]."""
    builds: tuple[Build, ...]
    """Its variants, of which the best counts."""
    set_sign: int
    """Sign of the voltage that raises the conductance of the model as it is declared."""
    held: Mapping[str, float] = {}
    """Values of parameters that no I-V curve determines."""
    amplitudes: Mapping[str, int] = {}
    """Factors of the current that do not affect the state, and the sign of the voltage at which each of them counts."""


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
    least, most = _ohms(voltage, current)
    between = math.sqrt(least * most)
    slowest, fastest = 1e-3 * _LENGTH / seconds, 1e6 * _LENGTH / seconds
    return [
        Parameter("on_resistance", 0.01 * least, between, unit="ohm"),
        Parameter("off_resistance", 1.0001 * between, 1e3 * most, unit="ohm"),
        Parameter("on_speed", slowest, fastest, unit="m/s", sign=-1),
        Parameter("off_speed", slowest, fastest, unit="m/s"),
        Parameter("on_voltage", 0.02 * volts, volts, unit="V", sign=-1),
        Parameter("off_voltage", 0.02 * volts, volts, unit="V"),
        Parameter("on_power", 1.0, 10.0, least=1.0),
        Parameter("off_power", 1.0, 10.0, least=1.0),
    ]


def _stanford_ranges(time: Floats, voltage: Floats, current: Floats) -> list[Parameter]:
    volts, amperes = float(np.abs(voltage).max()), float(np.abs(current).max())
    return [
        Parameter("current", 1e-2 * amperes, 1e5 * amperes, unit="A"),
        Parameter("current_voltage", 0.05 * volts, 5.0 * volts, unit="V"),
        Parameter("velocity", 1e-8 / float(time[-1] - time[0]), 1e4, unit="m/s"),
        Parameter("gamma0", 5.0, 60.0),
    ]


def _drift_ranges(time: Floats, voltage: Floats, current: Floats) -> list[Parameter]:
    least, most = _ohms(voltage, current)
    between = math.sqrt(least * most)
    # Mobility at which the largest current would carry the layer across the film while the curve lasts.
    across = _FILM**2 / (least * float(np.abs(current).max()) * float(time[-1] - time[0]))
    return [
        # Far below the resistances seen: a device that never comes near it shows only its product with the mobility,
        # and an interval of the mobility must not end because this range does.
        Parameter("on_resistance", 1e-4 * least, between, unit="ohm"),
        Parameter("off_resistance", 1.0001 * between, 1e3 * most, unit="ohm"),
        Parameter("mobility", 1e-3 * across, 1e5 * across, unit="m2/(V s)"),
        Parameter("window_power", 1.0, 20.0, least=1.0),
        Parameter("initial_state", 1e-3, 0.999, "logit"),
    ]


def _ohms(voltage: Floats, current: Floats) -> tuple[float, float]:
    """Return the lowest and the highest resistance seen [ohm], without the outermost 5 % of points (noise)."""
    some = np.abs(voltage) > 0.3 * float(np.abs(voltage).max())
    seen = np.abs(voltage[some] / _nonzero(current[some]))
    least, most = (float(np.quantile(seen, part)) for part in (0.05, 0.95))
    return least, most


def _nonzero(current: Floats) -> Floats:
    least = 1e-6 * float(np.abs(current).max())
    return np.where(np.abs(current) > least, current, least)


_LENGTH, _FILM = 3e-9, 10e-9
"""Lengths of VTEAM and ion drift in published sets [m]: a curve shows only length and speed (or mobility) together."""
_STANFORD = StanfordSpec.preset("1.0").model_dump(exclude={"kind"})
_SEEN = ("current", "current_voltage", "velocity", "gamma0")
"""The four parameters of Stanford-PKU that a curve with 2 % noise determines together; others can compensate them."""


def _made(spec: type[Any], fixed: Mapping[str, Any], values: dict[str, float]) -> Any:
    return spec(**(dict(fixed) | values))


ODE_MODELS: dict[str, OdeModel] = {
    "yakopcic": OdeModel(
        _yakopcic_ranges,
        (partial(_made, YakopcicSpec, {}),),
        1,
        amplitudes={"a1": 1, "a2": -1},
    ),
    "vteam": OdeModel(_vteam_ranges, (partial(_made, VteamSpec, {"length": _LENGTH}),), -1),
    "stanford-pku": OdeModel(
        _stanford_ranges,
        (partial(_made, StanfordSpec, {}),),
        1,
        held={name: value for name, value in _STANFORD.items() if name not in _SEEN},
    ),
    "ion-drift": OdeModel(
        _drift_ranges,
        tuple(partial(_made, IonDriftSpec, {"length": _FILM, "window": w}) for w in ("joglekar", "biolek")),
        1,
    ),
}
"""By the name of the kind of device."""
