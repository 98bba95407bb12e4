"""Old names that a package exported: they work for one more version, and warn which name to use instead."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["renamed"]


def renamed(package: str, names: Mapping[str, str], until: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package in which names have been renamed.

    Parameters
    ----------
    package : str
        Name of the package: its ``__name__``.
    names : mapping of str to str
        The new name of each old one.
    until : str
        First version without the old names.

    Returns
    -------
    find : callable
        Takes an old name, issues a DeprecationWarning and returns the object with the new name. Raises AttributeError
        for any name that is not in ``names``.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warnings.warn(
            f"{package}.{name} is called {names[name]} now; {until} drops the old name",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(sys.modules[package], names[name])

    return find
