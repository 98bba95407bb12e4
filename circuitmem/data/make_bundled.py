"""Make the bundled table, sequences and pictures: ``python -m circuitmem.data.make_bundled PACKAGES OUT``.

``PACKAGES`` is a folder that ``pip install --no-deps --target PACKAGES palmerpenguins==0.1.6 aeon==1.6.0
scikit-image==0.26.0 scikit-learn==1.9.1`` has filled; nothing in it is imported. Pictures were made with Pillow 12:
another JPEG decoder may round differently.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from circuitmem.data.bundled import HEIGHT, PENGUINS, PICTURES, VOWELS, WIDTH
from circuitmem.files import save_npz, write_text

__all__ = ["SOURCES", "interpolated", "penguin_table", "read_utterances", "reduced"]

FRAMES = 16
"""Instants per utterance; utterances have 15.6 frames on average."""
DECIMALS = 4
"""Decimals of the coefficients, which come with six: 8 bits over their range resolve 0.02."""
MEASURED = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
SOURCES = {
    "astronaut": "skimage/data/astronaut.png",
    "cat": "skimage/data/chelsea.png",
    "coffee": "skimage/data/coffee.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "galaxies": "skimage/data/hubble_deep_field.jpg",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "temple": "sklearn/datasets/images/china.jpg",
}
"""File of each picture, by its name."""
BOXES = {"retina": (330, 443, 1090, 1013)}
"""Left, upper, right and lower bound of the part in use; of the others, all that fits the shape of a picture."""


def penguin_table(source: Path) -> str:
    """Return the lines of a table with all measured numbers, the species first; two birds were not measured."""
    with source.open(encoding="utf-8", newline="") as opened:
        birds = [bird for bird in csv.DictReader(opened) if all(bird[key] not in ("", "NA") for key in MEASURED)]
    birds = [birds[place] for place in interleaved([bird["species"] for bird in birds])]
    lines = [",".join([bird["species"], *(f"{float(bird[key]):g}" for key in MEASURED)]) for bird in birds]
    return "\n".join([",".join(["species", *MEASURED]), *lines, ""])


def interleaved(labels: Sequence[str | int]) -> list[int]:
    """Return the places of samples: the first of each class, then the second, ...; any first part holds all alike."""
    seen: Counter[str | int] = Counter()
    rank = []
    for label in labels:
        rank.append((seen[label], label))
        seen[label] += 1
    return sorted(range(len(labels)), key=lambda place: rank[place])


def read_utterances(source: Path) -> tuple[list[NDArray[np.float64]], list[int]]:
    """Return the coefficients of each utterance, (coefficients, frames), and who spoke it, of a ``.ts`` file."""
    lines = source.read_text("utf-8").partition("@data")[2].split()
    found, speakers = [], []
    for line in lines:
        *series, speaker = line.split(":")
        found.append(np.array([[float(number) for number in one.split(",")] for one in series]))
        speakers.append(int(speaker))
    return found, speakers


def interpolated(utterance: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the coefficients at 16 instants that are equally far apart, (coefficients, 16)."""
    frames = np.arange(utterance.shape[1])
    instants = np.linspace(0.0, frames[-1], FRAMES)
    return np.array([np.interp(instants, frames, one) for one in utterance]).round(DECIMALS).astype(np.float32)


def reduced(source: Path, box: tuple[int, int, int, int] | None) -> NDArray[np.uint8]:
    """Return a photograph in the size of a picture, (height, width, 3): means over areas of a box, or of its middle."""
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    scale = min(image.width / WIDTH, image.height / HEIGHT)
    left, upper = (image.width - scale * WIDTH) / 2, (image.height - scale * HEIGHT) / 2
    middle = (left, upper, left + scale * WIDTH, upper + scale * HEIGHT)
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX, box=box or middle), np.uint8)


def main(packages: Path, out: Path) -> None:
    """Write the three files of the package's data."""
    write_text(out / PENGUINS, penguin_table(packages / "palmerpenguins/data/penguins.csv"))
    utterances, speakers = [], []
    for part in ("TRAIN", "TEST"):
        own, spoken = read_utterances(packages / f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts")
        utterances += own
        speakers += spoken
    order = interleaved(speakers)
    coefficients = np.stack([interpolated(utterances[place]) for place in order])
    speakers = [speakers[place] for place in order]
    save_npz(out / VOWELS, {"coefficients": coefficients, "speakers": np.array(speakers, np.uint8)})
    save_npz(out / PICTURES, {name: reduced(packages / file, BOXES.get(name)) for name, file in SOURCES.items()})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m circuitmem.data.make_bundled PACKAGES OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
