"""Data sets that come with the package beside MNIST's digits: a table, sequences, and colour patches.

``python -m circuitmem.data.make_bundled`` makes their files from their sources, bit for bit.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.data.samples import Samples
from circuitmem.data.tables import read_csv
from circuitmem.files import load_npz

__all__ = ["HEIGHT", "PATCH", "PENGUINS", "PICTURES", "VOWELS", "WIDTH", "cut_patches", "patches", "penguins", "vowels"]

PENGUINS, VOWELS, PICTURES = "penguins.csv", "vowels.npz", "pictures.npz"
"""Names of the files."""
PATCH, WIDTH, HEIGHT = 32, 256, 192
"""Side of a patch, and width and height of a picture, in pixels."""
BANDS = {"train": (0, 144, 8), "validation": (144, 192, 16), "test": (192, 256, 16)}
"""First and last column (exclusive) of each part of a picture, and how far its patches are apart, in pixels."""


def penguins() -> Samples:
    """Return a table: bill, flipper and mass of 342 penguins of three species.

    K. B. Gorman and Palmer Station LTER, Antarctica; collected in the package palmerpenguins by A. M. Horst, A. P. Hill
    and K. B. Gorman (doi:10.5281/zenodo.3960218), CC0.
    """
    with resources.as_file(resources.files("circuitmem.data") / PENGUINS) as path:
        inputs, targets, features = read_csv(path).divided("species", [])
    credit = "K. B. Gorman, Palmer Station LTER; package palmerpenguins by A. M. Horst, A. P. Hill, K. B. Gorman"
    return Samples({"": (inputs, targets)}, "penguins", features, licence="CC0 1.0", credit=credit)


def vowels() -> Samples:
    """Return sequences: 640 utterances of /ae/ by nine speakers, 12 LPC cepstrum coefficients at 16 instants each.

    M. Kudo, J. Toyama, M. Shimbo: Japanese Vowels, UCI Machine Learning Repository (doi:10.24432/C5NS47), CC BY 4.0.
    Utterances of 7 to 29 frames are brought to 16 by linear interpolation.
    """
    saved = _load(VOWELS)
    credit = "M. Kudo, J. Toyama, M. Shimbo; UCI Machine Learning Repository, doi:10.24432/C5NS47"
    speakers = np.array([f"speaker {number}" for number in saved["speakers"]])
    return Samples({"": (saved["coefficients"], speakers)}, "vowels", licence="CC BY 4.0", credit=credit)


def patches() -> Samples:
    """Return colour patches: 3 x 32 x 32 bytes, and which of eight photographs each is of.

    The parts come from columns of the photographs that do not overlap: 2,520 patches of the left 144 columns for
    training, 176 of the next 48 for validation, 264 of the right 64 for the test. Patches within a part do overlap. So
    a network is tested on regions that it has never seen, of photographs that it knows.
    """
    saved = _load(PICTURES)
    names = sorted(saved)
    pictures = np.stack([saved[name] for name in names])
    parts = {part: cut_patches(pictures, *band) for part, band in BANDS.items()}
    named = {part: (inputs, np.array(names)[places]) for part, (inputs, places) in parts.items()}
    licence = "public domain and CC0 1.0; flower and temple CC BY 2.0"
    credit = (
        "astronaut, galaxies: NASA; cat: S. van der Walt; coffee: R. Michetti; flower: vultilion (flickr); "
        "retina: M. Haeggstroem; rocket: SpaceX; temple: danielbuechele (flickr)"
    )
    return Samples(named, "patches", images=True, licence=licence, credit=credit)


def cut_patches(
    pictures: NDArray[np.uint8], first: int, last: int, step: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the patches of some columns of pictures, all pictures in turn at each place, and the picture of each.

    Parameters
    ----------
    pictures : (pictures, height, width, 3) ndarray of uint8
        Red, green and blue of each pixel.
    first, last : int
        First column, and the one after the last.
    step : int
        Pixels between neighbouring patches, in both directions.

    Returns
    -------
    patches : (patches, 3, 32, 32) ndarray of uint8
        In an order in which any first part holds every picture alike.
    places : (patches,) ndarray of int64
        Index of its picture among the pictures.
    """
    rows = range(0, pictures.shape[1] - PATCH + 1, step)
    columns = range(first, last - PATCH + 1, step)
    cut = np.stack([pictures[:, y : y + PATCH, x : x + PATCH] for y in rows for x in columns])
    places = np.tile(np.arange(len(pictures)), len(rows) * len(columns))
    return np.ascontiguousarray(cut.reshape(-1, PATCH, PATCH, 3).transpose(0, 3, 1, 2)), places


def _load(name: str) -> dict[str, NDArray[Any]]:
    with resources.as_file(resources.files("circuitmem.data") / name) as path:
        return load_npz(path)
