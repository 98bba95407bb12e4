"""What a kernel sees of maps: the vectors that torch unfolds, their quantiles, and products of whole maps."""

import copy

import numpy as np
import pytest

from circuitmem.config import ChipSpec, DefectSpec, TileSpec

torch = pytest.importorskip("torch")
from torch.nn.functional import pad, unfold  # noqa: E402

from circuitmem.torch import CrossbarConv2d  # noqa: E402
from circuitmem.torch.windows import Windows  # noqa: E402

CASES = [
    ((3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    ((2, 3), (2, 1), (1, 2), (0, 2, 1, 0)),
    ((1, 1), (2, 2), (1, 1), (0, 0, 0, 0)),
    ((3, 1), (3, 2), (2, 1), (2, 2, 2, 2)),
]


@pytest.mark.parametrize("case", CASES)
def test_vectors_are_those_that_torch_unfolds(case):
    size, stride, dilation, zeros = case
    windows, rng = Windows(*case), np.random.default_rng(0)
    maps = rng.normal(size=(3, 2, 7, 9))
    columns = unfold(pad(torch.from_numpy(maps), zeros), size, dilation, 0, stride)
    wanted = columns.transpose(1, 2).reshape(-1, 2 * size[0] * size[1]).numpy()
    np.testing.assert_array_equal(windows.gather(maps), wanted)
    rows = np.array([0, 4, len(wanted) - 1])
    np.testing.assert_array_equal(windows.some(maps, rows), wanted[rows])
    assert windows.elements(maps.shape) == wanted.size
    assert windows.count(maps > 0.5) == np.count_nonzero(wanted > 0.5)
    magnitudes = np.abs(maps) * (rng.random(maps.shape) < 0.7)
    every = windows.gather(magnitudes)
    for part in (0.0, 0.3, 0.9, 0.999, 1.0):
        assert windows.quantile(magnitudes, part) == np.quantile(every, part), part


@pytest.mark.parametrize(("groups", "scale"), [(1, None), (2, 1.0)])
def test_maps_are_multiplied_as_their_vectors_are(groups, scale):
    """Codes are made from maps without gradients, and from patches with them: the same bits, clock and counts."""
    torch.manual_seed(0)
    tile = TileSpec(rows=8, columns=8, word_line_resistance=1.0, bit_line_resistance=1.0)
    chip = ChipSpec(tile=tile, defects=DefectSpec(device_yield=0.9))
    layer = CrossbarConv2d(2, 4, 3, 2, 1, groups=groups, chip=chip, seed=1, input_scale=scale)
    other, maps = copy.deepcopy(layer), torch.randn(3, 2, 6, 5)
    with torch.no_grad():
        found = layer(maps)
    wanted = other(maps)
    assert torch.equal(found, wanted.detach())
    assert layer.chip.clock == other.chip.clock
    assert layer.chip.ledger.energy == other.chip.ledger.energy
    for one, two in zip(layer.products, other.products, strict=True):
        assert one.layer.input_scale == two.layer.input_scale
        assert (one.layer.converted, one.layer.saturated) == (two.layer.converted, two.layer.saturated)
        assert one.layer.saturated > 0
