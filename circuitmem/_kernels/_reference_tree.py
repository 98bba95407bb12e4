r"""The tree kernel in NumPy: the twin of ``cython_ext/tree/tree.pyx``, and its stand-in where nothing compiles.

**A block of cells is a multi-port.** It is described by the conductances between every two of its terminals, all >= 0.
Cell (i, j) includes the word-line segment on its left and the bit-line segment below it, so its four terminals form a
chain,

.. math::

   \text{left} \overset{\text{word segment}}{-\!\!\!-\!\!\!-} \text{right} \overset{\text{cell}}{-\!\!\!-\!\!\!-}
   \text{top} \overset{\text{bit segment}}{-\!\!\!-\!\!\!-} \text{bottom}

where right and top are its word-line and its bit-line node. Neighbouring blocks share the terminals between them: add
the two multi-ports, and eliminate the shared terminals. In the end only the drivers (left) and the grounds (bottom)
remain, and the conductances between them are the transfer matrix. Right ends of word lines and top ends of bit lines
are eliminated at once, unless they are driven or sensed.

**Elimination subtracts nothing.** Eliminating a node with conductances :math:`p_j` to its neighbours leaves, between
each two of them,

.. math:: p_{ij} \leftarrow p_{ij} + \frac{p_i\, p_j}{\sum_k p_k} :

this is the star-mesh transformation, and Gaussian elimination of a Laplacian whose diagonal is always summed from its
row (Grassmann, Taksar and Heyman, Operations Research 33:1107, 1985). No conductance is ever subtracted from another,
so each keeps its relative accuracy whatever the values, and open cells, shorts and ideal wires are ordinary numbers.

**No pivoting.** Pivots are sums of conductances, so none is negative, and their order changes no digit that matters. A
node that floats has :math:`\sum p = 0` and leaves nothing.

**How far off.** Each rounding is a small relative change of a conductance. The conductance seen between two terminals
is a quotient of sums of products of conductances, without a minus sign (the matrix-tree theorem), with one factor more
in the numerator than in the denominator. Where N nodes are left, changing all conductances by up to a relative e
therefore changes it by at most (2 N + 1) e. So errors add up over the eliminations, element by element, and are never
amplified (C. A. O'Cinneide, Numerische Mathematik 65:109, 1993). ``tests/kernels/test_tree.py`` checks every element of
kernel and twin to a relative 1e-13, for cells of 1e-12 to 1 S.

**Single precision.** Rounding errors of either sign mostly cancel. Those of a sum that is large compared with each of
its many summands do not: whatever is below half its last digit is lost, always downwards, and more is lost with more
eliminations. So in single precision the contributions of the terminals of a merge are summed separately, and the
previous value is added last. Then the largest error of an element hardly grows with the size of a tile; it is about
1e-6 of the largest element at 64 and at 1024.

**Cost.** Two halves of a block of k by k cells share k terminals, which are eliminated among 4 k that stay: some
:math:`8 k^3` multiplications if symmetry is used. A tile of n by n has :math:`(n/k)^2` such merges, so the largest
blocks dominate: the total grows as :math:`n^3`, memory as :math:`n^2`. Merging row by row would take :math:`n^4`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["largest", "narrowed", "transfer"]

Side = Literal["left", "right", "top", "bottom"]
Indices = NDArray[np.intp]
Ties = NDArray[Any]


class Block(NamedTuple):
    """A rectangle of cells.

    ``ties`` : (tiles, terminals, terminals), conductance between terminals [S], symmetric; the diagonal is not used.
    ``sides`` : indices of the terminals of each side that remains, left to right or top to bottom.
    """

    ties: Ties
    sides: dict[Side, Indices]


def transfer(
    cells: Ties,
    words: Ties,
    bits: Ties,
    ideal: float,
    both_drive: bool,
    both_sense: bool,
    threads: int,
    which: NDArray[np.int64] | None = None,
    out: tuple[Ties, Ties] | None = None,
    unit: float = 1.0,
) -> tuple[Ties, Ties]:
    """Return transfer matrix and input admittance of every tile.

    Parameters
    ----------
    cells : (tiles, rows, columns) ndarray
        Conductance of the cells [S].
    words : (tiles or 1, rows, columns + 1) ndarray
        Conductance of the word-line segments [S], finite.
    bits : (tiles or 1, rows + 1, columns) ndarray
        Conductance of the bit-line segments [S], finite.
    both_drive, both_sense : bool
        Whether the last word-line segments lead to drivers, and the first bit-line segments to sense amplifiers.
    ideal : float
        Conductance of an ideal segment [S]; not used here.
    threads : int
        Not used here.
    which : (some,) ndarray of int, optional
        Tiles to compute, into their places in ``out``; all if left out.
    out : tuple of ndarray, optional
        Where the results go.
    unit : float
        Unit of all conductances, a power of 2, by which the results are multiplied.

    Returns
    -------
    matrix : (tiles, columns, rows) ndarray
        Column current per volt on a driver [S].
    admittance : (tiles, rows, rows) ndarray
        Driver current per volt on a driver [S].
    """
    if which is not None and out is not None:
        words, bits = (each if len(each) == 1 else each[which] for each in (words, bits))
        doubled = both_drive, both_sense
        out[0][which], out[1][which] = transfer(cells[which], words, bits, ideal, *doubled, threads, unit=unit)
        return out
    del ideal, threads
    tiles, rows = cells.shape[:2]
    words, bits = (np.broadcast_to(array, (tiles, *array.shape[1:])) for array in (words, bits))
    ends = {side for side, used in (("right", both_drive), ("top", both_sense)) if not used}
    block = _build(cells, words[:, :, :-1], bits[:, 1:], {side: side in ends for side in ("right", "top")})
    drivers, grounds = block.sides["left"], block.sides["bottom"]
    if both_drive:  # both ends of a word line share a driver, both ends of a bit line a ground
        _join(block.ties, block.sides["right"], drivers, words[:, :, -1])
    if both_sense:
        _join(block.ties, block.sides["top"], grounds, bits[:, 0])
    ties = _eliminate(block.ties, [block.sides[s] for s in ("right", "top") if s in block.sides], [drivers, grounds])
    among, to_grounds = ties[:, :rows, :rows].copy(), ties[:, :rows, rows:]
    own = np.arange(rows)
    among[:, own, own] = 0.0
    admittance = -among
    admittance[:, own, own] = among.sum(axis=2) + to_grounds.sum(axis=2)
    factor = ties.dtype.type(unit)
    return to_grounds.swapaxes(1, 2) * factor, admittance * factor


def largest(cells: NDArray[np.float64], some: NDArray[np.int64] | None, _threads: int) -> float:
    """Return the largest conductance [S] of ``some`` tiles, or of all; 0 if there is none."""
    return float((cells if some is None else cells[some]).max(initial=0.0))


def narrowed(
    cells: NDArray[np.float64], scale: float, some: NDArray[np.int64] | None, _threads: int
) -> NDArray[np.float32]:
    """Scale conductances of ``some`` tiles, or of all, into single precision; those of others are 0."""
    found, tiles = np.zeros(cells.shape, np.float32), slice(None) if some is None else some
    found[tiles] = cells[tiles] * scale
    return found


def _build(cells: Ties, words: Ties, bits: Ties, loose: dict[str, bool]) -> Block:
    """Merge a rectangle of cells; ``loose`` says whether its right and its top ends lead nowhere."""
    tiles, rows, columns = cells.shape
    if rows == columns == 1:
        ties = np.zeros((tiles, 4, 4), dtype=cells.dtype)
        for k, conductance in enumerate((words, cells, bits)):
            ties[:, k, k + 1] = ties[:, k + 1, k] = conductance[:, 0, 0]
        names: tuple[Side, ...] = ("left", "right", "top", "bottom")
        whole = Block(ties, {side: np.array([k]) for k, side in enumerate(names)})
        ends = [side for side in ("right", "top") if loose[side]]
        keep = [side for side in names if side not in ends]
        ties = _eliminate(ties, [whole.sides[side] for side in names if side in ends], [whole.sides[s] for s in keep])
        return Block(ties, {side: np.array([k]) for k, side in enumerate(keep)})
    if rows > columns:
        half = (rows + 1) // 2
        upper = _build(cells[:, :half], words[:, :half], bits[:, :half], loose)
        lower = _build(cells[:, half:], words[:, half:], bits[:, half:], {**loose, "top": False})
        return _merge(upper, "bottom", lower, "top")
    half = (columns + 1) // 2
    left = _build(cells[..., :half], words[..., :half], bits[..., :half], {**loose, "right": False})
    right = _build(cells[..., half:], words[..., half:], bits[..., half:], loose)
    return _merge(left, "right", right, "left")


def _merge(first: Block, side_of_first: Side, second: Block, side_of_second: Side) -> Block:
    """Join two blocks at the terminals that they share, and eliminate these."""
    shared, old = first.sides[side_of_first], first.ties.shape[1]
    place = np.empty(second.ties.shape[1], dtype=np.intp)
    own = np.setdiff1d(np.arange(len(place)), second.sides[side_of_second])
    place[second.sides[side_of_second]] = shared
    place[own] = old + np.arange(len(own))
    size = old + len(own)
    ties = np.zeros((len(first.ties), size, size), dtype=first.ties.dtype)
    ties[:, :old, :old] = first.ties
    ties[:, place[:, None], place] += second.ties
    sides: dict[Side, Indices] = {side: at for side, at in first.sides.items() if side != side_of_first}
    for side, at in second.sides.items():
        if side != side_of_second:
            sides[side] = np.concatenate([sides[side], place[at]]) if side in sides else place[at]
    ties = _eliminate(ties, [shared], list(sides.values()))
    ends = np.cumsum([0, *(len(at) for at in sides.values())])
    return Block(ties, {side: np.arange(ends[k], ends[k + 1]) for k, side in enumerate(sides)})


def _eliminate(ties: Ties, gone: list[Indices], kept: list[Indices]) -> Ties:
    """Return the conductances between the terminals ``kept``, in that order, once those ``gone`` are eliminated."""
    order = np.concatenate([*gone, *kept])
    count = sum(map(len, gone))
    # In C order for any stack, because the order in memory decides the order of summation.
    ties = np.ascontiguousarray(ties[:, order[:, None], order])
    apart = ties.dtype == np.float32
    sums = np.zeros_like(ties) if apart else ties
    for k in range(count):
        row = sums[:, k, k + 1 :] + ties[:, k, k + 1 :] if apart else ties[:, k, k + 1 :]
        # Both factors are divided by the root of the sum, so their product is symmetric to the last bit.
        root = np.sqrt(row.sum(axis=1, keepdims=True))
        row = np.divide(row, root, out=np.zeros_like(row), where=root > 0.0)
        sums[:, k + 1 :, k + 1 :] += row[:, :, None] * row[:, None, :]
    rest = sums[:, count:, count:]
    return rest + ties[:, count:, count:] if apart else rest


def _join(ties: Ties, first: Indices, second: Indices, conductance: Ties) -> None:
    """Add a conductance between each terminal of ``first`` and its counterpart in ``second``."""
    ties[:, first, second] += conductance
    ties[:, second, first] += conductance
