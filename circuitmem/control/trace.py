"""A record of every operation for the viewer Perfetto (ui.perfetto.dev): Chrome's trace-event JSON, written on the fly.

Format: "Trace Event Format", Google, in its JSON object form; times are microseconds. There is one process per chip,
one track per tile, DAC bank, ADC bank, driver, core and bus, and counters for energy and pulses. The first event of
each operation has its exact times in ps and energy in aJ in ``args``, so that sums over the trace can be checked
against the ledger.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from circuitmem.control.ledger import ATTOJOULE
from circuitmem.control.observe import Done, Held
from circuitmem.control.recording import Recorder, Recording

__all__ = ["Trace"]

_COUNTERS = 0
"""Track number of the counters; resources follow."""


class Trace(Recorder):
    """A trace file, compressed if its name ends in ``.gz`` (:class:`circuitmem.control.recording.Recording`).

    Parameters
    ----------
    path : path
        File to write.
    name : str
        Name of the process in the viewer.
    process : int
        Number of the process, for traces that are shown together.
    state : mapping, optional
        What :meth:`state` of an earlier trace returned, to continue it.

    Raises
    ------
    DataFileError
        If the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        name: str = "chip",
        process: int = 1,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(Recording(path, None if state is None else state["file"]))
        self._process = process
        self._tracks: dict[tuple[str, int], int] = {}
        self._energy = 0
        self._pulses = 0
        self._separator = ",\n"
        if state is None:
            self._separator = ""
            self._file.write('{"displayTimeUnit":"ns","traceEvents":[\n')
            self._write({"name": "process_name", "ph": "M", "ts": 0, "pid": process, "tid": 0, "args": {"name": name}})
            return
        self._energy, self._pulses = state["energy"], state["pulses"]
        self._tracks = {(resource, slot): number for resource, slot, number in state["tracks"]}

    def state(self) -> dict[str, Any]:
        """Return where the trace stands, for a checkpoint."""
        tracks = [[*key, number] for key, number in self._tracks.items()]
        return {"file": self._file.state(), "energy": self._energy, "pulses": self._pulses, "tracks": tracks}

    def operation(self, done: Done) -> None:
        """Write what an operation did on each of its resources, and the counters after it."""
        self._energy += done.energy
        self._pulses += done.pulses
        args: dict[str, Any] = {"operation": done.operation, "count": done.beats, "busy_ps": done.busy}
        args |= {"begin_ps": done.begin, "energy_aJ": done.energy, "pulses": done.pulses}
        for place, held in enumerate(done.held):
            event = {"name": done.kind, "ph": "X", "ts": _microseconds(done.since)}
            event["dur"] = _microseconds(done.begin + done.duration - done.since)
            event |= {"pid": self._process, "tid": self._track(held)}
            # Only for the first resource, so that a sum over all events counts nothing twice.
            self._write(event | {"cat": "operation" if place == 0 else "held", "args": args if place == 0 else {}})
        end = _microseconds(done.begin + done.duration)
        for name, value in (("energy (J)", self._energy * ATTOJOULE), ("pulses", self._pulses)):
            counter = {"name": name, "ph": "C", "ts": end, "pid": self._process, "tid": _COUNTERS}
            self._write(counter | {"args": {name: value}})

    def close(self) -> None:
        """Write the end of the file and give it its final name."""
        self._end()
        self._file.close()

    def _end(self) -> None:
        self._file.write("\n]}\n")

    def _track(self, held: Held) -> int:
        key = held.resource, held.slot
        if key not in self._tracks:
            number = self._tracks[key] = len(self._tracks) + 1
            place = {"pid": self._process, "tid": number}
            self._write({"name": "thread_name", "ph": "M", "ts": 0, **place, "args": {"name": held.label}})
        return self._tracks[key]

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(f"{self._separator}{json.dumps(event, separators=(',', ':'))}")
        self._separator = ",\n"


def _microseconds(picoseconds: int) -> float:
    return picoseconds / 1e6
