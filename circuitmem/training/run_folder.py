"""The folder of a run: make it, lock it, and refuse it if it has changed since the run was begun."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from circuitmem.config import RunSpec, to_toml
from circuitmem.data import Dataset
from circuitmem.errors import DataFileError, RunBusyError, ValidationError
from circuitmem.files import is_leftover, locked, remove_leftovers, write_text
from circuitmem.records import DataRecord, read_config, read_record, write_record

__all__ = ["check_data", "check_new", "check_same", "check_same_data", "declared", "go_on_in", "make_folder"]

LOCK = ".lock"
"""File in a run folder that is locked by the process that works on the run."""


def declared(path: Path) -> RunSpec:
    """Return the declaration of a run, which may have been killed before both of its copies were written.

    Raises
    ------
    DataFileError
        If the folder is not a run.
    """
    alone = (path / "begun.toml").is_file() and not (path / "config.toml").exists()
    return read_config(path, "begun.toml" if alone else "config.toml")


@contextlib.contextmanager
def go_on_in(path: Path) -> Iterator[RunSpec]:
    """Yield the declaration of an interrupted run, and hold the lock of its folder within this block.

    Raises
    ------
    DataFileError
        If the folder is not a run.
    RunBusyError
        If another process works on it.
    ValidationError
        If its configuration is not what the run was begun with.
    """
    spec = declared(path)
    if not (path / "config.toml").exists():  # killed between the first two files
        with _locked(path):
            write_text(path / "config.toml", to_toml(spec))
        spec = read_config(path)
    with _locked(path):
        remove_leftovers(path)
        _check_unchanged(spec, path)
        yield spec


@contextlib.contextmanager
def make_folder(path: Path, spec: RunSpec, data: Dataset) -> Iterator[None]:
    """Make the folder of a new run with its declaration and data record, and hold its lock within this block.

    Raises
    ------
    ValidationError
        If the folder is not empty.
    DataFileError
        If it cannot be made.
    """
    check_new(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataFileError(path, f"cannot be made: {error.strerror}") from None
    with _locked(path):
        check_new(path)  # another process may have begun a run here since
        remove_leftovers(path)
        write_text(path / "begun.toml", to_toml(spec))
        write_text(path / "config.toml", to_toml(spec))
        write_record(path / "data.json", data.record(), indent=None)
        yield


def check_data(path: Path, data: Dataset) -> None:
    """Refuse data that differ from those with which a run was begun; record them if the run has no record yet."""
    if not (path / "data.json").exists():  # a run of an older version, or one killed before it could write the record
        write_record(path / "data.json", data.record(), indent=None)
    check_same_data(path, data)


def check_same_data(path: Path, data: Dataset) -> None:
    """Refuse data that differ from those with which a run was begun; runs of older versions are not checked."""
    file = path / "data.json"
    if not file.exists():
        return
    before = read_record(file, DataRecord)
    if before["sha256"] != data.sha256:
        rule = f"must be {before['sha256'][:12]}..., as when the run was begun: {before['name']} has changed"
        raise ValidationError("data.sha256", rule, f"{data.sha256[:12]}...")


def check_new(path: Path) -> None:
    """Refuse a folder that holds more than the leftovers of a run that was killed before it had written a file."""
    if path.exists() and (not path.is_dir() or any(p.name != LOCK and not is_leftover(p) for p in path.iterdir())):
        raise ValidationError("--out", "must be a new or empty folder; circuitmem resume goes on with a run", str(path))


def _locked(path: Path) -> AbstractContextManager[None]:
    return locked(path / LOCK, RunBusyError(f"{path}: another process works on this run"))


def _check_unchanged(spec: RunSpec, path: Path) -> None:
    """Refuse a configuration that has changed since the run was begun; runs of older versions are not checked."""
    file = path / "begun.toml"
    if not file.exists():
        return
    check_same(read_config(path, file.name), spec, f"in {path / 'config.toml'}, as when the run was begun")


def check_same(begun: RunSpec, spec: RunSpec, where: str) -> None:
    """Refuse a run whose declaration has changed since it was begun, and name the first key that differs.

    Raises
    ------
    ValidationError
        If a key differs.
    """
    before, now = (_flat(each.model_dump()) for each in (begun, spec))
    for key in [*before, *now]:
        if before.get(key) != now.get(key):
            raise ValidationError(key, f"must be {before.get(key)!r} {where}", repr(now.get(key)))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one table with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
