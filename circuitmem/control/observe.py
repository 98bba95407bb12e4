"""What those hear who look on while a chip works: records of plain values that nobody can change.

They say what there was to see at that moment, and hold nothing of the chip: who looks on cannot disturb it, and a
record that is kept does not change with it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["Done", "Held", "Holding", "Observer"]


class Held(NamedTuple):
    """A thing that an operation holds."""

    resource: str
    slot: int
    """Which one, where there are several of the kind."""
    label: str
    """What a reader calls it."""


class Holding(NamedTuple):
    """An operation that begins to hold its resources, or gives them back."""

    operation: int
    """Its number on the chip."""
    kind: str
    held: tuple[Held, ...]
    time: int
    """ps."""


class Done(NamedTuple):
    """What an operation, or a part of one between two interruptions, has done."""

    operation: int
    kind: str
    held: tuple[Held, ...]
    begin: int
    """Of its first beat [ps]."""
    duration: int
    """From its first beat to the end of its last [ps]."""
    beats: int
    """How many."""
    busy: int
    """Time that is booked for them [ps]."""
    energy: int
    """aJ."""
    pulses: int
    since: int
    """Where its slice begins in a picture [ps]: slices of one track must nest."""


class Observer(Protocol):
    """Who wants to know what is held."""

    def began(self, holding: Holding) -> None:
        """Hear that an operation holds its resources from now on."""

    def ended(self, holding: Holding) -> None:
        """Hear that an operation gave its resources back."""
