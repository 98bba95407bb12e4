"""Uses of a layer from torch that once went wrong: one test per case, named after it."""

import copy
import io
import logging
import pickle

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec, FaultSpec, RetentionSpec
from circuitmem.control import Chip
from circuitmem.errors import ValidationError

torch = pytest.importorskip("torch")
from circuitmem.torch import CrossbarConv1d, CrossbarConv2d, CrossbarLinear, set_read_noise  # noqa: E402


def chip(yield_=0.8, noise=0.005, bits=12, **kwargs):
    return ChipSpec(
        tile=TileSpec(rows=6, columns=6, word_line_resistance=2.0, bit_line_resistance=2.0),
        converters=ConverterSpec(dac=DacSpec(bits=10), adc=AdcSpec(bits=bits, noise=noise)),
        defects=DefectSpec(device_yield=yield_),
        **kwargs,
    )


def net_of(spec, seed=None):
    return torch.nn.Sequential(
        CrossbarLinear(8, 7, chip=spec, seed=seed, input_scale=1.5),
        torch.nn.ReLU(),
        CrossbarLinear(7, 3, chip=spec, seed=None if seed is None else seed + 1, input_scale=4.0),
    )


def train(net, steps=3, lr=0.05):
    optimiser = torch.optim.SGD(net.parameters(), lr=lr)
    for step in range(steps):
        inputs = torch.linspace(-1, 1, 40, dtype=net[0].weight.dtype).reshape(5, 8) * (1 + step / 10)
        optimiser.zero_grad()
        net(inputs).square().sum().backward()
        optimiser.step()
    return inputs


def perfect(**kwargs):
    """A chip whose products are exact up to rounding."""
    spec = ChipSpec(
        tile=TileSpec(rows=6, columns=6, word_line_resistance=0.0, bit_line_resistance=0.0),
        converters=ConverterSpec(dac=DacSpec(bits=16), adc=AdcSpec(bits=16)),
        defects=DefectSpec(device_yield=1.0),
    )
    return {"chip": spec, "seed": 1, **kwargs}


def test_all_layers_take_the_same_options_and_no_others():
    options = {"seed": 3, "input_scale": 2.0, "largest_weight": 1.5, "backward": "straight-through"}
    options |= {"converters": False, "read_noise": False}
    for make in (lambda **o: CrossbarLinear(8, 7, **o), lambda **o: CrossbarConv2d(1, 2, 2, **o),
                 lambda **o: CrossbarConv1d(1, 2, 2, **o)):  # fmt: skip
        layer = make(chip=chip(), **options)
        assert (layer.chip.seed, layer.backward, layer.converters, layer.read_noise) == (
            3, "straight-through", False, False,
        )  # fmt: skip
        product = layer.products[0].layer
        assert (product.input_scale, product.mapping.largest_weight) == (2.0, 1.5)
        name = type(layer).__name__
        with pytest.raises(TypeError, match=f"{name} got an unexpected keyword argument 'sed'; did you mean 'seed'"):
            make(sed=1)
        with pytest.raises(ValidationError, match="backward must be exact or straight-through"):
            make(chip=chip(), backward="none")


def test_load_state_dict_with_larger_weights_moves_the_range():
    torch.manual_seed(0)
    plain, layer = torch.nn.Linear(11, 5), CrossbarLinear(11, 5, **perfect())
    with torch.no_grad():
        plain.weight.uniform_(-1.3, 1.3)
    layer.load_state_dict(plain.state_dict())  # strict: the weights of a plain layer are enough
    inputs = torch.rand(20, 11) * 2 - 1
    assert layer.layer.mapping.largest_weight >= 1.3
    assert torch.allclose(layer(inputs), plain(inputs), atol=1e-3)
    declared = CrossbarLinear(11, 5, largest_weight=0.9, **perfect())
    with pytest.raises(ValidationError, match=r"largest_weight must be >= 1\.\d+, the largest of the weights loaded"):
        declared.load_state_dict(plain.state_dict())
    with torch.no_grad():
        plain.weight[2, 3] = float("nan")
    before = layer.weight.clone()
    for one, message in ((declared, "weight must be finite at index"), (layer, "weight must be finite at index")):
        with pytest.raises(ValidationError, match=message):
            one.load_state_dict(plain.state_dict())
    assert torch.equal(layer.weight, before)  # what is refused changes nothing
    assert declared.weight.abs().max() < 0.9


