"""convert(): a network of torch on the tiles of one chip, brought up, calibrated, trained by pulses, saved."""

import collections
import copy
import io

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of
from circuitmem.config import AdcSpec, CalibrationSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec
from circuitmem.control import Chip
from circuitmem.errors import CircuitmemError, ValidationError
from circuitmem.network import HardwareNetwork, Perceptron

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from circuitmem.torch import (  # noqa: E402
    CrossbarConv2d,
    CrossbarLinear,
    calibrate,
    convert,
    digitally,
    program,
    set_read_noise,
)


def chip(yield_=0.95, noise=2e-3, wire=1.0, adc=10, dac=8, side=16):
    return ChipSpec(
        tile=TileSpec(rows=side, columns=side, word_line_resistance=wire, bit_line_resistance=wire),
        converters=ConverterSpec(dac=DacSpec(bits=dac), adc=AdcSpec(bits=adc, noise=noise)),
        defects=DefectSpec(device_yield=yield_),
    )


def perfect():
    return chip(1.0, 0.0, 0.0, adc=16, dac=12)


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 10), nn.ReLU(), nn.Dropout(0.2), nn.Linear(10, 3))


def cnn():
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding="same", groups=2, bias=False),
        nn.Flatten(),
        nn.Linear(4 * 16, 3),
    )
    for _ in range(10):
        net(torch.randn(20, 2, 8, 8))
    return net


def inputs_for(net, count=24):
    return torch.randn(count, 3, 4) if isinstance(net[0], nn.Flatten) else torch.randn(count, 2, 8, 8)


def relative(found, wanted):
    return float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


@pytest.mark.parametrize("made", [mlp, cnn])
def test_on_a_perfect_chip_the_copy_is_the_network_and_the_original_is_left_alone(made):
    torch.manual_seed(0)
    net = made().eval()
    inputs = inputs_for(net)
    before = copy.deepcopy(net.state_dict())
    analog = convert(net, perfect(), seed=1, sample=inputs)
    for layer in analog.modules():
        for product in getattr(layer, "products", ()):  # nothing saturates, so that only rounding is left
            product.set_input_scale(5.0)
    with torch.no_grad():
        assert relative(analog(inputs), net(inputs)) < 3e-3  # steps of 5 / 4095 in each layer
        with digitally(analog):
            assert torch.equal(analog(inputs), net(inputs))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    with torch.no_grad():
        for parameter in analog.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_all_layers_share_one_chip_whose_tiles_differ():
    torch.manual_seed(0)
    analog = convert(mlp(), chip(0.8), seed=3)
    one, two = analog[1], analog[4]
    assert isinstance(one, CrossbarLinear)
    assert one.chip is two.chip
    assert len(one.chip.units) == 2 + 1
    maps = [unit.tile.stuck for unit in one.chip.units]
    assert not any(np.array_equal(maps[0], other) for other in maps[1:])
    again = convert(mlp(), chip(0.8), seed=3)
    assert np.array_equal(maps[0], again[1].chip.units[0].tile.stuck)
    torch.manual_seed(1)
    drawn = [convert(mlp(), chip(0.8))[1].chip.seed for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_the_root_a_module_at_two_places_and_tied_weights():
    torch.manual_seed(0)
    assert isinstance(convert(nn.Linear(3, 2), chip(), seed=1), CrossbarLinear)
    same = nn.Linear(4, 4)
    analog = convert(nn.Sequential(same, nn.ReLU(), same), chip(), seed=1)
    assert analog[0] is analog[2]
    assert len(analog[0].chip.units) == 1
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    analog = convert(tied, chip(), seed=1)
    assert analog[0].weight is analog[2].weight
    assert len(analog[0].chip.units) == 2


def test_a_converted_mlp_is_the_built_in_network_to_the_last_bit():
    """The same pulses, the same clock, the same logits in float64."""
    torch.manual_seed(0)
    spec = chip(0.8)
    model = nn.Sequential(nn.Linear(40, 12), nn.ReLU(), nn.Linear(12, 5)).double()
    inputs = torch.rand(50, 40, dtype=torch.float64)
    weights = [layer.weight.detach().numpy().T.copy() for layer in (model[0], model[2])]
    biases = [layer.bias.detach().numpy() for layer in (model[0], model[2])]
    perceptron = Perceptron(weights, biases)
    activities = perceptron.activities(inputs.numpy())
    scales = [1.0, float(np.quantile(activities[1], 0.999))]

    analog = convert(model, spec, seed=4)
    for layer, scale in zip((analog[0], analog[2]), scales, strict=True):
        layer.products[0].set_input_scale(scale)
    pulses = program(analog, verify=True)
    calibrate(analog, inputs, "affine")
    with torch.no_grad():
        found = analog(inputs)

    hardware = Chip(spec, len(analog[0].chip.units), 4, 4)
    network = HardwareNetwork(hardware, perceptron, scales)
    hardware.run(network.program(0.0))
    for layer in network.layers:
        hardware.run(layer.verify(spec.programming.verify_tries, spec.programming.verify_tolerance))
    assert hardware.ledger.pulses == pulses > 0
    for layer, own in zip(network.layers, activities[:2], strict=True):
        affine = calibration_of(["affine"], CalibrationSpec())
        hardware.run(calibrate_layer(affine, layer, layer.within_range(own), CalibrationRecord()))
    np.testing.assert_array_equal(found.numpy(), hardware.run(network.outputs(inputs.numpy())))
    assert hardware.clock == analog[0].chip.clock
    assert hardware.ledger.accounts == analog[0].chip.ledger.accounts


class Wrong(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 4)
        self.w = nn.Parameter(torch.zeros(4, 4))

    def forward(self, inputs):
        return self.head(inputs) @ self.w


class Special(nn.Linear):
    def forward(self, inputs):
        return super().forward(inputs).exp()


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, inputs):
        return nn.functional.linear(inputs, self.head.weight) + self.body(inputs)


