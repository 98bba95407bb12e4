"""CrossbarConv1d: torch's own convolution of sequences on a perfect chip, alone and in a network."""

import copy

import pytest

from circuitmem import TileSpec
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec
from circuitmem.errors import ValidationError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from circuitmem.torch import CrossbarConv1d, convert, digitally, summary  # noqa: E402


def chip(yield_=1.0, wire=0.0):
    return ChipSpec(
        tile=TileSpec(rows=8, columns=6, word_line_resistance=wire, bit_line_resistance=wire),
        converters=ConverterSpec(dac=DacSpec(bits=16), adc=AdcSpec(bits=16)),
        defects=DefectSpec(device_yield=yield_),
    )


def levels(*shape):
    """Random inputs of both signs."""
    return torch.rand(shape) * 2.0 - 1.0


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # torch's own
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": 3, "padding": 2, "dilation": 2},
        {"padding": "same", "dilation": 2},
        {"padding": "same", "kernel_size": 4},
        {"padding": "valid", "bias": False},
        {"groups": 2, "padding": 1},
        {"groups": 4, "out_channels": 8},
    ],
    ids=str,
)
def test_on_a_perfect_chip_it_is_the_convolution_of_torch(given):
    torch.manual_seed(0)
    arguments = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, **given}
    layer, plain = CrossbarConv1d(**arguments, chip=chip(), seed=1), nn.Conv1d(**arguments)
    layer.load_state_dict(plain.state_dict())
    inputs = levels(2, 4, 11)
    found, wanted = layer(inputs), plain(inputs)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert torch.equal(layer(inputs[0]), found[0])
    with digitally(layer):
        assert torch.allclose(layer(inputs), wanted, atol=1e-6)
    converted = convert(plain, chip(), seed=1, sample=inputs)
    assert isinstance(converted, CrossbarConv1d)
    with digitally(converted):
        assert torch.allclose(converted(inputs), wanted, atol=1e-6)


def test_exact_gradients_are_those_of_finite_differences():
    torch.manual_seed(1)
    layer = CrossbarConv1d(2, 3, 3, stride=2, padding=1, chip=chip(0.8, 20.0), seed=1, converters=False).double()
    inputs = (torch.rand(2, 2, 5, dtype=torch.float64) * 1.6 - 0.8).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]

    def function(inputs, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), inputs)

    assert torch.autograd.gradcheck(function, (inputs, *layer.parameters()), eps=1e-5, atol=1e-6, rtol=1e-5)


def test_a_network_of_sequences_is_converted_copied_and_summarised():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(3, 4, 3, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6, 2)).eval()
    inputs = torch.rand(5, 3, 6)
    analog = convert(net, chip(0.9), seed=1, sample=inputs)
    wanted = analog(inputs)
    other, twin = convert(net, chip(0.9), seed=1, sample=inputs), copy.deepcopy(analog)
    other.load_state_dict(analog.state_dict())
    assert torch.equal(other(inputs), twin(inputs))
    assert wanted.shape == (5, 2)
    found = summary(net, inputs, chip(0.9))
    assert (found.layers[0].kind, found.layers[0].inputs, found.layers[0].vectors) == ("Conv1d", 9, 6.0)


def test_wrong_arguments_and_inputs_are_one_line():
    layer = CrossbarConv1d(3, 4, 3, chip=chip(), seed=1)
    for inputs, message in (
        (torch.zeros(2, 4, 8), r"inputs must have shape \(batch, in_channels, length\) with in_channels=3"),
        (torch.zeros(2, 3, 8, 8), r"inputs must have shape \(batch, in_channels, length\)"),
        (torch.zeros(0, 3, 8), "at least one vector"),
        (torch.zeros(1, 3, 2), "inputs must be at least 1x3 with their padding, the reach of the kernel"),
        (torch.full((1, 3, 3), float("nan")), r"inputs must be finite at index .*; in_channels=3 \(got nan\)"),
    ):
        with pytest.raises(ValidationError, match=message):
            layer(inputs)
    for given, message in (({"stride": 0}, "stride must be >= 1"), ({"padding": -1}, "padding must be >= 0")):
        with pytest.raises(ValidationError, match=message):
            CrossbarConv1d(3, 4, 3, chip=chip(), **given)
