"""The effect of a pulse train on a tile of ODE devices, as the behavioral engine computes it.

Wires have no capacitance here. At each moment the network of wires, devices and defects is solved for the voltages of
the lines, and the solution drives the states, all with the same time step. So IR drop slows the far cells, and
half-selected cells creep. The integrator is that of :mod:`circuitmem._kernels.devices`, applied to the whole tile.

A compiled kernel does all of this in one call (:mod:`circuitmem._kernels.switching`). This module has its Python twin,
which also takes tiles with bridges; the kernel does not support them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem._kernels import switching
from circuitmem._kernels.devices import METHOD, DeviceLaw
from circuitmem._kernels.switching import Switched
from circuitmem.config import LinearCell, OdeDevice, Pulse, PulseTrain, SinhCell, TabulatedSpec, TransistorCell
from circuitmem.device import conductance, state_of
from circuitmem.device.ode import device_law
from circuitmem.engine.base import ProgrammingResult, PulseResult
from circuitmem.engine.network import CellNetwork, Moment
from circuitmem.errors import ConvergenceError, ValidationError
from circuitmem.tile import Tile
from circuitmem.validation import finite_array, in_range, integer

__all__ = ["PROGRAMMING_TOLERANCE", "PulseDrive", "check_pulse", "first_state", "program_tile", "pulse_tile"]

Floats = NDArray[np.float64]

PROGRAMMING_TOLERANCE = 1e-5
"""Largest estimated error of a state in one step, the state's range being 1."""


@dataclass(frozen=True)
class _Setup:
    """A pulse on a tile, ready to be computed.

    Attributes
    ----------
    tile : Tile
        Wires and defects.
    fixed : (rows, columns) ndarray
        Conductance [S] of stuck cells; -1 for working devices.
    series : (rows, columns) ndarray
        Resistance of each cell's transistor [Ω]; ``inf`` if the transistor is off.
    word, bit : (rows,), (columns,) ndarray
        Plateau voltages of the lines [V]; dead drivers hold 0 V.
    """

    tile: Tile
    fixed: Floats
    series: Floats
    word: Floats
    bit: Floats

    def linear_tile(self) -> Tile:
        """Return the wires and line defects as a tile with linear cells: 1 S if a cell can conduct, 0 S if not."""
        conducts = np.isfinite(self.series) & (self.fixed != 0.0)
        linear = self.tile.spec.model_copy(update={"cell": LinearCell()})
        return Tile(linear, np.where(conducts, 1.0, 0.0), self.tile.defects.lines_only())


def first_state(tile: Tile, train: PulseTrain) -> Floats:
    """Return the states of a tile's devices, (rows, columns), from its conductances.

    Raises
    ------
    ValidationError
        If the tile's cells are not of the device's kind, or a conductance is out of its range.
    """
    device = train.device
    check_cell(tile, device)
    if not tile.stuck.any():
        return state_of(device, tile.conductance)
    lowest, highest = np.sort(conductance(device, [0.0, 1.0]))
    return state_of(device, np.where(tile.stuck, np.clip(tile.conductance, lowest, highest), tile.conductance))


def check_cell(tile: Tile, device: OdeDevice) -> None:
    """Check that a tile's cells are compatible with a device.

    Raises
    ------
    ValidationError
        If they are of another kind.
    """
    cell = tile.spec.cell
    if not isinstance(cell, LinearCell | TransistorCell) and cell != device.cell:
        wanted = (
            f"LinearCell, TransistorCell or {device.cell!r}"
            if isinstance(device.cell, SinhCell)
            else ("LinearCell or TransistorCell")
        )
        raise ValidationError("cell", f"must be {wanted} for this device", cell)


def check_pulse(tile: Tile, pulse: Pulse) -> None:
    """Check that a pulse can be applied to a tile.

    Raises
    ------
    ValidationError
        If it selects lines or transistors that the tile does not have.
    """
    pulse.selected(tile.spec)
    if pulse.scheme == "1t1r" and not isinstance(tile.spec.cell, TransistorCell):
        raise ValidationError("cell", "must be a TransistorCell for scheme 1t1r", tile.spec.cell)


def _assemble(tile: Tile, device: OdeDevice, word: Floats, bit: Floats, conducting: NDArray[np.bool_]) -> _Setup:
    """Return the setup of a pulse on a tile from plateau voltages [V] and the rows whose transistors conduct."""
    spec, defects = tile.spec, tile.defects
    on = np.broadcast_to(conducting[:, None], spec.shape)
    resistance = spec.cell.series_resistance
    fixed = np.where(tile.stuck, tile.effective_conductance, -1.0)
    if defects.dead_drivers is not None:
        word = np.where(defects.dead_drivers, 0.0, word)
    if isinstance(device, TabulatedSpec):
        _check_reach(device, word, bit)
    return _Setup(tile, fixed, np.where(on, resistance, np.inf), word, bit)