def hooked():
    net = nn.Sequential(nn.Linear(4, 4))
    net[0].register_forward_hook(lambda *_: None)
    return net


def nowhere_finite():
    net = nn.Sequential(nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    with torch.no_grad():
        net[1].weight[1, 2] = net[1].weight[3, 0] = torch.nan
    return net


def sparse():
    net = nn.Sequential(nn.Linear(4, 4))
    net[0].weight = nn.Parameter(net[0].weight.detach().to_sparse())
    return net


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (nowhere_finite(), {}, r"1.weight must be finite at index \(1, 2\), and at 1 places more \(got nan\)"),
        (sparse(), {}, r"0.weight must be dense \(got 'torch.sparse_coo'\)"),
        (Wrong(), {}, r"digital must name what shall stay digital: w \(Wrong\) cannot go on tiles"),
        (
            nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2)),
            {},
            r"digital must name what shall stay digital: 0.weight \(Embedding\) cannot",
        ),
        (nn.RNN(4, 4), {}, r"digital must name what shall stay digital: weight_ih_l0 \(RNN\) cannot"),
        (
            nn.Sequential(nn.LSTM(4, 4, bidirectional=True)),
            {},
            "0 must go in one direction, without proj_size on tiles; name 0 in digital",
        ),
        (nn.LSTM(4, 4, proj_size=2), {}, "the network must go in one direction, without proj_size"),
        (nn.MultiheadAttention(4, 2, kdim=3), {}, "the network must have keys and values as wide as its queries"),
        (nn.MultiheadAttention(4, 2, add_bias_kv=True), {}, "the network must have no add_bias_kv and add_zero_attn"),
        (nn.Sequential(Special(4, 4)), {}, r"digital must name .*: 0.weight \(Special\) cannot"),
        (nn.Sequential(nn.ConvTranspose2d(1, 1, 2)), {}, r"digital must name .*: 0.weight \(ConvTranspose2d\) cannot"),
        (
            nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")),
            {},
            r"0.padding_mode must be zeros on tiles; name 0 in digital to keep it digital \(got 'reflect'\)",
        ),
        (hooked(), {}, "0 must have no forward hooks on tiles; name 0 in digital"),
        (
            nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))),
            {},
            "digital must name what shall stay digital: 0.parametrizations.weight.original",
        ),
        (nn.Sequential(nn.Linear(4, 4, dtype=torch.complex64)), {}, "0.weight must be real numbers on tiles"),
        (nn.ReLU(), {}, "model must have a Linear, Conv1d or Conv2d module that does not stay digital"),
        (nn.Linear(4, 4), {"digital": ["heda"]}, "digital must name modules of the network; there is no heda"),
        (Wrong(), {"digital": ["heda"]}, "did you mean 'head'"),
        (Wrong(), {"digital": "head"}, r"digital must be a list of names of modules \(got 'head'\)"),
        (Unused(), {"sample": torch.rand(3, 4)}, "head.weight is never used with the sample inputs"),
        (nn.Linear(4, 4), {"sample": "x"}, "sample must be a tensor or an array, or a tuple of them"),
        (nn.Linear(4, 4), {"sample": torch.full((3, 4), torch.nan)}, "inputs must be finite at index"),
        (nn.Linear(4, 4), {"weight_range": 0.5}, "weight_range must .*1"),
        (nn.Linear(4, 4), {"seed": -1}, "seed must be >= 0"),
        (nn.Linear(4, 4), {"chip": Chip(chip(), 0, 1)}, "seed must be left out where chip is a Chip"),
        (nn.Linear(4, 4), {"chip": "nowhere.toml"}, "nowhere.toml"),
        ("net", {}, r"model must be a torch.nn.Module \(got 'str'\)"),
        (nn.Sequential(CrossbarLinear(4, 4, chip=chip(), seed=1)), {}, "must have no layers on tiles yet: 0 is a"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_one_line(net, options, message):
    with pytest.raises(CircuitmemError, match=message) as error:
        convert(net, **{"chip": chip(), "seed": 1, **options})
    assert "\n" not in str(error.value)


def test_a_network_larger_than_memory_is_refused_before_a_tile_is_made(monkeypatch):
    monkeypatch.setattr("circuitmem.control.room._memory", lambda: 100_000)
    fits, large = nn.Sequential(nn.Linear(16, 8)), nn.Sequential(nn.Linear(16, 8), nn.Conv2d(8, 32, 3, groups=2))
    assert len(convert(fits, chip(), seed=1)[0].chip.units) == 1
    shared = Chip(chip(), 0, 1)
    # A tile of 16x16: 25 + 16 bytes per cell. Each group has inputs for 3 tiles and outputs for 2.
    with pytest.raises(ValidationError, match=r"13 tiles take 0.0 GB at least.*use other tiles, or keep"):
        convert(large, shared)
    assert not shared.units
    with pytest.raises(ValidationError, match=r"chip.tile must be such that the network fits into memory: 10 tiles"):
        Chip(chip(), 10, 1)


def test_modules_stay_digital_if_they_are_named():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2))
    analog = convert(net, chip(), seed=1, digital=["0", "4"])
    assert isinstance(analog[2], CrossbarLinear)
    assert type(analog[4]) is nn.Linear
    assert analog(torch.randint(5, (7, 3))).shape == (7, 2)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    analog = convert(encoder, chip(), seed=1, digital=["self_attn"])
    with torch.no_grad():  # the fused path of torch would not use the tiles
        assert relative(analog(torch.randn(3, 4, 8)), torch.zeros(1)) > 0
    assert analog.linear1.chip.clock > 0


