"""Fit of any model."""

from __future__ import annotations

import os

from circuitmem.errors import ValidationError
from circuitmem.study.fit.model import Fit
from circuitmem.study.fit.ode import fit_ode
from circuitmem.study.fit.ode_models import ODE_MODELS
from circuitmem.study.fit.pulse import fit_pulses
from circuitmem.study.fit.statistics import fit_statistics
from circuitmem.study.fit.steps import fit_steps
from circuitmem.study.fit.table import Reading
from circuitmem.validation import did_you_mean, in_range, integer

__all__ = ["MODELS", "fit_device"]

MODELS = (*ODE_MODELS, "pulse", "steps", "statistical")


def fit_device(
    path: str | os.PathLike[str],
    model: str,
    *,
    held: dict[str, float] | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    reading: Reading | None = None,
) -> Fit:
    """Fit a device model to a table of measurements.

    Parameters
    ----------
    path : path
        Text file of a table: voltage, current and time for ODE devices (:func:`circuitmem.study.fit.ode.fit_ode`);
        pulse, conductance and polarity for pulses (:func:`circuitmem.study.fit.pulse.fit_pulses`) and steps
        (:func:`circuitmem.study.fit.steps.fit_steps`); cell, time, target and read for devices known by statistics
        (:func:`circuitmem.study.fit.statistics.fit_statistics`).
    model : str
        One of :data:`MODELS`.
    held : dict, optional
        Parameters that are known.
    seed : int
        Seed of the starts, >= 0.
    confidence : float
        Of the intervals, between 0.5 and 0.999.
    reading : Reading, optional
        Columns, units, time step and polarity, where the file does not say them.

    Raises
    ------
    DataFileError
        If the file is not such a table.
    ValidationError
        If an argument breaks its rule.
    ConvergenceError
        If nothing fits at all.
    """
    if model not in MODELS:
        raise ValidationError("--model", f"must be one of {', '.join(MODELS)}{did_you_mean(model, MODELS)}", model)
    level, start = in_range("--confidence", confidence, 0.5, 0.999), integer("--seed", seed)
    if model in ("pulse", "steps"):
        if held:
            raise ValidationError("--fix", f"is for {', '.join(ODE_MODELS)} and statistical", ", ".join(held))
        own = fit_pulses if model == "pulse" else fit_steps
        return own(path, seed=start, confidence=level, reading=reading)
    if model == "statistical":
        return fit_statistics(path, held=held, seed=start, confidence=level, reading=reading)
    return fit_ode(path, model, held=held, seed=start, confidence=level, reading=reading)
