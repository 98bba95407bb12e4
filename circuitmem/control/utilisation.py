"""How busy a chip's resources were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from circuitmem.control.arbiter import Resource

__all__ = ["Utilisation", "utilisation"]


class Utilisation(NamedTuple):
    """The share of the time for which resources of one kind were held."""

    things: int
    """How many of them there are."""
    busy: int
    """Time that they were held, added up [ps]."""
    waited: int
    """Time that operations waited because one of them was taken [ps]."""
    fraction: float
    """``busy`` as a fraction of the time for which they were available."""


def utilisation(resources: Iterable[Resource], clock: int) -> dict[str, Utilisation]:
    """Return how busy each kind of resource was up to ``clock`` [ps], the busiest first: that one is the bottleneck."""
    found: dict[str, list[Resource]] = {}
    for resource in resources:
        found.setdefault(resource.kind, []).append(resource)
    sums = {
        name: Utilisation(
            sum(resource.capacity for resource in same),
            sum(resource.busy for resource in same),
            sum(resource.waited for resource in same),
            sum(resource.busy for resource in same) / max(1, clock * sum(r.capacity for r in same)),
        )
        for name, same in found.items()
    }
    return dict(sorted(sums.items(), key=lambda entry: -entry[1].fraction))
