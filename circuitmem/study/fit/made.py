"""Tables of known devices, as a bench would record them, on which fits are tested."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import IonDriftSpec, OdeDevice, PulseUpdateSpec, StanfordSpec, VteamSpec, YakopcicSpec
from circuitmem.device import pulse_curves, simulate

__all__ = ["SWEEPS", "VTEAM", "YAKOPCIC", "Sweep", "sweep", "write_pulses", "write_sweep"]

Floats = NDArray[np.float64]

POINTS = 201
"""Points of a sweep."""
FADING = 0.15
"""Part of its amplitude that a sweep loses in each period."""


class Sweep(NamedTuple):
    """A device and how it is swept.

    Attributes
    ----------
    spec : OdeDevice
        The device.
    model : str
        Model that is fitted to it.
    amplitude : float
        Amplitude of the voltage [V].
    period : float
        Period of the voltage [s].
    held : dict
        Parameters that a user would know.
    """

    spec: OdeDevice
    model: str
    amplitude: float
    period: float
    held: dict[str, float]


YAKOPCIC = YakopcicSpec(
    a1=0.01,
    a2=0.02,
    b=1.5,
    positive_threshold=0.4,
    negative_threshold=0.5,
    positive_rate=30.0,
    negative_rate=20.0,
    positive_limit=0.3,
    negative_limit=0.5,
    positive_decay=1.0,
    negative_decay=5.0,
)
VTEAM = VteamSpec(
    on_resistance=2e3,
    off_resistance=100e3,
    on_speed=-1e-3,
    off_speed=2e-3,
    on_voltage=-0.6,
    off_voltage=0.5,
    on_power=2.0,
    off_power=3.0,
)
SWEEPS: dict[str, Sweep] = {
    "yakopcic": Sweep(YAKOPCIC, "yakopcic", 1.5, 0.1, {"positive_limit": 0.3}),
    # One sweep as fast as the device switches, and one so slow that it switches between two points.
    "vteam": Sweep(VTEAM, "vteam", 1.5, 1e-5, {}),
    "vteam-slow": Sweep(VTEAM, "vteam", 1.2, 0.1, {}),
    "stanford-pku": Sweep(StanfordSpec.preset("1.0"), "stanford-pku", 1.5, 1e-6, {}),
    "ion-drift": Sweep(
        IonDriftSpec(**IonDriftSpec.PRESETS["HP"] | {"window": "biolek", "window_power": 2.0}),
        "ion-drift",
        1.2,
        1.0,
        {},
    ),
}
"""One or two of each model."""


def sweep(amplitude: float, period: float, *, cycles: int = 2, fading: float = FADING) -> tuple[Floats, Floats]:
    """Return the time [s] and the voltage [V] of a sine that fades.

    Parameters
    ----------
    amplitude, period : float
        Of the sine [V], [s].
    cycles : int
        How many periods.
    fading : float
        Part of the amplitude that is lost in each.

    Returns
    -------
    time, voltage : (201,) ndarray
        Points of the curve.
    """
    time = np.linspace(0.0, cycles * period, POINTS)
    return time, amplitude * np.sin(2.0 * np.pi * time / period) * (1.0 - fading * time / period)


def write_sweep(
    path: str | os.PathLike[str],
    spec: OdeDevice,
    amplitude: float,
    period: float,
    *,
    noise: float = 0.0,
    seed: int = 0,
    way: int = 1,
    cycles: int = 2,
    fading: float = FADING,
) -> Path:
    """Write the I-V curve of a device.

    Parameters
    ----------
    path : path
        The file.
    spec : OdeDevice
        The device.
    amplitude, period, cycles, fading
        As in :func:`sweep`.
    noise : float
        Standard deviation of a reading, relative to the largest one.
    seed : int
        Seed of the noise.
    way : {1, -1}
        -1 if the electrodes are exchanged.

    Returns
    -------
    Path
        The file.
    """
    time, voltage = sweep(amplitude, period, cycles=cycles, fading=fading)
    current = simulate(spec, time, voltage, tolerance=1e-9, threads=1).current
    current = current + noise * np.abs(current).max() * np.random.default_rng(seed).standard_normal(len(time))
    rows = [",".join(f"{x:.10g}" for x in row) for row in zip(time, way * voltage, way * current, strict=True)]
    return _written(path, "time_s,voltage_v,current_a", rows)


def write_pulses(path: str | os.PathLike[str], spec: PulseUpdateSpec, *, noise: float = 0.0, seed: int = 0) -> Path:
    """Write the ramps of a device that counts pulses, up and down; arguments as in :func:`write_sweep`."""
    rng, count, rows = np.random.default_rng(seed), np.arange(spec.states + 1), []
    for way, curve in zip(("up", "down"), pulse_curves(spec, count), strict=True):
        values = curve if way == "up" else curve[::-1]
        values = np.maximum(values + noise * spec.maximum_conductance * rng.standard_normal(len(count)), 1e-12)
        rows += [f"{k},{value:.10g},{way}" for k, value in zip(count, values, strict=True)]
    return _written(path, "pulse,conductance_s,polarity", rows)


def _written(path: str | os.PathLike[str], head: str, rows: list[str]) -> Path:
    Path(path).write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return Path(path)
