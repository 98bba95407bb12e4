"""Tables of a device's law, from its values at chosen states and voltages, on a grid that is refined as needed.

Between nodes the surfaces are bicubic, with slopes that keep them monotone (Fritsch & Carlson, SIAM J. Numer. Anal.
17:238, 1980): they do not overshoot at a kink, and stay 0 between thresholds. Intervals are halved until the tables
meet the wanted error in the middle of each; in the end, random points measure the error of the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.tables import Half, Surface, current, pack, rate
from circuitmem.errors import ValidationError

__all__ = ["LawTable", "Limits", "Sampler", "deviation", "tabulate"]

Floats = NDArray[np.float64]
Sampler = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""Takes states, 0 to 1, and voltages [V], (points,) each; returns currents [A] and rates of the state [1/s]."""

NEAR = 1e-6
"""Voltage that counts as 0, relative to the largest of a table."""
FIRST = 8
"""Intervals to begin with."""
MOST = 400
"""Intervals of a table, along each axis."""
FINEST = 2.0**-26
"""Shortest interval, relative to the first ones; a change within it counts as a jump."""
MARGIN, TURNS = 0.4, 4
"""First bound of the error in the middle of intervals, relative to the wanted error; and tries, each with half the last
bound."""
RANDOM = 2000
"""Random points that check the tables."""


class Limits(NamedTuple):
    """Range and accuracy that tables must have.

    Attributes
    ----------
    positive, negative : float
        Largest magnitudes of the voltage of each sign [V], > 0.
    time : float
        Duration of the longest pulse [s]: errors of rates below a thousandth of its inverse are relative to that
        thousandth.
    conductance : float
        Conductance to which the errors of smaller ones are relative [S], > 0.
    error : float
        Largest relative error of currents and rates.
    """

    positive: float
    negative: float
    time: float
    conductance: float
    error: float

    @property
    def slow(self) -> float:
        """Rate to which the errors of slower ones are relative [1/s]."""
        return 1e-3 / self.time


class LawTable(NamedTuple):
    """A tabulated law.

    Attributes
    ----------
    numbers : ndarray
        What :mod:`circuitmem._kernels.tables` reads.
    steepness : float
        Largest relative growth of dI/dV with the voltage [1/V], > 0.
    error : float
        Largest relative error of a current or a rate at random points.
    """

    numbers: Floats
    steepness: float
    error: float


def tabulate(law: Sampler, limits: Limits, seed: int = 0) -> LawTable:
    """Make tables of a law.

    Raises
    ------
    ValidationError
        If the law cannot be tabulated; the message says why, and where.
    """
    halves = [_Half(law, 1.0, limits.positive, limits), _Half(law, -1.0, limits.negative, limits)]
    rng = np.random.default_rng(seed)
    states, voltages = rng.random(RANDOM), rng.uniform(-limits.negative, limits.positive, RANDOM)
    known = law(states, voltages)
    for turn in range(TURNS):
        for half in halves:
            half.refine(MARGIN * limits.error / 2.0**turn)
        numbers = pack(*(half.packed() for half in halves))
        error = float(deviation(numbers, states, voltages, *known, limits).max())
        if error <= limits.error:
            return LawTable(numbers, max(half.steepness() for half in halves), error)
    raise ValidationError("chip.device.error", f"must be larger: random points are {error:.3g} off", limits.error)


def deviation(
    numbers: Floats, states: Floats, voltages: Floats, amperes: Floats, rates: Floats, limits: Limits
) -> Floats:
    """Return the error of tables at points where the law is known: the larger relative error of current and rate."""
    found, _ = current(numbers, states, np.full(states.shape, -1.0), voltages)
    small = np.abs(voltages) <= NEAR * max(limits.positive, limits.negative)
    least = np.abs(amperes) + limits.conductance * np.abs(voltages)
    of_current = np.where(small, 0.0, np.abs(found - amperes) / np.maximum(least, 1e-300))
    of_rate = np.abs(rate(numbers, states, voltages) - rates) / (np.abs(rates) + limits.slow)
    return np.maximum(of_current, of_rate)


