"""Old names of what a package exports: they go on working for a version, and say what to write instead."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["renamed"]


def renamed(package: str, names: Mapping[str, str], until: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package some of whose names have changed.

    Parameters
    ----------
    package : str
        The package, ``__name__`` there.
    names : mapping of str to str
        The new name of each old one.
    until : str
        Version that has the old names no more.

    Returns
    -------
    find : callable
        Takes a name that the package has not, warns that it is old and returns what has the new one. Raises
        AttributeError for any other name.
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
