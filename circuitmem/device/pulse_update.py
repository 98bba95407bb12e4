"""Devices that count pulses: their curves, and how many pulses a wanted change takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem._kernels.counts import Curve
from circuitmem.config.pulse_update import PulseUpdateSpec
from circuitmem.rng import Purpose, stream

__all__ = ["PulseUpdateDevices", "nonlinearity", "pulse_curves", "steepness"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SCALE = 10.101526
"""Nonlinearity per largest distance from the straight line, both axes from 0 to 1.

Not stated anywhere we know: it gives all the digits of the table that comes with MLP+NeuroSim V3.0
(``Nonlinearity-NormA`` [P]), where 0.01 is A = 126.269 P_max and 7.51 is A = 0.0702 P_max, and is the only such number
to 1e-6 [I]."""

STRAIGHT = 1e-8
"""P_max/A of a straight line."""

WHOLE = 1e-6
"""A number of pulses that is so near to a whole one is that one."""


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


def pulse_curves(spec: PulseUpdateSpec, pulses: ArrayLike) -> tuple[Floats, Floats]:
    """Return G after so many pulses up from the minimum, and G so many pulses down above the minimum [S].

    These are the published curves ``G_LTP(P)`` and ``G_LTD(P)``, without noise; P from 0 to ``states``, down to
    ``states_down``.
    """
    count = np.asarray(pulses, dtype=np.float64)
    span = spec.maximum_conductance - spec.minimum_conductance
    up, down = _signed(spec.potentiation), _signed(-spec.depression)
    rise = np.expm1(-up * count / spec.states) / np.expm1(-up)
    fall = np.expm1(down * (count / spec.pulses_down - 1.0)) / np.expm1(-down)
    return spec.minimum_conductance + span * rise, spec.maximum_conductance - span * fall


class PulseUpdateDevices:
    """The devices of one tile, as fabricated; the conductances themselves live in the tile.

    Parameters
    ----------
    spec : PulseUpdateSpec
        The law.
    shape : (int, int)
        Rows and columns of the tile.
    seed : int
        Seed of the fabrication.
    key : tuple of int
        Which tile on the chip.

    Attributes
    ----------
    up, down : Curve
        The curves of each device. Only the circuit may use them.
    nominal_up, nominal_down : Curve
        Those of the declared device, which the digital core knows.
    limits : (float, float)
        Minimum and maximum conductance [S].
    """

    def __init__(self, spec: PulseUpdateSpec, shape: tuple[int, int], seed: int = 0, key: tuple[int, ...] = ()) -> None:
        self.spec = spec
        self.shape = shape
        self.limits = (spec.minimum_conductance, spec.maximum_conductance)
        self.nominal_up = _curve(np.full(shape, spec.potentiation), spec.states)
        self.nominal_down = _curve(np.full(shape, -spec.depression), spec.pulses_down)
        self.up, self.down = self.nominal_up, self.nominal_down
        if spec.nonlinearity_spread > 0.0:
            spread = spec.nonlinearity_spread * stream(seed, Purpose.DEVICE, *key).standard_normal((2, *shape))
            self.up = _curve(_same_sign(spec.potentiation, spread[0]), spec.states)
            self.down = _curve(_same_sign(-spec.depression, -spread[1]), spec.pulses_down)

    def counts(self, wanted: Floats, present: Floats) -> tuple[Counts, Counts]:
        """Return how many pulses down and how many up lead nearest, without going too far.

        By the inverse of the nominal curves; both (rows, columns), and one of them 0.

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


def _signed(nonlinearity_: ArrayLike) -> Floats:
    """Return ``P_max/A``, negative where pulses do more and more: the law is the same for both signs."""
    wanted = np.asarray(nonlinearity_, dtype=np.float64)
    return np.asarray(np.where(wanted < 0.0, -1.0, 1.0) * steepness(wanted))


def _same_sign(declared: float, spread: Floats) -> Floats:
    low, high = (0.0, 9.0) if declared >= 0.0 else (-7.0, 0.0)
    return np.asarray(np.clip(declared + spread, low, high))


def _curve(nonlinearity_: Floats, states: int) -> Curve:
    s = _signed(nonlinearity_)
    return Curve(np.ascontiguousarray(s / states), np.ascontiguousarray(-1.0 / np.expm1(-s)))


def _place(y: Floats, curve: Curve) -> Floats:
    """Return after how many pulses from 0 a curve is at y."""
    return np.asarray(-np.log1p(-y / curve.ceiling) / curve.fade)


def _whole(pulses: Floats) -> Counts:
    return np.asarray(np.maximum(np.floor(pulses + WHOLE), 0.0), dtype=np.int64)
