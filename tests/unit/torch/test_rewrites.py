"""LSTM, GRU and attention as modules made of Linear: they give torch's own results, and are converted to tiles."""

import copy

import pytest

from circuitmem import TileSpec
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec
from circuitmem.errors import ValidationError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from circuitmem.torch import calibrate, convert, digitally, summary  # noqa: E402
from circuitmem.torch.observe import observe  # noqa: E402
from circuitmem.torch.rewrites import SplitAttention, UnrolledRecurrent  # noqa: E402

PERFECT = ChipSpec(
    tile=TileSpec(rows=16, columns=16, word_line_resistance=0.0, bit_line_resistance=0.0),
    converters=ConverterSpec(dac=DacSpec(bits=16), adc=AdcSpec(bits=16)),
    defects=DefectSpec(device_yield=1.0),
)


def close(found, wanted):
    return bool(torch.allclose(found, wanted, rtol=0.0, atol=1e-12))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_recurrent_layers_step_by_step_are_those_of_torch(kind, batch_first, bias):
    torch.manual_seed(0)
    module = kind(5, 7, num_layers=2, batch_first=batch_first, bias=bias).double()
    mine = UnrolledRecurrent(module)
    inputs = torch.randn(3, 4, 5, dtype=torch.float64)
    hidden = torch.randn(2, 3 if batch_first else 4, 7, dtype=torch.float64)
    state = (hidden, hidden + 1.0) if kind is nn.LSTM else hidden
    alone = tuple(each[:, 0] for each in state) if kind is nn.LSTM else hidden[:, 0]
    for given in ((inputs,), (inputs, state), (inputs[0],), (inputs[0], alone)):
        (found, last), (wanted, final) = mine(*given), module(*given)
        assert close(found, wanted)
        pairs = zip(last, final, strict=True) if kind is nn.LSTM else [(last, final)]
        assert all(close(one, other) for one, other in pairs)
    with pytest.raises(ValidationError, match=r"inputs must be \(batch, steps, features\) .*PackedSequence"):
        mine(nn.utils.rnn.pack_sequence([inputs[0]]))


def test_dropout_between_layers_is_drawn_in_training_only():
    torch.manual_seed(0)
    mine = UnrolledRecurrent(nn.LSTM(5, 7, num_layers=2, dropout=0.5))
    inputs = torch.randn(4, 3, 5)
    assert not torch.equal(mine(inputs)[0], mine(inputs)[0])
    mine.eval()
    assert torch.equal(mine(inputs)[0], mine(inputs)[0])


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_attention_split_is_that_of_torch(batch_first, bias):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(8, 2, batch_first=batch_first, bias=bias).double()
    mine = SplitAttention(module)
    query, other = (torch.randn(3, 4, 8, dtype=torch.float64) for _ in range(2))
    batch, length = (3, 4) if batch_first else (4, 3)
    causal = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
    padding = torch.zeros(batch, length, dtype=torch.bool)
    padding[0, -1] = True
    for options in (
        {},
        {"attn_mask": causal},
        {"attn_mask": torch.randn(length, length, dtype=torch.float64)},
        {"attn_mask": torch.randn(batch * 2, length, length, dtype=torch.float64)},
        {"key_padding_mask": padding},
        {"key_padding_mask": padding, "attn_mask": causal},
        {"need_weights": False},
        {"average_attn_weights": False},
    ):
        (found, shares), (wanted, weights) = (
            mine(query, other, other, **options),
            module(query, other, other, **options),
        )
        assert close(found, wanted)
        assert (shares is None) is (weights is None)
        assert shares is None or close(shares, weights)
    assert close(mine(query[0], other[0], other[0])[0], module(query[0], other[0], other[0])[0])


class Sequences(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body, self.head = body, nn.Linear(8, 3)

    def forward(self, inputs):
        found = self.body(inputs)
        return self.head((found[0] if isinstance(found, tuple) else found)[:, -1])


BODIES = {
    "lstm": lambda: nn.LSTM(8, 8, batch_first=True),
    "gru": lambda: nn.GRU(8, 8, num_layers=2, batch_first=True),
    "layer": lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True), 2, enable_nested_tensor=False
    ),
}
MATRICES = {"lstm": 2 + 1, "gru": 4 + 1, "layer": 4 + 2 + 1, "encoder": 2 * 6 + 1}


@pytest.mark.parametrize("body", BODIES)
def test_converted_they_are_on_tiles_in_every_mode(body):
    torch.manual_seed(0)
    net = Sequences(BODIES[body]()).eval()
    inputs = torch.randn(4, 6, 8)
    names = set(net.state_dict())
    analog = convert(net, PERFECT, seed=1, sample=inputs)
    assert set(net.state_dict()) == names
    found = summary(net, inputs, PERFECT)
    assert len(found.layers) == MATRICES[body]
    assert all(layer.reads > 0 for layer in found.layers)
    with torch.no_grad():
        wanted = net(inputs)
        with digitally(analog):
            assert torch.allclose(analog(inputs), wanted, atol=1e-5)
        clock = analog.head.chip.clock
        on_tiles = analog(inputs)
        assert analog.head.chip.clock > clock
        assert (on_tiles - wanted).abs().max() < 0.05 * wanted.abs().max()  # one in a thousand inputs saturates
    analog.train()(inputs).square().sum().backward()
    assert all(parameter.grad is not None for parameter in analog.parameters())
    assert torch.equal(copy.deepcopy(analog).eval()(inputs), analog.eval()(inputs))


