"""Means with confidence intervals, and paired differences: the same defect maps under two methods or conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy

__all__ = ["Mean", "Paired", "at_equal_cost", "holm", "mean", "paired", "sampling_half_width", "select", "watched_rows"]

CONFIDENCE = 0.95
DECIMALS = 9
"""Decimals of differences that are compared: accuracies have steps, and rounding errors must not make equal ones
unequal."""


@dataclass(frozen=True)
class Mean:
    """A mean over ``count`` values; ``half_width`` of its 95 % confidence interval, NaN for a single value."""

    mean: float
    half_width: float
    count: int


@dataclass(frozen=True)
class Paired:
    """A mean difference over pairs, and the probability of one as large without an effect; NaN for a single pair.

    Attributes
    ----------
    difference : Mean
        The mean difference.
    p_value : float
        By Student's t test, two-sided. NaN if all differences are the same, but not 0: accuracies have steps, a few
        pairs may agree by chance, and the test divides by their spread. It is 1 if no pair differs at all.
    rank_p_value : float
        By Wilcoxon's signed-rank test, two-sided, which assumes less about the distribution; with n pairs it is never
        below 2^(1 - n). Pairs without a difference do not count.
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
    """Compare two conditions over the pairs that they have in common.

    Parameters
    ----------
    first, second : mapping
        Value by name of the pair, such as the seed; names that only one of them has are left out.

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
    found = np.round(differences, DECIMALS)
    if np.ptp(found) == 0.0:
        return Paired(mean(differences), float("nan") if found[0] else 1.0, ranks)
    test = scipy.stats.ttest_rel([first[name] for name in common], [second[name] for name in common])
    return Paired(mean(differences), float(test.pvalue), ranks)


def _signed_rank(differences: Sequence[float]) -> float:
    """Return the p value of Wilcoxon's test: exact up to 13 differences, and with more if no two are alike."""
    found = np.round(differences, DECIMALS)
    found = found[found != 0.0]
    return float(scipy.stats.wilcoxon(found).pvalue) if len(found) else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for a whole family of tests (Holm, Scand. J. Statist. 6:65, 1979).

    Parameters
    ----------
    p_values : sequence of float
        One for each test; NaN where there was none, which stays NaN and does not count.

    Returns
    -------
    list of float
        In the same order. If all tests with a value up to a level are called significant, the probability of even one
        false positive among them is at most that level.
    """
    array = np.asarray(p_values, dtype=float)
    tested = np.flatnonzero(~np.isnan(array))
    order = tested[np.argsort(array[tested], kind="stable")]
    found = np.full(len(array), np.nan)
    found[order] = np.minimum(np.maximum.accumulate(array[order] * np.arange(len(order), 0, -1)), 1.0)
    return [float(value) for value in found]


def sampling_half_width(percent: float, samples: int) -> float:
    """Return the half-width [points] of the 95 % confidence interval that an accuracy has from its test samples.

    Normal approximation of a binomial. At 0 and 100 %, where that has no width, it is the distance to the other end of
    Wilson's interval. A mean over maps that share the samples has the same one: maps do not reduce it.

    Parameters
    ----------
    percent : float
        The accuracy, 0 to 100.
    samples : int
        Test samples, >= 1.
    """
    share, quantile = percent / 100.0, scipy.stats.norm.ppf(0.5 + CONFIDENCE / 2)
    if share in (0.0, 1.0):
        return float(100.0 * quantile**2 / (samples + quantile**2))
    return float(100.0 * quantile * np.sqrt(share * (1.0 - share) / samples))


def select(rows: Sequence[Mapping[str, Any]], /, **wanted: Any) -> list[Mapping[str, Any]]:
    """Return the rows in which every named column has the wanted value."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def watched_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of tests during training: those on validation samples if there are any, else all."""
    return [row for row in rows if row["part"] == "validation"] or list(rows)


def at_equal_cost(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], cost: Literal["pulses", "simulated_time_s"]
) -> tuple[float, float] | None:
    """Return the accuracies of two histories [%] at equal cost: the smaller of their final costs.

    Parameters
    ----------
    first, second : sequence of rows
        Tests of one method on one chip, in order, each with its ``epoch``.
    cost : {"pulses", "simulated_time_s"}
        Column of the cost.

    Returns
    -------
    (float, float) or None
        Accuracies, interpolated linearly between tests. None where nothing is known: before the first test, and within
        a first epoch without tests in between, over which accuracy is not linear.
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