def test_a_chip_is_a_file_a_specification_or_the_default(tmp_path):
    (tmp_path / "chip.toml").write_text("[chip.tile]\nrows = 8\ncolumns = 6\n")
    assert convert(nn.Linear(3, 2), tmp_path / "chip.toml", seed=1).chip.spec.tile.shape == (8, 6)
    assert convert(nn.Linear(3, 2), str(tmp_path / "chip.toml")).chip.spec.tile.shape == (8, 6)
    from circuitmem.config import load_run

    assert convert(nn.Linear(3, 2)).chip.spec == load_run().chip
    shared = Chip(chip(), 0, 5)
    assert convert(nn.Linear(3, 2), shared).chip is shared


def test_the_sample_decides_the_range_of_inputs_at_all_calls():
    torch.manual_seed(0)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 4)

        def forward(self, inputs, factor):
            return self.body(inputs) + self.body(factor * inputs)

    inputs = torch.rand(10, 4)
    analog = convert(Twice(), chip(), seed=1, sample=(inputs, torch.tensor(7.0)))
    wanted = float(np.quantile(7.0 * inputs.numpy().astype(float), 0.999))
    assert analog.body.layer.input_scale == pytest.approx(wanted, rel=1e-6)
    first = convert(Twice(), chip(), seed=1)
    first(inputs, 7.0)
    assert first.body.layer.input_scale == pytest.approx(wanted / 7.0, rel=1e-6)


