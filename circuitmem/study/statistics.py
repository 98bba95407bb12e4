"""Means with confidence intervals, and paired differences: the same defect maps under two methods or conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy

__all__ = ["Mean", "Paired", "at_equal_cost", "holm", "mean", "paired", "sampling_half_width", "select", "watched_rows"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over ``count`` values; ``half_width`` of its 95 % confidence interval, NaN for a single value."""

    mean: float
    half_width: float
    count: int


@dataclass(frozen=True)
class Paired:
    """A mean difference over pairs, and how probable one as large is without an effect; NaN for a single pair.

    Attributes
    ----------
    difference : Mean
        The mean difference.
    p_value : float
        By Student's t test, two-sided.
    rank_p_value : float
        By Wilcoxon's signed-rank test, two-sided, which asks less of the distribution; with n pairs it is never below
        2^(1 - n). Pairs without a difference do not count.
    """

    difference: Mean
    p_value: float
    rank_p_value: float


def mean(values: Sequence[float]) -> Mean:
    """Return the mean of values and the half-width of its confidence interval by Student's t.

    Parameters
    ----------
    values : sequence of float
        Independent values, at least one.
    """
    array = np.asarray(values, dtype=float)
    count = len(array)
    if count < 2:
        return Mean(float(array.mean()), float("nan"), count)
    error = array.std(ddof=1) / np.sqrt(count)
    return Mean(float(array.mean()), float(scipy.stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * error), count)


def paired(first: Mapping[Any, float], second: Mapping[Any, float]) -> Paired | None:
    """Compare two conditions on what they have in common.

    Parameters
    ----------
    first, second : mapping
        Value for each pair's name, such as the seed; names that only one has are left out.

    Returns
    -------
    Paired or None
        Of ``first - second``; None if they have nothing in common.
    """
    common = [name for name in first if name in second]
    if not common:
        return None
    differences = [first[name] - second[name] for name in common]
    if len(common) < 2:
        return Paired(mean(differences), float("nan"), float("nan"))
    ranks = _signed_rank(differences)
    if np.ptp(differences) == 0.0:  # no spread: certain if there is a difference, and none at all otherwise
        return Paired(mean(differences), 0.0 if differences[0] else 1.0, ranks)
    test = scipy.stats.ttest_rel([first[name] for name in common], [second[name] for name in common])
    return Paired(mean(differences), float(test.pvalue), ranks)


def _signed_rank(differences: Sequence[float]) -> float:
    """Return the probability of Wilcoxon's test: exact up to 13 differences, and beyond if no two are alike."""
    # Accuracies have steps: rounding errors of the differences must not tell apart what is alike.
    found = np.round(differences, 9)
    found = found[found != 0.0]
    return float(scipy.stats.wilcoxon(found).pvalue) if len(found) else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values that hold for all of a family of tests together (Holm, Scand. J. Statist. 6:65, 1979).

    Parameters
    ----------
    p_values : sequence of float
        One of each test; NaN where there was none, which stays NaN and does not count.

    Returns
    -------
    list of float
        In the same order. Whichever of them are called significant at a level, the probability that even one of these
        is without an effect is at most that level.
    """
    array = np.asarray(p_values, dtype=float)
    tested = np.flatnonzero(~np.isnan(array))
    order = tested[np.argsort(array[tested], kind="stable")]
    found = np.full(len(array), np.nan)
    found[order] = np.minimum(np.maximum.accumulate(array[order] * np.arange(len(order), 0, -1)), 1.0)
    return [float(value) for value in found]


def sampling_half_width(percent: float, samples: int) -> float:
    """Return how far [points] other test samples as many would lead from an accuracy [%], with 95 % confidence.

    It is the normal approximation of a binomial; a mean over maps that saw the same samples has it too, undivided.

    Parameters
    ----------
    percent : float
        The accuracy, 0 to 100.
    samples : int
        Test samples, >= 1.
    """
    share = percent / 100.0
    return float(100.0 * scipy.stats.norm.ppf(0.5 + CONFIDENCE / 2) * np.sqrt(share * (1.0 - share) / samples))


def select(rows: Sequence[Mapping[str, Any]], /, **wanted: Any) -> list[Mapping[str, Any]]:
    """Return the rows in which every named column has the wanted value."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def watched_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of tests while training went on: those of the validation samples where there are some."""
    return [row for row in rows if row["part"] == "validation"] or list(rows)


def at_equal_cost(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], cost: Literal["pulses", "simulated_time_s"]
) -> tuple[float, float] | None:
    """Return the accuracy of two histories [%] at the cost that the thriftier of them had in the end.

    Parameters
    ----------
    first, second : sequence of rows
        Tests in order, of one method on one chip each, with the ``epoch`` at which they were.
    cost : {"pulses", "simulated_time_s"}
        The column that counts.

    Returns
    -------
    (float, float) or None
        Accuracy between tests is interpolated linearly. None where nothing is known: before the first test, and within
        a first epoch that no test divides, in which accuracy is no line.
    """
    spent = min(first[-1][cost], second[-1][cost])
    found = []
    for rows in (first, second):
        costs = [row[cost] for row in rows]
        after = next(place for place, own in enumerate(costs) if own >= spent)
        if costs[after] != spent and (after == 0 or (after == 1 and rows[1]["epoch"] - rows[0]["epoch"] >= 1)):
            return None
        found.append(float(np.interp(spent, costs, [row["accuracy_percent"] for row in rows])))
    return found[0], found[1]
