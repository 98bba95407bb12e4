r"""ODE devices: current of a cell, rate of its state, and integration in time: the face of the kernel, and its twin.

A device has a state s in [0, 1], a static law I = G(s) φ(V), with φ(V) = sinh(a V) / a (V where a is 0), times
``ratio`` for V < 0, and a rate ds/dt = f(s, V, I). The kernel knows four models by number; ``circuitmem.device``
describes their parameters. Any other law comes as tables of I and f over s and V (:mod:`circuitmem._kernels.tables`).
States are clamped to [0, 1] wherever they are used, so that trial steps beyond do no harm.

Time is integrated by a Rosenbrock-W method of order 3 with an embedded one of order 2 (RA34PW2; J. Rang & L. Angermann,
BIT 45:761, 2005, doi 10.1007/s10543-005-0035-y). It is linearly implicit, so it is not slowed down by windows that pull
a state to its limit a thousand times faster than the pulse lasts. A W-method keeps its order with any matrix in place
of the Jacobian: here these are the cells' own derivatives, never the coupling of cells through the wires.

**What is solved.** Cells are independent of each other here, so nothing is eliminated: each of the four stages of a
step h is one division,

.. math:: k_i = \frac{h f(s + \sum_j a_{ij} k_j) + h J \sum_j \gamma_{ij} k_j}{1 - \gamma h J}, \qquad J \le 0,

with J the derivative of f, or 0 where it is positive: the divisor is at least 1, and nothing is pivoted.

**How far off.** A step is accepted if the two orders differ by no more than the tolerance. That is an estimate, not a
bound: the errors of steps add up, more slowly where the law pulls states together. A smaller tolerance gives a smaller
error; ``tests/kernels/test_devices.py`` checks both against an independent integrator.

**Cost.** Four evaluations of the law per step, and one more next to the first for J, which is a difference quotient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels import tables
from circuitmem._kernels.select import load_kernel
from circuitmem.errors import ConvergenceError

__all__ = ["MAX_STEPS", "METHOD", "TABULATED", "DeviceLaw", "Response", "RosenbrockTableau", "integrate", "respond"]

Floats = NDArray[np.float64]
_compiled = load_kernel("devices").module

VTEAM, YAKOPCIC, STANFORD, TABULATED, ION_DRIFT = range(5)
MAX_STEPS = 5_000_000
"""Steps after which one device is given up."""

CLOSED = 1e-9
"""State below which the conductance of Yakopcic's device stays constant: at 0 no current would ever flow again."""

_NUDGE = 1e-7


class DeviceLaw(NamedTuple):
    """A device model with its numbers."""

    model: int
    """Which model: its equations are in the kernel."""
    a: float
    """Non-linearity of the static law [1/V]; 0 is linear. For tables: largest relative growth of dI/dV with V."""
    ratio: float
    """Current at -V relative to that at V, > 0."""
    parameters: tuple[float, ...] | Floats
    """Numbers of the model, in the order in which its file in ``circuitmem/device`` gives them; or the tables."""


class Response(NamedTuple):
    """Currents, rates and derivatives of cells at one moment; all have the shape of the state."""

    current: Floats
    """Current of the cell [A]."""
    slope: Floats
    """Derivative of the current by the voltage across cell and series resistance [S]."""
    conductance: Floats
    """Conductance of the device alone, at small positive voltages [S]."""
    rate: Floats
    """Derivative of the state by time [1/s]; 0 for a cell that is fixed."""
    stiffness: Floats
    """Derivative of the rate by the state, at this voltage [1/s]."""


class RosenbrockTableau(NamedTuple):
    """Coefficients of the Rosenbrock-W method: stages, implicit part, weights, weights of the error."""

    a: Floats
    g: Floats
    b: Floats
    e: Floats