STEPS = 1e-4
"""Bound on the relative rounding error of 16-bit converters after several layers."""


def within_reach(net, inputs):
    """Set each layer's range of inputs so that none saturates."""
    seen = {}

    def see(name, layer, given):
        seen[layer] = max(seen.get(layer, 0.0), max(float(abs(own).max()) for own in layer.vectors(given)))

    observe(net, (inputs,), see)
    for layer, largest in seen.items():
        for product in layer.products:
            product.set_input_scale(1.05 * largest)


@pytest.mark.parametrize("body", BODIES)
def test_on_a_perfect_chip_they_are_those_of_torch(body):
    torch.manual_seed(0)
    net = Sequences(BODIES[body]()).double().eval()
    inputs = torch.randn(4, 6, 8, dtype=torch.float64)
    analog = convert(net, PERFECT, seed=1, sample=inputs)
    within_reach(analog, inputs)
    calibrate(analog, inputs, "none")  # gains for all steps: the hidden state grows from 0
    for unit in analog.head.chip.units:  # one column in ten may saturate at the gains that were chosen
        unit.readout.adc.set_pga_gain(0.25 * unit.readout.adc.pga_gain[0])
    with torch.no_grad():
        wanted, found = net(inputs), analog(inputs)
    assert (found - wanted).abs().max() < STEPS * wanted.abs().max()


@pytest.mark.parametrize("body", ["lstm", "gru", "layer"])
def test_on_tiles_they_have_the_gradient_of_finite_differences(body):
    torch.manual_seed(0)
    tile = TileSpec(rows=16, columns=16, word_line_resistance=5.0, bit_line_resistance=5.0)
    inputs = torch.randn(1, 2, 8, dtype=torch.float64, requires_grad=True)
    net = convert(Sequences(BODIES[body]()).double().eval(), ChipSpec(tile=tile), seed=1)
    within_reach(net, 3.0 * inputs.detach())
    for layer in net.modules():
        for product in getattr(layer, "products", ()):
            product.converters = layer.converters = False
    assert torch.autograd.gradcheck(net, (inputs,), eps=1e-5, atol=1e-6, rtol=1e-6)


def test_attention_on_tiles_has_the_gradient_of_finite_differences():
    torch.manual_seed(0)
    tile = TileSpec(rows=8, columns=8, word_line_resistance=5.0, bit_line_resistance=5.0)
    net = convert(nn.MultiheadAttention(4, 2, batch_first=True).double(), ChipSpec(tile=tile), seed=1)
    for layer in (net.query, net.key, net.value, net.out):
        layer.converters = False
        for product in layer.products:
            product.converters = False
            product.set_input_scale(4.0)
    inputs = (torch.rand(1, 3, 4, dtype=torch.float64) * 2 - 1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda given: net(given, given, given)[0], (inputs,), eps=1e-5, atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"query": torch.tensor(1.0)},
            r"query must be \(batch, steps, features\) or \(steps, features\), .*\(got \(\)\)",
        ),
        ({"query": None}, r"query must be .*\(got 'NoneType'\)"),
        ({"key": torch.zeros(4, 8)}, r"key must be .* as query, key and value all are \(got \(4, 8\)\)"),
        ({"value": torch.zeros(2, 5, 8)}, r"value must have 4 steps and a batch of 2, .*\(got \(2, 5, 8\)\)"),
        ({"key": torch.zeros(1, 4, 8)}, r"key must have 4 steps and a batch of 2, .*\(got \(1, 4, 8\)\)"),
        ({"attn_mask": torch.zeros(1, 4)}, r"attn_mask must be \(3, 4\) or \(4, 3, 4\) \(got \(1, 4\)\)"),
        ({"key_padding_mask": torch.zeros(4)}, r"key_padding_mask must be \(2, 4\) \(got \(4,\)\)"),
    ],
)
def test_attention_refuses_shapes_that_torch_refuses_in_one_line(change, message):
    module = nn.MultiheadAttention(8, 2, batch_first=True)
    given = {"query": torch.zeros(2, 3, 8), "key": torch.zeros(2, 4, 8), "value": torch.zeros(2, 4, 8), **change}
    with pytest.raises((RuntimeError, AssertionError, AttributeError, ValueError)):
        module(**given)
    with pytest.raises(ValidationError, match=message) as error:
        SplitAttention(module)(**given)
    assert "\n" not in str(error.value)
    plain = {"query": torch.zeros(3, 8), "key": torch.zeros(4, 8), "value": torch.zeros(4, 8)}
    masks = {"attn_mask": torch.zeros(3, 4), "key_padding_mask": torch.zeros(4)}
    torch.testing.assert_close(SplitAttention(module)(**plain, **masks)[0], module(**plain, **masks)[0])
