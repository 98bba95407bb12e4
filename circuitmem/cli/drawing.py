"""Page and figures of a run, drawn in a process beside it, which has imported what it needs when the run is finished.

They are drawn when the methods are finished, while circuit simulators still do the last operations again.
"""

from __future__ import annotations

import contextlib
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from circuitmem.errors import WorkerLostError
from circuitmem.workers import start_worker

__all__ = ["PageDrawer"]


class PageDrawer:
    """A process that waits until it is told to draw a run; it ends with the context, drawn or not.

    Told first to :meth:`prepare`, it has drawn figures and pictures already.

    Parameters
    ----------
    folder : path
        The run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._process, self._pipe = start_worker(_serve, self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def prepare(self) -> None:
        """Have the run drawn as it is, its methods finished, without asking what became of it."""
        self._tell(False)

    def begin(self) -> None:
        """Have the run drawn; the caller may do something else meanwhile."""
        self._tell(True)

    def _tell(self, last: bool) -> None:
        with contextlib.suppress(OSError):  # it is dead: :meth:`result` says so
            self._pipe.send(last)

    def result(self) -> list[Path]:
        """Wait for figures and page, and return their paths, the page last.

        Raises
        ------
        CircuitmemError
            What :func:`circuitmem.report.draw_run` or :func:`circuitmem.report.draw_run_page` raised.
        WorkerLostError
            If the process is dead.
        """
        try:
            answer: list[Path] | Exception = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            draw = f"circuitmem report {self.folder}"
            raise WorkerLostError(f"the process that draws the page died (exit code {code}); again: {draw}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(pipe: Connection[Any, Any], folder: Path) -> None:
    """Draw a run when something comes through the pipe, and answer if it says that it is the last time."""
    # Here, so that only this process waits for matplotlib meanwhile.
    from circuitmem.report import draw_run, draw_run_page

    drawn: list[Path] = []  # they show the methods, which are finished
    with contextlib.suppress(EOFError, OSError):
        while not pipe.recv():
            with contextlib.suppress(Exception):  # it will be met again, and told, the last time
                draw_run_page(folder, figures=False)
                drawn = draw_run(folder)
        try:
            drawn = drawn or draw_run(folder)
            answer: list[Path] | Exception = [*drawn, *draw_run_page(folder, figures=False)]
        except Exception as error:
            error.add_note(traceback.format_exc())  # shown if it is nobody's mistake but ours
            answer = error
        pipe.send(answer)
