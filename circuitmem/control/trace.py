"""A record of every operation that opens in Perfetto (ui.perfetto.dev): Chrome's trace-event JSON, written as it comes.

Format: "Trace Event Format", Google, in its JSON object form; times are microseconds. One process a chip, one track a
tile, DAC bank, ADC bank, driver, core and bus; counters for energy and pulses. Times in ps and energies in aJ stand in
each event's ``args``, exactly, so that sums over the trace can be held against the ledger.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from circuitmem.control.arbiter import Resource, Train
from circuitmem.control.ledger import ATTOJOULE, Account
from circuitmem.errors import DataFileError

__all__ = ["Trace"]

_COUNTERS = 0
"""Track number of the counters; resources follow."""


class Trace:
    """A trace file, compressed if its name ends in ``.gz``.

    The file has its name only once it is closed without an error; until then it is ``NAME.part``. Memory does not
    grow with the number of events.

    Parameters
    ----------
    path : path
        File to write.
    name : str
        What the process is called in the picture.
    process : int
        Number of the process, for traces that are shown together.

    Raises
    ------
    DataFileError
        If the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], name: str = "chip", process: int = 1) -> None:
        self.path = Path(path)
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._process = process
        self._tracks: dict[tuple[str, int], int] = {}
        self._energy = 0
        self._pulses = 0
        try:
            raw = self._part.open("wb")
            # No time stamp and no name within: same run, same bytes.
            packed = gzip.GzipFile("", "wb", 5, raw, mtime=0) if self.path.suffix == ".gz" else raw
            self._raw, self._file = raw, io.TextIOWrapper(packed, encoding="utf-8")
            self._file.write('{"displayTimeUnit":"ns","traceEvents":[\n')
        except OSError as error:
            raise DataFileError(self.path, f"cannot be written: {error.strerror or error}") from None
        self._separator = ""
        self._write({"name": "process_name", "ph": "M", "pid": process, "tid": 0, "args": {"name": name}})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
            self._raw.close()
            self._part.unlink(missing_ok=True)

    def operation(self, train: Train, kind: str, begin: int, duration: int, count: int, booked: Account) -> None:
        """Write what a train did on each of its resources, and the counters after it.

        Parameters
        ----------
        train : Train
            Says what is held.
        kind : str
            Kind of operation.
        begin, duration : int
            From its first beat to its last [ps].
        count : int
            How many beats.
        booked : Account
            What was booked for them.
        """
        self._energy += booked.energy
        self._pulses += booked.pulses
        args: dict[str, Any] = {"operation": train.number, "count": count, "busy_ps": booked.busy}
        args |= {"begin_ps": begin, "energy_aJ": booked.energy, "pulses": booked.pulses}
        for place, (resource, slot) in enumerate(zip(train.resources, train.slots, strict=True)):
            event = {"name": kind, "ph": "X", "ts": _microseconds(begin), "dur": _microseconds(duration)}
            event |= {"pid": self._process, "tid": self._track(resource, slot)}
            # Only once, so that a sum over all events counts nothing twice.
            self._write(event | {"cat": "operation" if place == 0 else "held", "args": args if place == 0 else {}})
        end = _microseconds(begin + duration)
        for name, value in (("energy (J)", self._energy * ATTOJOULE), ("pulses", self._pulses)):
            counter = {"name": name, "ph": "C", "ts": end, "pid": self._process, "tid": _COUNTERS}
            self._write(counter | {"args": {name: value}})

    def close(self) -> None:
        """Write the end of the file and give it its name."""
        try:
            self._file.write("\n]}\n")
            self._file.close()
            self._raw.close()
            os.replace(self._part, self.path)
        except OSError as error:
            raise DataFileError(self.path, f"cannot be written: {error.strerror or error}") from None

    def _track(self, resource: Resource, slot: int) -> int:
        key = resource.name, slot
        if key not in self._tracks:
            number = self._tracks[key] = len(self._tracks) + 1
            name = resource.name if resource.capacity == 1 else f"{resource.name} {slot}"
            place = {"pid": self._process, "tid": number}
            self._write({"name": "thread_name", "ph": "M", **place, "args": {"name": name}})
        return self._tracks[key]

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(f"{self._separator}{json.dumps(event, separators=(',', ':'))}")
        self._separator = ",\n"


def _microseconds(picoseconds: int) -> float:
    return picoseconds / 1e6