def test_weights_that_outgrow_the_range_are_said_to_be_clipped(caplog):
    torch.manual_seed(0)
    inputs = torch.rand(20, 11) * 2 - 1
    layer, declared = CrossbarLinear(11, 5, **perfect()), CrossbarLinear(11, 5, largest_weight=1.0, **perfect())
    for one in (layer, declared):  # before the first pass the range follows the weights
        torch.nn.init.uniform_(one.weight, -3.0, 3.0)
        one(inputs)
        one(inputs)
    assert len(caplog.records) == 1
    assert "weights are larger than largest_weight=1 and count as that" in caplog.text
    assert torch.allclose(layer(inputs), torch.nn.functional.linear(inputs, layer.weight, layer.bias), atol=5e-3)
    with torch.no_grad():
        layer.weight.mul_(3.0)
    layer(inputs)
    assert len(caplog.records) == 2


def test_inputs_that_saturate_are_said(caplog):
    layer = CrossbarLinear(4, 2, chip=chip(), seed=1)
    with caplog.at_level(logging.WARNING):
        layer(torch.full((3, 4), 2.5))
        layer(torch.full((3, 4), 2.5))
    message = "12 of 12 inputs are larger than input_scale=1 and count as that (the largest is 2.5); raise input_scale"
    assert [record.getMessage() for record in caplog.records] == [f"circuitmem: {message}"]


@pytest.mark.parametrize("own_seed", [True, False])
def test_a_reload_of_the_state_dict_gives_the_same_bits(own_seed):
    torch.manual_seed(0)
    net = net_of(chip(), 3)
    inputs = train(net)
    net[0].calibrate(inputs)
    net(inputs)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = net_of(chip(), 3 if own_seed else None)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(inputs), net(inputs))
    assert train(other).equal(train(net))
    assert torch.equal(other(inputs), net(inputs))
    for one, same in ((net[0], other[0]), (net[2], other[2])):
        assert torch.equal(one.weight, same.weight)
        assert one.chip.seed == same.chip.seed
        assert one.chip.ledger.state() == same.chip.ledger.state()
        assert one.chip.clock == same.chip.clock


def test_the_state_dict_holds_range_scale_gains_calibration_and_noise():
    torch.manual_seed(0)
    layer = CrossbarLinear(8, 3, chip=chip(), seed=1, input_scale=2.0, largest_weight=1.7)
    inputs = torch.rand(30, 8)
    layer.calibrate(inputs, "split-affine")
    other = CrossbarLinear(8, 3, chip=chip(), seed=1, input_scale=0.5, largest_weight=0.6)
    other.load_state_dict(layer.state_dict())
    assert other.layer.input_scale == 2.0
    assert other.layer.mapping.largest_weight == 1.7
    np.testing.assert_array_equal(other.layer.correction.scale, layer.layer.correction.scale)
    for unit, same in zip(layer.layer.units, other.layer.units, strict=True):
        np.testing.assert_array_equal(unit.readout.adc.pga_gain, same.readout.adc.pga_gain)
        assert unit.reads == same.reads > 0
    assert torch.equal(layer(inputs), other(inputs))


