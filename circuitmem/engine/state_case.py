"""Complete records of pulses on a tile of ODE devices, so that another engine can repeat them at any time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import Pulse, PulseTrain, TileSpec
from circuitmem.engine.base import Engine
from circuitmem.errors import ValidationError
from circuitmem.tile import DefectMap, Tile
from circuitmem.validation import finite_array

__all__ = ["STATE_AGREEMENT", "StateCase"]

Floats = NDArray[np.float64]

STATE_AGREEMENT = 1e-3
"""Allowed difference of the states after a pulse, relative to their range (design: physics.md, section 9)."""

ENERGY_SHARE = 0.1
"""Weight of a relative difference of energies against a difference of states: no engine has an error control for energy
alone, which is summed over the steps that the states need."""


@dataclass(frozen=True)
class StateCase:
    """Some pulses of one programming train on ODE devices: the states after them, and their energies.

    Attributes
    ----------
    spec : TileSpec
        Geometry, wires and cell law.
    defects : DefectMap
        Defects at that time.
    trains : tuple of PulseTrain
        One pulse each, with the device.
    before : (pulses, rows, columns) ndarray
        Programmed conductance before each pulse [S].
    state : (pulses, rows, columns) ndarray
        States after each pulse, 0 to 1: the first part of the answer. Stuck cells are not compared.
    energy : (pulses,) ndarray
        Energy that the drivers of all lines delivered [J]: the second part of the answer.
    """

    kind: ClassVar[str] = "pulse_train"
    agreement: ClassVar[float | None] = STATE_AGREEMENT
    spec: TileSpec
    defects: DefectMap
    trains: tuple[PulseTrain, ...]
    before: Floats
    state: Floats
    energy: Floats

    @property
    def size(self) -> int:
        """Number of pulses."""
        return len(self.trains)

    def reference(self, engine: Engine) -> Floats:
        """Return the energy [J] and the states that an engine finds for each pulse, (pulses, 1 + cells)."""
        return np.array([self._given(index, engine) for index in range(self.size)])

    def errors(self, reference: Floats) -> Floats:
        """Return the error of each pulse, (pulses,): of its states, or a tenth of that of its energy if larger."""
        own = np.column_stack([self.energy, self.state.reshape(self.size, -1)])
        if reference.shape != own.shape:
            raise ValidationError("reference", f"must have shape {own.shape}", reference.shape)
        free = np.ones(self.spec.shape, dtype=bool) if self.defects.stuck is None else ~self.defects.stuck
        states = np.abs(own - reference)[:, 1:][:, free.ravel()].max(axis=1, initial=0.0)
        scale = np.maximum(np.abs(reference[:, 0]), np.finfo(float).tiny)
        found = np.maximum(states, ENERGY_SHARE * np.abs(own[:, 0] - reference[:, 0]) / scale)
        return np.where(np.isfinite(found), found, np.inf)

    def again(self, engine: Engine) -> StateCase:
        """Return the same pulses with new answers from an engine."""
        found = self.reference(engine)
        return replace(self, energy=found[:, 0], state=found[:, 1:].reshape(self.state.shape))

    def _given(self, index: int, engine: Engine) -> Floats:
        found = engine.program(Tile(self.spec, self.before[index], self.defects), self.trains[index])
        return np.concatenate([[found.energy], found.state.ravel()])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays, for a file."""
        found = {f"defects_{name}": array for name, array in self.defects.arrays().items()}
        found |= {"spec": np.array(self.spec.model_dump_json())}
        found |= {name: np.asarray(getattr(self, name)) for name in ("before", "state", "energy")}
        return found | {"trains": np.array([train.model_dump_json() for train in self.trains])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> StateCase:
        """Make a case from the result of :meth:`arrays`."""
        defects = {name.removeprefix("defects_"): arrays[name] for name in arrays if name.startswith("defects_")}
        spec = TileSpec(**json.loads(str(arrays["spec"])))
        trains = tuple(_train(json.loads(str(text))) for text in arrays["trains"].ravel())
        shape = (len(trains), *spec.shape)
        return cls(
            spec,
            DefectMap.from_arrays(defects),
            trains,
            finite_array("before", arrays["before"], shape, minimum=0.0),
            finite_array("state", arrays["state"], shape, minimum=0.0),
            finite_array("energy", arrays["energy"], shape[:1]),
        )


def _train(values: dict[str, Any]) -> PulseTrain:
    pulses: Sequence[dict[str, Any]] = values["pulses"]
    return PulseTrain(device=values["device"], pulses=tuple(Pulse(**pulse) for pulse in pulses))
