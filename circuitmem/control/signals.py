"""The control signals of a chip as a value change dump (VCD, IEEE 1364), for GTKWave: what is held, and by what.

Each tile, DAC bank, ADC bank and driver, the core and the bus have a wire ``busy``, and a string ``operation`` that is
empty while nothing holds them. The unit of time is a picosecond.
"""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from circuitmem.control.arbiter import Resource
from circuitmem.control.observe import Holding
from circuitmem.control.recording import Recorder, Recording
from circuitmem.errors import ValidationError

if TYPE_CHECKING:
    from vcd.writer import StringVariable, Variable, VCDWriter

__all__ = ["Signals", "check_vcd"]


def check_vcd() -> None:
    """Raise :class:`ValidationError` if pyvcd, which writes the file, is not installed."""
    if importlib.util.find_spec("vcd") is None:
        raise ValidationError("--vcd", "needs pyvcd: pip install 'circuitmem[vcd]'")


class Signals(Recorder):
    """A VCD file, compressed if its name ends in ``.gz`` (:class:`circuitmem.control.recording.Recording`).

    Parameters
    ----------
    path : path
        File to write.
    resources : iterable of Resource
        Resources to show, all of a chip's.
    state : mapping, optional
        What :meth:`state` of an earlier file returned, to continue it.
    """

    def __init__(
        self, path: str | os.PathLike[str], resources: Iterable[Resource], state: Mapping[str, Any] | None = None
    ) -> None:
        check_vcd()
        from vcd.writer import VCDWriter

        super().__init__(Recording(path, None if state is None else state["file"]))
        self._text = _Text(self._file)
        self._writer: VCDWriter = VCDWriter(self._text, timescale="1 ps", date="", init_timestamp=0)
        self._wires: dict[tuple[str, int], tuple[Variable[Any], StringVariable]] = {}
        for resource in resources:
            for slot in range(resource.capacity):
                name = resource.name if resource.capacity == 1 else f"{resource.name} {slot}"
                self._register(resource, slot, f"chip.{name.replace(' ', '_')}")
        self._time = 0
        if state is not None:
            # Bring the new writer, muted, to the file's contents and last time. Nothing was held at the checkpoint.
            self._text.muted = True
            for operation in ("again", ""):
                self._set(next(iter(self._wires.values())), state["time"], operation)
            self._text.muted = False

    def _register(self, resource: Resource, slot: int, scope: str) -> None:
        busy = self._writer.register_var(scope, "busy", "wire", size=1, init=0)
        operation: Any = self._writer.register_var(scope, "operation", "string", init="")
        self._wires[resource.name, slot] = busy, operation

    def _end(self) -> None:
        self._writer.close(self._time)

    def state(self) -> dict[str, Any]:
        """Return where the file stands, for a checkpoint; nothing may be held."""
        return {"file": self._file.state(), "time": self._time}

    def began(self, holding: Holding) -> None:
        """Show that an operation holds its resources from now on."""
        for own in holding.held:
            self._set(self._wires[own.resource, own.slot], holding.time, holding.kind)

    def ended(self, holding: Holding) -> None:
        """Show that an operation has released its resources."""
        for own in holding.held:
            self._set(self._wires[own.resource, own.slot], holding.time, "")

    def _set(self, wires: tuple[Any, Any], now: int, operation: str) -> None:
        self._time = now
        busy, kind = wires
        self._writer.change(busy, now, int(bool(operation)))
        self._writer.change(kind, now, operation)


class _Text(io.StringIO):
    """The text stream that the VCD writer writes to; while muted, it drops the text."""

    def __init__(self, file: Recording) -> None:
        super().__init__()
        self._recording = file
        self.muted = False

    def write(self, text: str) -> int:
        if not self.muted:
            self._recording.write(text)
        return len(text)
