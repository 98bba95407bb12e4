"""Records that observers get while a chip works: plain values that nobody can change.

A record describes one moment and holds no part of the chip: an observer cannot disturb the chip, and a record that is
kept does not change with it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address
from circuitmem._kernels.pulses import TwoPulseLaw
from circuitmem.config import OdeDevice, TileSpec
from circuitmem.config import Pulse as LinePulse
from circuitmem.tile import DefectMap

__all__ = [
    "Done",
    "Held",
    "Holding",
    "Observer",
    "SeenPulse",
    "SeenReads",
    "SeenStatePulse",
    "SeenTrain",
    "unchangeable",
]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Held(NamedTuple):
    """A resource that an operation holds."""

    resource: str
    slot: int
    """Which one, where there are several of the kind."""
    label: str
    """Its name in displays."""


class Holding(NamedTuple):
    """An operation that takes its resources, or releases them."""

    operation: int
    """Its number on the chip."""
    kind: str
    held: tuple[Held, ...]
    time: int
    """ps."""


class Done(NamedTuple):
    """The result of an operation, or of its part between two interruptions."""

    operation: int
    kind: str
    held: tuple[Held, ...]
    begin: int
    """Of its first beat [ps]."""
    duration: int
    """From its first beat to the end of its last [ps]."""
    beats: int
    """Number of beats."""
    busy: int
    """Time that is booked for them [ps]."""
    energy: int
    """aJ."""
    pulses: int
    since: int
    """Where its slice begins in a picture [ps]: slices of one track must nest."""


class Observer(Protocol):
    """Base of objects that are told which resources are held."""

    def began(self, holding: Holding) -> None:
        """Take note that an operation holds its resources from now on."""

    def ended(self, holding: Holding) -> None:
        """Take note that an operation has released its resources."""


def unchangeable(array: Floats) -> Floats:
    """Return a read-only copy."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


class SeenReads(NamedTuple):
    """Some reads of a tile that were just done, for an audit."""

    tile: int
    number: int
    """Number of the operation among the tile's reads."""
    operation: str
    time: int
    """When it began [ps]."""
    spec: TileSpec
    conductance: Floats
    """As programmed, (rows, columns) S."""
    defects: DefectMap
    voltages: Floats
    """Driver voltages, (reads, rows) V."""
    currents: Floats
    """Column currents that were found, (reads, columns) A."""


class SeenTrain(NamedTuple):
    """A programming train that begins on a tile, for an audit."""

    tile: int
    number: int
    """Number of the train among the tile's trains."""
    operation: str
    time: int
    """When it begins [ps]."""
    spec: TileSpec
    stateful: bool
    """Whether its devices have a state that ordinary differential equations move."""
    wanted: Floats
    """Wanted conductance, (rows, columns) S."""
    noise: Address
    slope: Floats
    """Conductance per gate voltage of each device, (rows, columns) S/V."""
    law: TwoPulseLaw | None


class SeenPulse(NamedTuple):
    """One pulse of a programming train."""

    is_set: bool
    cells: Mask
    """Cells that got it, (rows, columns)."""
    voltage: float
    """V."""
    power: float
    """Power that the drivers deliver [W]."""
    driven: Floats
    """What these cells conduct in the circuit [S]; here and in the next two, 0 for other cells."""
    before: Floats
    """As programmed before the pulse [S]."""
    after: Floats
    """As programmed after the pulse [S]."""
    defects: DefectMap
    """Of the wires and drivers."""


class SeenStatePulse(NamedTuple):
    """One pulse on a tile of ODE devices."""

    model: OdeDevice
    pulse: LinePulse
    before: Floats
    """As programmed before it, (rows, columns) S."""
    after: Floats
    """As programmed after it, (rows, columns) S."""
    energy: float
    """J."""
    defects: DefectMap
    stuck: Mask