def _check_reach(device: TabulatedSpec, word: Floats, bit: Floats) -> None:
    """Refuse pulses beyond the voltage range of a device's tables; node voltages lie between those of the lines.

    Raises
    ------
    ValidationError
        If a device may get a voltage beyond its tables.
    """
    for name, largest in (
        ("positive_voltage", float(word.max() - bit.min())),
        ("negative_voltage", float(bit.max() - word.min())),
    ):
        if largest > getattr(device, name):
            raise ValidationError(
                f"device.{name}",
                f"must be >= {largest:.6g}, what these pulses can put on a cell",
                getattr(device, name),
            )


def program_tile(
    tile: Tile, train: PulseTrain, *, samples: int = 0, tolerance: float = PROGRAMMING_TOLERANCE, threads: int = 1
) -> ProgrammingResult:
    """Integrate the states of a tile through a pulse train; see ``BehavioralEngine.program``."""
    samples, tolerance = integer("samples", samples), in_range("tolerance", tolerance, 1e-12, 0.1)
    law, state = device_law(train.device), first_state(tile, train)
    for pulse in train.pulses:
        check_pulse(tile, pulse)
    start, energy, steps = 0.0, 0.0, 0
    times, states = [0.0], [state]
    for pulse in train.pulses:
        setup = _assemble(tile, train.device, *pulse.lines(tile.spec), pulse.conducting(tile.spec))
        wanted = sample_times(pulse, samples)
        done = _integrate(law, setup, pulse.corners, state, wanted, tolerance, threads)
        times += [start + moment for moment in wanted]
        states += list(done.states)
        state, start = done.states[-1], start + pulse.duration
        energy, steps = energy + done.energy, steps + done.steps
    return result_of(tile, train, times, states, energy, steps)


class PulseDrive(NamedTuple):
    """The drivers of a tile during one pulse; fields are as in ``BehavioralEngine.pulse``."""

    word: ArrayLike
    bit: ArrayLike
    width: float
    rise: float
    conducting: ArrayLike | None


def pulse_tile(
    tile: Tile, device: OdeDevice, state: ArrayLike, drive: PulseDrive, tolerance: float, threads: int
) -> PulseResult:
    """Integrate the states of a tile through one pulse; see ``BehavioralEngine.pulse``."""
    word, bit, width, rise, conducting = drive
    rows, columns = tile.spec.shape
    before = finite_array("state", state, shape=tile.spec.shape, minimum=0.0)
    if before.max() > 1.0:
        raise ValidationError("state", "must be between 0 and 1", float(before.max()))
    lines = finite_array("word", word, shape=(rows,)), finite_array("bit", bit, shape=(columns,))
    on = np.ones(rows, dtype=bool) if conducting is None else np.asarray(conducting)
    if on.dtype != bool or on.shape != (rows,):
        raise ValidationError("conducting", f"must be {rows} truth values", on)
    if not on.all() and not isinstance(tile.spec.cell, TransistorCell):
        raise ValidationError("cell", "must be a TransistorCell where rows do not conduct", tile.spec.cell)
    check_cell(tile, device)
    # A Pulse checks width and slope, and has the corners of the waveform.
    corners = Pulse(amplitude=1.0, width=width, rise=rise).corners
    limit = in_range("tolerance", tolerance, 1e-12, 0.1)
    setup = _assemble(tile, device, *lines, on)
    done = _integrate(device_law(device), setup, corners, before, [corners[-1][0]], limit, threads)
    return PulseResult(done.states[-1], done.energy, done.steps)


def _integrate(
    law: DeviceLaw,
    setup: _Setup,
    corners: Sequence[tuple[float, float]],
    state: Floats,
    wanted: Sequence[float],
    tolerance: float,
    threads: int,
) -> Switched:
    """Integrate the states along a pulse; return them at the wanted times, the last of which is the pulse's end."""
    times, levels = np.array(corners).T
    if switching.available() and not setup.tile.defects.bridges:
        wires, lines = setup.tile.wires, (setup.word, setup.bit)
        when = np.array(wanted)
        return switching.switch(law, state, setup.fixed, setup.series, wires, lines, (times, levels), when, tolerance)
    march = _March(law, setup, times, levels, state, tolerance, threads)
    found = np.array(march.run(wanted))
    return Switched(found, march.energy, march.steps)


