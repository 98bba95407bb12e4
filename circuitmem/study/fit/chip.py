"""What a chip of fitted devices needs besides their law: their working range, pulses, and settings that match them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import DeviceSpec, IonDriftSpec, OdeDevice, StanfordSpec, VteamSpec, YakopcicSpec, load_run
from circuitmem.config.ode_cells import OdeCellSpec
from circuitmem.device import (
    IonDriftCells,
    OdeCells,
    StanfordCells,
    VteamCells,
    YakopcicCells,
    conductance,
    simulate,
    state_of,
)
from circuitmem.errors import ValidationError

__all__ = ["CHOSEN", "around", "cell_kind", "cells_of"]

Floats = NDArray[np.float64]

PULSES = 32
"""Pulses at full amplitude that cross the working range, without their slopes [I]: some tens, as in published sets."""
MARGIN = 0.05
"""Part of the span of reached states that the working range leaves out at each end, where motion slows down."""
SLOPE = 0.1
"""Duration of a slope, relative to the shorter of the two widths."""
POINTS, NEAR = 256, 64
"""Time steps of a simulated crossing, and the fewest that it must take to be resolved."""

CHOSEN = (
    "minimum_conductance",
    "maximum_conductance",
    "set_voltage",
    "reset_voltage",
    "set_time",
    "reset_time",
    "rise_time",
)
"""What :func:`cells_of` chooses."""

_CELLS: dict[type, type[OdeCells]] = {
    VteamSpec: VteamCells,
    YakopcicSpec: YakopcicCells,
    StanfordSpec: StanfordCells,
    IonDriftSpec: IonDriftCells,
}


def cell_kind(model: OdeDevice) -> str:
    """Return the ``chip.device.kind`` of a chip of such devices."""
    return str(_CELLS[type(model)].Spec.model_fields["kind"].default)


def cells_of(model: OdeDevice, time: Floats, voltage: Floats) -> OdeCellSpec:
    """Return fitted devices as those of a chip, with range and pulses within what was measured.

    The range is that of the states reached in the measurement, less a twentieth at each end. Amplitudes are the largest
    measured ones, and widths are chosen so that some tens of pulses cross the range.

    Parameters
    ----------
    model : OdeDevice
        The device as fitted.
    time, voltage : (points,) ndarray
        Times, and the voltage across the device [s, V].

    Raises
    ------
    ValidationError
        If the measurement moves the device in one direction only, or too little to cross any range.
    """
    states = simulate(model, time, voltage, threads=1).state
    low, high = float(states.min()), float(states.max())
    ends = np.sort(conductance(model, np.array([low + MARGIN * (high - low), high - MARGIN * (high - low)])))
    # The ladder of numbers that a file holds must not end beyond what the device can conduct.
    bottom, top = (float(f"{end:.6g}") for end in ends)
    set_voltage, reset_voltage = (max(float(np.max(sign * voltage)), 0.0) for sign in (model.set_sign, -model.set_sign))
    if not (bottom < top and set_voltage > 0.0 and reset_voltage > 0.0):
        raise ValidationError("data", "must move the device in both directions, for pulses of a chip")
    longest = float(time[-1] - time[0])
    set_time = _crossing(model, bottom, top, model.set_sign * set_voltage, longest) / PULSES
    reset_time = _crossing(model, top, bottom, -model.set_sign * reset_voltage, longest) / PULSES
    cells = _CELLS[type(model)]
    chosen: dict[str, Any] = {
        "minimum_conductance": bottom,
        "maximum_conductance": top,
        "set_voltage": set_voltage,
        "reset_voltage": reset_voltage,
        "set_time": float(f"{set_time:.3g}"),
        "reset_time": float(f"{reset_time:.3g}"),
        "rise_time": float(f"{SLOPE * min(set_time, reset_time):.2g}"),
    }
    found = cells.Spec(**model.model_dump(exclude={"kind"}), **chosen)
    assert isinstance(found, OdeCellSpec)
    assert cells(found, (1, 1)).most >= 1  # raises if its pulses do not cross the range
    return found


def _crossing(model: OdeDevice, first: float, last: float, amplitude: float, longest: float) -> float:
    """Return how long a voltage takes to move a device from one conductance to another [s]."""
    start, duration = float(state_of(model, first)), longest
    while True:
        times = np.linspace(0.0, duration, POINTS + 1)
        states = simulate(model, times, np.full(POINTS + 1, amplitude), state=start, threads=1).state
        way = conductance(model, states)
        passed = way >= last if last > first else way <= last
        if not passed.any():
            rule = f"must cross the range within {longest:.3g} s, as long as was measured, at {amplitude:g} V"
            raise ValidationError("data", f"{rule}, for pulses of a chip", float(way[-1]))
        place = int(np.argmax(passed))
        if place >= NEAR:
            return float(times[place])
        duration = float(times[place])


def around(spec: DeviceSpec) -> dict[str, Any]:
    """Return further tables of a chip, which match such conductances in the proportions of the preset epiram.

    Devices with thresholds are read at no more than half of the lower one.
    """
    like = load_run("epiram").chip
    low, high = (
        getattr(spec, end) / getattr(like.device, end) for end in ("minimum_conductance", "maximum_conductance")
    )
    span = (spec.maximum_conductance - spec.minimum_conductance) / (
        like.device.maximum_conductance - like.device.minimum_conductance
    )
    programming, defects, converters = like.programming, like.defects, like.converters
    full_scale = min([converters.dac.full_scale, *(0.5 * threshold for threshold in _thresholds(spec))])
    gain = converters.tia.feedback_resistance / high * converters.dac.full_scale / full_scale
    tables: dict[str, Any] = {
        "programming": {
            "deadband": span * programming.deadband,
            "verify_tolerance": span * programming.verify_tolerance,
        },
        "converters": {"tia": {"feedback_resistance": gain}},
        "defects": {
            "stuck_on_range": [high * end for end in defects.stuck_on_range],
            "stuck_off_range": [low * end for end in defects.stuck_off_range],
        },
    }
    if not math.isclose(full_scale, converters.dac.full_scale):
        tables["converters"]["dac"] = {"full_scale": full_scale}
    return tables


def _thresholds(spec: DeviceSpec) -> list[float]:
    """Return the voltages beyond which such devices move, both ways."""
    names = "positive_threshold", "negative_threshold", "on_voltage", "off_voltage"
    return [abs(getattr(spec, name)) for name in names if hasattr(spec, name)]
