"""Files that are never half-written: a temporary name beside the target, fsync, then rename."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from circuitmem.errors import CircuitmemError, DataFileError

__all__ = [
    "is_leftover",
    "load_npz",
    "locked",
    "remove_leftovers",
    "save_npz",
    "sha256_of_file",
    "write_bytes",
    "write_text",
]

PATIENCE = 1.0
"""Seconds for which a lock that another process holds is tried again before it is refused."""

_DIGEST = "sha256"


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically: a reader, also after a crash, sees the old content or the new, never a part.

    Raises
    ------
    DataFileError
        If the file cannot be written (no such folder, no permission, disk full, a NUL in its name).
    """
    target = Path(path)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        os.replace(temporary, target)
    except (OSError, ValueError) as error:  # ValueError: no file system can have that name
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise DataFileError(target, f"cannot be written: {getattr(error, 'strerror', None) or error}") from None


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically; errors as in :func:`write_bytes`."""
    write_bytes(path, text.encode())


def save_npz(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[np.generic]], compress: bool = True) -> None:
    """Save arrays to one npz file with a SHA-256 of their names, types, shapes and bytes, without pickle."""
    plain = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in plain.items():
        # Checked here so that the message names the array.
        if array.dtype.hasobject:
            raise ValueError(f"{name} must not hold Python objects (got dtype {array.dtype})")
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    # Level 1: the lower digits of conductances are noise, and higher levels take twice the time to save a twentieth.
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, array in {**plain, _DIGEST: np.array(_digest(plain))}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                write_array(entry, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def load_npz(path: str | os.PathLike[str]) -> dict[str, NDArray[np.generic]]:
    """Load the arrays that :func:`save_npz` saved.

    Raises
    ------
    DataFileError
        If the file is missing, cut short, not such an npz file, or its checksum is wrong.
    """
    try:
        # Opened here, because numpy leaves a file that is not a zip archive open.
        with open(path, "rb") as opened, NpzFile(opened, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except FileNotFoundError:
        raise DataFileError(path, "no such file") from None
    except Exception as error:  # a damaged file makes zipfile, zlib and numpy raise errors of a dozen kinds
        raise DataFileError(path, f"is not a readable npz file ({' '.join(str(error).split())})") from None
    stored = arrays.pop(_DIGEST, None)
    if stored is None or str(stored) != _digest(arrays):
        raise DataFileError(path, "is corrupt: its SHA-256 does not match its content")
    return arrays


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], busy: CircuitmemError) -> Iterator[None]:
    """Hold a lock on a file, released when the process ends; ``busy`` is raised if another process holds it.

    If a process is killed while it starts a child, the child keeps the open file, and with it the lock, until it has
    started. The lock is therefore tried again for ``PATIENCE`` seconds.
    """
    try:
        file = open(path, "w")  # noqa: SIM115  (closed below)
    except (OSError, ValueError) as error:
        raise DataFileError(path, f"cannot be written: {getattr(error, 'strerror', None) or error}") from None
    limit = time.monotonic() + PATIENCE
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > limit:
                    raise busy from None
            time.sleep(0.02)
        yield


_LEFTOVER = re.compile(r"\..+\.(json|npz|toml|html|svg|png|pdf|txt|csv|parquet|md|xz)\.[a-z0-9_]{8}")


def is_leftover(path: Path) -> bool:
    """Say whether a file is a temporary one that :func:`write_bytes` left when its process was killed."""
    return _LEFTOVER.fullmatch(path.name) is not None and path.is_file()


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder; no other process may be writing to it."""
    for path in filter(is_leftover, folder.glob(".*")):
        path.unlink(missing_ok=True)


def sha256_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    DataFileError
        If it cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise DataFileError(path, f"cannot be read: {error.strerror or error}") from None


def _digest(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    hasher = hashlib.sha256()
    for name in sorted(arrays):
        array: NDArray[Any] = np.ascontiguousarray(arrays[name])
        hasher.update(f"{name}|{array.dtype.str}|{arrays[name].shape}|".encode())
        hasher.update(array.reshape(-1).view(np.uint8).data)  # without the copy that tobytes() makes
    return hasher.hexdigest()