def test_weight_range_leaves_room():
    torch.manual_seed(0)
    net = nn.Linear(6, 4)
    largest = float(net.weight.detach().abs().max())
    for room in (1.0, 2.5):
        assert convert(net, chip(), 1, weight_range=room).layer.mapping.largest_weight == pytest.approx(room * largest)


def test_calibration_lowers_the_error_and_is_booked_as_that():
    torch.manual_seed(0)
    net = cnn().eval()
    inputs, unseen = inputs_for(net, 40), inputs_for(net, 40)
    wanted = net(unseen).detach()
    errors = {}
    for method in ("none", "affine", ("defect-subtract", "affine")):
        analog = convert(net, chip(0.9, side=32), seed=1, sample=inputs)
        program(analog, verify=True)
        record = calibrate(analog, inputs, method, batch_norm=False)
        with torch.no_grad():
            errors[method] = relative(analog(unseen), wanted)
        phases = analog[0].chip.ledger.by("phase")
        assert phases["calibration"].operations > record.reads / 2
        assert record.products == sum(analog[index].weight.numel() for index in (0, 3, 5))
    assert record.digital_products > 0
    assert errors["defect-subtract", "affine"] < 0.5 * errors["none"]
    assert errors["defect-subtract", "affine"] < errors["affine"]
    pulses = analog[0].chip.ledger.pulses
    assert calibrate(analog, inputs, ["redundant-column", "affine"]).pulses == analog[0].chip.ledger.pulses - pulses > 0
    with pytest.raises(ValidationError, match="vectors must be >= 2"):
        calibrate(analog, inputs, vectors=1)
    with pytest.raises(ValidationError, match="module must have layers on tiles"):
        calibrate(net, inputs)
    apart = nn.Sequential(CrossbarLinear(4, 4, chip=chip(), seed=1), CrossbarLinear(4, 4, chip=chip(), seed=2))
    with pytest.raises(ValidationError, match=r"module must have its layers on one chip.*\(got '2 chips'\)"):
        program(apart)


