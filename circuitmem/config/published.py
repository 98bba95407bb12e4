"""Declarations that have published sets by name."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from circuitmem.config.base import Spec
from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["PublishedSets"]


class PublishedSets(Spec):
    """Base of devices that follow an ODE: published parameter sets by name."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}
    SOURCE: ClassVar[str] = ""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return a published parameter set.

        Raises
        ------
        ValidationError
            If there is no set of that name.
        """
        if name not in cls.PRESETS:
            known = ", ".join(cls.PRESETS)
            raise ValidationError("preset", f"must be one of {known}{did_you_mean(name, cls.PRESETS)}", name)
        return cls(**cls.PRESETS[name])
