"""ODE devices on a chip: pulses of one amplitude on the lines, as many as the model's own law needs.

How the devices of a tile respond to a pulse depends on all of them, since their currents shape the voltages along the
wires. So the engine simulates the tile as a whole, from :meth:`OdeCells.line_pulse`. The digital core knows the model,
but neither the wires nor half-selected cells: what it plans and believes is the response of a single device to the full
voltage.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.devices import integrate
from circuitmem._kernels.noise import Address
from circuitmem.config import OdeDevice, Pulse
from circuitmem.config.ode_cells import IonDriftCellSpec, OdeCellSpec, StanfordCellSpec, VteamCellSpec, YakopcicCellSpec
from circuitmem.config.verilog_cells import VerilogACellSpec
from circuitmem.device.device import CellState, Device, PulseGroup
from circuitmem.device.ode import TOLERANCE, conductance, device_law, state_of
from circuitmem.errors import ValidationError

__all__ = ["IonDriftCells", "OdeCells", "StanfordCells", "VerilogACells", "VteamCells", "YakopcicCells"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

POINTS = 8
"""Conductances of a table per pulse, between those after one pulse and after the next."""

MOST_PULSES = 4096
"""Pulses after which a device must have crossed its working range."""


class OdeCells(Device):
    """Devices whose state follows a differential equation; parameters are those of :class:`Device`.

    The state of a cell and its conductance at small voltages are two forms of the same number
    (:func:`circuitmem.device.state_of`): the tile keeps the conductance.
    """

    spec: OdeCellSpec

    def __init__(self, spec: OdeCellSpec, shape: tuple[int, int], seed: int = 0, key: tuple[int, ...] = ()) -> None:
        super().__init__(spec, shape, seed, key)
        self.model: OdeDevice = spec.model
        self._ways = tuple(_way(spec, is_set) for is_set in (False, True))

    @property
    def most(self) -> int:
        """Pulses that cross the working range, in the direction that needs more; if binary, with all digits set."""
        most = max(way.most for way in self._ways)
        return most if self.spec.widths == "equal" else (1 << most.bit_length()) - 1

    def counts(self, wanted: Floats, present: Floats) -> tuple[Counts, Counts]:
        """Return how many pulses down or up come closest to the wanted conductances, by the model's law.

        Both (rows, columns), and one of them 0; conductances beyond the working range count as its ends. With
        ``widths="binary"`` the binary digits of a count say which pulses: those of 1, 2, 4, ... times the width.
        """
        count = _Way.equal if self.spec.widths == "equal" else _Way.binary
        down, up = (count(way, present, wanted) for way in self._ways)
        return down, up

    def rounds(self, counts: Counts) -> list[tuple[int, Mask]]:
        """Return the pulses of the declared width, or those of the binary digits of the counts, the longest first."""
        if self.spec.widths == "equal":
            return super().rounds(counts)
        digits = int(counts.max(initial=0)).bit_length()
        return [(1 << digit, (counts >> digit) & 1 == 1) for digit in reversed(range(digits))]

    def line_pulse(self, pulse: PulseGroup) -> Pulse:
        """Return the pulse on the tile's lines that gives a pulse to cells of one row, or to one cell."""
        spec, is_set = self.spec, pulse.is_set
        rows, columns = (np.flatnonzero(pulse.cells.any(axis=axis)) for axis in (1, 0))
        return Pulse(
            amplitude=_amplitude(spec, is_set),
            width=pulse.width * (spec.set_time if is_set else spec.reset_time) - 2.0 * spec.rise_time,
            rise=spec.rise_time,
            rows=tuple(rows.tolist()),
            columns=tuple(columns.tolist()),
            scheme=spec.scheme,
        )

    def after(self, pulse: PulseGroup, conductance: Floats, noise: Floats | None) -> Floats:  # noqa: ARG002
        """Return the conductances after the whole voltage of a pulse [S], as the digital core expects."""
        left, cells = conductance.copy(), pulse.cells
        lowest, highest = _range(self.model)
        states = state_of(self.model, np.clip(conductance[cells], lowest, highest))
        left[cells] = _conductance(self.model, _pulses(self.spec, pulse.is_set, states, 1, pulse.width)[:, -1])
        return left

    def give(self, pulse: PulseGroup, state: CellState, noise: Address) -> None:  # noqa: ARG002
        """Update what the digital core believes; what the tile really does is computed by the engine."""
        state.asked[pulse.cells] = self.after(pulse, state.asked, None)[pulse.cells]


class VteamCells(OdeCells):
    """VTEAM devices: pulses move the state beyond a threshold (Kvatinsky et al. 2015)."""

    Spec: ClassVar = VteamCellSpec


class YakopcicCells(OdeCells):
    """Yakopcic's generalised devices: thresholds, and a motion that slows down at the ends (Yakopcic et al. 2013)."""

    Spec: ClassVar = YakopcicCellSpec


class StanfordCells(OdeCells):
    """Stanford-PKU RRAM: a gap that any voltage moves, more the hotter (Jiang et al. 2014)."""

    Spec: ClassVar = StanfordCellSpec


class IonDriftCells(OdeCells):
    """Linear ion drift: every current moves the state, and a window ends the motion (Strukov et al. 2008)."""

    Spec: ClassVar = IonDriftCellSpec