class _Half:
    """The tables for one sign of the voltage, while they are made."""

    def __init__(self, law: Sampler, sign: float, last: float, limits: Limits) -> None:
        self._law, self._sign, self._last, self._limits = law, sign, last, limits
        self._known: dict[tuple[float, float], tuple[float, float]] = {}
        first = np.linspace(0.0, 1.0, FIRST + 1)
        # Grids of the two surfaces, along state and voltage; voltages relative to the largest.
        self._grids = [[first, first], [first, first]]
        _, found = self._ask(first, first)
        self._end = _end(found)
        if np.abs(found[:, 0]).max() > limits.slow:
            state = float(first[int(np.abs(found[:, 0]).argmax())])
            raise ValidationError("chip.device.file", "must have a state that rests at 0 V; it moves in state", state)

    def refine(self, error: float) -> None:
        """Halve intervals until the error in the middle of each is at most this."""
        for which in range(2):
            while True:
                bad = self._worst(which, error)
                if not any(mask.any() for mask in bad):
                    break
                self._grids[which] = [
                    self._halved(grid, mask, axis, which)
                    for axis, (grid, mask) in enumerate(zip(self._grids[which], bad, strict=True))
                ]

    def packed(self) -> Half:
        """Return the tables."""
        return Half(self._surface(0), self._surface(1), self._limits.slow, self._end)

    def steepness(self) -> float:
        """Return the largest relative growth of dI/dV [1/V]; check that the current rises."""
        states, voltages, nodes = self._surface(0)
        slope = np.exp(nodes[:, :, 0]) * (1.0 + voltages * nodes[:, :, 2])
        if not (slope > 0.0).all():
            row, column = np.argwhere(~(slope > 0.0))[0]
            where = f"state {states[row]:.3g} and {self._sign * voltages[column]:.3g} V"
            raise ValidationError(
                "chip.device.file", f"must have a current that rises with the voltage; it falls at {where}"
            )
        growth = np.abs(np.diff(np.log(slope), axis=1)) / np.diff(voltages)
        # A bend at the smallest voltages, such as that of a square root, does no harm.
        return max(float(growth[:, voltages[1:] > 0.02 * self._last].max()), 1e-3)

    def _ask(self, states: Floats, voltages: Floats) -> tuple[Floats, Floats]:
        """Return I/V [S] and the rate [1/s] on a grid, (states, voltages)."""
        self._learn((states, voltages))
        keys = [(s, u) for s in states.tolist() for u in voltages.tolist()]
        found = np.array([self._known[key] for key in keys]).reshape(len(states), len(voltages), 2)
        return found[..., 0], found[..., 1]

    def _learn(self, *grids: tuple[Floats, Floats]) -> None:
        """Evaluate the law, in one call, at all points of some grids, (states, voltages), that are not known yet."""
        keys = dict.fromkeys((s, u) for states, places in grids for s in states.tolist() for u in places.tolist())
        new = [key for key in keys if key not in self._known]
        if new:
            s, u = np.array(new).T
            volts = self._sign * self._last * np.maximum(u, NEAR)
            amperes, rates = self._law(s, volts)
            siemens = amperes / volts
            for what, bad in (
                ("a finite current and rate", ~(np.isfinite(siemens) & np.isfinite(rates))),
                ("a current of the sign of the voltage", ~(siemens > 0.0)),
            ):
                if bad.any():
                    where = f"state {s[bad][0]:.6g} and {volts[bad][0]:.6g} V"
                    raise ValidationError("chip.device.file", f"must have {what}; it has not at {where}")
            self._known |= zip(new, zip(siemens.tolist(), rates.tolist(), strict=True), strict=True)

    def _values(self, which: int, states: Floats, voltages: Floats) -> Floats:
        siemens, rates = self._ask(states, voltages)
        if which == 0:
            return np.log(siemens)
        room = self._room(states)[:, None]
        # At the limit itself the room is 0: the ratio is taken from a state close to it.
        if self._end >= 0:
            near = self._inside(states)
            _, close = self._ask(near, voltages)
            rates, room = close, self._room(near)[:, None]
        return np.arcsinh(rates / (room * self._limits.slow))

    def _inside(self, states: Floats) -> Floats:
        """Return the states, with the limit replaced by a state close to it."""
        return np.where(states == self._end, np.abs(states - 1e-6), states)

    def _room(self, states: Floats) -> Floats:
        return np.ones(states.shape) if self._end < 0 else np.abs(self._end - states)

    def _surface(self, which: int) -> Surface:
        states, places = self._grids[which]
        voltages = places * self._last
        value = self._values(which, states, places)
        along, across = (_slopes(grid, value, axis) for axis, grid in enumerate((states, voltages)))
        return Surface(states, voltages, np.stack([value, along, across, _slopes(voltages, along, 1)], axis=2))

    def _worst(self, which: int, error: float) -> list[NDArray[np.bool_]]:
        """Say which intervals along state, and along voltage, exceed this error in their middle."""
        grids = self._grids[which]
        middles = [0.5 * (grid[1:] + grid[:-1]) for grid in grids]
        self._learn((self._inside(grids[0]), grids[1]), (middles[0], grids[1]), (grids[0], middles[1]))
        surface = self._surface(which)
        half = Half(surface, self._surface(1), self._limits.slow, self._end)
        if which == 1:
            half = Half(self._surface(0), surface, self._limits.slow, self._end)
        numbers = pack(half, half)
        found = []
        for axis in range(2):
            points = list(grids)
            points[axis] = middles[axis]
            siemens, rates = self._ask(*points)
            states, volts = (np.broadcast_to(x, siemens.shape) for x in (points[0][:, None], points[1] * self._last))
            if which == 0:
                _, slope = current(numbers, states, np.full(states.shape, -1.0), np.zeros(states.shape))
                got, _ = current(numbers, states, np.full(states.shape, -1.0), volts)
                own = np.where(volts > 0.0, got / np.where(volts > 0.0, volts, 1.0), slope)
                off = np.abs(own - siemens) / (siemens + self._limits.conductance)
            else:
                off = np.abs(rate(numbers, states, volts) - rates) / (np.abs(rates) + self._limits.slow)
            found.append(np.asarray((off > error).any(axis=1 - axis)))
        return found

    def _halved(self, grid: Floats, bad: NDArray[np.bool_], axis: int, which: int) -> Floats:
        middle = (0.5 * (grid[1:] + grid[:-1]))[bad]
        if (bad.any() and np.diff(grid)[bad].min() < FINEST / FIRST) or len(grid) + len(middle) > MOST:
            what, unit = ("current", "rate")[which], ("", " V")[axis]
            place = float(grid[:-1][bad][int(np.diff(grid)[bad].argmin())]) * (1.0, self._sign * self._last)[axis]
            name = ("state", "voltage")[axis]
            rule = f"must be larger: the {what} changes too fast for a table at {name} {place:.6g}{unit}"
            raise ValidationError("chip.device.error", rule, self._limits.error)
        return _balanced(np.sort(np.concatenate([grid, middle])))


