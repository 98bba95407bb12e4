"""Complete records of a chip's operations, so that another engine can repeat them at any time.

A case has everything that its answer depends on (geometry, state, defects, inputs), and the answer that was given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address, standard_normal
from circuitmem._kernels.pulses import TwoPulseLaw, ground_resistance, reset_pulse, row_power, set_pulse
from circuitmem.config import TileSpec
from circuitmem.engine.base import Engine
from circuitmem.engine.circuit import Terminals, TileRead
from circuitmem.engine.state_case import StateCase
from circuitmem.errors import ValidationError
from circuitmem.tile import DefectMap, Tile
from circuitmem.validation import boolean_array, finite_array

__all__ = ["Case", "PulseCase", "ReadCase", "case_from_arrays", "numbers_of", "relative_errors"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def relative_errors(found: Floats, reference: Floats) -> Floats:
    """Return the largest difference in each row of (batch, n), relative to the row's largest reference; (batch,).

    If the reference row is all 0, any difference counts as infinite. So does a value that is not finite.
    """
    difference = np.abs(found - reference).max(axis=1, initial=0.0)
    scale = np.abs(reference).max(axis=1, initial=0.0)
    ratio = np.divide(difference, scale, out=np.where(difference > 0.0, np.inf, 0.0), where=scale > 0.0)
    # NaN would pass every comparison with a limit.
    known = np.isfinite(difference) & np.isfinite(scale)
    return np.where(known, ratio, np.inf)


@dataclass(frozen=True)
class ReadCase:
    """Reads of one tile.

    Attributes
    ----------
    tile : Tile
        The tile as it was.
    voltages : (reads, rows) ndarray
        Driver voltages [V].
    currents : (reads, columns) ndarray
        The answer [A].
    """

    kind: ClassVar[str] = "read"
    agreement: ClassVar[float | None] = None
    """Difference beyond which such a case is reported; None takes the limit of the audit."""
    tile: Tile
    voltages: Floats
    currents: Floats

    @property
    def size(self) -> int:
        """Number of reads."""
        return len(self.voltages)

    def reads(self) -> list[TileRead]:
        """Return the reads that have to be computed again."""
        return [TileRead(self.tile, self.voltages)]

    def answered(self, found: Sequence[Terminals]) -> Floats:
        """Return the same as :meth:`reference`, taken from the answers to :meth:`reads`."""
        return found[0].column_current

    def reference(self, engine: Engine) -> Floats:
        """Return the currents (reads, columns) A that an engine finds."""
        return engine.read(self.tile, self.voltages)

    def errors(self, reference: Floats) -> Floats:
        """Return the error of each read, (reads,), against :meth:`reference`, relative to its largest current."""
        return relative_errors(self.currents, reference)

    def again(self, engine: Engine) -> ReadCase:
        """Return the same reads with new answers from an engine."""
        return replace(self, currents=engine.read(self.tile, self.voltages))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays, for a file."""
        state = {"conductance": np.array(self.tile.conductance)}
        return _tile_arrays(self.tile) | state | {"voltages": self.voltages, "currents": self.currents}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> ReadCase:
        """Make a case from the result of :meth:`arrays`."""
        spec, defects = _spec_and_defects(arrays)
        voltages = finite_array("voltages", numbers_of(arrays, "voltages"))
        if voltages.ndim != 2 or voltages.shape[1] != spec.rows:
            raise ValidationError("voltages", f"must have shape (reads, {spec.rows})", voltages.shape)
        currents = finite_array("currents", numbers_of(arrays, "currents"), shape=(len(voltages), spec.columns))
        return cls(Tile(spec, numbers_of(arrays, "conductance"), defects), voltages, currents)


