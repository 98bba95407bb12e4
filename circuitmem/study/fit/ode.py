"""Fit of a device that follows an ODE to a measured I-V curve."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import IonDriftSpec
from circuitmem.device import Drive
from circuitmem.errors import CircuitmemError, ValidationError
from circuitmem.study.fit.chip import CHOSEN, around, cell_kind, cells_of
from circuitmem.study.fit.curves import read_iv
from circuitmem.study.fit.estimate import Search, concluded
from circuitmem.study.fit.model import Curve, Fit
from circuitmem.study.fit.ode_models import ODE_MODELS, Build, OdeModel
from circuitmem.study.fit.problem import FINEST, ROUGH, Parameter
from circuitmem.study.fit.table import Reading
from circuitmem.validation import did_you_mean

__all__ = ["fit_ode"]

Floats = NDArray[np.float64]


def fit_ode(
    path: str | os.PathLike[str],
    model: str,
    *,
    held: dict[str, float] | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    reading: Reading | None = None,
) -> Fit:
    """Fit a device that follows an ODE to a table of voltage, current and time (:func:`.curves.read_iv`).

    The voltage is linear between its points. VTEAM and Stanford-PKU devices begin off. Parameters that no such curve
    determines are held at published values (:attr:`.OdeModel.held`), and a note says so.

    Parameters
    ----------
    path : path
        The file.
    model : str
        One of :data:`.ode_models.ODE_MODELS`.
    held, seed, confidence, reading
        As in :func:`.fit.fit_device`.

    Raises
    ------
    DataFileError
        If the file is not such a table.
    ValidationError
        If a parameter that is held is not one of the model's, or breaks a rule.
    """
    measured, own = read_iv(path, reading), ODE_MODELS[model]
    # If the measured device has the opposite polarity, the model is fitted with its electrodes exchanged.
    mirrored = measured.polarity != own.set_sign
    way = -1.0 if mirrored else 1.0
    time, voltage, current = measured.time, way * measured.voltage, way * measured.current
    every = own.ranges(time, voltage, current)
    names = [*(parameter.name for parameter in every), *own.held]
    for name in held or {}:
        if name not in names:
            rule = f"is no parameter of {model}, whose are {', '.join(names)}{did_you_mean(name, names)}"
            raise ValidationError(f"--fix {name}", rule)
    told = dict(own.held) | (held or {})
    variants = [_Variant(own, build, every, told, time, voltage, current) for build in own.builds]
    done = [variant.search(seed) for variant in variants]
    best, near = concluded(done, confidence)
    found = variants[done.index(near[0])]
    device = found.build(best.values | found.known)
    notes = [_MIRRORED.format(_SIGNS[own.set_sign], _SIGNS[measured.polarity])] if mirrored else []
    taken = [f"{name} = {value:g}" for name, value in found.known.items() if name not in (held or {})]
    if taken:
        notes.append(f"{_TAKEN}: {', '.join(taken)}; --fix NAME=VALUE says another")
    if isinstance(device, IonDriftSpec):
        both = "; the other is not excluded by these data, and the intervals hold for both"
        notes.append(f"window: {device.window}, which fits better than the other" + both * (len(near) > 1))
    # All parameters of the law: a chip would take those that are left out from a published set.
    beside: dict[str, Any] = {k: v for k, v in device.model_dump().items() if k not in best.values}
    beside["kind"], others = cell_kind(device), {}
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
        parameters=found.parameters,
        estimate=best,
        derived=dict(found.known),
        curve=Curve(
            "voltage [V]",
            way * voltage,
            "current [A]",
            way * current,
            way * found.fitted(best.values),
            np.gradient(way * voltage) >= 0.0,
            ("voltage rises", "voltage falls"),
            in_order=True,
        ),
        scale=found.scale,
        assumed=measured.assumed,
        notes=notes,
        polarity=measured.polarity,
        beside=beside,
        around=others,
    )


class _Variant:
    """One variant of a model, with the parameters that are held and searched.

    Attributes
    ----------
    known : dict
        Parameters that are held, with their values.
    parameters : list of Parameter
        Parameters that are searched.
    """

    def __init__(
        self,
        model: OdeModel,
        build: Build,
        every: list[Parameter],
        told: dict[str, float],
        time: Floats,
        voltage: Floats,
        current: Floats,
    ) -> None:
        self.model, self.build, self._every, self.known = model, build, every, dict(told)
        self._drive, self._voltage, self._current = Drive(time, voltage), voltage, current
        self.scale = float(np.abs(current).max())
        if not self.parameters:
            raise ValidationError("--fix", "must leave a parameter to be found")
        middle = {p.name: float(p.out(0.5 * (p.into(p.sign * p.low) + p.into(p.sign * p.high)))) for p in every}
        build(middle | told)  # raises if a held value breaks a rule

    @property
    def parameters(self) -> list[Parameter]:
        return [parameter for parameter in self._every if parameter.name not in self.known]

    def search(self, seed: int) -> Search:
        """Search all parameters that are not held."""
        return Search(
            self.parameters,
            lambda values, error: (self.fitted(values, error) - self._current) / self.scale,
            len(self._current),
            seed=seed,
            improve=self._improve,
        )

    def fitted(self, values: dict[str, float], tolerance: float = FINEST) -> Floats:
        """Return the current of the model [A]."""
        device = self.build(values | self.known)
        return self._drive.current(device, tolerance)

    def _improve(self, values: dict[str, float]) -> dict[str, float]:
        """Scale the amplitudes of both signs, on which the state does not depend, to the data."""
        if not self.model.amplitudes:
            return values
        shape, better = self.fitted(values, ROUGH), dict(values)
        for name, sign in self.model.amplitudes.items():
            some = sign * self._voltage > 0.0
            power = float(shape[some] @ shape[some])
            if name in values and power > 0.0:
                factor = float(shape[some] @ self._current[some]) / power
                parameter = next(p for p in self.parameters if p.name == name)
                better[name] = min(max(values[name] * max(factor, 0.0), parameter.low), parameter.high)
        return better


_SIGNS = {1: "positive", -1: "negative"}
_MIRRORED = (
    "a {} voltage raises the conductance of the model, a {} one that of the measured device: the parameters are "
    "those of the device with its electrodes exchanged"
)
_TAKEN = "no such curve determines these, which are held at published values"
_CHOSEN = (
    "on a chip: the working range is what the curve passed through, pulses have its largest voltages and are so long "
    "that some tens of them cross the range"
)
