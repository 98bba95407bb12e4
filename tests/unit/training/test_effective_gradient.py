"""The gradient ``read`` belongs to the forward pass: through every calibration it is the exact one, layer by layer."""

import itertools

import numpy as np
import pytest

from circuitmem.calibration import CALIBRATIONS
from circuitmem.config import load_run
from circuitmem.data import load_mnist
from circuitmem.training import Digits, build_network, train_ex_situ
from circuitmem.training.bring_up import calibrate_network
from circuitmem.training.gradients import adjoint_gradients, read_cells, read_gradients
from circuitmem.training.loss import cross_entropy

SMALL = ["data.side=8", "network.layers=[64, 24, 10]", "chip.tile.rows=32", "chip.tile.columns=32"]
SMALL += ["calibration.vectors=200", "ex_situ.weight_limit=1.5", "ex_situ.epochs=20"]


@pytest.fixture(scope="module")
def start():
    data = load_mnist().resized(8).first(1000, 300)
    digits = Digits(data.train_images, data.train_labels, data.test_images, data.test_labels)
    spec = load_run(None, SMALL)
    train = digits.train_images, digits.train_labels
    return digits, train_ex_situ(spec.ex_situ, spec.network, *train, 1, lambda *_: None)


def brought_up(start, method, yield_, wire):
    digits, model = start
    chip = [f"chip.defects.device_yield={yield_}"]
    chip += [f"chip.tile.{line}_line_resistance={wire}" for line in ("word", "bit")]
    spec = load_run(None, [*SMALL, *chip])
    network = build_network(spec, model, digits)
    network.chip.run(network.program(0.0))
    network.chip.run(calibrate_network(network, spec, digits, method.split("+")))
    return network


def angle_and_length(one, other):
    """Return the cosine between two gradients and the ratio of their norms."""
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    return float((one * other).sum() / (lengths[0] * lengths[1])), float(lengths[0] / lengths[1])


JOINED = ["defect-subtract+affine", "out-of-range+affine"]
CASES = list(itertools.product([*CALIBRATIONS, *JOINED], (0.8, 0.5), (0.0, 1.0)))


@pytest.mark.parametrize(("method", "yield_", "wire"), CASES)
def test_read_is_the_exact_gradient_through_every_calibration(start, method, yield_, wire):
    digits, _ = start
    network = brought_up(start, method, yield_, wire)
    activities = network.chip.run(network.forward(digits.train_images[:200]))
    _, error = cross_entropy(activities[-1], digits.train_labels[:200])
    found, biases = read_gradients(network, network.chip.run(read_cells(network)), activities, error)
    exact, exact_biases = adjoint_gradients(network, activities, error)
    for one, other in zip([*found, *biases], [*exact, *exact_biases], strict=True):
        # Where half of the cells are stuck, the steps in which those that conduct most were read count.
        assert angle_and_length(one, other)[0] >= (0.99 if wire == 0.0 and yield_ == 0.8 else 0.985)
    for one, other in zip(found, exact, strict=True):
        # What wires take from a change of a cell, reads of single rows do not tell: with them the map is somewhat long.
        assert 0.95 <= angle_and_length(one, other)[1] <= (1.05 if wire == 0.0 else 1.20)
