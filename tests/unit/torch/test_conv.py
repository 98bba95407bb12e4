"""CrossbarConv2d: torch's own convolution on a perfect chip, exact gradients on a bad one."""

import copy

import pytest

from circuitmem import TileSpec
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec
from circuitmem.control import Chip
from circuitmem.errors import ValidationError

torch = pytest.importorskip("torch")
from circuitmem.torch import CrossbarConv2d, CrossbarLinear, set_read_noise  # noqa: E402

FINE = ConverterSpec(dac=DacSpec(bits=16), adc=AdcSpec(bits=16))
SHAPES = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (1, 2), "padding": (2, 0), "dilation": (1, 2)},
    {"padding": "same", "dilation": 2},
    {"padding": "same", "kernel_size": (2, 4)},
    {"padding": "valid", "bias": False},
    {"groups": 2, "padding": 1},
    {"groups": 4, "out_channels": 8},
]


def perfect(rows=6, columns=6, **kwargs):
    tile = TileSpec(rows=rows, columns=columns, word_line_resistance=0.0, bit_line_resistance=0.0)
    return ChipSpec(tile=tile, converters=FINE, defects=DefectSpec(device_yield=1.0), **kwargs)


def bad(yield_=0.8):
    tile = TileSpec(rows=8, columns=6, word_line_resistance=20.0, bit_line_resistance=20.0)
    return ChipSpec(
        tile=tile, converters=ConverterSpec(adc=AdcSpec(noise=0.005)), defects=DefectSpec(device_yield=yield_)
    )


def levels(*shape):
    """Random inputs of both signs."""
    return torch.rand(shape) * 2.0 - 1.0


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # torch's own
@pytest.mark.parametrize("given", SHAPES, ids=str)
def test_on_a_perfect_chip_it_is_the_convolution_of_torch(given):
    torch.manual_seed(0)
    arguments = {"in_channels": 4, "out_channels": 6, "kernel_size": 3, **given}
    layer, plain = CrossbarConv2d(**arguments, chip=perfect()), torch.nn.Conv2d(**arguments)
    layer.load_state_dict(plain.state_dict())
    inputs = levels(2, 4, 9, 8)
    found, wanted = layer(inputs), plain(inputs)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert torch.equal(layer(inputs[0]), found[0])
    assert len(list(layer.parameters())) == len(list(plain.parameters()))


def test_a_patch_is_a_vector_of_the_linear_layer():
    torch.manual_seed(0)
    conv = CrossbarConv2d(3, 5, 2, chip=bad(), seed=3, read_noise=False, bias=False)
    linear = CrossbarLinear(12, 5, chip=bad(), seed=3, read_noise=False, bias=False)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.flatten(1))
    inputs = levels(4, 3, 2, 2)
    assert torch.equal(conv(inputs).flatten(1), linear(inputs.flatten(1)))


@pytest.mark.parametrize("groups", [1, 2])
def test_exact_gradients_are_those_of_finite_differences(groups):
    torch.manual_seed(1)
    given = {"stride": 2, "padding": 1, "groups": groups, "chip": bad(), "seed": 1, "converters": False}
    layer = CrossbarConv2d(2, 4, 3, **given).double()
    inputs = (torch.rand(1, 2, 4, 3, dtype=torch.float64) * 1.6 - 0.8).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]

    def function(inputs, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), inputs)

    assert torch.autograd.gradcheck(function, (inputs, *layer.parameters()), eps=1e-5, atol=1e-6, rtol=1e-5)


def test_calibration_uses_the_patches_and_lowers_the_error():
    torch.manual_seed(0)
    worse = bad(1.0).model_copy(update={"converters": ConverterSpec(adc=AdcSpec(gain_error=0.1))})
    layer = CrossbarConv2d(4, 6, 3, groups=2, chip=worse, seed=2)
    inputs = levels(5, 4, 8, 8)
    wanted = torch.nn.functional.conv2d(inputs, layer.weight, layer.bias, groups=2)
    before = float((layer(inputs) - wanted).detach().square().mean())
    record = layer.calibrate(inputs)
    assert record.reads == len(layer.chip.units) * 5 * 6 * 6 * 2
    assert float((layer(inputs) - wanted).detach().square().mean()) < 0.3 * before


def test_a_network_shares_one_chip_reloads_and_copies_with_the_same_bits():
    torch.manual_seed(0)

    def net_of(chip):
        return torch.nn.Sequential(
            CrossbarConv2d(3, 6, 3, stride=2, padding=1, groups=3, chip=chip),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            CrossbarLinear(6 * 9, 4, chip=chip, input_scale=3.0),
        )

    net, inputs = net_of(Chip(bad(), 0, seed=5)), levels(6, 3, 6, 6)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(inputs), torch.arange(6) % 4)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    net[0].calibrate(inputs)
    other, twin = net_of(Chip(bad(), 0, seed=5)), copy.deepcopy(net)
    other.load_state_dict(net.state_dict())
    wanted = net(inputs)
    assert torch.equal(other(inputs), wanted)
    assert torch.equal(twin(inputs), wanted)
    assert other[0].chip.now == net[3].chip.now
    assert not torch.equal(net(inputs), wanted)
    set_read_noise(net, False)
    assert torch.equal(net(inputs), net(inputs))


def test_wrong_arguments_and_inputs_are_one_line():
    layer = CrossbarConv2d(3, 4, 3, chip=bad(), seed=1)
    for inputs, message in (
        (torch.zeros(2, 4, 8, 8), r"inputs must have shape .* with in_channels=3.*\(got \(2, 4, 8, 8\)\)"),
        (torch.zeros(0, 3, 8, 8), r"at least one vector \(got \(0, 3, 8, 8\)\)"),
        (torch.zeros(3, 8), r"inputs must have shape .* with in_channels=3"),
        (torch.zeros(1, 3, 2, 8), r"inputs must be at least 3x3 with their padding.*\(got \(1, 3, 2, 8\)\)"),
        (torch.full((1, 3, 3, 3), float("nan")), r"inputs must be finite at index .*; in_channels=3 \(got nan\)"),
    ):
        with pytest.raises(ValidationError, match=message):
            layer(inputs)
    for given, message in (
        ({"groups": 2}, r"in_channels must be a multiple of groups=2 \(got 3\)"),
        ({"stride": 0}, "stride must be >= 1"),
        ({"dilation": (1, 0)}, "dilation must be >= 1"),
        ({"padding": -1}, "padding must be >= 0"),
        ({"padding": "reflect"}, "padding must be same, valid, or one or two integers"),
        ({"padding": "same", "stride": 2}, "padding must not be same where the stride is not 1"),
        ({"kernel_size": (1, 2, 3)}, "kernel_size must be an integer"),
        ({"groups": 0}, "groups must be >= 1"),
    ):
        with pytest.raises(ValidationError, match=message):
            CrossbarConv2d(**{"in_channels": 3, "out_channels": 4, "kernel_size": 3, **given}, chip=bad())
    assert "kernel_size=(3, 3), stride=(1, 1), padding=0" in repr(layer)
