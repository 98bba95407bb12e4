"""Checkpoints of a method while it runs: the two newest, each a file that is whole or not there.

A state is nested dictionaries and lists of arrays and plain values. Its arrays go into an npz file without pickle, with
a SHA-256 over all of it; the nesting and the plain values stand beside them as JSON.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import DataFileError
from circuitmem.files import load_npz, save_npz

__all__ = ["Keeper", "load_state", "save_state"]

KEPT = 2
FORMAT = 3
"""Counts changes of what a state holds: one of another format is not used."""

_logger = logging.getLogger(__name__)


class Keeper:
    """Keeps the checkpoints of one method in its run's folder.

    Parameters
    ----------
    folder : path
        Folder of the run.
    name : str
        The method.
    interval : float
        Seconds of wall time after which a checkpoint is due, >= 0.
    """

    def __init__(self, folder: Path, name: str, interval: float) -> None:
        self._folder = folder
        self._name = name
        self._interval = interval
        self._last = time.monotonic()
        self._number = max((_number(path) for path in self._files()), default=0)

    @property
    def due(self) -> bool:
        """Whether it is time for another."""
        return time.monotonic() - self._last >= self._interval

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint and remove those that are too old."""
        self._number += 1
        save_state(self._folder / f"checkpoint_{self._name}_{self._number:06d}.npz", state, compress=False)
        for old in self._files()[:-KEPT]:
            old.unlink()
        self._last = time.monotonic()

    def newest(self) -> dict[str, Any] | None:
        """Return the newest state that can be read, or None; one that cannot is named in a warning."""
        for path in reversed(self._files()):
            if path.is_dir():
                raise DataFileError(path, "must be a file, not a folder")
            try:
                return load_state(path)
            except DataFileError as error:
                _logger.warning("circuitmem: %s; an earlier state of %s is used", error, self._name)
                path.unlink(missing_ok=True)
        return None

    def clear(self) -> None:
        """Remove all: the method is finished."""
        for path in self._files():
            with contextlib.suppress(OSError):
                path.unlink()

    def _files(self) -> list[Path]:
        """Return the files there are, oldest first."""
        return sorted(self._folder.glob(f"checkpoint_{self._name}_[0-9]*.npz"), key=_number)


def save_state(path: Path, state: dict[str, Any], compress: bool = True) -> None:
    """Save a state to one file."""
    arrays: dict[str, NDArray[Any]] = {}
    plan = json.dumps(_split(state, "state", arrays))
    save_npz(path, {**arrays, "plan": np.array(plan), "format": np.array(FORMAT)}, compress)


def load_state(path: Path) -> dict[str, Any]:
    """Load what :func:`save_state` saved.

    Raises
    ------
    DataFileError
        If the file is missing, damaged, or of another version of circuitmem.
    """
    saved: dict[str, Any] = dict(load_npz(path))
    if "format" not in saved or int(saved["format"]) != FORMAT:
        raise DataFileError(path, f"is not a state of format {FORMAT}")
    try:
        return dict(_join(json.loads(str(saved["plan"])), saved))
    except (ValueError, KeyError, TypeError) as error:
        raise DataFileError(path, f"is not a state ({type(error).__name__} {error})") from None


def _number(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


def _split(value: Any, place: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a state as JSON's values, its arrays put into ``arrays`` by place."""
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return {"array": place}
    if isinstance(value, dict):
        return {"dict": {key: _split(item, f"{place}.{key}", arrays) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_split(item, f"{place}.{index}", arrays) for index, item in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _join(plan: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Put together again what :func:`_split` took apart."""
    if isinstance(plan, dict):
        if "array" in plan:
            return arrays[plan["array"]]
        return {key: _join(item, arrays) for key, item in plan["dict"].items()}
    if isinstance(plan, list):
        return [_join(item, arrays) for item in plan]
    return plan
