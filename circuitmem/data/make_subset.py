"""Make the bundled subset from the full set: ``python -m circuitmem.data.make_subset FOLDER OUT.npz``.

It takes the first digits of each class, in their original order, as many as keep the full set's proportions.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from circuitmem.data.idx import read_idx
from circuitmem.files import save_npz

__all__ = ["stratified", "subset"]


def stratified(labels: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Return the indices, increasing, of ``count`` samples in the proportions of ``labels`` (largest remainders)."""
    shares = np.bincount(labels, minlength=10) * (count / len(labels))
    wanted = np.floor(shares).astype(int)
    wanted[np.argsort(wanted - shares, kind="stable")[: count - wanted.sum()]] += 1
    chosen = [np.flatnonzero(labels == digit)[: wanted[digit]] for digit in range(10)]
    return np.sort(np.concatenate(chosen))


def subset(folder: str) -> dict[str, NDArray[np.uint8]]:
    """Return 10,000 training and 2,000 test digits of the full set in ``folder``."""
    found = {}
    for part, prefix, count in (("train", "train", 10_000), ("test", "t10k", 2_000)):
        labels = read_idx(folder, f"{prefix}-labels-idx1-ubyte")
        chosen = stratified(labels, count)
        found[f"{part}_images"] = read_idx(folder, f"{prefix}-images-idx3-ubyte")[chosen]
        found[f"{part}_labels"] = labels[chosen]
    return found


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m circuitmem.data.make_subset FOLDER OUT.npz")
    save_npz(sys.argv[2], dict(subset(sys.argv[1])))
