"""Answers of plug-ins: one that is not what its method must return is refused in one line that names both.

Only methods that are not built in are asked about, where their answers enter; built-in ones cost nothing more.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import ValidationError
from circuitmem.registry import PACKAGE, entries

__all__ = ["array_of", "is_ours", "refusal"]

Floats = NDArray[np.float64]


class _Words(str):
    """Words that a message shows without quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def is_ours(found: Any) -> bool:
    """Say whether a class or a method comes with circuitmem."""
    return str(getattr(found, "__module__", "")).partition(".")[0] == PACKAGE


def refusal(kind: str, own: Any, rule: str, found: Any) -> ValidationError:
    """Return the error that a plug-in's answer deserves.

    Parameters
    ----------
    kind : str
        One of :data:`circuitmem.registry.KINDS`.
    own : object
        The plug-in, its class, or the name by which it was asked for.
    rule : str
        What its method must return, completing the sentence "<plug-in> ...".
    found : object
        What it returned.
    """
    name = own if isinstance(own, str) else _name(kind, own if isinstance(own, type) else type(own))
    return ValidationError(f"{kind[:-1]} {name}", rule, _Words(_described(found)))


def array_of(kind: str, own: Any, method: str, found: Any, shape: tuple[int, ...], *, finite: bool = True) -> Floats:
    """Return the answer of a plug-in's method as an array.

    Parameters
    ----------
    kind, own
        As in :func:`refusal`.
    method : str
        The method, for example ``"from change"``.
    found : object
        What it returned.
    shape : tuple of int
        The shape that it must have.
    finite : bool
        Whether all numbers must be finite.

    Raises
    ------
    ValidationError
        If it holds no real numbers, has another shape, or is not finite.
    """
    numbers = found if isinstance(found, np.ndarray) else _converted(found)
    if numbers is None or numbers.dtype.kind not in "fiu" or numbers.shape != shape:
        raise refusal(kind, own, f"must return numbers of shape {shape} {method}", found)
    if finite and not np.isfinite(numbers).all():
        raise refusal(kind, own, f"must return finite numbers {method}", numbers[~np.isfinite(numbers)][0])
    return numbers


def _name(kind: str, own: type) -> str:
    """Return the name by which a configuration can ask for a class; nothing is imported for this."""
    for name, (entry, *more) in entries(kind).items():
        module, _, attribute = entry.reference.partition(":")
        if not more and getattr(sys.modules.get(module), attribute, None) is own:
            return name
    return f"{own.__module__}:{own.__qualname__}"


def _converted(found: Any) -> NDArray[Any] | None:
    try:
        return np.asarray(found)
    except ValueError:  # rows of different lengths
        return None


def _described(found: Any) -> str:
    """Return what was returned in a few words."""
    if isinstance(found, np.ndarray):
        return f"shape {found.shape}" if found.dtype.kind in "fiu" else f"{found.dtype} of shape {found.shape}"
    words = " ".join((str if isinstance(found, np.generic) else repr)(found).split())
    return words if len(words) <= 60 else f"{words[:59]}…"
