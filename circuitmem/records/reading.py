"""The reader of the files that runs, studies and validations write: typed, versioned; errors name file and key.

JSON files carry ``format``. A file without it was written before formats were counted and is read as format 1; a file
of a later format is refused. Undeclared keys are accepted, because later versions may add some. See ``docs/files.md``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from circuitmem.config import RunSpec, load_run, missing_packages
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import load_npz, write_text

__all__ = [
    "EX_SITU_ARRAYS",
    "STATE_ARRAYS",
    "MethodName",
    "NotNegative",
    "Number",
    "Percent",
    "Record",
    "Shape",
    "check_record",
    "read_arrays",
    "read_config",
    "read_record",
    "record_text",
    "write_record",
]  # fmt: skip

FORMAT = 1
"""Number of the JSON format, raised by every change that an older reader would misread."""

Number = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[int, Field(ge=0)]
MethodName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")]
"""Name of a method of the comparison, built in or a user's own."""
Percent = Annotated[float, Field(ge=0.0, le=100.0)]


class Record(BaseModel):
    """A JSON object of a file, strictly typed; unknown keys pass."""

    model_config = ConfigDict(strict=True, extra="allow")


def read_record(path: str | os.PathLike[str], kind: type[Record]) -> dict[str, Any]:
    """Read a JSON file of a declared kind; returns its content as plain values, without ``format``.

    Raises
    ------
    DataFileError
        If it cannot be read, is not JSON, is of a later format, or a key has a wrong value or is not there.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataFileError(path, f"cannot be read: {error.strerror or error}") from None
    return check_record(path, content, kind)


def check_record(path: str | os.PathLike[str], content: bytes, kind: type[Record]) -> dict[str, Any]:
    """Return the plain values of a JSON text that came from a file; errors are those of :func:`read_record`."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataFileError(path, f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataFileError(path, f"must hold a JSON object, not a {type(found).__name__}")
    form = found.pop("format", FORMAT)
    if form != FORMAT:
        raise DataFileError(path, f"is of format {json.dumps(form)[:40]}; this version reads format {FORMAT}")
    try:
        kind.model_validate_json(content)
    except pydantic.ValidationError as error:
        raise DataFileError(path, _rule(error)) from None
    return found


def write_record(path: str | os.PathLike[str], content: Mapping[str, Any], indent: int | None = 2) -> None:
    """Write a JSON file that :func:`read_record` reads; errors as in :func:`circuitmem.files.write_bytes`."""
    write_text(path, record_text(content, indent))


def record_text(content: Mapping[str, Any], indent: int | None = 2) -> str:
    """Return the JSON text of a record, with its ``format``."""
    return json.dumps({"format": FORMAT, **content}, indent=indent) + "\n"


def _rule(error: pydantic.ValidationError) -> str:
    """Return the key and the rule of the first error."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the object"
    if first["type"] == "missing":
        return f"must have the key {key!r}"
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, ValidationError):
        return str(inner.within(key) if first["loc"] else inner)
    got = repr(first["input"])
    rule = first["msg"].replace("Input should be", "must be")
    return f"{key}: {rule} (got {got if len(got) <= 40 else got[:40] + '...'})"


Shape = tuple[str | int, ...]
EX_SITU_ARRAYS: dict[str, tuple[str, Shape]] = {"epochs": ("iu", ()), "loss": ("f", ()), "converged": ("b", ())}
"""Arrays of ``digital.npz`` about training ex situ; files of older versions have none."""

STATE_ARRAYS: dict[str, tuple[str, Shape]] = {
    "stuck": ("b", ("tiles", "rows", "columns")),
    "before": ("f", ("tiles", "rows", "columns")),
    "after": ("f", ("tiles", "rows", "columns")),
}
"""Arrays of ``state_METHOD.npz``."""


def read_arrays(path: str | os.PathLike[str], declared: Mapping[str, tuple[str, Shape]]) -> dict[str, NDArray[Any]]:
    """Read an npz file, and check that it has the declared arrays.

    Parameters
    ----------
    path : path
        The file.
    declared : mapping
        For each name the allowed types (letters of ``dtype.kind``) and the shape. Its sizes are numbers or names; sizes
        with the same name must be equal.

    Raises
    ------
    DataFileError
        If the file cannot be read, or an array is missing or of another type or shape.
    """
    saved = load_npz(path)
    sizes: dict[str, int] = {}
    for name, (kinds, shape) in declared.items():
        if name not in saved:
            raise DataFileError(path, f"must have the array {name!r}")
        found = saved[name]
        if found.dtype.kind not in kinds:
            raise DataFileError(path, f"{name}: must be of type {' or '.join(map(repr, kinds))}, not {found.dtype.str}")
        wanted = len(found.shape) == len(shape) and all(
            size == (part if isinstance(part, int) else sizes.setdefault(part, size))
            for part, size in zip(shape, found.shape, strict=True)
        )
        if not wanted or not found.size:
            words = ", ".join(str(sizes.get(part, part)) if isinstance(part, str) else str(part) for part in shape)
            raise DataFileError(path, f"{name}: must be of shape ({words}), not {found.shape}")
    return saved


def read_config(folder: str | os.PathLike[str], name: str = "config.toml") -> RunSpec:
    """Read the configuration of a run.

    Raises
    ------
    DataFileError
        If the folder is not a run, its configuration breaks a rule, or a package that it needs is not installed.
    """
    path = Path(folder) / name
    if not path.is_file():
        raise DataFileError(folder, f"is not a run folder (it has no {name})")
    missing = missing_packages(path)
    try:
        spec = load_run(path, own=False)
    except ValidationError as error:
        needs = f"needs {', '.join(missing)}, not installed: " if missing else ""
        raise DataFileError(path, f"{needs}{error}") from None
    if missing:
        raise DataFileError(path, f"needs {', '.join(missing)}, not installed")
    return spec