def _method() -> RosenbrockTableau:
    gamma = 0.43586652150845900
    a, g = np.zeros((4, 4)), gamma * np.eye(4)
    a[1, 0], a[2, :2], a[3, 2] = 2.0 * gamma, (0.84457060015369423, -0.11299064236484185), 1.0
    g[1, 0], g[2, :2] = -2.0 * gamma, (-0.90338057013044082, 0.054180672388095326)
    g[3, :3] = 0.24212380706095346, -1.2232505839045147, 0.54526025533510214
    b = a[3] + g[3]
    embedded = np.array([0.37810903145819369, -0.096042292212423178, 0.5, 0.5 * gamma])
    return RosenbrockTableau(a, g, b, b - embedded)


METHOD = _method()


def respond(
    law: DeviceLaw, state: Floats, fixed: Floats, series: Floats, voltage: Floats, *, threads: int = 1
) -> Response:
    """Return the response of cells; all arrays have one shape, and the bits do not depend on the number of threads.

    Parameters
    ----------
    law : DeviceLaw
        The model.
    state : ndarray
        State of the devices, 0 to 1.
    fixed : ndarray
        Conductance [S] of cells that do not change; negative for those that do.
    series : ndarray
        Resistance in series with each device [Ω]; ``inf`` is a cell that is switched off.
    voltage : ndarray
        Voltage across device and series resistance [V].
    threads : int
        Threads to use, >= 1.
    """
    flat = [np.ascontiguousarray(array, dtype=np.float64).ravel() for array in (state, fixed, series, voltage)]
    answers = _respond(law.model, law.a, law.ratio, np.asarray(law.parameters, dtype=np.float64), *flat, threads)
    return Response(*(np.asarray(answer).reshape(state.shape) for answer in answers))


def integrate(
    law: DeviceLaw,
    state: Floats,
    series: Floats,
    time: Floats,
    voltage: Floats,
    tolerance: float,
    *,
    threads: int = 1,
) -> tuple[Floats, Floats]:
    """Integrate devices side by side, each with steps of its own.

    The bits do not depend on the number of threads. In the compiled kernel they do not depend on the other devices
    either (the rounding of NumPy's exponential depends on the place in a vector).

    Parameters
    ----------
    law : DeviceLaw
        The model.
    state : (devices,) ndarray
        State at the first time, 0 to 1.
    series : (devices,) ndarray
        Resistance in series with each device [Ω].
    time : (points,) ndarray
        Times, rising [s].
    voltage : (devices, points) or (1, points) ndarray
        Voltage across device and series resistance at these times, linear in between [V].
    tolerance : float
        Largest estimated error of the state in one step.
    threads : int
        Threads to use, >= 1.

    Returns
    -------
    state, current : (devices, points) ndarray
        State, and current [A], at these times.

    Raises
    ------
    ConvergenceError
        If a device takes more than :data:`MAX_STEPS` steps, or its steps become too short.
    """
    arrays = [np.ascontiguousarray(array, dtype=np.float64) for array in (state, series, time, voltage)]
    states, currents, steps = _integrate(
        law.model,
        law.a,
        law.ratio,
        np.asarray(law.parameters, dtype=np.float64),
        *METHOD,
        *arrays,
        tolerance,
        MAX_STEPS,
        threads,
    )
    if (steps < 0).any():
        raise ConvergenceError("the state of a device", np.inf, tolerance, int(-steps.min()))
    return states, currents


def _reference_conductance(model: int, p: Floats, state: Floats) -> Floats:
    s = np.clip(state, 0.0, 1.0)
    if model == VTEAM:
        return np.asarray(np.exp(-np.log(p[1] / p[0]) * s) / p[0] if p[2] else 1.0 / (p[0] + (p[1] - p[0]) * s))
    if model == YAKOPCIC:
        return np.asarray(p[0] * np.maximum(s, CLOSED))
    if model == ION_DRIFT:
        return np.asarray(1.0 / (p[0] + (p[1] - p[0]) * s))
    return np.asarray(p[0] * np.exp(-(p[1] + p[2] * s) / p[3]))


