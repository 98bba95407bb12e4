"""Stage: Elmore delays of uniform lines with capacitance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import TileSpec
from circuitmem.engine import BehavioralEngine, Referee
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.tile import Tile

NAME = "line delay"
BOUND = 0.1
"""Relative to SPICE's time to 63 %: the two are equal for a single pole, but lines have more."""
FRACTION = 1.0 - np.exp(-1.0)
LENGTH = 12.0
"""End of the simulation, in delays: 1e-5 of the final value is still missing then."""

CASES = (
    # rows, columns, capacitance of word and bit lines [fF], driver resistance [Ω], conductance [S]
    (2, 32, 1.0, 0.0, 0.0, 1e-6),
    (32, 2, 0.0, 1.0, 0.0, 1e-6),
    (16, 16, 1.0, 1.0, 0.0, 1e-5),
    (16, 16, 1.0, 1.0, 0.0, 3e-4),
    (16, 16, 1.0, 1.0, 1000.0, 3e-5),
)


def run(context: StageContext) -> StageResult:
    """Compare the slowest word line and the slowest column with SPICE; one case per tile."""
    cases = CASES[:3] if context.quick else CASES
    differences, found, longest = [], [], 0.0
    for number, (rows, columns, word, bit, driver, conductance) in enumerate(cases):
        spec = TileSpec(
            rows=rows,
            columns=columns,
            word_line_resistance=5.0,
            bit_line_resistance=5.0,
            word_line_capacitance=word * 1e-15,
            bit_line_capacitance=bit * 1e-15,
            driver_resistance=driver,
        )
        tile = Tile(spec, np.full(spec.shape, conductance))
        delays = slowest_delays(context, tile)
        found += delays
        differences.append(largest_difference(delays))
        longest = max(longest, BehavioralEngine().settling_time(tile).longest)
        context.report(number + 1, len(cases))
    ours, theirs = np.array(found).T
    plot = Lines(
        "Slowest line of each tile, to 63 %",
        f"{context.simulator} (ns)",
        "Elmore (ns)",
        (Series("lines", theirs * 1e9, ours * 1e9, "points"),),
    )
    return StageResult(
        differences,
        BOUND,
        {"longest_delay_s": longest},
        [plot],
        answers=[theirs / ours],
        size=max((case[:2] for case in cases), key=math.prod),
    )


def delay_difference(referee: Referee, tile: Tile) -> float:
    """Return the relative error of the Elmore delays of the slowest word line and column, against times to 63 %."""
    return largest_difference(slowest_delays(StageContext(NAME, referee, 0), tile))


def largest_difference(delays: list[tuple[float, float]]) -> float:
    """Return the largest relative difference of pairs of delays."""
    return max(abs(ours / theirs - 1.0) for ours, theirs in delays)


def slowest_delays(context: StageContext, tile: Tile) -> list[tuple[float, float]]:
    """Return Elmore delay and time in the simulator of the slowest word line, if it has capacitance, and column."""
    with context.timed("behavioral"):
        ours = BehavioralEngine().settling_time(tile)
    with context.timed("referee"):
        response = context.referee.step_response(tile, np.ones(tile.spec.rows), LENGTH * ours.longest)
    found = []
    for delays, values in ((ours.word_line, response.word_line_voltage), (ours.column, response.output)):
        line = int(delays.argmax())
        if tile.spec.word_line_capacitance > 0.0 or delays is ours.column:
            found.append((float(delays[line]), float(time_to(FRACTION, response.time, values[:, line]))))
    return found


def time_to(fraction: float, time: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return when a rising response first reaches a fraction of its last value [s]."""
    after = int(np.argmax(np.abs(values) >= fraction * abs(values[-1])))
    low, high = np.abs(values[after - 1 : after + 1])
    return float(np.interp(fraction * abs(values[-1]), [low, high], time[after - 1 : after + 1]))
