"""Momentum moves parameters in one pass: as its change says, also where a user has changed that."""

import numpy as np
import pytest

from circuitmem.config import InSituSpec
from circuitmem.training.optimisers import Momentum, Moved, Optimiser

SPEC = InSituSpec(optimiser="momentum", momentum=0.8)


class Halved(Momentum):
    """Half of each change."""

    def change(self, gradient, rate, *memory):
        """Return half the change."""
        return 0.5 * super().change(gradient, rate, *memory)


def parameters(order):
    rng = np.random.default_rng(3)
    weights, bias = np.array(rng.normal(size=(6, 4)), order=order), rng.normal(size=4)
    steps = [[rng.normal(size=(6, 4)), rng.normal(size=4)] for _ in range(5)]
    return [weights, bias], steps, [(np.full((6, 4), -0.5), np.full((6, 4), 0.7)), None]


def moved(optimiser, move, order):
    own, steps, limits = parameters(order)
    used = optimiser(SPEC, own)
    for gradients in steps:
        move(used, list(map(Moved, own, limits)), gradients, 0.3)
    return own, used


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("optimiser", [Momentum, Halved])
def test_parameters_move_as_the_change_says_within_their_limits(optimiser, order):
    ours, used = moved(optimiser, optimiser.move, order)
    plain, alike = moved(optimiser, Optimiser.move, order)
    for own, other in zip([*ours, *used.memory[0]], [*plain, *alike.memory[0]], strict=True):
        np.testing.assert_array_equal(own, other)
    assert used.steps == alike.steps == 5
    assert ours[0].min() == -0.5
    assert ours[0].max() == 0.7
    assert np.abs(ours[1]).max() > 0.7  # biases have no limits


def test_parameters_of_single_precision_move_as_the_change_says():
    rng = np.random.default_rng(4)
    ours, plain = (np.ones((3, 2), dtype=np.float32) for _ in range(2))
    gradient = rng.normal(size=(3, 2)).astype(np.float32)
    for own, cls in ((ours, Momentum), (plain, Optimiser)):
        cls.move(Momentum(SPEC, [own]), [Moved(own)], [gradient], 0.3)
    np.testing.assert_array_equal(ours, plain)
    assert not np.array_equal(ours, np.ones((3, 2)))


def test_half_of_the_change_is_not_the_whole():
    assert not np.array_equal(moved(Halved, Halved.move, "C")[0][0], moved(Momentum, Momentum.move, "C")[0][0])


def test_a_part_of_the_change_moves_the_parameters_and_all_of_it_their_velocities():
    own, gradient = np.ones((2, 3)), np.full((2, 3), 0.5)
    used = Momentum(SPEC, [own])
    used.move([Moved(own, part=lambda change: np.where(np.arange(3) > 0, change, 0.0))], [gradient], 0.4)
    np.testing.assert_array_equal(used.memory[0][0], np.full((2, 3), -0.2))
    np.testing.assert_array_equal(own, [[1.0, 0.8, 0.8]] * 2)
