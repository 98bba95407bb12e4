"""The best placement of inputs and outputs on tiles whose stuck cells are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy
from numpy.typing import NDArray

from circuitmem.network import Placement
from circuitmem.tile import WeightMapping

__all__ = ["Assign", "place_columns", "place_rows_and_columns", "placement_damage"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Assign = Callable[[WeightMapping, Floats, Placement, Floats, Floats], Placement]
"""Finds a placement; arguments are those of :func:`place_columns`."""

TURNS = 2
"""Number of times that columns and rows are assigned in turn; more turns gain next to nothing."""


def place_columns(
    mapping: WeightMapping, stuck: Floats, place: Placement, weights: Floats, weight: Floats
) -> Placement:
    """Assign outputs to places, including spares, so that the total damage is lowest (an assignment problem).

    Parameters
    ----------
    mapping : WeightMapping
        Weights to conductances.
    stuck : (rows, columns) ndarray
        Conductances of the tile's stuck cells [S], nan for the others.
    place : Placement
        Present places of inputs and outputs.
    weights : (inputs, outputs) ndarray
        Wanted weights of this tile's share.
    weight : (inputs, outputs) ndarray
        Cost of a squared error of each.
    """
    lowest, highest = mapping.limits(stuck)
    cost = _costs(weights.T, weight.T, lowest[place.rows].T, highest[place.rows].T)
    return replace(place, pairs=scipy.optimize.linear_sum_assignment(cost)[1].astype(np.intp))


def place_rows_and_columns(
    mapping: WeightMapping, stuck: Floats, place: Placement, weights: Floats, weight: Floats
) -> Placement:
    """Assign outputs to places and inputs to word lines in turn; arguments are those of :func:`place_columns`."""
    lowest, highest = mapping.limits(stuck)
    for _ in range(TURNS):
        place = place_columns(mapping, stuck, place, weights, weight)
        cost = _costs(weights, weight, lowest[:, place.pairs], highest[:, place.pairs])
        place = replace(place, rows=scipy.optimize.linear_sum_assignment(cost)[1].astype(np.intp))
    return place


def placement_damage(mapping: WeightMapping, stuck: Floats, place: Placement, weights: Floats, weight: Floats) -> float:
    """Return the damage of a placement; arguments are those of :func:`place_columns`."""
    lowest, highest = (limit[place.rows][:, place.pairs] for limit in mapping.limits(stuck))
    return float((weight * (np.clip(weights, lowest, highest) - weights) ** 2).sum())


def _costs(wanted: Floats, weight: Floats, lowest: Floats, highest: Floats) -> Floats:
    """Return the cost of each line of ``wanted`` in each place (lines, places), from (lines or places, others) each."""
    cost = np.empty((len(wanted), len(lowest)))
    lines, lows, highs = _within_one(wanted, lowest, highest)
    (share,) = _within_one(weight)
    for index, (low, high) in enumerate(zip(lows, highs, strict=True)):
        off = np.clip(lines, low, high)
        off -= lines
        off *= off
        cost[:, index] = np.einsum("ij,ij->i", off, share)
    return cost


def _within_one(*arrays: Floats) -> list[NDArray[np.float32]]:
    """Return arrays scaled by one power of two, which is exact, so that single precision holds their squares."""
    exponent = int(np.frexp(max(float(np.abs(array).max(initial=0.0)) for array in arrays))[1])
    return [np.ldexp(array, -exponent).astype(np.float32) for array in arrays]
