"""Devices that count pulses: their curves, and how many pulses a wanted change takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem._kernels.counts import DirectionCurve, count_pulses
from circuitmem._kernels.noise import Address
from circuitmem.config.pulse_update import PulseUpdateSpec
from circuitmem.device.device import CellState, Device, PulseGroup
from circuitmem.rng import Purpose, stream

__all__ = ["PulseUpdate", "nonlinearity", "pulse_curves", "steepness"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

SCALE = 10.101526
"""Nonlinearity per largest distance from the straight line, both axes from 0 to 1.

Not stated anywhere we know: it gives all the digits of the table that comes with MLP+NeuroSim V3.0
(``Nonlinearity-NormA`` [P]), where 0.01 is A = 126.269 P_max and 7.51 is A = 0.0702 P_max, and is the only such number
to 1e-6 [I]."""

STRAIGHT = 1e-8
"""P_max/A of a straight line."""

WHOLE = 1e-6
"""A number of pulses this close to a whole number counts as that number."""


def nonlinearity(steepness: ArrayLike) -> Floats:
    """Return the nonlinearity, as NeuroSim counts it, of curves with ``P_max/A = steepness`` > 0."""
    s = np.asarray(steepness, dtype=np.float64)
    ceiling = -1.0 / np.expm1(-s)
    # Largest where the slope is 1, at x = ln(s·ceiling)/s. Near a straight line that is a difference of large numbers.
    with np.errstate(divide="ignore", invalid="ignore"):
        largest = ceiling - 1.0 / s - np.log(s * ceiling) / s
    return np.asarray(SCALE * np.where(s < 1e-3, s / 8.0, largest))


def steepness(nonlinearity_: ArrayLike) -> Floats:
    """Return the magnitude of ``P_max/A`` for nonlinearities between -9 and 9, signs ignored, by bisection."""
    wanted = np.abs(np.asarray(nonlinearity_, dtype=np.float64))
    low, high = np.full(wanted.shape, np.log(STRAIGHT)), np.full(wanted.shape, np.log(1e4))
    for _ in range(60):
        middle = 0.5 * (low + high)
        less = nonlinearity(np.exp(middle)) < wanted
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return np.asarray(np.exp(0.5 * (low + high)))


def pulse_curves(
    spec: PulseUpdateSpec, pulses: ArrayLike, pulses_down: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Return G after ``pulses`` up from the minimum, and G with ``pulses_down`` left down to the minimum [S].

    These are the published curves ``G_LTP(P)`` and ``G_LTD(P)``, without noise.

    Parameters
    ----------
    spec : PulseUpdateSpec
        The device.
    pulses : array_like
        Numbers of pulses, from 0 to ``states``.
    pulses_down : array_like, optional
        Numbers of pulses, from 0 to ``states_down``; ``pulses`` when left out.
    """
    count = np.asarray(pulses, dtype=np.float64)
    above = count if pulses_down is None else np.asarray(pulses_down, dtype=np.float64)
    span = spec.maximum_conductance - spec.minimum_conductance
    up, down = _signed(spec.potentiation), _signed(-spec.depression)
    rise = np.expm1(-up * count / spec.states) / np.expm1(-up)
    fall = np.expm1(down * (above / spec.pulses_down - 1.0)) / np.expm1(-down)
    return spec.minimum_conductance + span * rise, spec.maximum_conductance - span * fall


