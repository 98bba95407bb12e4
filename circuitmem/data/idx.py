"""The idx files of MNIST: found, unpacked, checked."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import DataFileError

__all__ = ["FILES", "read_idx"]

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
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataFileError(path, f"cannot be unpacked: {error}") from None
    dimensions = 3 if "idx3" in name else 1
    if len(content) < 4 + 4 * dimensions or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataFileError(path, f"is not an idx file of {dimensions}-dimensional bytes")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", dimensions, 4))
    expected = 4 + 4 * dimensions + math.prod(shape)
    if len(content) != expected:
        raise DataFileError(path, f"must have {expected} bytes, by its header; it has {len(content)}")
    if hashlib.sha256(content).hexdigest() != FILES[name]:
        raise DataFileError(path, "is not MNIST's: its SHA-256 differs")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
