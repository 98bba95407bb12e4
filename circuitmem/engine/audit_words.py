"""The findings of a run's audit in plain sentences, the same in every report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from circuitmem.engine.confidence import UNSEEN, bound_text
from circuitmem.engine.referees import RefereeName, simulators

__all__ = ["audit_sentences"]

SHOWN = (0.01, 0.001)
"""Bounds to aim at: the reader is told how many operations take the bound below the first that is not yet reached."""


def audit_sentences(audit: Mapping[str, Any], referees: Iterable[RefereeName] = ()) -> list[str]:
    """Return the headline of an audit, and its confidence bound with how to narrow it; none if nothing was audited.

    Parameters
    ----------
    audit : mapping
        ``audit`` of ``results.json`` (:class:`circuitmem.records.Audit`), or the part known so far. Runs of older
        versions lack some of its keys.
    referees : iterable of {"ngspice", "vacask"}, optional
        The simulators that did the audit, if the audit itself does not name them yet. If neither does, ngspice is
        named, the only one that old versions had.
    """
    headline = _headline(audit, simulators(audit.get("referees") or tuple(referees) or ("ngspice",)))
    return [sentence for sentence in (headline, _bound(audit)) if sentence]


def _headline(audit: Mapping[str, Any], names: str) -> str:
    """Say how many operations were re-done, and how closely they agree."""
    error, states = audit.get("largest_relative_error"), audit.get("largest_state_error")
    found = [] if error is None else [f"{error:.1e} of the largest current"]
    found += [] if states is None else [f"{states:.1e} of the range of the devices' states"]
    if not found:
        return ""
    reads, trains = audit["reads"], audit.get("pulse_trains", 0)
    parts = f"{reads:,} {'read' if reads == 1 else 'reads'}, {trains:,} pulse {'train' if trains == 1 else 'trains'}"
    count = audit.get("operations")
    done = f"{count:,} {'operation' if count == 1 else 'operations'} ({parts})" if count else parts
    within = " and ".join(found)
    beyond = audit.get("exceeded", 0)
    if beyond:
        verb = "differs" if beyond == 1 else "differ"
        return f"{done} re-done in {names}: {beyond:,} {verb} by more than is allowed, the worst by {within}."
    return f"{done} re-done in {names}, all within {within}."


def _bound(audit: Mapping[str, Any]) -> str:
    """State the confidence bound for all operations, and how many would have to be re-done to lower it."""
    bound, count = audit.get("fraction_bound"), audit.get("of_operations")
    if bound is None or not count:
        return ""
    sentence = (
        f"They were drawn at random: with {audit['confidence']:.0%} confidence at most {bound_text(bound)} of the "
        f"run's {count:,} operations differ by more than {audit['limit']:.0e}."
    )
    wanted = next((share for share in SHOWN if share < bound), None)
    if audit.get("exceeded") or wanted is None:
        return f"{sentence} More re-done operations narrow this bound: raise audit.fraction."
    # This assumes that the sample is spread over methods and kinds in proportion to all operations.
    needed = math.ceil(math.log(UNSEEN * (1.0 - audit["confidence"])) / math.log1p(-wanted))
    if needed >= count:
        return f"{sentence} To show less, all of them have to be re-done: audit.fraction = 1."
    return (
        f"{sentence} To show {wanted:.1%} takes about {needed:,} without a difference: "
        f"audit.fraction = {needed / count:.2g}."
    )