def test_a_state_dict_of_another_chip_is_refused_in_one_line():
    state = CrossbarLinear(8, 3, chip=chip(), seed=1).state_dict()
    with pytest.raises(ValidationError, match="must be that of a chip with the same specification"):
        CrossbarLinear(8, 3, chip=chip(0.5), seed=1).load_state_dict(state)
    with pytest.raises(ValidationError, match=r"chip must have the seeds of the state, \[1, 1\]"):
        CrossbarLinear(8, 3, chip=Chip(chip(), 0, 2, 2)).load_state_dict(state)
    fresh = CrossbarLinear(8, 3, chip=chip(), seed=2)
    before = fresh.weight.clone()
    for wrong, message in (
        ({**state["_extra_state"], "format": 0}, r"must be of format 1; drop .* \(got 0\)"),
        ({"format": 1}, "must hold what a layer's get_extra_state"),
        (torch.zeros(3), "must hold what a layer's get_extra_state"),
    ):
        with pytest.raises(ValidationError, match=message):
            fresh.load_state_dict({**state, "_extra_state": wrong})
    assert torch.equal(fresh.weight, before)
    assert fresh.chip.seed == 2
    weights = {name: value for name, value in state.items() if "extra" not in name}
    CrossbarLinear(8, 3, chip=chip(0.5), seed=1).load_state_dict(weights)


def saved_whole(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), saved_whole])
@pytest.mark.parametrize("shared", [True, False])
def test_deepcopy_pickle_and_save_after_forward_and_in_training(copied, shared):
    torch.manual_seed(0)
    net = net_of(Chip(chip(), 0, 7)) if shared else net_of(chip(), 7)
    inputs = train(net, 2)
    twin = copied(net)
    assert (twin[0].chip is twin[2].chip) is shared
    assert twin[0].chip is not net[0].chip
    assert twin[0].layer.units[0] is twin[0].chip.units[0]
    train(twin, 4)
    train(net, 4)
    for one, same in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, same)
    assert torch.equal(net(inputs), twin(inputs))


def test_a_copy_between_forward_and_backward():
    torch.manual_seed(0)
    net = net_of(chip(), 7)
    loss = net(torch.rand(4, 8)).sum()
    twin = copy.deepcopy(net)
    loss.backward()
    assert net[0].weight.grad is not None
    assert twin[0].weight.grad is None
    assert twin(torch.rand(4, 8)).shape == (4, 3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            torch.tensor([[1.0, float("nan"), 0.0]]),
            r"inputs must be finite at index \(0, 1\); in_features=3 \(got nan\)",
        ),
        (
            torch.tensor([[1.0, 0.0, float("inf")]]),
            r"inputs must be finite at index \(0, 2\); in_features=3 \(got inf\)",
        ),
        (torch.zeros(2, 4), r"inputs must have shape \(..., in_features\) with in_features=3.*\(got \(2, 4\)\)"),
        (torch.zeros(0, 3), r"inputs must have shape .* in_features=3, and at least one vector \(got \(0, 3\)\)"),
        (torch.tensor(1.0), r"inputs must have shape .* in_features=3.*\(got \(\)\)"),
        (
            torch.zeros(2, 3, dtype=torch.int64),
            r"inputs must be a tensor of floating-point numbers \(got 'torch.int64'\)",
        ),
        (np.zeros((2, 3)), r"inputs must be a tensor of floating-point numbers \(got 'ndarray'\)"),
        (
            torch.ones(2, 3).to_sparse(),
            r"inputs must be a dense tensor that has its numbers \(got 'torch.sparse_coo'\)",
        ),
        (torch.ones(2, 3, device="meta"), r"inputs must be a dense tensor that has its numbers \(got 'meta'\)"),
    ],
)
@pytest.mark.parametrize("use", ["forward", "calibrate"])
def test_nan_inf_wrong_width_and_empty_batch_are_one_line(inputs, message, use):
    layer = CrossbarLinear(3, 2, chip=chip(), seed=1)
    with pytest.raises(ValidationError, match=message) as error:
        getattr(layer, use)(inputs)
    assert "\n" not in str(error.value)
    assert layer(torch.rand(1, 3)).shape == (1, 2)  # and the layer goes on


def test_weights_that_are_not_finite_are_named():
    layer = CrossbarLinear(3, 2, chip=chip(), seed=1)
    with torch.no_grad():
        layer.weight[1, 2] = float("nan")
    with pytest.raises(ValidationError, match=r"weight must be finite at index \(1, 2\)"):
        layer(torch.rand(1, 3))


