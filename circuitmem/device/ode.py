"""ODE devices, whichever the model: conductance, state, and one device under a voltage."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem._kernels.devices import DeviceLaw, integrate
from circuitmem._kernels.select import thread_count
from circuitmem.config import IonDriftSpec, OdeDevice, StanfordSpec, TabulatedSpec, VteamSpec, YakopcicSpec
from circuitmem.device import ion_drift, stanford, tabulated, vteam, yakopcic
from circuitmem.errors import ValidationError
from circuitmem.validation import finite_array, in_range

__all__ = ["TOLERANCE", "DeviceResponse", "Drive", "conductance", "device_law", "simulate", "state_of"]

Floats = NDArray[np.float64]
TOLERANCE = 1e-6
"""Largest estimated error of the state in one step, the state's range being 1."""

_MODELS: dict[type, ModuleType] = {
    VteamSpec: vteam,
    YakopcicSpec: yakopcic,
    StanfordSpec: stanford,
    IonDriftSpec: ion_drift,
}
_SLACK = 1e-9


class DeviceResponse(NamedTuple):
    """What devices did under a voltage, at each of the given times."""

    current: Floats
    """Current [A]."""
    state: Floats
    """State, 0 to 1."""


def device_law(spec: OdeDevice) -> DeviceLaw:
    """Return the model with its numbers, for the kernels.

    Raises
    ------
    ValidationError
        If it is not an ODE device.
    """
    law: DeviceLaw = _model(spec).law(spec)
    return law


def conductance(spec: OdeDevice, state: ArrayLike) -> Floats:
    """Return the conductance [S] of states in [0, 1], at small positive voltages."""
    states = finite_array("state", state, minimum=0.0)
    if states.size and states.max() > 1.0:
        raise ValidationError("state", "must be between 0 and 1", float(states.max()))
    found: Floats = _model(spec).conductance(spec, states)
    return found


def state_of(spec: OdeDevice, value: ArrayLike) -> Floats:
    """Return the states whose conductance [S] is given.

    Raises
    ------
    ValidationError
        If the device has no such conductance.
    """
    lowest, highest = sorted(float(_model(spec).conductance(spec, np.float64(s))) for s in (0.0, 1.0))
    wanted = finite_array("conductance", value, minimum=0.0)
    bad = (wanted < lowest * (1.0 - _SLACK)) | (wanted > highest * (1.0 + _SLACK))
    if bad.any():
        rule = f"must be between {lowest:.6g} and {highest:.6g} S, the range of the device"
        raise ValidationError("conductance", rule, float(wanted[bad].flat[0]))
    return np.asarray(np.clip(_model(spec).state_of(spec, np.clip(wanted, lowest, highest)), 0.0, 1.0))


class Drive:
    """A voltage across a device that is checked once and then applied with many parameters, as in a fit.

    Parameters
    ----------
    time : (points,) array_like
        Times, rising [s].
    voltage : (points,) array_like
        Voltage at these times, straight lines between [V].

    Raises
    ------
    ValidationError
        If an argument breaks its rule.
    """

    def __init__(self, time: ArrayLike, voltage: ArrayLike) -> None:
        self._time = _times(time)
        voltages = finite_array("voltage", voltage)
        if voltages.shape != self._time.shape:
            raise ValidationError("voltage", f"must have shape ({len(self._time)},)", voltages.shape)
        self._voltage = voltages.reshape(1, -1)

    def current(self, spec: OdeDevice, tolerance: float = TOLERANCE) -> Floats:
        """Return the current of a device from its own first state, bit for bit as :func:`simulate` does.

        Parameters
        ----------
        spec : VteamSpec, YakopcicSpec, StanfordSpec, IonDriftSpec or TabulatedSpec
            The device.
        tolerance : float
            As in :func:`simulate`.

        Returns
        -------
        (points,) ndarray
            At the times [A].

        Raises
        ------
        ConvergenceError
            If the device takes too many steps.
        """
        state = np.full(1, _first_state(spec), dtype=np.float64)
        found = integrate(device_law(spec), state, np.zeros(1), self._time, self._voltage, tolerance)
        return np.asarray(found[1][0])


def simulate(
    spec: OdeDevice,
    time: ArrayLike,
    voltage: ArrayLike,
    *,
    state: ArrayLike | None = None,
    series_resistance: float = 0.0,
    tolerance: float = TOLERANCE,
    threads: int | None = None,
) -> DeviceResponse:
    """Simulate one device, or many in parallel, under a voltage.

    Parameters
    ----------
    spec : VteamSpec, YakopcicSpec, StanfordSpec, IonDriftSpec or TabulatedSpec
        The device.
    time : (points,) array_like
        Times, rising [s].
    voltage : (points,) or (devices, points) array_like
        Voltage at these times, straight lines between [V].
    state : float or (devices,) array_like, optional
        State at the first time, 0 to 1; when left out, ``initial_state``, or 1 for a device that has none.
    series_resistance : float
        Resistance in series with each device [Ω], >= 0; the voltage is across both.
    tolerance : float
        Largest estimated error of the state in one step, between 1e-12 and 0.1.
    threads : int, optional
        Threads to use; results do not depend on it.

    Returns
    -------
    DeviceResponse
        Current and state at these times, of the shape of ``voltage``, or (devices, points) if only states are many.

    Raises
    ------
    ValidationError
        If an argument breaks its rule.
    ConvergenceError
        If a device takes too many steps.
    """
    law = device_law(spec)
    times = _times(time)
    voltages = finite_array("voltage", voltage)
    if voltages.ndim not in (1, 2) or voltages.shape[-1] != len(times):
        raise ValidationError("voltage", f"must have shape ({len(times)},) or (devices, {len(times)})", voltages.shape)
    states = finite_array("state", _first_state(spec) if state is None else state, minimum=0.0)
    if states.ndim > 1 or (states.size and states.max() > 1.0):
        raise ValidationError("state", "must be numbers between 0 and 1", state)
    table = voltages.reshape(-1, len(times))
    devices = max(len(table), states.size)
    if len(table) not in (1, devices) or states.size not in (1, devices):
        raise ValidationError("state", f"must be one number, or one for each of {len(table)} devices", states.shape)
    found, current = integrate(
        law,
        np.broadcast_to(states, devices),
        np.full(devices, in_range("series_resistance", series_resistance, 0.0)),
        times,
        table,
        in_range("tolerance", tolerance, 1e-12, 0.1),
        threads=thread_count(threads),
    )
    one = voltages.ndim == 1 and states.ndim == 0
    return DeviceResponse(current[0], found[0]) if one else DeviceResponse(current, found)


def _times(time: ArrayLike) -> Floats:
    times = finite_array("time", time)
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) > 0.0).all():
        raise ValidationError("time", "must be a rising sequence of at least two", times.shape)
    return times


def _first_state(spec: OdeDevice) -> float:
    return float(getattr(spec, "initial_state", 1.0))


def _model(spec: OdeDevice) -> ModuleType:
    if isinstance(spec, TabulatedSpec):
        return tabulated
    if type(spec) not in _MODELS:
        names = ", ".join(known.__name__ for known in _MODELS)
        raise ValidationError("device", f"must be one of {names}, or a TabulatedSpec", spec)
    return _MODELS[type(spec)]
