"""Confidence bounds: from a sample of audited operations to all operations."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal

import numpy as np
import scipy

from circuitmem.validation import in_range, integer

__all__ = ["CONFIDENCE", "bound_text", "fraction_bound", "stratified_bound"]

CONFIDENCE = 0.95

UNSEEN = 0.9
"""Share of the risk for the case that no sample of several groups has a finding; fixed before any sample is drawn."""


def fraction_bound(exceeded: int, audited: int, confidence: float = CONFIDENCE) -> float:
    """Return the upper confidence bound on the fraction of operations that are beyond the limit.

    This is the exact one-sided binomial bound (Clopper and Pearson, Biometrika 26:404, 1934): the fraction at which a
    random sample would have at most ``exceeded`` operations beyond the limit with probability ``1 - confidence``. If
    ``exceeded`` is 0, it is ``1 - (1 - confidence)**(1 / audited)``. Drawing without replacement can only make it more
    cautious, never less.

    Parameters
    ----------
    exceeded : int
        Number of audited operations beyond the limit, >= 0.
    audited : int
        Number of operations in the random sample, >= ``exceeded``.
    confidence : float
        Confidence of the bound, in [0, 1].
    """
    audited = integer("audited", audited)
    exceeded = integer("exceeded", exceeded, maximum=audited)
    if exceeded == audited:
        return 1.0
    return float(
        scipy.special.betaincinv(exceeded + 1, audited - exceeded, in_range("confidence", confidence, 0.0, 1.0))
    )


def stratified_bound(strata: Iterable[tuple[int, int, int]], confidence: float = CONFIDENCE) -> float:
    """Return the upper confidence bound for several groups of operations, each with its own sample.

    The risk ``1 - confidence`` is split between two cases. Nine tenths go to the case that nothing was beyond the
    limit. Then the bound is the largest total fraction, however it is spread over the groups, at which finding nothing
    still has at least that probability. One tenth goes to the case that something was beyond the limit. Then each group
    gets its own bound, at a confidence high enough that all of them hold together (Bonferroni). A single group has the
    whole risk. Groups are weighted by their number of operations.

    Parameters
    ----------
    strata : iterable of (int, int, int)
        For each group: operations beyond the limit, audited operations, all operations.
    confidence : float
        Confidence of the bound, in [0, 1].
    """
    groups = [group for group in strata if group[2] > 0]
    if not groups:
        return 1.0
    risk = 1.0 - in_range("confidence", confidence, 0.0, 1.0)
    if len(groups) > 1 and not any(exceeded for exceeded, _, _ in groups):
        return _largest_unseen(groups, UNSEEN * risk)
    each = 1.0 - (risk if len(groups) == 1 else (1.0 - UNSEEN) * risk / len(groups))
    total = sum(group[2] for group in groups)
    return sum(fraction_bound(exceeded, audited, each) * size for exceeded, audited, size in groups) / total


def _largest_unseen(groups: list[tuple[int, int, int]], risk: float) -> float:
    """Return the largest sum of w·p at which samples of n operations find nothing with the probability ``risk``.

    w is the weight of a group and p its fraction beyond the limit. By a Lagrange multiplier m,
    ``1 - p = min(1, m·n/w)``, with m chosen so that the product of ``(1 - p)**n`` is the risk.
    """
    audited, size = np.array([group[1:] for group in groups], dtype=float).T
    weight = size / size.sum()
    seen = audited > 0
    if not seen.any() or risk <= 0.0:
        return 1.0
    ratio = audited[seen] / weight[seen]

    def excess(logarithm: float) -> float:
        return float(audited[seen] @ np.minimum(0.0, logarithm + np.log(ratio)) - np.log(risk))

    # The bracket of m: at the upper end every p is 0, at the lower end one group alone makes the product too small.
    upper = float(-np.log(ratio).min())
    multiplier = (
        np.exp(scipy.optimize.brentq(excess, upper + np.log(risk) - 1.0, upper)) if excess(upper) > 0.0 else 1.0
    )
    missed = 1.0 - np.minimum(1.0, multiplier * ratio)
    return float(weight[seen] @ missed + weight[~seen].sum())


def bound_text(fraction: float) -> str:
    """Return a bound as a percentage with two digits, rounded up; rounded down it would claim more than was shown.

    Parameters
    ----------
    fraction : float
        The bound, in [0, 1].
    """
    percent = 100 * Decimal(repr(in_range("fraction", fraction, 0.0, 1.0)))
    if not percent:
        return "0%"
    return f"{percent.quantize(Decimal(1).scaleb(percent.adjusted() - 1), ROUND_CEILING):f}%"