def sample_times(pulse: Pulse, samples: int) -> list[float]:
    """Return the times within a pulse at which states are kept [s]: evenly spaced, then its end."""
    return [*(pulse.duration * (k + 1) / (samples + 1) for k in range(samples)), pulse.duration]


def result_of(
    tile: Tile, train: PulseTrain, times: Sequence[float], states: Sequence[Floats], energy: float, steps: int
) -> ProgrammingResult:
    """Return the result of a train; stuck cells keep their conductance."""
    after = conductance(train.device, states[-1])
    return ProgrammingResult(
        states[-1].copy(),
        np.where(tile.stuck, tile.conductance, after),
        energy,
        np.array(times),
        np.array(states),
        steps,
    )


class _March:
    """Integrates one pulse, step by step."""

    def __init__(
        self,
        law: DeviceLaw,
        setup: _Setup,
        times: Floats,
        levels: Floats,
        state: Floats,
        tolerance: float,
        threads: int,
    ) -> None:
        self._network = CellNetwork(law, setup.linear_tile(), setup.fixed, setup.series, threads)
        self._word, self._bit = setup.word, setup.bit
        self._times, self._levels = times, levels
        self._tolerance, self._state = tolerance, state
        self.energy, self.steps = 0.0, 0
        # Energy of the first slope if the states did not move and cells were linear.
        self._slope_energy = abs(self._moment(times[1], state).power) * (times[1] - times[0]) / 3.0

    def run(self, wanted: Sequence[float]) -> list[Floats]:
        """Return the states at the wanted times, the last of which is the end of the pulse."""
        found: list[Floats] = []
        now, step, here = 0.0, np.inf, self._moment(0.0, self._state)
        for end in self._times[1:]:
            while now < end:
                length = min(step, end - now)
                then = end if length == end - now else now + length
                after, error, energy = self._attempt(here, now, length)
                self.steps += 1
                if self.steps >= switching.MAX_STEPS or then == now:
                    raise ConvergenceError("a pulse on a tile", error * self._tolerance, self._tolerance, self.steps)
                # Usual step control for order 3; a step that a corner cut short does not reduce the next step.
                factor = 0.9 * max(error, 1e-6) ** (-1.0 / 3.0) if np.isfinite(error) else 0.1
                if not error <= 1.0:
                    step = length * max(0.1, factor)
                    continue
                step = max(step if length < step < np.inf else 0.0, length * min(5.0, factor))
                there = self._moment(then, after)
                while len(found) < len(wanted) and wanted[len(found)] <= then:
                    place = (wanted[len(found)] - now) / length
                    found.append(_between(self._state, here.rate, after, there.rate, length, place))
                self._state, self.energy = after, self.energy + energy
                now, here = then, there
        return [*found[: len(wanted) - 1], self._state]

    def _moment(self, time: float, state: Floats) -> Moment:
        level = np.interp(time, self._times, self._levels)
        return self._network.solve(state, level * self._word, level * self._bit)

    def _attempt(self, here: Moment, now: float, length: float) -> tuple[Floats, float, float]:
        """Return the states after a step, its error relative to the tolerance, and its energy [J]."""
        a, g, b, e = METHOD
        # Only negative (damping) derivatives enter the implicit part; growth is integrated explicitly.
        pull = length * np.minimum(here.stiffness, 0.0)
        damping = 1.0 - g[0, 0] * pull
        k, power = np.zeros((4, *self._state.shape)), np.zeros(4)
        for stage in range(4):
            moment = here
            if stage > 0:
                moment = self._moment(
                    now + a[stage].sum() * length, self._state + np.tensordot(a[stage, :stage], k[:stage], 1)
                )
            k[stage] = (length * moment.rate + pull * np.tensordot(g[stage, :stage], k[:stage], 1)) / damping
            power[stage] = moment.power
        after = np.clip(self._state + np.tensordot(b, k, 1), 0.0, 1.0)
        energy, off = float(length * (b @ power)), float(length * (e @ power))
        allowed = switching.ENERGY_TOLERANCE * (abs(self.energy + energy) + self._slope_energy) + 1e-300
        error = max(float(np.abs(np.tensordot(e, k, 1)).max()) / self._tolerance, abs(off) / allowed)
        return after, error, energy


def _between(
    before: Floats, first_rate: Floats, after: Floats, last_rate: Floats, length: float, place: float
) -> Floats:
    """Interpolate the states within a step by a cubic; ``place`` is 0 at its beginning and 1 at its end."""
    x, y = place, 1.0 - place
    bent = x * y * length * (y * first_rate - x * last_rate)
    return np.clip(y * y * (1.0 + 2.0 * x) * before + x * x * (1.0 + 2.0 * y) * after + bent, 0.0, 1.0)
