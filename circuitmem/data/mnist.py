"""MNIST (Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0): the bundled subset, or the full set."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np

from circuitmem.data.dataset import Dataset
from circuitmem.data.idx import FILES, read_idx
from circuitmem.errors import DataFileError
from circuitmem.files import load_npz

__all__ = ["LICENCE", "SUBSET", "bundled_mnist", "cached_mnist", "full_mnist", "load_mnist"]

SUBSET = "mnist_subset.npz"
LICENCE = "CC BY-SA 3.0"
CREDIT = "Y. LeCun, C. Cortes, C. J. C. Burges, from NIST's special databases 1 and 3"
CLASSES = tuple("0123456789")
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
"""The mirror that torchvision uses."""


def load_mnist(source: str | os.PathLike[str] = "bundled", mirror: str = MIRROR) -> Dataset:
    """Load MNIST.

    Parameters
    ----------
    source : str or path
        ``"bundled"``: 10,000 training and 2,000 test digits that come with the package, with the full set's
        proportions of classes. ``"download"``: the full set, fetched once into the user's cache. Otherwise a folder
        with the four idx files, gzipped or not, torchvision's layout included.
    mirror : str
        Where ``"download"`` finds the gzipped files.

    Raises
    ------
    DataFileError
        If a file is missing, cut short, or fails its checksum, or the download fails.
    """
    if source == "bundled":
        with resources.as_file(resources.files("circuitmem.data") / SUBSET) as path:
            saved = load_npz(path)
        parts = [saved[key] for key in ("train_images", "train_labels", "test_images", "test_labels")]
        name = "MNIST, bundled subset"
    else:
        folder = _download(mirror) if source == "download" else source
        parts = [read_idx(folder, key) for key in FILES]
        name = "MNIST"
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part.tobytes())
    images = [np.divide(part, 255.0, dtype=np.float64).reshape(len(part), -1) for part in parts[0::2]]
    labels = [np.asarray(part, np.int64) for part in parts[1::2]]
    found = Dataset(images[0], labels[0], images[1], labels[1], name, hasher.hexdigest(), classes=CLASSES)
    return replace(found, licence=LICENCE, credit=CREDIT)


def bundled_mnist() -> Dataset:
    """Return 10,000 training and 2,000 test digits of MNIST, which come with the package."""
    return load_mnist("bundled")


def full_mnist() -> Dataset:
    """Return all of MNIST, fetched once into the user's cache."""
    return load_mnist("download")


def cached_mnist() -> tuple[Path, bool]:
    """Return the folder of the user's cache that ``"download"`` fills, and whether it has all files."""
    import pooch

    folder = Path(pooch.os_cache("circuitmem")) / "mnist"
    return folder, all((folder / f"{name}.gz").is_file() for name in FILES)


def _download(mirror: str) -> Path:
    """Fetch what is not in the cache yet; the checksums are those of the uncompressed files, checked on reading."""
    import pooch

    folder, _ = cached_mnist()
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # it would advise to pin the checksum of the packed file
    try:
        for name in FILES:
            packed = folder / f"{name}.gz"
            if not packed.is_file():
                _fetch(f"{mirror.rstrip('/')}/{name}.gz", packed)
    finally:
        logger.setLevel(level)
    return folder


def _fetch(address: str, packed: Path) -> None:
    """Fetch one gzipped file; keep it only if it is what it should be."""
    import pooch

    try:
        pooch.retrieve(address, known_hash=None, path=packed.parent, fname=packed.name)
    except (OSError, ValueError) as error:  # requests' own errors are OSErrors
        raise DataFileError(address, f"cannot be downloaded: {type(error).__name__}") from None
    try:
        read_idx(packed.parent, packed.name.removesuffix(".gz"))
    except DataFileError:
        packed.unlink()
        raise
