"""Whether another program's answers to the conformance suite are right."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from circuitmem.errors import DataFileError
from circuitmem.study.conformance.groups import VERSION
from circuitmem.study.conformance.suite import QUANTITIES, ConformanceCase, answer_difference, cases, solve_case
from circuitmem.validation import did_you_mean, in_range

__all__ = ["ANSWERS", "Verdict", "judge"]

ANSWERS = f"circuitmem-conformance-answers/{VERSION}"


class Verdict(NamedTuple):
    """The verdict on one case."""

    case: str
    passed: bool
    reason: str
    """Why it failed, in one line; empty if it passed."""
    difference: float
    """Largest error, relative to the largest current or voltage; infinite if there is no answer of the right shape."""


def judge(path: str | os.PathLike[str], groups: Sequence[str] = (), tolerance: float | None = None) -> list[Verdict]:
    """Judge a file of answers, case by case.

    Parameters
    ----------
    path : path
        The file: ``{"format": "circuitmem-conformance-answers/1", "answers": {CASE: {QUANTITY: numbers}}}``.
    groups : sequence of str
        Groups to judge; all when left out.
    tolerance : float, optional
        Largest difference that passes, > 0 and <= 1; each case's own when left out.

    Raises
    ------
    DataFileError
        If the file cannot be read, is not such a file, or answers a case that the suite does not have.
    ValidationError
        If a group is not known, or the tolerance is out of range.
    """
    chosen = cases(groups)
    limit = None if tolerance is None else in_range("tolerance", tolerance, 1e-300, 1.0)
    answers = _answers(path)
    known = {case.name for case in (cases() if groups else chosen)}
    for name in answers:
        if name not in known:
            raise DataFileError(path, f"has an answer to {name}, which is no case{did_you_mean(name, known)}")
    return [_verdict(case, answers.get(case.name), limit or case.tolerance) for case in chosen]


def _answers(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise DataFileError(path, f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError too
        raise DataFileError(path, f"is no JSON ({error})") from None
    if not isinstance(content, dict) or content.get("format") != ANSWERS:
        found = content.get("format") if isinstance(content, dict) else content
        raise DataFileError(path, f"must be an object with format {ANSWERS!r} (got {str(found)[:40]!r})")
    answers = content.get("answers")
    if not isinstance(answers, dict):
        raise DataFileError(path, "must have answers, an object with a case for each key")
    return answers


def _verdict(case: ConformanceCase, answer: Any, limit: float) -> Verdict:
    def failed(reason: str, off: float = np.inf) -> Verdict:
        return Verdict(case.name, False, reason, off)

    if answer is None:
        return failed("no answer")
    if not isinstance(answer, dict) or QUANTITIES[0] not in answer:
        return failed(f"no {QUANTITIES[0]}")
    expected = solve_case(case)
    given = {}
    for name, values in answer.items():
        if name not in QUANTITIES:
            return failed(f"{name} is nothing that is asked{did_you_mean(name, QUANTITIES)}")
        try:
            given[name] = np.array(values, dtype=np.float64)  # None becomes NaN
        except (TypeError, ValueError, OverflowError):
            return failed(f"{name} must be numbers of shape {expected[name].shape}")
        if given[name].shape != expected[name].shape:
            return failed(f"{name} must have shape {expected[name].shape} (got {given[name].shape})")
    what, worst = max(answer_difference(case, expected, given).items(), key=lambda item: item[1])
    if worst <= limit:
        return Verdict(case.name, True, "", worst)
    size = f"{worst:.2e} of the largest {what.split('_')[-2]}" if np.isfinite(worst) else "not a number"
    return failed(f"{what} is off by {size}, limit {limit:g}" if np.isfinite(worst) else f"{what} has {size}", worst)