def test_signed_input_to_calibrate_counts_with_both_halves():
    torch.manual_seed(0)
    worse = chip(1.0, 0.0).model_copy(update={"converters": ConverterSpec(adc=AdcSpec(gain_error=0.1))})
    inputs = torch.rand(200, 11) * 2 - 1
    errors = []
    for given in (inputs, -inputs, inputs.clamp(max=0.0)):
        layer = CrossbarLinear(11, 5, chip=worse, seed=2)
        layer.load_state_dict(torch.nn.Linear(11, 5).state_dict())
        wanted = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
        before = float((layer(inputs) - wanted).detach().square().mean())
        record = layer.calibrate(given)
        assert record.reads == len(layer.layer.units) * (200 if given is not inputs and (given <= 0).all() else 400)
        errors.append(float((layer(inputs) - wanted).detach().square().mean()) / before)
    assert max(errors) < 0.3


def test_eval_twice_differs_by_read_noise_and_one_switch_stops_it():
    torch.manual_seed(0)
    net = net_of(chip(), 5).eval()
    inputs = torch.rand(6, 8)
    assert not torch.equal(net(inputs), net(inputs))
    set_read_noise(net, False)
    quiet = net(inputs)
    assert torch.equal(quiet, net(inputs))
    net[0].read_noise = True
    assert not torch.equal(net(inputs), net(inputs))
    layer = CrossbarLinear(8, 3, chip=chip(), seed=5, read_noise=False)
    assert torch.equal(layer(inputs), layer(inputs))
    assert torch.equal(copy.deepcopy(layer)(inputs), layer(inputs))
    assert "read_noise=False" in repr(layer)


def stuck_of(layer):
    return np.array([unit.tile.stuck for unit in layer.layer.units])


def test_two_layers_never_share_defects_by_accident():
    torch.manual_seed(0)
    one, two = CrossbarLinear(8, 7, chip=chip()), CrossbarLinear(8, 7, chip=chip())
    assert not np.array_equal(stuck_of(one), stuck_of(two))
    torch.manual_seed(0)
    again = CrossbarLinear(8, 7, chip=chip())
    assert np.array_equal(stuck_of(one), stuck_of(again))  # torch's seed reproduces them, like the weights
    assert torch.equal(one.weight, again.weight)


def test_layers_share_one_chip_with_one_clock_and_one_account():
    torch.manual_seed(0)
    shared = Chip(chip(), 0, seed=4)
    net = net_of(shared)
    one, two = net[0], net[2]
    assert one.chip is two.chip is shared
    assert [unit.index for unit in (*one.layer.units, *two.layer.units)] == list(range(len(shared.units)))
    assert not np.array_equal(stuck_of(one)[:1], stuck_of(two)[:1])
    net(torch.rand(5, 8))
    assert shared.now > 0.0
    assert set(shared.ledger.by("tile")) >= set(range(len(shared.units)))
    with pytest.raises(ValidationError, match="seed must be left out where chip is a Chip"):
        CrossbarLinear(8, 7, chip=shared, seed=1)


def test_a_reload_onto_a_shared_chip_gives_the_same_bits():
    torch.manual_seed(0)
    spec = chip(retention=RetentionSpec(drift_exponent=0.05, drift_time=1e-6))
    net = net_of(Chip(spec, 0, 4))
    inputs = train(net)
    other = net_of(Chip(spec, 0, 4))
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(inputs), net(inputs))
    assert other[0].chip.ledger.state() == net[0].chip.ledger.state()
    with pytest.raises(ValidationError, match="made on their chip in the same order"):
        net_of(net[0].chip).load_state_dict(net.state_dict())