def _end(rates: Floats) -> int:
    """Return the limit of the state, 1 or 0, at which the motion towards it ends; -1 if there is none."""
    largest = np.abs(rates).max()
    if largest == 0.0 or (rates.min() < 0.0 < rates.max()):
        return -1
    end = 1 if rates.max() > 0.0 else 0
    return end if np.abs(rates[-end]).max() <= 1e-9 * largest else -1


def _balanced(grid: Floats) -> Floats:
    """Halve intervals that are more than twice as long as a neighbour: slopes depend on both."""
    while True:
        width = np.diff(grid)
        beside = np.minimum(np.append(width[1:], np.inf), np.insert(width[:-1], 0, np.inf))
        long = width > 2.5 * beside
        if not long.any():
            return grid
        grid = np.sort(np.concatenate([grid, (0.5 * (grid[1:] + grid[:-1]))[long]]))


def _slopes(grid: Floats, values: Floats, axis: int) -> Floats:
    """Return the slopes at the nodes: of parabolas through three nodes, limited so that the cubics stay monotone."""
    y = np.moveaxis(values, axis, -1)
    width, rise = np.diff(grid), np.diff(y, axis=-1) / np.diff(grid)
    found = np.empty_like(y)
    left, right = rise[..., :-1], rise[..., 1:]
    found[..., 1:-1] = (width[1:] * left + width[:-1] * right) / (width[1:] + width[:-1])
    for end, near, far in ((0, 0, 1), (-1, -1, -2)):
        bent = rise[..., near] - rise[..., far]
        found[..., end] = rise[..., near] + bent * width[near] / (width[near] + width[far])
    low = np.minimum(np.abs(rise[..., [0, *range(rise.shape[-1])]]), np.abs(rise[..., [*range(rise.shape[-1]), -1]]))
    same = np.sign(rise[..., [0, *range(rise.shape[-1])]]) == np.sign(rise[..., [*range(rise.shape[-1]), -1]])
    limited = np.where(same & (np.sign(found) == np.sign(rise[..., [0, *range(rise.shape[-1])]])), np.abs(found), 0.0)
    return np.moveaxis(np.sign(found) * np.minimum(limited, 3.0 * low), -1, axis)
