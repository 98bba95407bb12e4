"""The conformance suite as data: every tile as a circuit that another program can read, and its exact answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import circuitmem
from circuitmem.engine import REFEREES, BehavioralEngine, RefereeName, Solution
from circuitmem.engine.direct import NodalGraph
from circuitmem.errors import CircuitmemError, ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.study.conformance.groups import GROUPS, VERSION
from circuitmem.study.stages.random_tiles import LINEAR_BOUND, NON_LINEAR_BOUND
from circuitmem.tile import Tile
from circuitmem.validation import did_you_mean

__all__ = ["FORMAT", "QUANTITIES", "ConformanceCase", "answer_difference", "cases", "solve_case", "suite_record"]

Floats = NDArray[np.float64]

FORMAT = f"circuitmem-conformance/{VERSION}"
_SEED = 20_261_129

QUANTITIES = ("column_current_a", "driver_current_a", "word_line_voltage_v", "bit_line_voltage_v")
"""Quantities of an answer; only the first is required."""

Answer = dict[str, Floats]


class ConformanceCase(NamedTuple):
    """One tile with its inputs."""

    name: str
    group: str
    tile: Tile
    voltages: Floats
    """(vectors, rows) V."""

    @property
    def tolerance(self) -> float:
        """Largest error of a current or voltage, relative to the largest of its kind."""
        return LINEAR_BOUND if self.tile.spec.cell.linear else NON_LINEAR_BOUND


def cases(groups: Sequence[str] = ()) -> list[ConformanceCase]:
    """Return the cases of some groups, or of all if none is named: always the same.

    Raises
    ------
    ValidationError
        If there is no such group.
    """
    known = [group.name for group in GROUPS]
    for name in groups:
        if name not in known:
            raise ValidationError("group", f"must be one of {', '.join(known)}{did_you_mean(name, known)}", name)
    found = []
    for place, group in enumerate(GROUPS):
        for k in range(group.tiles if not groups or group.name in groups else 0):
            tile, voltages = group.make(stream(_SEED, Purpose.VALIDATION, place, k), k)
            found.append(ConformanceCase(f"{group.name}-{k + 1}", group.name, tile, voltages))
    return found


def solve_case(case: ConformanceCase, engine: Any = None) -> Answer:
    """Return the answer to a case by the behavioral engine, or by another with ``solve``.

    The voltage of a floating node, which nothing ties to a source or a ground, is NaN: any answer to it is right.
    """
    solution: Solution = (engine or BehavioralEngine(threads=1)).solve(case.tile, case.voltages)
    answer: Answer = dict(
        zip(
            QUANTITIES,
            (
                solution.column_current,
                solution.driver_current,
                solution.word_line_voltage.copy(),
                solution.bit_line_voltage.copy(),
            ),
            strict=True,
        )
    )
    network = NodalGraph(case.tile)
    for name, nodes in (("word_line_voltage_v", network.word), ("bit_line_voltage_v", network.bit)):
        answer[name][:, network.floats[nodes]] = np.nan
    return answer


def answer_difference(case: ConformanceCase, expected: Answer, given: Answer) -> dict[str, float]:
    """Return the largest error of each quantity that is given, relative to the largest current or voltage."""
    current = max(float(np.abs(expected[name]).max()) for name in QUANTITIES[:2])
    scales = current, current, *[float(np.abs(case.voltages).max())] * 2
    found = {}
    for name, scale in zip(QUANTITIES, scales, strict=True):
        if name in given:
            off = np.abs(given[name] - expected[name])
            off[np.isnan(expected[name])] = 0.0
            found[name] = float(np.nan_to_num(off, nan=np.inf).max()) / (scale or 1.0)
    return found


def suite_record(
    referees: Iterable[RefereeName] = (), progress: Callable[[int, int], None] = lambda *_: None
) -> dict[str, Any]:
    """Return the whole suite, each answer checked by the referees, with the difference of each of its quantities.

    Raises
    ------
    SpiceUnavailableError
        If a referee is not installed.
    CircuitmemError
        If a referee finds another answer.
    """
    names, everything = tuple(referees), cases()
    versions = {name: REFEREES[name].probe().version for name in names}
    engines = {name: REFEREES[name]() for name in names}
    written = []
    try:
        for number, case in enumerate(everything):
            answer, checks = solve_case(case), {}
            for name, engine in engines.items():
                checks[name] = answer_difference(case, answer, solve_case(case, engine))
                what, worst = max(checks[name].items(), key=lambda item: item[1])
                if not worst <= case.tolerance:
                    reason = f"{what} of {case.name} is {worst:.1e} from that of the kernels (limit {case.tolerance:g})"
                    raise CircuitmemError(f"{REFEREES[name].simulator}: {reason}; nothing is written")
            written.append(_circuit(case) | {"expected": _lists(answer), "checked": checks})
            progress(number + 1, len(everything))
    finally:
        for engine in engines.values():
            engine.close()
    return {
        "format": FORMAT,
        "circuitmem": circuitmem.__version__,
        "referees": versions,
        "groups": {group.name: group.purpose for group in GROUPS},
        "cases": written,
    }


def _circuit(case: ConformanceCase) -> dict[str, Any]:
    """Return a case as a circuit with its defects applied, which can be understood without circuitmem."""
    tile = case.tile
    word, bit = tile.wires
    bridges = [
        {"first": list(bridge.first), "second": list(bridge.second), "resistance_ohm": bridge.resistance}
        for bridge in tile.defects.bridges
    ]
    return {
        "case": case.name,
        "group": case.group,
        "rows": tile.spec.rows,
        "columns": tile.spec.columns,
        "cell": tile.spec.cell.model_dump(),
        "conductance_s": tile.effective_conductance.tolist(),
        "word_segment_ohm": _plain(word),
        "bit_segment_ohm": _plain(bit),
        "bridges": bridges,
        # A dead driver holds 0 V.
        "driver_voltage_v": tile.input_voltages(case.voltages).tolist(),
        "tolerance": case.tolerance,
    }


def _lists(answer: Answer) -> dict[str, Any]:
    return {name: _plain(values) for name, values in answer.items()}


def _plain(values: Any) -> Any:
    """Return nested lists with None for numbers that are not finite: JSON has neither infinity nor NaN."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return values if np.isfinite(values) else None
