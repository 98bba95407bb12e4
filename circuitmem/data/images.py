"""Folders of images: one folder per class, perhaps below ``train`` and ``test``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from circuitmem.errors import DataFileError

__all__ = ["read_image_folder"]

PARTS = ("train", "validation", "test")


def read_image_folder(folder: Path) -> dict[str, tuple[NDArray[np.uint8], NDArray[Any]]]:
    """Read images (samples, channels, height, width) and names of classes by part; the part is "" if there are none.

    Raises
    ------
    DataFileError
        If there is no image, one cannot be read, has another size or depth, or lies outside the folder of a class, or
        such a folder is empty.
    """
    inside = [part for part in PARTS if (folder / part).is_dir()]
    places = {part: folder / part for part in inside} if "train" in inside else {"": folder}
    return {part: _read_part(place) for part, place in places.items()}


def _read_part(folder: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for own in _visible(folder):
        if not own.is_dir():
            raise DataFileError(own, "must lie in a folder that has the name of its class")
        files = _visible(own)
        if not files:
            raise DataFileError(own, "must have images of its class, or be left out (it is empty)")
        for file in files:
            image = _read_image(file)
            if images and image.shape != images[0].shape:
                rule = f"must have {_words(images[0])}, as the first image (it has {_words(image)})"
                raise DataFileError(file, rule)
            images.append(image)
            labels.append(own.name)
    if not images:
        raise DataFileError(folder, "must have folders of images, one a class, or idx files (it has neither)")
    return np.stack(images), np.array(labels)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _read_image(file: Path) -> NDArray[np.uint8]:
    """Return an image as (channels, height, width)."""
    try:
        with Image.open(file) as image:
            mode = image.mode
            pixels = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataFileError(file, f"cannot be read as an image: {error}") from None
    if mode not in ("1", "L", "P", "RGB"):
        raise DataFileError(file, f"must be grey or RGB with 8 bits a channel and no transparency (it is {mode})")
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _words(image: NDArray[np.uint8]) -> str:
    channels, height, width = image.shape
    return f"{width}x{height} pixels and {channels} channel{'s' * (channels > 1)}"