@dataclass(frozen=True)
class PulseCase:
    """Some pulses of one programming train: their power, and the conductances after them.

    The transistors of all cells without a pulse are off, so only ``cells`` conduct.

    Attributes
    ----------
    spec : TileSpec
        Geometry, wires and cell law.
    defects : DefectMap
        Defects of wires and drivers.
    is_set : (pulses,) ndarray of bool
        True for SET, false for RESET.
    cells : (pulses, rows, columns) ndarray of bool
        The cells that each pulse is given to; their rows are driven.
    voltage : (pulses,) ndarray
        Amplitude [V].
    driven : (pulses, rows, columns) ndarray
        Conductance of these cells during the pulse [S]; 0 elsewhere.
    power : (pulses,) ndarray
        Power that the drivers delivered [W]: the first part of the answer.
    before, after : (pulses, rows, columns) ndarray
        Programmed conductance before the pulse, and after it [S]; the latter is the second part of the answer.
    wanted, slope : (rows, columns) ndarray
        Conductance that was asked for [S], and slope of each device [S/V].
    law : TwoPulseLaw or None
        The nominal law; None for devices that follow another law, for which only the power is compared.
    noise : Address
        Address of the normal random numbers of the SET pulses.
    """

    kind: ClassVar[str] = "pulse_train"
    agreement: ClassVar[float | None] = None
    spec: TileSpec
    defects: DefectMap
    is_set: Mask
    cells: Mask
    voltage: Floats
    driven: Floats
    power: Floats
    before: Floats
    after: Floats
    wanted: Floats
    slope: Floats
    law: TwoPulseLaw | None
    noise: Address

    @property
    def size(self) -> int:
        """Number of pulses."""
        return len(self.is_set)

    def reads(self) -> list[TileRead]:
        """Return the reads that have to be computed again: one input vector for each pulse."""
        circuits = (self._circuit(index) for index in range(self.size))
        return [TileRead(tile, voltages[None]) for tile, voltages in circuits]

    def answered(self, found: Sequence[Terminals]) -> Floats:
        """Return the same as :meth:`reference`, taken from the answers to :meth:`reads`."""
        return np.array([float(each.power[0]) for each in found])

    def reference(self, engine: Engine) -> Floats:
        """Return the power of each pulse, (pulses,) W, from the driver currents that an engine computes."""
        return np.array([float(engine.solve(*self._circuit(index)).power) for index in range(self.size)])

    def errors(self, reference: Floats) -> Floats:
        """Return the larger relative difference of each pulse, (pulses,): of its power, or of conductances after it.

        The conductances are compared with the law as it is documented, evaluated here with the same noise.
        """
        network = relative_errors(self.power[:, None], reference[:, None])
        if self.law is None:
            return network
        law = self.law
        places = [np.nonzero(cells) for cells in self.cells]
        states = [
            relative_errors(self.after[index][place][None], self._left(index, law)[place][None])[0]
            for index, place in enumerate(places)
        ]
        return np.asarray(np.maximum(network, np.array(states)))

    def again(self, engine: Engine) -> PulseCase:
        """Return the same pulses, with power and conductances computed again by the kernels, or by the engine."""
        power = np.array([self._power(index, engine) for index in range(self.size)])
        if self.law is None:
            return replace(self, power=power)
        after = self.before.copy()
        for index in range(self.size):
            state, cells = after[index], np.ascontiguousarray(self.cells[index])
            free = np.zeros_like(cells)
            if self.is_set[index]:
                asked = np.zeros_like(state)
                set_pulse(state, state, free, cells, self.wanted, asked, self.slope, self.law, self.noise)
            else:
                reset_pulse(state, state, free, cells, self.law)
        return replace(self, power=power, after=after)

    def _circuit(self, index: int) -> tuple[Tile, Floats]:
        rows = self.cells[index].any(axis=1)
        return Tile(self.spec, self.driven[index], self.defects), self.voltage[index] * rows

    def _power(self, index: int, engine: Engine) -> float:
        tile, voltages = self._circuit(index)
        rows = np.flatnonzero(voltages)
        if len(rows) > 1 or not self.spec.cell.linear:
            return float(engine.solve(tile, voltages).power)
        ground = ground_resistance(tile.mesh.bit_resistance)
        cells, voltage = np.ascontiguousarray(self.cells[index]), float(self.voltage[index])
        found = row_power(tile.mesh.conductance, cells, tile.mesh.word_resistance, ground, voltage)
        return float(
            found[rows].sum() if self.defects.dead_drivers is None else found[~self.defects.dead_drivers].sum()
        )

    def _left(self, index: int, law: TwoPulseLaw) -> Floats:
        """Return the conductances after the pulse according to the law, (rows, columns) S."""
        before = self.before[index]
        if not self.is_set[index]:
            return np.asarray(np.minimum(before, law.minimum_conductance))
        gate = law.minimum_gate + (self.wanted - law.minimum_conductance) / law.slope
        gate = np.minimum(np.maximum(gate, law.minimum_gate), law.maximum_gate)
        limited = law.minimum_conductance + self.slope * (gate - law.minimum_gate)
        normal = standard_normal(self.noise, before.size).reshape(before.shape)
        return np.asarray(np.maximum(np.maximum(limited, before) + law.noise * normal, 0.0))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays, for a file."""
        names = ("is_set", "cells", "voltage", "driven", "power", "before", "after", "wanted", "slope")
        found = {name: np.asarray(getattr(self, name)) for name in names}
        noise = np.array([*self.noise.key, self.noise.operation], dtype=np.uint64)
        return _spec_arrays(self.spec, self.defects) | found | {"law": np.array(self.law or ()), "noise": noise}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> PulseCase:
        """Make a case from the result of :meth:`arrays`."""
        spec, defects = _spec_and_defects(arrays)
        pulses, shape = np.shape(arrays["is_set"])[:1], spec.shape
        shapes = {"voltage": pulses, "power": pulses, "wanted": shape, "slope": shape}
        found = {name: finite_array(name, numbers_of(arrays, name), size) for name, size in shapes.items()}
        for name in ("driven", "before", "after"):
            found[name] = finite_array(name, numbers_of(arrays, name), (*pulses, *shape))
        is_set = boolean_array("is_set", arrays["is_set"], pulses)
        cells = boolean_array("cells", arrays["cells"], (*pulses, *shape))
        first, second, operation = (int(word) for word in numbers_of(arrays, "noise"))
        law = TwoPulseLaw(*numbers_of(arrays, "law").tolist()) if arrays["law"].size else None
        noise = Address((first, second), operation)
        return cls(spec=spec, defects=defects, law=law, noise=noise, is_set=is_set, cells=cells, **found)


Case = ReadCase | PulseCase | StateCase


def case_from_arrays(arrays: Mapping[str, Any]) -> Case:
    """Make a case from its ``arrays``."""
    if "trains" in arrays:
        return StateCase.from_arrays(arrays)
    kind = PulseCase if "law" in arrays else ReadCase
    return kind.from_arrays(arrays)


def _tile_arrays(tile: Tile) -> dict[str, NDArray[Any]]:
    return _spec_arrays(tile.spec, tile.defects)


def _spec_arrays(spec: TileSpec, defects: DefectMap) -> dict[str, NDArray[Any]]:
    found = {f"defects_{name}": array for name, array in defects.arrays().items()}
    return {"spec": np.array(spec.model_dump_json())} | found


def _spec_and_defects(arrays: Mapping[str, Any]) -> tuple[TileSpec, DefectMap]:
    found = {name.removeprefix("defects_"): arrays[name] for name in arrays if name.startswith("defects_")}
    return TileSpec(**json.loads(str(arrays["spec"]))), DefectMap.from_arrays(found)


def numbers_of(arrays: Mapping[str, Any], name: str) -> NDArray[Any]:
    """Return an array of a file if its elements are numbers; text is refused, even if it reads as a number."""
    found = np.asarray(arrays[name])
    if found.dtype.kind not in "fiu":
        raise ValidationError(name, "must be numbers", found.dtype.str)
    return found