def _reference_rate(model: int, p: Floats, state: Floats, v: Floats, current: Floats) -> Floats:
    s = np.clip(state, 0.0, 1.0)
    if model == VTEAM:
        off = p[4] * np.maximum(v / p[6] - 1.0, 0.0) ** p[8] * (1.0 - s ** (2.0 * p[9]))
        on = p[3] * np.maximum(v / p[5] - 1.0, 0.0) ** p[7] * (1.0 - (1.0 - s) ** (2.0 * p[9]))
        return np.where(v > p[6], off, np.where(v < p[5], on, 0.0))
    if model == ION_DRIFT:
        away = np.where(current < 0.0, 1.0 - s, s) if p[4] else np.abs(2.0 * s - 1.0)
        return np.asarray(p[2] * current * (1.0 - away ** p[3]))
    if model == YAKOPCIC:
        up, down = p[3] * (np.exp(v) - np.exp(p[1])), -p[4] * (np.exp(-v) - np.exp(p[2]))
        push = p[9] * np.where(v > p[1], up, np.where(v < -p[2], down, 0.0))
        rising = np.where(s < p[5], 1.0, np.exp(-p[7] * (s - p[5])) * (1.0 - s) / (1.0 - p[5]))
        falling = np.where(s > 1.0 - p[6], 1.0, np.exp(p[8] * (s - 1.0 + p[6])) * s / (1.0 - p[6]))
        return np.asarray(push * np.where(push > 0.0, rising, falling))
    gap, kt = p[1] + p[2] * s, (p[4] + np.abs(v * current) * p[5]) * p[6]
    gamma = p[7] - p[8] * (gap * 1e9) ** p[9]
    push = -p[10] / p[2] * np.exp(-p[11] / kt) * np.sinh(gamma * p[12] * v / kt)
    return np.asarray(push * np.minimum(np.where(push < 0.0, s, 1.0 - s) / p[13], 1.0))


def _reference_across(a: float, g: Floats, series: Floats, voltage: Floats) -> Floats:
    """Return the part of a voltage that falls across the device; see the kernel."""
    v = np.abs(voltage)
    if a == 0.0:
        return np.asarray(voltage / (1.0 + series * g))
    load_ = series * g
    u = np.minimum(v, np.arcsinh(np.divide(a * v, load_, out=np.full(v.shape, np.inf), where=load_ > 0.0)) / a)
    for _ in range(60):
        step = (u + load_ * np.sinh(a * u) / a - v) / (1.0 + load_ * np.cosh(a * u))
        u = np.where(load_ > 0.0, u - step, u)
        if (np.abs(step) <= 1e-15 * v).all():
            break
    return np.asarray(np.copysign(u, voltage))


def _reference_flow(
    model: int, a: float, ratio: float, p: Floats, state: Floats, fixed: Floats, series: Floats, voltage: Floats
) -> tuple[Floats, ...]:
    if model == TABULATED:
        return _reference_tables(p, state, fixed, series, voltage)
    g = np.where(fixed >= 0.0, fixed, _reference_conductance(model, p, state))
    gg = np.where(voltage < 0.0, g * ratio, g)
    v = _reference_across(a, gg, series, voltage)
    current = gg * v if a == 0.0 else gg * np.sinh(a * v) / a
    slope = gg if a == 0.0 else gg * np.cosh(a * v)
    return current, slope / (1.0 + series * slope), g, _reference_rate(model, p, state, v, current)


def _reference_tables(p: Floats, state: Floats, fixed: Floats, series: Floats, voltage: Floats) -> tuple[Floats, ...]:
    v = tables.voltage_of(p, state, fixed, series, voltage) if (series > 0.0).any() else voltage
    current, slope = tables.current(p, state, fixed, v)
    g = tables.current(p, state, fixed, np.zeros(state.shape))[1]
    rate = tables.rate(p, state, v)
    # A state at a limit does not move beyond it, even if the law has no window.
    held = np.where(rate > 0.0, state >= 1.0, state <= 0.0)
    return current, slope / (1.0 + series * slope), g, np.where(held, 0.0, rate)


