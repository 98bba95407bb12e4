"""Test benches of published devices: pulses that move them by a good part of their range."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from circuitmem.config import IonDriftSpec, OdeDevice, Pulse, StanfordSpec, VteamSpec, YakopcicSpec
from circuitmem.config.ode_cells import OdeCellSpec
from circuitmem.device import state_of
from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["BENCHES", "Bench", "bench", "bench_of"]


class Bench(NamedTuple):
    """A device, with a SET pulse and a RESET pulse."""

    device: OdeDevice
    set_voltage: float
    """Amplitude of a pulse that raises conductances [V]."""
    reset_voltage: float
    """Amplitude of a pulse that lowers them [V]."""
    set_time: float
    """Width of the plateau of a SET pulse [s]; its rise and fall each take a tenth of it."""
    reset_time: float
    """Width of the plateau of a RESET pulse [s]."""
    transistor: float
    """Resistance of the transistor in 1T1R tiles [ohm]: a part of that of the device."""
    states: tuple[float, float] = (0.2, 0.8)
    """Range of the states in which devices begin."""

    def pulse(
        self,
        kind: Literal["set", "reset"],
        rows: tuple[int, ...] | None = None,
        columns: tuple[int, ...] | None = None,
        scheme: Literal["v/2", "v/3", "1t1r"] = "v/2",
        *,
        amplitude: float | None = None,
        width: float | None = None,
    ) -> Pulse:
        """Return the pulse of one kind, with another amplitude [V] or width [s] if they are given."""
        to_set = kind == "set"
        own_voltage, own_width = (self.set_voltage, self.set_time) if to_set else (self.reset_voltage, self.reset_time)
        return Pulse(
            amplitude=own_voltage if amplitude is None else amplitude,
            width=own_width if width is None else width,
            rise=0.1 * own_width,
            rows=rows,
            columns=columns,
            scheme=scheme,
        )


BENCHES: dict[str, Bench] = {
    "vteam:A": Bench(VteamSpec.preset("A"), -2.0, 1.0, 1e-9, 1e-9, 1e3),
    "vteam:B": Bench(VteamSpec.preset("B"), -0.5, 0.3, 1e-9, 2e-7, 50.0),
    "yakopcic:Oblea": Bench(YakopcicSpec.preset("Oblea"), 0.8, -0.8, 2e-4, 2e-4, 20.0),
    "yakopcic:Miao": Bench(YakopcicSpec.preset("Miao"), 2.0, -3.0, 0.1, 0.1, 10.0),
    "ion-drift:HP": Bench(IonDriftSpec.preset("HP"), 1.0, -1.0, 0.1, 0.1, 500.0),
    "ion-drift:Biolek": Bench(IonDriftSpec.preset("Biolek"), 1.0, -1.0, 5e-3, 5e-3, 50.0),
    "stanford:1.0": Bench(StanfordSpec.preset("1.0"), 1.8, -1.8, 2e-8, 1e-7, 200.0),
}
"""By model and preset."""


OWN_PULSES = 8
"""A pulse of a bench is as long as this many of a chip's own, some tens of which take its devices across the range."""


def bench_of(spec: OdeCellSpec) -> Bench:
    """Return the bench of a chip's own devices: states of its working range, and its own pulses, made longer."""
    model, sign = spec.model, spec.model.set_sign
    low, high = np.sort(state_of(model, [spec.minimum_conductance, spec.maximum_conductance]))
    return Bench(
        model,
        sign * spec.set_voltage,
        -sign * spec.reset_voltage,
        OWN_PULSES * spec.set_time,
        OWN_PULSES * spec.reset_time,
        0.1 / spec.maximum_conductance,
        (float(low), float(high)),
    )


def bench(name: str) -> Bench:
    """Return the bench of a model and preset, e.g. ``"vteam:A"``.

    Raises
    ------
    ValidationError
        If there is none of that name.
    """
    if name not in BENCHES:
        raise ValidationError("device", f"must be one of {', '.join(BENCHES)}{did_you_mean(name, BENCHES)}", name)
    return BENCHES[name]
