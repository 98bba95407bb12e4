"""Gradients of a layer through the lines of its tiles: the kernel has the bits of its twin; lines obey Kirchhoff."""

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem._kernels import stack_gradients
from circuitmem._kernels.stack_gradients import LineSegments, load_lines, weight_gradient
from circuitmem._kernels.tiling import Tiling
from circuitmem.errors import ValidationError

CASES = [
    # rows, columns, grid, groups, ohms of word and bit lines, driven and sensed at both ends
    (1, 2, (1, 1), 1, (1.0, 1.0), False),
    (5, 3, (1, 2), 2, (3.0, 0.0), False),
    (17, 26, (2, 3), 1, (1.0, 2.0), True),
    (64, 64, (3, 2), 3, (1.0, 1.0), False),
    (33, 70, (2, 2), 1, (0.0, 5.0), True),
]


class Layer:
    """A layout with spare lines, inputs and outputs in another order on every tile, some cells stuck."""

    def __init__(self, rows, columns, grid, groups, ohms, both):
        rng = np.random.default_rng(100 * rows + columns)
        tiles, used, pairs = grid[0] * grid[1], max(rows - 2, 1), max(columns // 2 - 1, 1)
        self.shape = used * grid[0], pairs * grid[1]
        inputs = np.full((tiles, rows), -1, dtype=np.int32)
        outputs = np.full((tiles, columns // 2), -1, dtype=np.int32)
        for tile in range(tiles):
            inputs[tile, rows - used :] = rng.permutation(used) + tile // grid[1] * used
            outputs[tile, :pairs] = np.roll(np.arange(pairs), tile) + tile % grid[1] * pairs
        self.tiling = Tiling(inputs, outputs, grid, self.shape).check()
        ends = {"word_line_drive": "both", "bit_line_sense": "both"} if both else {}
        spec = TileSpec(rows=rows, columns=columns, word_line_resistance=ohms[0], bit_line_resistance=ohms[1], **ends)
        along = (1.0 / np.maximum(each, 1e-6) for each in (spec.word_segments().T, spec.bit_segments()))
        self.lines = LineSegments(*map(np.ascontiguousarray, along))
        full = tiles, rows, columns
        self.measured = rng.uniform(-1e-6, 1e-3, full)
        self.scale = rng.uniform(0.5, 2.0, (groups, tiles, columns))
        self.weights = np.round(rng.normal(size=self.shape), 1) * (rng.random(self.shape) < 0.8)
        self.outer = rng.normal(size=self.shape)
        self.stuck = np.where(rng.random(full) < 0.2, 1e-4, np.nan)
        self.prefactor = rng.uniform(0.9, 1.3, full)

    def loaded(self, **options):
        """Load the lines with the cells."""
        return load_lines(self.measured, self.lines, turns=3, least_reach=0.01, **options)

    def gradient(self, loaded=None, **options):
        """Work the gradient out."""
        lines = None if loaded is None else (self.lines, loaded)
        return weight_gradient(self.outer, self.tiling, self.scale, self.weights, lines=lines, **options)


def use_twin(monkeypatch):
    monkeypatch.setattr(stack_gradients, "_load_lines", stack_gradients._reference_load)
    monkeypatch.setattr(stack_gradients, "_weight_gradient", stack_gradients._reference_gradient)


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_on_threads_has_the_bits_of_numpy(kernel_variant, monkeypatch, case):
    module, layer = kernel_variant("backward"), Layer(*case)

    def all_of_them(**options):
        loaded = layer.loaded(**options)
        devices = {"stuck": layer.stuck, "prefactor": layer.prefactor}
        kept = None, loaded, loaded.kept_as(np.float32)
        found = [layer.gradient(lines, **more, **options) for lines in kept for more in ({}, devices)]
        return [*loaded, *found]

    use_twin(monkeypatch)
    expected = all_of_them()
    assert all(np.isfinite(each).all() for each in expected)
    monkeypatch.setattr(stack_gradients, "_load_lines", module.load_lines)
    monkeypatch.setattr(stack_gradients, "_weight_gradient", module.weight_gradient)
    for threads in (1, 2):
        for one, other in zip(all_of_them(threads=threads), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_weight_gets_what_holds_for_the_device_that_it_moves():
    layer = Layer(3, 4, (1, 1), 1, (0.0, 0.0), both=False)
    stuck = np.full((1, 3, 4), np.nan)
    plus, minus = layer.scale[0, 0, 0], layer.scale[0, 0, 1]
    for weight, broken, expected in [
        (1.0, None, plus),
        (-1.0, None, minus),
        (0.0, None, 0.5 * (plus + minus)),
        (1.0, 0, minus),
        (-1.0, 1, plus),
    ]:
        row, stuck[:] = int(np.flatnonzero(layer.tiling.inputs[0] == 0)[0]), np.nan
        if broken is not None:
            stuck[0, row, broken] = 1e-4
        layer.weights[0, 0], layer.outer[0, 0] = weight, 1.0
        assert layer.gradient(stuck=stuck)[0, 0] == pytest.approx(expected, rel=1e-15)


def test_loaded_lines_are_those_of_kirchhoff_s_law():
    """Each word line by itself: what flows into a node flows on, or through the cell."""
    layer = Layer(17, 26, (2, 3), 1, (1.0, 2.0), both=True)
    loaded, along = layer.loaded(), layer.lines.word
    volts = np.concatenate([np.ones((6, 17, 1)), loaded.word_end, np.ones((6, 17, 1))], axis=2)
    flows = along.T * -np.diff(volts, axis=2)
    lost = loaded.cells * loaded.word_end
    np.testing.assert_allclose(flows[:, :, :-1] - flows[:, :, 1:], lost, rtol=1e-9, atol=1e-9 * lost.max())


def test_lines_in_single_precision_change_a_gradient_by_their_rounding():
    layer = Layer(17, 26, (2, 3), 1, (1.0, 2.0), both=False)
    loaded = layer.loaded()
    narrow = loaded.kept_as(np.float32)
    assert {each.dtype for each in narrow} == {np.dtype(np.float32)}
    double, single = layer.gradient(loaded), layer.gradient(narrow)
    assert 1e-9 < np.abs(single - double).max() / np.abs(double).max() < 1e-6
    slopes = np.random.default_rng(3).normal(size=layer.measured.shape)
    widened = stack_gradients.LoadedLines(*(each.astype(np.float64) for each in narrow))
    through = stack_gradients.through_lines(slopes, layer.lines, narrow)
    np.testing.assert_array_equal(through, stack_gradients.through_lines(slopes, layer.lines, widened))


def test_shapes_that_disagree_are_refused():
    layer = Layer(17, 26, (2, 3), 1, (1.0, 2.0), both=False)
    with pytest.raises(ValidationError, match="lines must have shape"):
        load_lines(layer.measured[:, 1:], layer.lines, turns=1, least_reach=0.01)
    with pytest.raises(ValidationError, match="outer must have shape"):
        weight_gradient(layer.outer[1:], layer.tiling, layer.scale, layer.weights)
    with pytest.raises(ValidationError, match="stuck must have shape"):
        layer.gradient(stuck=layer.stuck[1:])