# Trial steps that go astray overflow, and are then rejected.
@np.errstate(over="ignore", invalid="ignore")
def _reference_respond(
    model: int,
    a: float,
    ratio: float,
    p: Floats,
    state: Floats,
    fixed: Floats,
    series: Floats,
    voltage: Floats,
    threads: int,  # noqa: ARG001
) -> Floats:
    on = np.isfinite(series)
    ohms, across = np.where(on, series, 0.0), np.where(on, voltage, 0.0)
    law = model, a, ratio, p
    current, slope, conductance, rate = _reference_flow(*law, state, fixed, ohms, across)
    there = np.where(state < 0.5, state + _NUDGE, state - _NUDGE)
    near = _reference_flow(*law, there, fixed, ohms, across)[3]
    moves = on & (fixed < 0.0)
    stiffness = np.where(moves, (near - rate) / (there - state), 0.0)
    return np.stack(
        [np.where(on, current, 0.0), np.where(on, slope, 0.0), conductance, np.where(moves, rate, 0.0), stiffness]
    )


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _reference_integrate(
    model: int,
    a: float,
    ratio: float,
    p: Floats,
    stages_a: Floats,
    stages_g: Floats,
    weights: Floats,
    errors: Floats,
    state: Floats,
    series: Floats,
    time: Floats,
    voltage: Floats,
    tolerance: float,
    limit: int,
    threads: int,
) -> tuple[Floats, Floats, NDArray[np.intc]]:
    devices, points, gamma = len(state), len(time), stages_g[0, 0]
    voltages = np.broadcast_to(voltage, (devices, points))
    states, currents, steps = np.empty((devices, points)), np.empty((devices, points)), np.zeros(devices, np.intc)
    h = np.full(devices, np.inf)
    live = np.full(devices, -1.0)

    def at(which: NDArray[np.intp], s: Floats, v: Floats) -> Floats:
        return _reference_respond(model, a, ratio, p, s, live[which], series[which], v, threads)

    everyone = np.arange(devices)
    states[:, 0], currents[:, 0] = state, at(everyone, state, voltages[:, 0])[0]
    s = state.copy()
    for point in range(points - 1):
        span, v0, v1 = time[point + 1] - time[point], voltages[:, point], voltages[:, point + 1]
        now = np.zeros(devices)
        while (now < span).any():
            w = np.flatnonzero(now < span)
            rest = span - now[w]
            used = np.minimum(h[w], rest)
            k = np.zeros((4, len(w)))
            for stage in range(4):
                place = (now[w] + stages_a[stage].sum() * used) / span
                answer = at(w, s[w] + stages_a[stage] @ k, v0[w] + (v1[w] - v0[w]) * place)
                if stage == 0:
                    stiffness = np.minimum(answer[4], 0.0)
                k[stage] = (used * answer[3] + used * stiffness * (np.tril(stages_g, -1)[stage] @ k)) / (
                    1.0 - used * gamma * stiffness
                )
            after, error = s[w] + weights @ k, np.abs(errors @ k) / tolerance
            steps[w] += 1
            ok = error <= 1.0
            failed = (steps[w] >= limit) | (~ok & (now[w] + 0.1 * used == now[w]))
            if failed.any():
                steps[w[failed]] *= -1
                return states, currents, steps
            good, bad = w[ok], w[~ok]
            with np.errstate(invalid="ignore"):
                shrink = np.where(np.isfinite(error), np.maximum(0.1, 0.9 * error ** (-1.0 / 3.0)), 0.1)
            h[bad] = (used * shrink)[~ok]
            s[good] = np.clip(after[ok], 0.0, 1.0)
            end = used[ok] >= rest[ok]
            now[good] = np.where(end, span, now[good] + used[ok])
            grown = used[ok] * np.minimum(5.0, 0.9 * np.maximum(error[ok], 1e-6) ** (-1.0 / 3.0))
            kept = np.where(np.isfinite(h[good]) & (used[ok] < h[good]), h[good], 0.0)
            h[good] = np.maximum(kept, grown)
        states[:, point + 1], currents[:, point + 1] = s, at(everyone, s, v1)[0]
    return states, currents, steps


_respond: Any = _reference_respond if _compiled is None else _compiled.respond
_integrate: Any = _reference_integrate if _compiled is None else _compiled.integrate
