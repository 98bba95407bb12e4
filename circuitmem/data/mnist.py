"""MNIST (Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0): the bundled subset, or the full set."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from circuitmem.data.idx import FILES, read_idx
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import load_npz
from circuitmem.validation import integer

__all__ = ["SUBSET", "Dataset", "bundled_mnist", "cached_mnist", "full_mnist", "load_mnist"]

SUBSET = "mnist_subset.npz"
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
"""The mirror that torchvision uses."""


@dataclass(frozen=True)
class Dataset:
    """Digits.

    Attributes
    ----------
    train_images, test_images : (samples, pixels) ndarray
        Grey values in [0, 1], row after row.
    train_labels, test_labels : (samples,) ndarray of int
        Which digit.
    name, sha256 : str
        What was loaded, and the SHA-256 of its uint8 pixels and labels, before :meth:`resized` and :meth:`first`.
    """

    train_images: NDArray[np.float64]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float64]
    test_labels: NDArray[np.int64]
    name: str
    sha256: str

    def resized(self, side: int) -> Dataset:
        """Return the digits averaged over areas to ``side`` x ``side`` pixels, 1 <= side <= the present side."""
        present = round(self.train_images.shape[1] ** 0.5)
        if integer("side", side, minimum=1) > present:
            raise ValidationError("side", f"must be <= {present}", side)
        edges = np.arange(side + 1) * (present / side)
        pixels = np.arange(present)
        # Element (i, p): the part of new pixel i that old pixel p covers.
        overlap = np.minimum(edges[1:, None], pixels + 1.0) - np.maximum(edges[:-1, None], pixels)
        shares = np.maximum(overlap, 0.0) * (side / present)

        def shrink(images: NDArray[np.float64]) -> NDArray[np.float64]:
            if side == present:
                return images
            square = images.reshape(-1, present, present)
            return np.asarray(np.clip(shares @ square @ shares.T, 0.0, 1.0).reshape(-1, side * side))

        return replace(self, train_images=shrink(self.train_images), test_images=shrink(self.test_images))

    def first(self, train: int | None = None, test: int | None = None) -> Dataset:
        """Return only the first digits of each part; None keeps all.

        Raises
        ------
        ValidationError
            If more is asked for than there is.
        """
        for name, count, labels in (("train", train, self.train_labels), ("test", test, self.test_labels)):
            if count is not None and integer(name, count, minimum=1) > len(labels):
                raise ValidationError(f"data.{name}", f"must be <= {len(labels)}, all there are", count)
        return replace(
            self,
            train_images=self.train_images[:train],
            train_labels=self.train_labels[:train],
            test_images=self.test_images[:test],
            test_labels=self.test_labels[:test],
        )

    def validating(self, count: int) -> Dataset:
        """Return the data with the last ``count`` training digits as its test digits; 0 changes nothing.

        Raises
        ------
        ValidationError
            If no training digit would be left.
        """
        if integer("data.validation", count, minimum=0) == 0:
            return self
        if count >= len(self.train_labels):
            raise ValidationError("data.validation", f"must be < {len(self.train_labels)}, the training digits", count)
        return replace(
            self,
            train_images=self.train_images[:-count],
            train_labels=self.train_labels[:-count],
            test_images=self.train_images[-count:],
            test_labels=self.train_labels[-count:],
        )


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
    images = [np.asarray(part, np.float64).reshape(len(part), -1) / 255.0 for part in parts[0::2]]
    labels = [np.asarray(part, np.int64) for part in parts[1::2]]
    return Dataset(images[0], labels[0], images[1], labels[1], name, hasher.hexdigest())


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