class VerilogACells(OdeCells):
    """Devices of a Verilog-A model of one's own, whose law is tabulated: ``chip.device.file``."""

    Spec: ClassVar = VerilogACellSpec


def _conductance(model: OdeDevice, states: Floats) -> Floats:
    return conductance(model, states)


def _range(model: OdeDevice) -> tuple[float, float]:
    low, high = np.sort(conductance(model, [0.0, 1.0]))
    return float(low), float(high)


def _amplitude(spec: OdeCellSpec, is_set: bool) -> float:
    sign = spec.model.set_sign
    return sign * spec.set_voltage if is_set else -sign * spec.reset_voltage


def _pulses(spec: OdeCellSpec, is_set: bool, states: Floats, count: int, times: int = 1) -> Floats:
    """Return the states of single devices after 0 to ``count`` pulses of ``times`` widths, (devices, count + 1)."""
    width, rise = times * (spec.set_time if is_set else spec.reset_time), spec.rise_time
    corners = np.array([0.0, rise, width - rise, width])
    time = np.concatenate([[0.0], (np.arange(count)[:, None] * width + corners[1:]).ravel()])
    voltage = _amplitude(spec, is_set) * np.concatenate([[0.0], np.tile([1.0, 1.0, 0.0], count)])
    model = spec.model
    found, _ = integrate(device_law(model), states, np.zeros(len(states)), time, voltage[None], TOLERANCE)
    return np.asarray(found[:, ::3])


@dataclass(frozen=True)
class _Way:
    """What pulses of one polarity do to a single device, from one end of the working range to the other.

    Attributes
    ----------
    order : {1, -1}
        1 if conductances rise along the way, -1 if they fall.
    nodes : (most + 1,) ndarray
        Conductances after 0, 1, ... pulses [S]; the last is at or beyond the other end.
    grid : (points,) ndarray
        Conductances along the way [S], more closely spaced.
    after : (digits, points) ndarray
        Conductances after a pulse of 1, 2, 4, ... widths, from those of the grid [S].
    """

    order: int
    nodes: Floats
    grid: Floats
    after: Floats

    @property
    def most(self) -> int:
        """Pulses from end to end."""
        return len(self.nodes) - 1

    def place(self, conductances: Floats) -> Floats:
        """Return the number of pulses from the beginning after which a device has these conductances."""
        return np.asarray(np.interp(self.order * conductances, self.order * self.nodes, np.arange(len(self.nodes))))

    def equal(self, present: Floats, wanted: Floats) -> Counts:
        """Return how many pulses of the declared width come closest."""
        steps = np.rint(self.place(wanted) - self.place(present))
        return np.asarray(np.maximum(steps, 0.0), dtype=np.int64)

    def binary(self, present: Floats, wanted: Floats) -> Counts:
        """Return the number whose digits are the pulses that come closest: each is taken unless it overshoots."""
        far = self.place(wanted) + 0.5
        # Half a pulse beyond the wanted conductance: pulses that do not pass this limit come closest.
        limit = self.order * np.interp(far, np.arange(len(self.nodes)), self.nodes)
        now = np.clip(self.order * present, self.order * self.grid[0], self.order * self.grid[-1])
        found = np.zeros(present.shape, dtype=np.int64)
        for digit in reversed(range(len(self.after))):
            then = np.interp(now, self.order * self.grid, self.order * self.after[digit])
            taken = (then <= limit) & (then > now)
            found[taken] += 1 << digit
            now = np.where(taken, then, now)
        return found


@lru_cache(maxsize=16)
def _way(spec: OdeCellSpec, is_set: bool) -> _Way:
    """Return what pulses of one polarity do, from one end of the working range until the other is passed.

    Raises
    ------
    ValidationError
        If the range is not within the model's, or the pulses do not cross it.
    """
    model = spec.model
    ends = spec.minimum_conductance, spec.maximum_conductance
    lowest, highest = _range(model)
    for name, value in zip(("minimum_conductance", "maximum_conductance"), ends, strict=True):
        if not lowest <= value <= highest:
            rule = f"must be between {lowest:.6g} and {highest:.6g} S, what such a device can conduct"
            raise ValidationError(f"chip.device.{name}", rule, value)
    first, last = ends if is_set else ends[::-1]
    start, count = state_of(model, [first]), 64
    while True:
        way = _conductance(model, _pulses(spec, is_set, start, count)[0])
        passed = way >= last if is_set else way <= last
        if passed.any():
            nodes = way[: int(np.argmax(passed)) + 1]
            places = np.linspace(0.0, len(nodes) - 1, POINTS * (len(nodes) - 1) + 1)
            grid = np.interp(places, np.arange(len(nodes)), nodes)
            widths = [1 << digit for digit in range((len(nodes) - 1).bit_length())]
            states = state_of(model, grid)
            after = [_conductance(model, _pulses(spec, is_set, states, 1, width)[:, -1]) for width in widths]
            return _Way(1 if is_set else -1, nodes, grid, np.array(after))
        if count >= MOST_PULSES:
            what = "set" if is_set else "reset"
            rule = f"must be longer, or {what}_voltage higher: {count} pulses bring a device to {way[-1]:.4g} S alone"
            raise ValidationError(
                f"chip.device.{what}_time", f"{rule}, not to {last:g} S", getattr(spec, f"{what}_time")
            )
        count *= 4
