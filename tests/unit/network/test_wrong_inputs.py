"""Inputs that a network cannot take: the error is one line in the user's terms, and the chip goes on."""

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import ChipSpec, NetworkSpec
from circuitmem.control import Chip
from circuitmem.errors import ValidationError
from circuitmem.network import HardwareNetwork, Perceptron, patches_of

SPEC = ChipSpec(tile=TileSpec(rows=16, columns=16))


def network(kind="mlp"):
    rng = np.random.default_rng(0)
    if kind == "mlp":
        return HardwareNetwork(Chip(SPEC, 1, 1, 1), Perceptron([rng.normal(size=(4, 3))], [np.zeros(3)]), [1.0])
    spec = NetworkSpec(kind="cnn", layers=(16, 3), convolutions=((2, 3),))
    weights = [rng.normal(size=shape) for shape in spec.shapes]
    biases = [np.zeros(shape[1]) for shape in spec.shapes]
    return HardwareNetwork(Chip(SPEC, 2, 1, 1), Perceptron(weights, biases, patches_of(spec)), [1.0, 1.0])


def given(width, kind):
    return {
        "nan": np.full((2, width), np.nan),
        "infinite": np.full((2, width), np.inf),
        "empty": np.zeros((0, width)),
        "wide": np.zeros((2, width + 1)),
        "alone": np.zeros(width),
        "negative": np.full((2, width), -1.0),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", r"must be finite at index \(0, 0\) \(got nan\)"),
        ("infinite", r"must be finite at index \(0, 0\) \(got inf\)"),
        ("empty", r"must have shape \(batch, WIDTH\), with at least one .* \(got \(0, WIDTH\)\)"),
        ("wide", r"must have shape \(batch, WIDTH\), with at least one .* \(got \(2, WIDER\)\)"),
        ("alone", r"must have shape \(batch, WIDTH\), with at least one .* \(got \(WIDTH,\)\)"),
    ],
)
@pytest.mark.parametrize(("what", "width"), [("mlp", 4), ("cnn", 16), ("layer", 4)])
def test_inputs_that_no_network_takes_are_one_line(what, width, kind, message):
    net = network("cnn" if what == "cnn" else "mlp")
    use = net.layers[0].forward if what == "layer" else net.outputs
    message = message.replace("WIDTH", str(width)).replace("WIDER", str(width + 1))
    with pytest.raises(ValidationError, match=message) as error:
        net.chip.run(use(given(width, kind)))
    assert "\n" not in str(error.value)
    assert net.chip.run(use(np.ones((1, width)))).shape == (1, 3)  # the chip goes on


def test_a_negative_input_is_an_error_of_a_layer_and_counted_by_a_network():
    net = network()
    with pytest.raises(ValidationError, match=r"activities must be >= 0 at index \(0, 0\) \(got -1.0\)"):
        net.chip.run(net.layers[0].forward(given(4, "negative")))
    before = net.layers[0].saturated
    net.chip.run(net.outputs(given(4, "negative")))
    assert net.layers[0].saturated == before + 8
