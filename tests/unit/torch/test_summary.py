"""summary(): tiles, cells, and the cost of an inference, which equals what a run books."""

import pytest

from circuitmem import TileSpec
from circuitmem.config import ChipSpec, DefectSpec
from circuitmem.control import Chip
from circuitmem.errors import ValidationError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from circuitmem.torch import convert, summary  # noqa: E402

CHIP = ChipSpec(
    tile=TileSpec(rows=32, columns=16, word_line_resistance=1.0, bit_line_resistance=1.0),
    defects=DefectSpec(device_yield=0.95),
)


def cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, groups=3),
        nn.Flatten(),
        nn.Linear(6 * 4, 20),
    ).eval()


def test_sizes_need_no_data():
    net = cnn()
    found = summary(net, chip=CHIP)
    assert [(each.name, each.kind, each.inputs, each.outputs, each.groups) for each in found.layers] == [
        ("0", "Conv2d", 18, 6, 1),
        ("3", "Conv2d", 18, 2, 3),
        ("5", "Linear", 24, 20, 1),
    ]
    assert [each.tiles for each in found.layers] == [1, 3, 3]
    assert found.tiles == 7
    assert (found.layers[2].columns, found.columns) == (40, 40 + 2 * 6 + 2 * 6)
    assert found.layers[2].cells_used == pytest.approx(2 * 24 * 20 / (3 * 32 * 16))
    assert found.reads is found.time_s is found.energy_j is found.on_tiles is None
    assert found.digital == ("1 (BatchNorm2d)",)
    assert str(found).splitlines()[0].split() == ["layer", "kind", "matrix", "tiles", "columns", "cells", "used"]
    assert "18x2 x3" in str(found)


def test_reads_time_and_energy_are_what_a_run_books():
    net, inputs = cnn(), torch.randn(4, 2, 8, 8)
    found = summary(net, inputs, CHIP, seed=3)
    first, second, _ = found.layers
    assert [each.vectors for each in found.layers] == [16.0, 4.0, 1.0]
    assert [each.signed for each in found.layers] == [True, False, True]
    assert [first.reads, second.reads] == [2 * 16, 3 * 4]  # both signs, three tiles
    analog = convert(net, CHIP, seed=3, sample=inputs)
    chip = analog[0].chip
    with torch.no_grad():
        analog(inputs)  # chooses the gains
        clock, energy = chip.clock, chip.ledger.total.energy
        reads = chip.ledger.accounts["mac_read"].operations
        analog(inputs)
    assert 4 * found.time_s == pytest.approx((chip.clock - clock) * 1e-12, rel=1e-9)
    assert 4 * found.energy_j == pytest.approx((chip.ledger.total.energy - energy) * 1e-18, rel=1e-9)
    assert 4 * found.reads == chip.ledger.accounts["mac_read"].operations - reads
    products = 16 * 18 * 6 + 4 * 18 * 2 * 3 + 24 * 20
    assert found.multiplications == products
    assert found.on_tiles == 1.0
    assert f"on tiles: 100.00% of {products} multiplications an input" in str(found)
    assert sum(parameter.grad is not None for parameter in net.parameters()) == 0


def test_what_stays_digital_is_said_with_its_share():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, inputs):
            return self.head(self.body(inputs)[0][:, -1])

    found = summary(Recurrent(), torch.randn(5, 7, 6), CHIP, digital=["body"])
    assert found.multiplications == 7 * (6 + 8) * 32 + 8 * 3
    assert found.on_tiles == pytest.approx(24 / found.multiplications)
    assert found.digital == ("body (LSTM)",)
    whole = summary(Recurrent(), torch.randn(5, 7, 6), CHIP)
    assert (whole.multiplications, whole.on_tiles, whole.digital) == (found.multiplications, 1.0, ())


def test_a_network_on_a_chip_is_left_as_it_is_and_data_may_be_a_data_set():
    net, inputs = cnn(), torch.randn(6, 2, 8, 8)
    analog = convert(net, Chip(CHIP, 0, 3, 3), sample=inputs)
    data = torch.utils.data.TensorDataset(inputs, torch.zeros(6))
    found = summary(analog, data)
    assert analog[0].chip.clock == 0
    assert found.reads == summary(net, inputs.numpy(), CHIP, seed=3).reads


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        ("net", None, r"model must be a torch.nn.Module \(got 'str'\)"),
        (nn.Linear(4, 2), torch.tensor(1.0), "data must be a batch of one input at least"),
        (nn.Linear(4, 2), torch.zeros(0, 4), "data must be a batch of one input at least"),
        (nn.Linear(4, 2), torch.zeros(3, 5), r"inputs must have shape .* in_features=4.*\(got \(3, 5\)\)"),
        (
            nn.Linear(4, 2),
            (torch.zeros(3, 4), torch.zeros(3)),
            r"one tensor for each argument of forward, no targets",
        ),
        (nn.Linear(4, 2), "x", "sample must be a tensor or an array"),
        (nn.ReLU(), None, "model must have a Linear, Conv1d or Conv2d module"),
    ],
)
def test_what_cannot_be_summarised_is_refused_in_one_line(model, data, message):
    with pytest.raises(ValidationError, match=message) as error:
        summary(model, data, CHIP)
    assert "\n" not in str(error.value)
