"""CrossbarLinear: equal to Linear on a perfect chip, exact gradients on a bad one, training by torch's optimisers."""

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import (
    AdcSpec,
    BitSlicingSpec,
    ChipSpec,
    ConverterSpec,
    DacSpec,
    DefectSpec,
    DifferentialSpec,
    OffsetSpec,
)
from circuitmem.errors import ValidationError

torch = pytest.importorskip("torch")
from circuitmem.torch import CrossbarLinear  # noqa: E402

FINE = ConverterSpec(dac=DacSpec(bits=16), adc=AdcSpec(bits=16))


SLICED = BitSlicingSpec(kind="bit-slicing", slices=3, bits=4)


def chip(yield_=1.0, wire=0.0, rows=6, columns=6, **more):
    return ChipSpec(
        tile=TileSpec(rows=rows, columns=columns, word_line_resistance=wire, bit_line_resistance=wire),
        converters=FINE,
        **more,
        defects=DefectSpec(device_yield=yield_),
    )


def test_on_a_perfect_chip_it_is_a_linear_layer():
    torch.manual_seed(0)
    layer = CrossbarLinear(11, 5, chip=chip())
    inputs = torch.rand(3, 4, 11) * 2 - 1
    wanted = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
    assert layer(inputs).shape == (3, 4, 5)
    assert torch.allclose(layer(inputs), wanted, atol=5e-3 * float(wanted.detach().abs().max()))
    assert "tiles=4 of 6x6" in repr(layer)
    assert len(list(layer.parameters())) == 2


def test_wires_and_defects_show():
    torch.manual_seed(0)
    inputs = torch.rand(20, 11)
    errors = []
    for one in (chip(), chip(wire=20.0), chip(yield_=0.8)):
        layer = CrossbarLinear(11, 5, chip=one)
        wanted = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
        errors.append(float((layer(inputs) - wanted).detach().abs().max()))
    assert errors[0] < 0.1 * min(errors[1:])


@pytest.mark.parametrize(("mapping", "tiles"), [(OffsetSpec(), 2), (SLICED, 10)])
def test_any_mapping_is_a_linear_layer_on_a_perfect_chip(mapping, tiles):
    torch.manual_seed(0)
    layer = CrossbarLinear(11, 5, chip=chip(mapping=mapping))
    inputs = torch.rand(3, 4, 11) * 2 - 1
    wanted = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
    assert torch.allclose(layer(inputs), wanted, atol=1e-2 * float(wanted.detach().abs().max()))
    assert f"tiles={tiles} of 6x6" in repr(layer)


@pytest.mark.parametrize("mapping", [DifferentialSpec(), OffsetSpec()])
@pytest.mark.parametrize("yield_", [1.0, 0.8])
def test_exact_gradients_are_those_of_finite_differences(yield_, mapping):
    torch.manual_seed(1)
    layer = CrossbarLinear(8, 4, chip=chip(yield_, wire=20.0, mapping=mapping), converters=False).double()
    inputs = (torch.rand(3, 8, dtype=torch.float64) * 1.6 - 0.8).requires_grad_()
    names = [name for name, _ in layer.named_parameters()]

    def function(inputs, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), inputs)

    assert torch.autograd.gradcheck(function, (inputs, *layer.parameters()), eps=1e-5, atol=1e-6, rtol=1e-5)


def test_straight_through_gradients_are_those_of_a_linear_layer():
    torch.manual_seed(1)
    layer = CrossbarLinear(8, 4, chip=chip(0.8, wire=20.0), backward="straight-through")
    inputs = torch.rand(3, 8).requires_grad_()
    layer(inputs).sum().backward()
    plain = torch.nn.functional.linear(inputs.detach().requires_grad_(), layer.weight, layer.bias)
    weights = torch.autograd.grad(plain.sum(), layer.weight)[0]
    assert torch.allclose(layer.weight.grad, weights, atol=1e-5)
    assert torch.allclose(inputs.grad, layer.weight.detach().sum(0).expand(3, 8), atol=1e-5)


def test_gains_follow_the_weights():
    torch.manual_seed(0)
    layer = CrossbarLinear(6, 4, chip=chip(), largest_weight=2.0)
    inputs = torch.rand(20, 6)
    layer(inputs)
    with torch.no_grad():
        layer.weight.copy_(torch.full((4, 6), 1.5))  # far beyond the range that the first weights asked for
    wanted = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
    assert torch.allclose(layer(inputs), wanted, atol=0.02)


@pytest.mark.parametrize("seed", [0, 1, 4])
@pytest.mark.parametrize("backward", ["exact", "straight-through"])
def test_any_optimiser_of_torch_trains_it_on_a_defective_chip(backward, seed):
    torch.manual_seed(seed)
    bad = chip(0.85, wire=1.0, rows=16, columns=16)
    net = torch.nn.Sequential(
        CrossbarLinear(16, 12, chip=bad, seed=1, backward=backward),
        torch.nn.ReLU(),
        CrossbarLinear(12, 4, chip=bad, seed=2, backward=backward, input_scale=4.0),
    )
    inputs, labels = torch.rand(80, 16), torch.arange(80) % 4
    inputs[torch.arange(80), labels] += 1.0
    inputs = inputs.clamp(max=1.0)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.03)
    losses = []
    for _ in range(100):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(inputs), labels)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_calibration_lowers_the_error_and_reports_its_cost():
    torch.manual_seed(0)
    worse = chip(wire=10.0).model_copy(update={"converters": ConverterSpec(adc=AdcSpec(gain_error=0.1))})
    layer = CrossbarLinear(11, 5, chip=worse)
    inputs = torch.rand(50, 11)
    wanted = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
    before = float((layer(inputs) - wanted).detach().square().mean())
    record = layer.calibrate(torch.rand(100, 11))
    after = float((layer(inputs) - wanted).detach().square().mean())
    assert after < 0.3 * before
    assert record.reads == 100 * 4
    pulses, units = layer.chip.ledger.pulses, layer.layer.units
    layer.calibrate(inputs, "conversion")  # by pulses, which compensate for the wires
    assert layer.chip.ledger.pulses > pulses
    converted = [unit.asked.copy() for unit in units]
    layer.layer.weights = np.full_like(layer.layer.weights, np.nan)  # cells are put in place once more
    layer(inputs)
    np.testing.assert_allclose([unit.asked for unit in units], converted, rtol=1e-12)


def test_a_wrong_argument_is_named():
    with pytest.raises(ValidationError, match=r"backward must be exact or straight-through \(got 'adjoint'\)"):
        CrossbarLinear(3, 2, backward="adjoint")
    with pytest.raises(ValidationError, match="in_features must be >= 1"):
        CrossbarLinear(0, 2)
    assert np.isfinite(CrossbarLinear(3, 2)(torch.rand(1, 3)).detach().numpy()).all()
