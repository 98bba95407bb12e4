"""The law of a Verilog-A device, evaluated by VACASK."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import VerilogASpec
from circuitmem.engine.vacask import VacaskEngine
from circuitmem.errors import SpiceError, ValidationError
from circuitmem.netlists.jobs import OperatingPoints
from circuitmem.netlists.vacask.hidden import hidden_variables
from circuitmem.netlists.vacask.law import LawCircuit
from circuitmem.netlists.vacask.verilog import Model, read_model

__all__ = ["take_model", "verilog_law"]

Floats = NDArray[np.float64]

POINTS = 1 << 14
"""Largest number of points of one simulation."""
LIMIT = 120.0
"""Time limit of one simulation [s]."""


@lru_cache(maxsize=16)
def take_model(spec: VerilogASpec) -> Model:
    """Read a model, compile it, and refuse a model that VACASK would compute wrongly without a warning.

    Raises
    ------
    ValidationError
        If the model is not of the supported kind, or keeps values in variables; the message names these variables.
    SpiceUnavailableError
        If VACASK is not installed.
    """
    model = read_model(spec)
    try:
        hidden = hidden_variables(model.text)
    except SpiceError as error:
        if not error.log:
            raise
        raise ValidationError(
            spec.file, f"{error.reason.replace('a model', 'must be Verilog-A: it')}; {' | '.join(error.log)}"
        ) from None
    if hidden:
        many = "variables" if len(hidden) > 1 else "variable"
        names = ", ".join(repr(name) for name in hidden)
        rule = f"must not keep values in variables: OpenVAF drops what {many} {names} had a moment ago (hidden state)"
        raise ValidationError(spec.file, f"{rule}; make it a node, V(x) <+ idt(rate, start)")
    return model


def verilog_law(spec: VerilogASpec, state: Floats, voltage: Floats) -> tuple[Floats, Floats]:
    """Return current [A] and rate of the state [1/s] for states 0 to 1 and voltages [V], (points,) each.

    Parameters
    ----------
    spec : VerilogASpec
        The device.
    state : (points,) ndarray
        States, 0 to 1.
    voltage : (points,) ndarray
        Voltages [V].
    """
    circuit = LawCircuit(spec, take_model(spec))
    low, high = spec.state_range
    parts = []
    for first in range(0, len(state), POINTS):
        table = circuit.table(voltage[first : first + POINTS], low + (high - low) * state[first : first + POINTS])
        answers = _engine()._runner.simulate(circuit.netlist, OperatingPoints(table), LIMIT).values
        parts.append(circuit.points(answers, len(state[first : first + POINTS])))
    amperes, rates = (np.concatenate(each) for each in zip(*parts, strict=True))
    return amperes, rates / (high - low)


@cache
def _engine() -> VacaskEngine:
    """Return one engine for all laws, because a table asks for points some tens of times."""
    return VacaskEngine()
