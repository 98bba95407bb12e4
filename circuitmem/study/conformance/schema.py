"""JSON Schemas of the suite and of another program's answers, with what every number means."""

from __future__ import annotations

from typing import Any

from circuitmem.study.conformance.judge import ANSWERS
from circuitmem.study.conformance.suite import FORMAT, QUANTITIES

__all__ = ["answers_schema", "suite_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def _numbers(depth: int, meaning: str, null: str = "") -> dict[str, Any]:
    """Return the schema of nested lists of numbers, among which null is allowed if it has a meaning."""
    found: dict[str, Any] = {"type": ["number", "null"] if null else "number"}
    for _ in range(depth):
        found = {"type": "array", "items": found}
    return found | {"description": f"{meaning}; null: {null}" if null else meaning}


def _answer() -> dict[str, Any]:
    """Return the quantities of an answer, by name."""
    floats = "the node floats, nothing ties it to a source or a ground: any answer is right"
    meanings = (
        _numbers(2, "(vectors, columns) A into the sense amplifiers of each bit line, both ends added"),
        _numbers(2, "(vectors, rows) A out of the drivers of each word line, both ends added"),
        _numbers(3, "(vectors, rows, columns) V of the word-line node of each cell", floats),
        _numbers(3, "(vectors, rows, columns) V of the bit-line node of each cell", floats),
    )
    return dict(zip(QUANTITIES, meanings, strict=True))


def suite_schema() -> dict[str, Any]:
    """Return the schema of ``cases.json``."""
    node = {
        "type": "array",
        "prefixItems": [{"enum": ["word", "bit"]}, {"type": "integer"}, {"type": "integer"}],
        "minItems": 3,
        "maxItems": 3,
        "description": "line, row, column, counted from 0",
    }
    cell = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": ["linear", "transistor", "sinh", "selector"]}},
        "description": (
            "I for V across the cell, word-line side against bit-line side, and conductance G. linear: G V. "
            "transistor: G V / (1 + G on_resistance). sinh: G sinh(a V) / a. selector: a conductance G in series with "
            "a selector of threshold_current sinh(Vs ln10/swing) / sinh(threshold ln10/swing), Vs its part of V. "
            "Units: ohm, 1/V, V, A."
        ),
    }
    case = {
        "case": {"type": "string"},
        "group": {"type": "string", "description": "what it is for: see groups"},
        "rows": {"type": "integer", "minimum": 1},
        "columns": {"type": "integer", "minimum": 1},
        "cell": cell,
        "conductance_s": _numbers(2, "(rows, columns) S, stuck cells as they are; 0 is an open cell"),
        "word_segment_ohm": _numbers(
            2,
            "(rows, columns + 1): before each cell, the first with the driver's resistance; the last leads to a "
            "second driver of the same voltage; 0 is an ideal wire",
            "no wire",
        ),
        "bit_segment_ohm": _numbers(
            2,
            "(rows + 1, columns): the first leads to a sense amplifier at the top; then after each cell, the last with "
            "the sense amplifier's resistance; sense amplifiers are at 0 V",
            "no wire",
        ),
        "bridges": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["first", "second", "resistance_ohm"],
                "properties": {"first": node, "second": node, "resistance_ohm": {"type": "number"}},
            },
        },
        "driver_voltage_v": _numbers(2, "(vectors, rows) V; dead drivers hold 0 V"),
        "tolerance": {
            "type": "number",
            "description": "largest difference relative to the largest current or voltage",
        },
        "expected": {"type": "object", "required": list(QUANTITIES), "properties": _answer()},
        "checked": {
            "type": "object",
            "description": "for each circuit simulator that was asked: how far each quantity is off, relative as above",
        },
    }
    return {
        "$schema": _DRAFT,
        "title": "Tiles of memristors and their exact answers",
        "type": "object",
        "required": ["format", "circuitmem", "referees", "groups", "cases"],
        "properties": {
            "format": {"const": FORMAT},
            "circuitmem": {"type": "string", "description": "version that wrote it"},
            "referees": {"type": "object", "description": "version of each circuit simulator that checked it"},
            "groups": {"type": "object", "description": "what a program that fails there has got wrong"},
            "cases": {"type": "array", "items": {"type": "object", "required": list(case), "properties": case}},
        },
    }


def answers_schema() -> dict[str, Any]:
    """Return the schema of a file of answers."""
    answer = {"type": "object", "required": [QUANTITIES[0]], "properties": _answer(), "additionalProperties": False}
    return {
        "$schema": _DRAFT,
        "title": "Answers of a program to the tiles of cases.json",
        "type": "object",
        "required": ["format", "answers"],
        "properties": {
            "format": {"const": ANSWERS},
            "program": {"type": "string", "description": "name and version of the program"},
            "answers": {"type": "object", "description": "by the name of the case", "additionalProperties": answer},
        },
    }