def test_cells_with_drift_keep_their_weights_until_they_drift():
    torch.manual_seed(0)
    spec = chip(1.0, 0.0, retention=RetentionSpec(drift_exponent=0.1, drift_time=1e-6))
    layer = CrossbarLinear(8, 3, chip=spec, seed=1)
    inputs = torch.rand(20, 8)
    wanted = torch.nn.functional.linear(inputs, layer.weight, layer.bias).detach()
    error = [float((layer(inputs) - wanted).detach().abs().max() / wanted.abs().max())]
    layer.chip.run(layer.chip.wait_until(layer.chip.clock + 10**9))
    error.append(float((layer(inputs) - wanted).detach().abs().max() / wanted.abs().max()))
    assert error[0] < 0.1 < error[1]


def test_torch_compile_leaves_the_layer_as_it_is():
    torch.manual_seed(0)
    layer = CrossbarLinear(8, 3, chip=chip(), seed=1, read_noise=False)
    inputs = torch.rand(4, 8)
    assert torch.equal(torch.compile(layer, backend="eager")(inputs), layer(inputs))


def test_vmap_over_inputs_is_one_batch_and_over_weights_is_refused():
    torch.manual_seed(0)
    layer = CrossbarLinear(8, 3, chip=chip(), seed=1, read_noise=False)
    inputs = torch.rand(4, 5, 8)
    assert torch.equal(torch.func.vmap(layer)(inputs), layer(inputs))
    many = {"weight": layer.weight.expand(4, 3, 8)}
    with pytest.raises(ValidationError, match="weight must not be mapped by vmap"):
        torch.func.vmap(lambda weights, some: torch.func.functional_call(layer, weights, some))(many, inputs)
    with pytest.raises(ValidationError, match="must not be mapped by vmap"):
        torch.func.jacrev(layer)(inputs[0, 0])
    wanted = inputs[0].clone().requires_grad_()
    gradient = torch.autograd.grad(layer(wanted).square().sum(), wanted, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError("inside a read")])
@pytest.mark.parametrize("layer_of", [CrossbarLinear, lambda *size, **kw: CrossbarConv2d(*size, 1, **kw)])
def test_a_read_that_is_interrupted_leaves_a_layer_that_reads_again(monkeypatch, error, layer_of):
    torch.manual_seed(0)
    layer = layer_of(8, 3, chip=chip(), seed=1, read_noise=False)
    inputs = torch.rand(4, 8) if isinstance(layer, CrossbarLinear) else torch.rand(8, 4, 1)
    wanted = layer(inputs)

    def stopped(*args, **kwargs):
        raise error

    for use in (layer, lambda some: layer.calibrate(some, "affine")):
        with monkeypatch.context() as patch:
            patch.setattr(layer.chip.electrics.transfers, "stack", stopped)
            with pytest.raises(type(error)):
                use(inputs)
        assert torch.equal(layer(inputs), wanted)


def test_an_interruption_while_cells_are_put_in_place_does_them_again(monkeypatch):
    torch.manual_seed(0)
    layer = CrossbarLinear(8, 3, chip=chip(), seed=1, read_noise=False)
    twin, inputs = copy.deepcopy(layer), torch.rand(4, 8)

    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(layer.layer.units[1].tile, "program", stopped)
        with pytest.raises(KeyboardInterrupt):
            layer(inputs)
    assert torch.equal(layer(inputs), twin(inputs))


def test_a_fault_of_the_chip_comes_in_its_time():
    torch.manual_seed(0)
    fault = FaultSpec(what="driver", time=1e-3, tile=0, row=5)
    layer = CrossbarLinear(4, 2, chip=chip(1.0, 0.0, faults=(fault,)), seed=1, read_noise=False)
    inputs = torch.rand(3, 4)
    before = layer(inputs)
    layer.chip.run(layer.chip.wait_until(2 * 10**9))
    assert not torch.equal(layer(inputs), before)
    with pytest.raises(ValidationError, match=r"chip.faults.0.tile must be < 4, the number of tiles \(got 9\)"):
        CrossbarLinear(8, 4, chip=chip(faults=(fault.model_copy(update={"tile": 9}),)))
