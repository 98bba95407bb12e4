"""What a source of data holds, before it is divided, checked and scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from circuitmem.data.parts import Arrays

__all__ = ["Samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Arrays by part, and what is known of them; a function that ``data.source`` names may return it.

    Attributes
    ----------
    parts : mapping of str to (inputs, targets)
        ``"train"``, ``"validation"`` and ``"test"``; or ``""`` alone for samples that a run divides by its seed.
    name : str
        Name of the data; data that are loaded by a name or a reference are called that.
    features : tuple of str
        Names of the columns of a table.
    images : bool
        Whether inputs are grey values: bytes are divided by 255 then, and lie in [0, 1].
    licence, credit : str
        Licence under which they may be used; who made them and where they are from.
    """

    parts: Mapping[str, Arrays]
    name: str = ""
    features: tuple[str, ...] = ()
    images: bool = False
    licence: str = ""
    credit: str = ""
