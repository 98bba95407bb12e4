"""``redundant-column``: move the outputs with the worst defects to spare pairs of columns.

Source: the remapping of SCHR (Liu et al., DAC 2017: 5 % of the columns bring 784x10 from 98.1 to 99.3 % of the baseline
[D]). Cost: 1 read a product, one stored word for each moved output; one-hot reads at two levels to find the stuck
cells, and programming. Limit: spare columns have as many defects as the others, so with uniform defects only the worst
columns gain.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Unmeasured
from circuitmem.calibration.one_hot import find_stuck
from circuitmem.control import Process
from circuitmem.network import HardwareLayer, Placement
from circuitmem.tile import WeightMapping

__all__ = ["RedundantColumns", "damage_of_places", "move_to_spares"]

Floats = NDArray[np.float64]


def damage_of_places(mapping: WeightMapping, stuck: Floats, rows: NDArray[np.intp], weights: Floats) -> Floats:
    """Return the damage to every output at every place, (outputs, places): sums of squared weight errors.

    Parameters
    ----------
    mapping : WeightMapping
        Weights to conductances.
    stuck : (rows, columns) ndarray
        Conductances of stuck cells [S], nan for the others.
    rows : (inputs,) ndarray of int
        Word line of each input.
    weights : (inputs, outputs) ndarray
        Wanted weights.
    """
    asked = mapping.conductances(weights)
    damage = np.empty((weights.shape[1], mapping.layout.places(stuck.shape[1])))
    for place in range(damage.shape[1]):
        there = stuck[rows[:, None], mapping.layout.columns(np.full(weights.shape[1], place))]
        found = mapping.difference(np.where(np.isnan(there), asked, there))
        damage[:, place] = ((found / mapping.scale - weights) ** 2).sum(axis=0)
    return damage


def move_to_spares(place: Placement, damage: Floats) -> Placement:
    """Move outputs to their best spare places, the most damaged output first, where that lowers the damage."""
    pairs = place.pairs.copy()
    spare = set(range(damage.shape[1])) - set(pairs.tolist())
    for output in np.argsort(-damage[np.arange(len(pairs)), pairs], kind="stable"):
        best = min(sorted(spare), key=lambda pair: damage[output, pair], default=None)
        if best is not None and damage[output, best] < damage[output, pairs[output]]:
            spare = spare - {best} | {int(pairs[output])}
            pairs[output] = best
    return replace(place, pairs=pairs)


class RedundantColumns(Unmeasured):
    """Moves outputs to unused columns of their tile; shared tiles have none."""

    name = "redundant-column"
    programs = True

    def prepare(self, layer: HardwareLayer) -> Process:
        """Find the stuck cells, move outputs, and program the weights again."""
        stuck = yield from find_stuck(layer)
        for index in range(len(layer.placements)):
            outputs = layer.partition.output_slice(index)
            own = layer.relative(layer.weights)[layer.partition.input_slice(index), outputs]
            place, places = layer.own_places(index)
            there = stuck[index][:, layer.partition.layout.columns(places)]
            damage = damage_of_places(layer.mapping, there, place.rows, own)
            if layer.ranges is not None:
                damage *= layer.of_copies(layer.ranges)[outputs, None] ** 2
            moved = move_to_spares(place, damage)
            layer.placements[index] = replace(moved, pairs=places[moved.pairs])
            yield from layer.chip.compute(6 * damage.size * len(place.rows))
        yield from layer.program(layer.weights, 0.0)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return one word for each output that is not at its original place."""
        places = [layer.own_places(index)[0] for index in range(len(layer.placements))]
        moved = [place.pairs != np.arange(len(place.pairs)) for place in places]
        return sum(int(np.count_nonzero(each)) for each in moved)
