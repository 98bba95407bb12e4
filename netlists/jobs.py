"""What a simulator is asked to compute for a circuit, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import ValidationError
from circuitmem.validation import in_range

__all__ = ["Analysis", "Circuit", "OperatingPoints", "SimulatorOutputs", "Transient"]

Floats = NDArray[np.float64]


class Circuit(Protocol):
    """A circuit ready to be simulated, in the language of the simulator that it is for."""

    @property
    def text(self) -> str:
        """The netlist."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the external sources."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """What to return: node names, and ``vname#branch`` for the current through a source."""

    @property
    def settings(self) -> dict[str, Any]:
        """What else the simulator needs to know, as plain values."""


@dataclass(frozen=True)
class OperatingPoints:
    """One operating point for each vector of input voltages.

    Parameters
    ----------
    table : (points, inputs) ndarray
        Voltages of the netlist's inputs [V].
    """

    table: Floats

    def request(self, netlist: Circuit) -> tuple[dict[str, Any], Floats]:
        """Return the analysis as plain values, and the numbers that go with it."""
        if self.table.shape[1:] != (len(netlist.inputs),) or len(self.table) == 0:
            raise ValidationError("table", f"must have shape (points, {len(netlist.inputs)})", self.table.shape)
        return {"kind": "sweep"}, self.table


@dataclass(frozen=True)
class Transient:
    """The circuit in time, from 0 to ``stop``. All sources are in the netlist, which has no inputs.

    Parameters
    ----------
    step : float
        Suggested time step [s], > 0.
    stop : float
        End [s], > 0.
    start : float
        Time before which nothing is saved [s], >= 0.
    largest_step : float, optional
        Largest step that the simulator may take [s], > 0; if left out, it chooses one itself.
    initial : bool
        Whether to start from the initial conditions of the netlist instead of an operating point (``uic``).
    code_models : bool
        Whether the circuit needs XSPICE's digital code models.
    """

    step: float
    stop: float
    start: float = 0.0
    largest_step: float | None = None
    initial: bool = False
    code_models: bool = False

    def __post_init__(self) -> None:
        for name in ("step", "stop", "start", "largest_step"):
            value = getattr(self, name)
            if value is None:
                continue
            if in_range(name, value, 0.0) == 0.0 and name != "start":
                raise ValidationError(name, "must be > 0", value)

    def request(self, netlist: Circuit) -> tuple[dict[str, Any], Floats]:
        """Return the analysis as plain values, and the numbers that go with it (none)."""
        if netlist.inputs:
            raise ValidationError("netlist inputs", "must be none in a transient analysis", netlist.inputs)
        times = [self.step, self.stop, self.start, *([] if self.largest_step is None else [self.largest_step])]
        fields = {
            "kind": "transient",
            "times": [float(time) for time in times],
            "initial": bool(self.initial),
            "code_models": bool(self.code_models),
        }
        return fields, np.zeros(0)


Analysis = OperatingPoints | Transient


@dataclass(frozen=True)
class SimulatorOutputs:
    """What the simulator computed.

    Attributes
    ----------
    axis : (points,) ndarray
        Number of the input vector, or time [s].
    values : (points, outputs) ndarray
        The netlist's outputs [V, A].
    seconds : dict
        Seconds that the simulator needed to ``load``, ``solve`` and ``fetch``, and those of the ``transfer`` to the
        worker and back.
    """

    axis: Floats
    values: Floats
    seconds: dict[str, float] = field(default_factory=dict)
