"""Progress of a command on stderr: bars on a terminal, otherwise a few plain lines."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

__all__ = ["PATIENCE", "Progress", "ProgressLines"]

PATIENCE = 2.0
"""Longest time before something under way is reported [s]."""

ANYTHING = ""
"""Stands for whatever is under way, so that many short tasks in a row are reported like one long task."""


def title(name: str) -> str:
    """Return the readable name of a method, or of another task whose progress is shown."""
    if name == "digital":
        return "digital network"
    recipes = sys.modules.get("circuitmem.training.recipes")  # if it is not imported, there are no methods to name
    return recipes.METHODS[name].title if recipes is not None and name in recipes.METHODS else name


class ProgressLines:
    """Plain lines of progress, at intervals that double: few lines, however long it takes.

    A task is reported when it has taken ``PATIENCE`` seconds, then after an interval twice as long, and so on: an hour
    of one task gives ten lines. Tasks that each take less are counted together. Lines are on time only if :meth:`speak`
    is called often enough.

    Parameters
    ----------
    what : str
        What is done before the first report.
    say : callable
        Takes a line.
    clock : callable
        Returns the time [s].
    """

    def __init__(self, what: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._gaps: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._wait_for(ANYTHING)
        self._wait_for(what)
        self._now = what, 0, 1

    def _wait_for(self, what: str, factor: float = 1.0) -> None:
        self._gaps[what] = factor * self._gaps.get(what, PATIENCE)
        self._due[what] = self._clock() + self._gaps[what]

    def update(self, what: str, done: int, total: int) -> None:
        """Note that ``done`` of ``total`` steps of something are finished."""
        with self._lock:
            self._now = what, done, total
            if what not in self._due:
                self._wait_for(what)
        self.speak()

    def speak(self) -> None:
        """Report a line if one is due."""
        with self._lock:
            what, done, total = self._now
            now = self._clock()
            late = [each for each in (what, ANYTHING) if now >= self._due[each]]
            if late:
                steps = f", {done} of {total}" if total > 1 else ""
                self._say(f"circuitmem: progress: {title(what)}{steps} after {now - self._began:.0f} s")
                for each in (what, ANYTHING):
                    self._wait_for(each, 2.0 if each in late else 1.0)


class Progress:
    """Progress on stderr: one bar for each task on a terminal; elsewhere a line now and then.

    A thread updates either while the current task reports nothing.

    Parameters
    ----------
    what : str
        What is done before the first report.
    """

    def __init__(self, what: str = "preparing") -> None:
        console = Console(stderr=True)
        self._bars: RichProgress | None = None
        if console.is_terminal:
            columns = TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
            self._bars = RichProgress(*columns, console=console)
        self._tasks: dict[str, TaskID] = {}
        self.lines = self._lines(what)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._speak, name="progress", daemon=True)
        self._first = what

    def _lines(self, what: str) -> ProgressLines:
        return ProgressLines(what, _say)

    def _speak(self) -> None:
        while not self._ended.wait(PATIENCE / 8.0):  # not until the next line is due: another task may begin earlier
            self.lines.speak()

    def __enter__(self) -> Self:
        if self._bars is None:
            self._thread.start()
        else:
            self._bars.start()
            self._tasks[self._first] = self._bars.add_task(title(self._first), total=1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is None:
            self._ended.set()
            self._thread.join()
        else:
            self._bars.stop()

    def update(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of something are finished."""
        if self._bars is None:
            self.lines.update(what, done, total)
            return
        if what not in self._tasks:
            if self._first != what:
                self._bars.update(self._tasks[self._first], completed=1)
            self._tasks[what] = self._bars.add_task(title(what), total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a stderr that is full or closed is no reason to stop working
        print(line, file=sys.stderr, flush=True)