class PulseUpdate(Device):
    """Devices that a pulse moves along a curve, up or down (NeuroSim): as many pulses as the declared curves need.

    Changes of less than a pulse are not asked for; the digital core keeps track of where the declared curves would be.
    Parameters are those of :class:`circuitmem.device.Device`.

    Attributes
    ----------
    up, down : DirectionCurve
        The curves of each device. Only the circuit may use them.
    nominal_up, nominal_down : DirectionCurve
        The curves of the declared device, which the digital core knows.
    limits : (float, float)
        Minimum and maximum conductance [S].
    """

    Spec = PulseUpdateSpec
    spec: PulseUpdateSpec

    def __init__(self, spec: PulseUpdateSpec, shape: tuple[int, int], seed: int = 0, key: tuple[int, ...] = ()) -> None:
        super().__init__(spec, shape, seed, key)
        self.limits = (spec.minimum_conductance, spec.maximum_conductance)
        self.nominal_up = _curve(np.full(shape, spec.potentiation), spec.states)
        self.nominal_down = _curve(np.full(shape, -spec.depression), spec.pulses_down)
        self.up, self.down = self.nominal_up, self.nominal_down
        if spec.nonlinearity_spread > 0.0:
            spread = spec.nonlinearity_spread * stream(seed, Purpose.DEVICE, *key).standard_normal((2, *shape))
            self.up = _curve(_same_sign(spec.potentiation, spread[0]), spec.states)
            self.down = _curve(_same_sign(-spec.depression, -spread[1]), spec.pulses_down)

    def counts(self, wanted: Floats, present: Floats) -> tuple[Counts, Counts]:
        """Return how many pulses down and how many up come closest without overshooting.

        They follow from the inverse of the nominal curves; both are (rows, columns), and one of them is 0.

        Parameters
        ----------
        wanted, present : (rows, columns) ndarray
            Conductances [S]; beyond the range they count as its ends.
        """
        low, high = self.limits
        y, goal = (np.clip((g - low) / (high - low), 0.0, 1.0) for g in (present, wanted))
        up = _place(goal, self.nominal_up) - _place(y, self.nominal_up)
        down = _place(1.0 - goal, self.nominal_down) - _place(1.0 - y, self.nominal_down)
        return _whole(down), _whole(up)

    @property
    def most(self) -> int:
        """Pulses of the longer of the two curves."""
        return max(self.spec.states, self.spec.pulses_down)

    def again(self, lowered: Mask, selected: Mask, asked: Floats) -> tuple[Counts, Counts]:  # noqa: ARG002
        """Return pulses that erase cells, from wherever they may have drifted to, and bring them up again."""
        bottom = np.full_like(asked, self.limits[0])
        return np.where(selected, self.spec.pulses_down, 0), np.where(selected, self.counts(asked, bottom)[1], 0)

    def after(self, pulse: PulseGroup, conductance: Floats, noise: Floats | None) -> Floats:
        """Return the conductances after one pulse along a curve [S]."""
        low, high = self.limits
        curves = (self.down, self.up) if noise is not None else (self.nominal_down, self.nominal_up)
        curve = curves[pulse.is_set]
        y = (conductance - low) / (high - low)
        y = y if pulse.is_set else 1.0 - y
        y = y - (curve.ceiling - y) * np.expm1(-curve.fade)
        y = np.clip(y if noise is None else y + self.spec.cycle_noise * noise, 0.0, 1.0)
        return np.asarray(low + (high - low) * (y if pulse.is_set else 1.0 - y))

    def give(self, pulse: PulseGroup, state: CellState, noise: Address) -> None:
        """Do the same as :meth:`Device.give`, in the kernels."""
        one, drawn = pulse.cells.astype(np.int64), self.noise_of(pulse, noise)
        real, nominal = (self.up, self.nominal_up) if pulse.is_set else (self.down, self.nominal_down)
        law = one, pulse.is_set
        sigma, limits = self.spec.cycle_noise, self.limits
        count_pulses(state.conductance, state.effective, state.stuck, *law, real, limits, sigma, drawn)
        count_pulses(state.asked, state.asked, np.zeros_like(pulse.cells), *law, nominal, limits, 0.0, drawn)


def _signed(nonlinearity_: ArrayLike) -> Floats:
    """Return ``P_max/A``, negative where pulses do more and more: the law is the same for both signs."""
    wanted = np.asarray(nonlinearity_, dtype=np.float64)
    return np.asarray(np.where(wanted < 0.0, -1.0, 1.0) * steepness(wanted))


def _same_sign(declared: float, spread: Floats) -> Floats:
    low, high = (0.0, 9.0) if declared >= 0.0 else (-7.0, 0.0)
    return np.asarray(np.clip(declared + spread, low, high))


def _curve(nonlinearity_: Floats, states: int) -> DirectionCurve:
    s = _signed(nonlinearity_)
    return DirectionCurve(np.ascontiguousarray(s / states), np.ascontiguousarray(-1.0 / np.expm1(-s)))


def _place(y: Floats, curve: DirectionCurve) -> Floats:
    """Return the number of pulses from 0 after which a curve is at y."""
    return np.asarray(-np.log1p(-y / curve.ceiling) / curve.fade)


def _whole(pulses: Floats) -> Counts:
    return np.asarray(np.maximum(np.floor(pulses + WHOLE), 0.0), dtype=np.int64)
