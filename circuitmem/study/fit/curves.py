"""Measured curves: I-V sweeps and pulse trains, each from one file."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import DataFileError
from circuitmem.study.fit.table import Reading, Table, read_table

__all__ = ["IvCurve", "PulseCurve", "read_iv", "read_pulses"]

Floats = NDArray[np.float64]

SAME_START = 1.5
"""Steps between points within which the starting times of sweeps must agree."""
RETURN = 0.02
"""A loop with a smaller relative area than this does not tell which voltage raises the conductance."""
MOSTLY = 0.75
"""Part of the steps that must go up before the highest value, and down after it, for it to be a turning point."""
MOST_PULSES = 10_000
_WAYS = {
    **dict.fromkeys(("up", "+1", "1", "1.0", "+", "p", "pos", "positive", "set", "ltp", "potentiation"), True),
    **dict.fromkeys(("down", "-1", "-1.0", "-", "d", "neg", "negative", "reset", "ltd", "depression"), False),
}


@dataclass(frozen=True)
class IvCurve:
    """One I-V curve.

    Attributes
    ----------
    time, voltage, current : (points,) ndarray
        s, V, A; time rises.
    polarity : {1, -1}
        Sign of the voltage that raises the conductance.
    assumed : list of str
        Assumptions about the file, in words.
    """

    time: Floats
    voltage: Floats
    current: Floats
    polarity: int
    assumed: list[str]


@dataclass(frozen=True)
class PulseCurve:
    """Conductance after pulses.

    Attributes
    ----------
    count : (points,) ndarray
        Pulses of the point's direction since the other end of the range.
    conductance : (points,) ndarray
        S.
    up : (points,) ndarray of bool
        Direction.
    cell : (points,) ndarray of int
        Device of each point.
    assumed : list of str
        Assumptions about the file, in words.
    """

    count: Floats
    conductance: Floats
    up: NDArray[np.bool_]
    cell: NDArray[np.intp]
    assumed: list[str]


def read_iv(path: str | os.PathLike[str], reading: Reading | None = None) -> IvCurve:
    """Read voltage, current and, if it is there, time.

    A time that starts again begins the next sweep of the same device, which follows immediately.

    Raises
    ------
    DataFileError
        If the file is not such a table, or its polarity cannot be determined.
    """
    told = reading or Reading()
    table = read_table(path, ("voltage", "current"), optional=("time",), reading=told)
    voltage, current, assumed = table.numbers["voltage"], table.numbers["current"], table.assumed
    if len(voltage) < 20:
        raise DataFileError(path, f"must have at least 20 points (got {len(voltage)})")
    for name, values in (("voltage", voltage), ("current", current)):
        if not values.any():
            raise DataFileError(path, f"column of {name}: must have a value other than 0")
    current = _own_sign(path, voltage, current, assumed)
    if "time" in table.numbers:
        time = _joined(path, table, assumed)
    else:
        step = 1.0 if told.step is None else told.step
        time = step * np.arange(len(voltage), dtype=np.float64)
        if told.step is None:
            assumed.append("time: no such column; equal steps of 1 s, and rates are per step (--step SECONDS)")
    polarity = told.polarity
    if polarity is None:
        polarity = _polarity(path, voltage, current)
        if polarity < 0:
            assumed.append("polarity: -1, found from the loop; a negative voltage raises the conductance")
    return IvCurve(time, voltage, current, polarity, assumed)


def _joined(path: str | os.PathLike[str], table: Table, assumed: list[str]) -> Floats:
    time = table.numbers["time"].copy()
    step = float(np.median(np.abs(np.diff(time))))
    starts = []
    for k in (np.flatnonzero(np.diff(time) <= 0.0) + 1).tolist():
        if abs(time[k] - time[0]) > SAME_START * step or k < 2:
            rule = f"line {table.lines[k]}, column of time: must be > the one before (got {time[k]:g})"
            raise DataFileError(path, rule)
        starts.append(k)
    for k in starts:
        time[k:] += time[k - 1] + step - time[k]
    if starts:
        lines = ", ".join(str(table.lines[k]) for k in starts)
        assumed.append(f"sweeps: {len(starts) + 1}, one after another; time starts again at line {lines}")
    return time


def _own_sign(path: str | os.PathLike[str], voltage: Floats, current: Floats, assumed: list[str]) -> Floats:
    """Return the current with the sign of the voltage that drives it: a device gives no power."""
    power = [float((voltage * current)[some].sum()) for some in (voltage > 0.0, voltage < 0.0)]
    if min(power) < 0.0 < max(power):
        sign = "a negative" if power[1] < 0.0 else "a positive"
        rule = (
            f"column of current: has the wrong sign at {sign} voltage, as magnitudes have; a device takes power at both"
        )
        raise DataFileError(path, rule)
    if max(power) <= 0.0 and min(power) < 0.0:
        assumed.append("current: its sign is that of the other electrode, where it leaves the device; turned round")
        return -current
    return current


def _polarity(path: str | os.PathLike[str], voltage: Floats, current: Floats) -> int:
    """Return which sign of the voltage raises the conductance, from the area of the loop at both signs.

    Where a voltage raises the conductance, more current flows on the way back to 0 V than on the way out.
    """
    middle, step = 0.5 * (current[1:] + current[:-1]), np.diff(voltage)
    place = 0.5 * (voltage[1:] + voltage[:-1])
    gain = -middle * step
    risen = float(gain[place > 0.0].sum()) - float(gain[place < 0.0].sum())
    whole = float(np.abs(gain).sum())
    if abs(risen) < RETURN * whole:
        rule = "which sign of the voltage raises the conductance cannot be told: the loop has no area"
        raise DataFileError(path, f"{rule}; say --polarity 1 or --polarity -1")
    return 1 if risen > 0.0 else -1


def read_pulses(path: str | os.PathLike[str], reading: Reading | None = None) -> PulseCurve:
    """Read conductance after pulses: number of the pulse, conductance, and direction if it is there.

    Raises
    ------
    DataFileError
        If the file is not such a table, or directions cannot be determined.
    """
    table = read_table(path, ("pulse", "conductance"), optional=("polarity", "cell"), reading=reading)
    count, conductance, assumed = table.numbers["pulse"], table.numbers["conductance"], table.assumed
    for row, value in enumerate(count):
        if value < 0.0 or value != math.floor(value) or value > 2 * MOST_PULSES:
            rule = f"line {table.lines[row]}, column of pulse: must be a whole number from 0 to {2 * MOST_PULSES}"
            raise DataFileError(path, f"{rule} (got {value:g})")
    for row, value in enumerate(conductance):
        if value <= 0.0:
            rule = f"line {table.lines[row]}, column of conductance: must be > 0"
            raise DataFileError(path, f"{rule} (got {value:g})")
    if "polarity" in table.words:
        up = np.array([_way(path, table, row) for row in range(len(count))], dtype=bool)
    else:
        up = _ways(path, count, conductance, assumed)
    if count.size and count.min() == 1.0:
        assumed.append(
            "pulses: numbered from 1, the first reading is after one pulse; number from 0 if it is before any"
        )
    cell = np.unique(table.words["cell"], return_inverse=True)[1] if "cell" in table.words else np.zeros(len(count))
    return PulseCurve(_own_count(count, conductance, up, assumed), conductance, up, cell.astype(np.intp), assumed)


def _way(path: str | os.PathLike[str], table: Table, row: int) -> bool:
    text = table.words["polarity"][row]
    if text.lower() not in _WAYS:
        rule = f"line {table.lines[row]}, column of polarity: must be up or down (or +1 or -1)"
        raise DataFileError(path, f"{rule} (got {text[:40]!r})")
    return _WAYS[text.lower()]


def _ways(path: str | os.PathLike[str], count: Floats, conductance: Floats, assumed: list[str]) -> NDArray[np.bool_]:
    """Return the directions of one ramp up, then perhaps one down."""
    up = np.ones(len(count), dtype=bool)
    top = int(np.argmax(conductance)) if len(count) else 0
    backward = np.flatnonzero(np.diff(count) <= 0.0)
    turn = int(backward[0]) if len(backward) == 1 else top
    steps = np.diff(conductance)
    rises, falls = steps[:turn] > 0.0, steps[turn + 1 :] < 0.0
    if (rises.size and rises.mean() < MOSTLY) or (falls.size and falls.mean() < MOSTLY) or len(backward) > 1:
        rule = "has no column of polarity, and is no ramp up and down; say --columns polarity=HEADING"
        raise DataFileError(path, rule)
    up[turn + 1 :] = False
    assumed.append("polarity: no such column; " + ("up, then down" if turn + 1 < len(count) else "up alone"))
    return up


def _own_count(count: Floats, conductance: Floats, up: NDArray[np.bool_], assumed: list[str]) -> Floats:
    """Count the pulses of each direction from where it begins, if one counter runs through both."""
    turns = np.flatnonzero(np.diff(up.astype(np.int8))) + 1
    if not len(turns) or (np.diff(count) <= 0.0).any():
        return count
    found = count.copy()
    for begin, end in zip(turns, [*turns[1:], len(count)], strict=True):
        first = conductance[begin] - conductance[begin - 1]
        step = conductance[begin + 1] - conductance[begin] if end - begin > 1 else first
        # The first reading after the turn repeats the last one before it, or is one pulse further.
        repeated = abs(first) < 0.5 * abs(step)
        found[begin:end] -= count[begin] if repeated else count[begin - 1]
    assumed.append("pulses: one counter through both directions; counted anew from each turn")
    return found
