"""idx files, of MNIST and of any other content: found, unpacked, checked."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import DataFileError

__all__ = ["FILES", "read_idx", "read_idx_folder"]

FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Name and SHA-256 of each uncompressed file."""


def read_idx(folder: str | os.PathLike[str], name: str) -> NDArray[np.uint8]:
    """Read one of ``FILES``, gzipped or not, from a folder, its ``raw`` or its ``MNIST/raw`` (torchvision's layout).

    Raises
    ------
    DataFileError
        If the file is missing, cut short, not idx, or not MNIST's (by its SHA-256).
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataFileError(root, "is not a folder")
    places = [base / (name + end) for base in (root, root / "raw", root / "MNIST" / "raw") for end in ("", ".gz")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataFileError(root, f"has no {name} or {name}.gz, nor have its raw and MNIST/raw")
    content = _unpacked(path)
    dimensions = 3 if "idx3" in name else 1
    if len(content) < 4 + 4 * dimensions or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataFileError(path, f"is not an idx file of {dimensions}-dimensional bytes")
    found: NDArray[np.uint8] = _parsed(path, content)
    if hashlib.sha256(content).hexdigest() != FILES[name]:
        raise DataFileError(path, "is not MNIST's: its SHA-256 differs")
    return found


def read_idx_folder(folder: Path) -> dict[str, tuple[NDArray[Any], NDArray[Any]]] | None:
    """Read images (samples, channels, height, width) and labels of any idx files by part; None if there are none.

    File names are those of MNIST and of its relatives, which end with ``images-idx3-ubyte``, ``labels-idx1-ubyte``,
    gzipped or not, and have ``train``, ``test`` or ``t10k`` in them. Elements may be other numbers than bytes.

    Raises
    ------
    DataFileError
        If a file is cut short, there are several of a kind, or images or labels are missing.
    """
    for base in (folder, folder / "raw", *sorted(folder.glob("*/raw"))):
        if base.is_dir():
            files = [path for path in sorted(base.iterdir()) if _NAME.search(path.name)]
            if files:
                return _parts(base, files)
    return None


_NAME = re.compile(r"(images|labels)[-.]idx\d-ubyte(\.gz)?$")


def _parts(folder: Path, files: list[Path]) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    chosen: dict[tuple[str, str], Path] = {}
    for path in files:
        found = _NAME.search(path.name)
        assert found is not None
        part = "train" if "train" in path.name else "test" if "test" in path.name or "t10k" in path.name else ""
        key = part, found[1]
        if key in chosen and chosen[key].name != path.name.removesuffix(".gz"):
            raise DataFileError(
                folder, f"must have one file of {part} {key[1]}, not {chosen[key].name} and {path.name}"
            )
        chosen.setdefault(key, path)
    parts = {}
    for part in dict.fromkeys(part for part, _ in chosen):
        for kind in ("images", "labels"):
            if (part, kind) not in chosen:
                raise DataFileError(folder, f"must have idx files of {part} images and labels: {kind} are missing")
        images, labels = (_read(chosen[part, kind]) for kind in ("images", "labels"))
        parts[part] = images[:, None] if images.ndim == 3 else images, labels
    return parts


def _read(path: Path) -> NDArray[Any]:
    return _parsed(path, _unpacked(path))


def _unpacked(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataFileError(path, f"cannot be unpacked: {error}") from None


def _parsed(path: Path, content: bytes) -> NDArray[Any]:
    if len(content) < 4 or content[:2] != bytes(2) or content[2] not in _TYPES or len(content) < 4 + 4 * content[3]:
        raise DataFileError(path, "is not an idx file")
    dimensions, kind = content[3], np.dtype(_TYPES[content[2]])
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", dimensions, 4))
    expected = 4 + 4 * dimensions + math.prod(shape) * kind.itemsize
    if len(content) != expected:
        raise DataFileError(path, f"must have {expected} bytes, by its header; it has {len(content)}")
    values = np.frombuffer(content, kind, offset=4 + 4 * dimensions).reshape(shape)
    return values.astype(kind.newbyteorder("="), copy=False)


_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