def test_batch_norms_are_measured_on_the_chip():
    torch.manual_seed(0)
    net = cnn().eval()
    inputs = inputs_for(net, 30)
    analog = convert(net, chip(0.8), seed=1, sample=inputs)
    set_read_noise(analog, False)
    calibrate(analog, inputs, "none", batch_norm=False)
    assert torch.equal(analog[1].running_mean, net[1].running_mean)
    before = analog[0].chip.now
    record = calibrate(analog, inputs, "none")
    assert record.time_s == pytest.approx(analog[0].chip.now - before, rel=0.5)
    assert record.reads > 0
    with torch.no_grad():
        maps = analog[0](inputs)
    assert torch.allclose(analog[1].running_mean, maps.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(analog[1].running_var, maps.var((0, 2, 3)), rtol=1e-4)
    assert analog[1].momentum == net[1].momentum
    assert not analog[1].training


def train(analog, inputs, labels, optimiser, epochs):
    losses = []
    for epoch in epochs:
        torch.manual_seed(epoch)  # dropout
        loss = nn.functional.cross_entropy(analog(inputs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        program(analog, deadband=1e-7)
        losses.append(float(loss.detach()))
    return losses


def test_training_in_situ_by_pulses_and_resuming_it_gives_the_same_bits():
    """With dropout and Adam; all random draws are addressed by the epoch."""
    torch.manual_seed(0)
    net = mlp()
    inputs, labels = inputs_for(net), torch.arange(24) % 3

    def begin():
        analog = convert(net, chip(0.9), seed=2, weight_range=2.0)
        return analog, torch.optim.Adam(analog.parameters(), lr=0.02)

    whole, optimiser = begin()
    program(whole, verify=True)
    first = train(whole, inputs, labels, optimiser, range(6))
    file = io.BytesIO()
    torch.save({"net": whole.state_dict(), "optimiser": optimiser.state_dict()}, file)
    pulses = whole[1].chip.ledger.pulses
    rest = train(whole, inputs, labels, optimiser, range(6, 20))
    assert whole[1].chip.ledger.pulses > pulses
    assert np.mean(rest[-3:]) < 0.9 * np.mean(first[:3])

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed, optimiser = begin()
    resumed.load_state_dict(saved["net"])
    optimiser.load_state_dict(saved["optimiser"])
    assert train(resumed, inputs, labels, optimiser, range(6, 20)) == rest
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert whole[1].chip.ledger.state() == resumed[1].chip.ledger.state()
    assert whole[1].chip.clock == resumed[1].chip.clock


def test_programmed_cells_stay_until_weights_change(caplog):
    torch.manual_seed(0)
    net, inputs = nn.Linear(8, 4), torch.rand(5, 8)
    ideal, analog = (convert(net, chip(1.0, 0.0), seed=1) for _ in range(2))
    placed = ideal(inputs).detach()
    pulses = program(analog)
    assert analog.chip.ledger.pulses == pulses > 0
    noisy = analog(inputs).detach()
    assert not torch.equal(noisy, placed)  # pulses have noise
    assert torch.equal(analog(inputs).detach(), noisy)
    assert program(analog) == 0
    caplog.clear()
    assert program(ideal) == 0
    assert "cells were put in place without pulses by an earlier use of the layer" in caplog.text
    with pytest.raises(ValidationError, match="deadband must be"):
        program(analog, deadband=-1.0)


def test_a_converted_network_is_copied_and_compared_digitally():
    torch.manual_seed(0)
    analog = convert(cnn().eval(), chip(), seed=1)
    inputs = torch.randn(4, 2, 8, 8)
    analog(inputs)
    twin = copy.deepcopy(analog)
    assert torch.equal(twin(inputs), analog(inputs))
    with digitally(analog), pytest.raises(ValidationError, match="inputs must have shape"):
        analog[0](torch.zeros(1, 3, 8, 8))
    assert isinstance(analog[0], CrossbarConv2d)
    assert not analog[0].digital


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.full((2, 4), torch.nan), r"finite at index \(0, 0\), and at 7 places more; in_features=4, layer head"),
        (torch.zeros(2, 5), r"in_features=4, and at least one vector \(layer head\) \(got \(2, 5\)\)"),
        (torch.zeros(0, 4), r"in_features=4, and at least one vector \(layer head\) \(got \(0, 4\)\)"),
    ],
)
def test_errors_of_inputs_name_the_layer(inputs, message):
    torch.manual_seed(0)
    net = convert(nn.Sequential(collections.OrderedDict(head=nn.Linear(4, 3))), seed=1)
    with pytest.raises(ValidationError, match=message):
        net(inputs)
    both = torch.tensor([[1.0, -1.0, 0.5, -0.5]])
    assert not torch.allclose(net(both), net(both.clamp(min=0.0)), atol=0.05)  # negative inputs count
