"""Checkpoints of a method while it runs: the two newest are kept, each in a file that is complete or absent.

A state consists of nested dictionaries and lists of arrays and plain values. Its arrays go into an npz file without
pickle, with a SHA-256 over all of it. Arrays of the same type and shape are stacked into one, because a chip has
hundreds of small ones. The nesting and the plain values are stored beside them as JSON.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import CircuitmemError, DataFileError
from circuitmem.files import load_npz, save_npz

__all__ = ["Keeper", "load_state", "restoring", "save_state"]

CheckpointKind = Literal["audit", "checkpoint", "chip"]

KEPT = 2
FORMAT = 4
"""Version number of a state's content; a state is refused if its format is not in ``READABLE``."""

SHARE = 50.0
"""At the end of an epoch a checkpoint may be early, if this many times the duration of the last save has passed."""

READABLE = ("3", "4")
"""In format 3 each array was stored by itself."""

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
        self._took = 0.0
        self._number = max((_number(path) for path in self._files()), default=0)

    @property
    def due(self) -> bool:
        """Whether it is time for another checkpoint."""
        return time.monotonic() - self._last >= self._interval

    @property
    def is_worth_it(self) -> bool:
        """Whether to write one at the end of an epoch: epochs may be short, and saving must take little of the time."""
        return time.monotonic() - self._last >= min(self._interval, SHARE * self._took)

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint and remove those that are too old."""
        began = time.monotonic()
        self._number += 1
        path = self._folder / f"checkpoint_{self._name}_{self._number:06d}.npz"
        save_state(path, state, "checkpoint", compress=False)
        for old in self._files()[:-KEPT]:
            old.unlink()
        self._last = time.monotonic()
        self._took = self._last - began

    def newest(self, like: Mapping[str, Any]) -> tuple[dict[str, Any] | None, Path]:
        """Return the newest readable state, or None, and its file; unreadable files are reported in a warning.

        ``like`` is a part of the state of a freshly made job (:func:`load_state`).
        """
        for path in reversed(self._files()):
            if path.is_dir():
                raise DataFileError(path, "must be a file, not a folder")
            try:
                return load_state(path, "checkpoint", like), path
            except DataFileError as error:
                _logger.warning("circuitmem: %s; an earlier state of %s is used", error, self._name)
                path.unlink(missing_ok=True)
        return None, self._folder

    def clear(self) -> None:
        """Remove all checkpoints of a finished method."""
        for path in self._files():
            with contextlib.suppress(OSError):
                path.unlink()

    def _files(self) -> list[Path]:
        """Return the checkpoint files, oldest first."""
        return sorted(self._folder.glob(f"checkpoint_{self._name}_[0-9]*.npz"), key=_number)


def save_state(path: Path, state: dict[str, Any], kind: CheckpointKind, compress: bool = True) -> None:
    """Save a state of some kind to one file."""
    alike: dict[tuple[Any, ...], list[NDArray[Any]]] = {}
    plan = json.dumps(_split(state, alike))
    arrays = {f"arrays_{place}": np.stack(each) for place, each in enumerate(alike.values())}
    header = {"plan": np.array(plan), "format": np.array(FORMAT), "kind": np.array(kind)}
    save_npz(path, {**arrays, **header}, compress)


def load_state(path: Path, kind: CheckpointKind, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Load a state that :func:`save_state` saved.

    Parameters
    ----------
    path : path
        The file.
    kind : str
        The kind that the state must have; files of older versions have none.
    like : mapping, optional
        State, or a part of it, of the freshly made object that will be restored: names, types, numbers of dimensions,
        and lengths of lists and last axes must agree. An entry that is empty or None there may be anything.

    Raises
    ------
    DataFileError
        If the file is missing, damaged, from another version of circuitmem, of another kind, or does not fit ``like``.
    """
    saved: dict[str, Any] = dict(load_npz(path))
    if "format" not in saved or str(saved["format"]) not in READABLE:
        raise DataFileError(path, f"is not a state of format {' or '.join(READABLE)}")
    if str(saved.get("kind", kind)) != kind:
        raise DataFileError(path, f"is a state of kind {str(saved['kind'])!r}, not {kind!r}")
    with restoring(path):
        found = dict(_join(json.loads(str(saved["plan"])), saved))
    _compare(path, "", like or {}, found)
    return found


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Convert errors in this block, where a state is restored, into one that names its file."""
    try:
        yield
    except (CircuitmemError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, DataFileError):
            raise
        raise DataFileError(path, f"is not a state of this run ({type(error).__name__} {error})") from None


def _compare(path: Path, place: str, like: Any, found: Any) -> None:
    """Refuse a state whose structure differs from that of ``like``."""
    if _is_open(like) or (isinstance(found, dict) and not found):
        return  # an empty table was saved when this did not age yet
    wanted, got = _kind_of(like), _kind_of(found)
    if wanted != got:
        raise DataFileError(path, f"is not a state of this run: {place[1:]} must be {wanted}, not {got}")
    if isinstance(like, dict):
        for key, value in like.items():
            if key not in found and not _is_open(value):
                raise DataFileError(
                    path, f"is not a state of this run: it must have {place[1:] and place[1:] + '.'}{key}"
                )
            _compare(path, f"{place}.{key}", value, found.get(key))
    elif isinstance(like, list | tuple):
        for index, (value, other) in enumerate(zip(like, found, strict=True)):
            _compare(path, f"{place}.{index}", value, other)


def _is_open(value: Any) -> bool:
    """Say whether a value is None or empty, and so may be anything later."""
    return value is None or (isinstance(value, dict | list | tuple) and not value)


def _kind_of(value: Any) -> str:
    """Return the type and sizes that must agree between two states of the same object, in words."""
    if isinstance(value, np.ndarray):
        size = f" with lines of {value.shape[-1]}" if value.ndim else ""
        return f"an array of {value.ndim} dimensions{size}, of kind {value.dtype.kind}"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, bool) or value is None:
        return repr(type(value).__name__)
    return "a number" if isinstance(value, int | float | np.number) else "a text"


def _number(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


def _split(value: Any, alike: dict[tuple[Any, ...], list[NDArray[Any]]]) -> Any:
    """Return a state as JSON values, and append its arrays to the lists of their type and shape in ``alike``."""
    if isinstance(value, np.ndarray):
        same = alike.setdefault((value.dtype, value.shape), [])
        same.append(value)
        place = next(place for place, each in enumerate(alike.values()) if each is same)
        return {"array": f"arrays_{place}", "row": len(same) - 1}
    if isinstance(value, dict):
        return {"dict": {key: _split(item, alike) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_split(item, alike) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _join(plan: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the state that :func:`_split` took apart."""
    if isinstance(plan, dict):
        if "array" in plan:
            found = arrays[plan["array"]]
            return np.array(found[plan["row"]]) if "row" in plan else found  # an array of no dimensions stays one
        return {key: _join(item, arrays) for key, item in plan["dict"].items()}
    if isinstance(plan, list):
        return [_join(item, arrays) for item in plan]
    return plan
