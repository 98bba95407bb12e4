"""The user's own files that points are computed from: data, weights, modules. Points of other content are not mixed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from circuitmem.config import DataSpec
from circuitmem.config.recipe import split_step
from circuitmem.data import Dataset
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import sha256_of_file
from circuitmem.registry import is_built_in, is_reference, load
from circuitmem.study.spec import MethodAtPoint, Point
from circuitmem.training import load_source

__all__ = ["Inputs", "data_used", "files_used"]

_OTHERS = {"circuitmem", "__main__", "site-packages", "dist-packages"}
"""Modules that have a version or a fingerprint of their own, or do more than compute a point."""


class Inputs:
    """The user's files as they were when a command began; each is read once."""

    def __init__(self) -> None:
        self._data: dict[DataSpec, str | None] = {}
        self._files: dict[tuple[str, ...], dict[str, str]] = {}

    def change(self, point: Point, record: dict[str, Any]) -> ValidationError | None:
        """Return the error of a finished point that was computed from other content than the files have; None if none.

        Nothing is known of points of older versions, whose records have no hashes, and of files that are gone.
        """
        if record["status"] != "finished":
            return None
        now = self._sources(point) if record.get("data") else {}
        for used in record.get("data") or ():
            found = now.get(used["source"])
            if found and used["sha256"] not in found:
                return _changed("data.source", used["source"], used["sha256"], min(found))
        files = self._files_now(point) if record.get("files") else {}
        for name, before in (record.get("files") or {}).items():
            if files.get(name, before) != before:
                module = sys.modules.get(name)
                shown = name if module is None else f"{name} ({module.__file__})"
                return _changed("network.weights" if module is None else "module", shown, before, files[name])
        return None

    def _sources(self, point: Point) -> dict[str, set[str]]:
        """Return the hashes of a point's data by their source; those that come with circuitmem do not change."""
        found: dict[str, set[str]] = {}
        for spec in {job.run.data for job in point.jobs if not is_built_in("datasets", job.run.data.source)}:
            if spec not in self._data:
                try:
                    self._data[spec] = load_source(spec, seed=1).sha256
                except DataFileError:  # gone; whoever needs it says so
                    self._data[spec] = None
            sha256 = self._data[spec]
            if sha256 is not None:
                found.setdefault(spec.source, set()).add(sha256)
        return found

    def _files_now(self, point: Point) -> dict[str, str]:
        named = tuple(sorted({name for job in point.jobs for name in _named(job)}))
        if named not in self._files:
            self._files[named] = {key: sha for name in named for key, sha in _hashes(name).items()}
        return self._files[named]


def data_used(source: str, data: Dataset) -> dict[str, Any]:
    """Return what a record says of the data that a point was computed with."""
    return {"source": source, "name": data.name, "sha256": data.sha256, "test_samples": len(data.test_targets)}


def files_used(point: Point) -> dict[str, str]:
    """Return the SHA-256 of the user's weights and modules that a point names; to be called by who computes it.

    A module counts as it was when this process first used it, whatever its file has become since.
    """
    found: dict[str, str] = {}
    for name in sorted({name for job in point.jobs for name in _named(job)}):
        found |= _when_imported(name) if is_reference(name) else _hashes(name)
    return found


def _named(job: MethodAtPoint) -> Iterator[str]:
    """Yield the file of weights that a job names, and every ``"package.module:NAME"`` but that of data."""
    if job.run.network.weights is not None:
        yield job.run.network.weights
    for text in _texts([job.method, job.run.model_dump(exclude={"data", "methods"})]):
        name = split_step(text)[0] if ":" in text else ""
        if is_reference(name):
            yield name


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict | list | tuple):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _texts(value)


def _hashes(name: str) -> dict[str, str]:
    """Return the SHA-256 of a file, or of the modules that a reference needs; none if there is no such file."""
    if not is_reference(name):
        return {name: sha256_of_file(name)} if Path(name).is_file() else {}
    with suppress(ValidationError):  # the run says what is wrong with the reference
        load(name, "module")
    found: dict[str, Path] = {}
    module = sys.modules.get(name.partition(":")[0])
    if module is not None and getattr(module, "__file__", None) and _top(module) not in _OTHERS:
        _collect(module, Path(str(module.__file__)).parent, found)
    return {each: sha256_of_file(file) for each, file in sorted(found.items())}


_when_imported = cache(_hashes)


def _collect(module: ModuleType, home: Path, found: dict[str, Path]) -> None:
    """Add a module of the user, and those that it imports from the folder ``home`` or its own package."""
    found[module.__name__] = Path(str(module.__file__))
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        other = sys.modules.get(name) if isinstance(name, str) else None
        file = getattr(other, "__file__", None)
        if other is None or file is None or other.__name__ in found:
            continue
        of_package = _top(other) == _top(module)
        if of_package or (Path(file).is_relative_to(home) and not _OTHERS & {_top(other), *Path(file).parts}):
            _collect(other, home, found)


def _top(module: ModuleType) -> str:
    return module.__name__.partition(".")[0]


def _changed(key: str, name: str, before: str, now: str) -> ValidationError:
    rule = f"must be what finished points were computed with: {name} had SHA-256 {before[:12]}... then"
    return ValidationError(key, f"{rule}; restore it, or --recompute computes them again", f"{now[:12]}...")
