"""Elimination that subtracts nothing, against exact fractions, where a factorisation is singular."""

from fractions import Fraction

import numpy as np
import pytest

from circuitmem.engine.elimination import EliminationOrder

EPSILON = float(np.finfo(float).eps)


def in_fractions(size, first, second, siemens, current):
    """Solve the nodal equations exactly."""
    matrix = [[Fraction(0)] * size for _ in range(size)]
    for one, other, g in zip(first.tolist(), second.tolist(), siemens.tolist(), strict=True):
        for end in (one, other):
            if end >= 0 and one != other:
                matrix[end][end] += Fraction(g)
        if one >= 0 and other >= 0 and one != other:
            matrix[one][other] -= Fraction(g)
            matrix[other][one] -= Fraction(g)
    value = [Fraction(x) for x in current.tolist()]
    for k in range(size):
        for i in range(k + 1, size):
            share = matrix[i][k] / matrix[k][k]
            value[i] -= share * value[k]
            for j in range(k, size):
                matrix[i][j] -= share * matrix[k][j]
    for k in reversed(range(size)):
        value[k] = (value[k] - sum(matrix[k][j] * value[j] for j in range(k + 1, size))) / matrix[k][k]
    return np.array([float(x) for x in value])


@pytest.mark.parametrize("seed", range(20))
def test_every_voltage_keeps_its_digits_whatever_the_branches_are(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 12))
    # A chain that is tied to a known voltage at one end, and branches anywhere: some twice, some from a node to itself.
    first = np.concatenate([np.arange(size), rng.integers(0, size, 2 * size)])
    second = np.concatenate([np.arange(size) - 1, rng.integers(-1, size, 2 * size)])
    siemens = 10 ** rng.uniform(-30, 6, len(first))
    current = rng.uniform(0.0, 1.0, size) * (rng.random(size) < 0.5)
    found = EliminationOrder(size, first, second).eliminate(siemens).solve(current)
    expected = in_fractions(size, first, second, siemens, current)
    # Positive numbers are added, multiplied and divided, a few times for each node that is eliminated.
    np.testing.assert_allclose(found, expected, rtol=40 * size * EPSILON, atol=0.0)


def test_what_hangs_on_branches_of_nothing_is_at_zero():
    order = EliminationOrder(2, np.array([0, 1]), np.array([-1, 0]))
    assert order.eliminate(np.array([2.0, 0.0])).solve(np.array([1.0, 0.0])).tolist() == [0.5, 0.0]
