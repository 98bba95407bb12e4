"""What a sample of audited operations says about all of them."""

from __future__ import annotations

from collections.abc import Iterable

from scipy.special import betaincinv

from circuitmem.validation import in_range, integer

__all__ = ["CONFIDENCE", "fraction_bound", "stratified_bound"]

CONFIDENCE = 0.95


def fraction_bound(exceeded: int, audited: int, confidence: float = CONFIDENCE) -> float:
    """Return the upper confidence bound on the fraction of operations that are beyond the limit.

    The exact binomial one (one-sided; Clopper and Pearson, Biometrika 26:404, 1934): the fraction at which so few
    would be found in a random sample with probability ``1 - confidence``. Without any beyond the limit it is
    ``1 - (1 - confidence)**(1 / audited)``. Drawing without replacement makes it more cautious, never less.

    Parameters
    ----------
    exceeded : int
        Audited operations beyond the limit, >= 0.
    audited : int
        Operations in the random sample, >= ``exceeded``.
    confidence : float
        In [0, 1].
    """
    audited = integer("audited", audited)
    exceeded = integer("exceeded", exceeded, maximum=audited)
    if exceeded == audited:
        return 1.0
    return float(betaincinv(exceeded + 1, audited - exceeded, in_range("confidence", confidence, 0.0, 1.0)))


def stratified_bound(strata: Iterable[tuple[int, int, int]], confidence: float = CONFIDENCE) -> float:
    """Return the bound for several groups of operations, each with a sample of its own.

    Each group's bound is taken at a confidence so high that together they hold with ``confidence`` (Bonferroni), and
    weighted with the number of its operations.

    Parameters
    ----------
    strata : iterable of (int, int, int)
        Of each group: operations beyond the limit, audited operations, all operations.
    confidence : float
        In [0, 1].
    """
    groups = [group for group in strata if group[2] > 0]
    if not groups:
        return 1.0
    each = 1.0 - (1.0 - confidence) / len(groups)
    total = sum(group[2] for group in groups)
    return sum(fraction_bound(exceeded, audited, each) * size for exceeded, audited, size in groups) / total
