"""Counted pulses of a whole layer: against those of its tiles one by one, in every variant and number of threads."""

import numpy as np
import pytest

from circuitmem import Tile, TileSpec
from circuitmem._kernels import stack_counts
from circuitmem._kernels.counts import DirectionCurve, count_pulses
from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.pulses import ground_resistance, row_power
from circuitmem._kernels.stack_counts import CountedCells, Curves, count_stack, first_pulses
from circuitmem._kernels.stack_pulses import Amplitudes, PulseWires
from circuitmem.errors import ValidationError

LIMITS, VOLTS = (1e-6, 5e-5), Amplitudes(1.3, 2.1)
CASES = [
    # tiles, rows, columns, noise, ohms, series ohms
    (1, 1, 1, 0.0, 1.0, 0.0),
    (3, 8, 9, 0.05, 0.0, 0.0),
    (2, 19, 23, 0.05, 2.0, 1e3),
    (5, 13, 40, 0.0, 1.0, 0.0),
]


class Layer:
    """Tiles with random cells, some stuck, one driver dead, and pulses for some of them."""

    def __init__(self, tiles, rows, columns, sigma, ohms, series):
        rng = np.random.default_rng(rows * 100 + columns)
        self.shape = shape = tiles, rows, columns
        asked = rng.uniform(*LIMITS, shape)
        self.stuck = rng.random(shape) < 0.1
        self.cells = asked * rng.uniform(0.8, 1.2, shape), np.where(self.stuck, 1e-4, asked), asked
        self.pulses = rng.integers(0, 6, (2, *shape)) * (rng.random((2, *shape)) < 0.3)
        self.pulses[:, tiles // 2, rows // 2] = 0
        self.pulses[0, -1, -1, -1] = 3
        steep = rng.uniform(1e-3, 8.0, (4, *shape))
        curves = [DirectionCurve(own / 40.0, -1.0 / np.expm1(-own)) for own in steep]
        self.curves = [
            Curves(*(tuple(getattr(one, name) for one in pair) for name in Curves._fields))
            for pair in (curves[:2], [DirectionCurve(each.fade[:1], each.ceiling[:1]) for each in curves[2:]])
        ]
        self.sigma, self.series = sigma, series
        self.noise = Addresses(
            rng.integers(0, 2**63, (tiles, 2), dtype=np.uint64), rng.integers(0, 99, tiles, dtype=np.uint64)
        )
        wires = {"word_line_resistance": ohms, "bit_line_resistance": ohms}
        mesh = Tile(TileSpec(rows=rows, columns=columns, **wires), asked[0]).mesh
        self.word, self.ground = mesh.word_resistance, ground_resistance(mesh.bit_resistance)
        self.dead = rng.random((tiles, rows)) < 0.1

    def pulse(self, **options):
        """Give the pulses; return what is left of the cells, and the power."""
        cells = [array.copy() for array in self.cells]
        wires = PulseWires(self.word[None], self.ground[None], self.dead, self.series)
        law = LIMITS, self.sigma, self.noise
        power = count_stack(CountedCells(*cells, self.stuck), self.pulses, *self.curves, *law, wires, VOLTS, **options)
        return *cells, power

    def by_tiles(self):
        """Do the same with the kernels of single tiles, pulse after pulse."""
        conductance, effective, asked = (array.copy() for array in self.cells)
        most, first, beats = first_pulses(self.pulses)
        power, (real, known) = np.zeros(beats), self.curves
        for tile in range(self.shape[0]):
            for up in range(2):
                for number in range(most[up, tile].max()):
                    chosen = self.pulses[up, tile] > number

                    def work_out(tile=tile, up=up, chosen=chosen):
                        cells = effective[tile] / (1.0 + effective[tile] * self.series)
                        watts = row_power(cells, chosen, self.word, self.ground, VOLTS[up])
                        return np.where(self.dead[tile], 0.0, watts)

                    before, noise = work_out(), self.noise.of(tile)
                    noise = noise._replace(operation=(2 * noise.operation + up) * 65536 + number)
                    law = chosen.astype(np.int64), bool(up)
                    own = DirectionCurve(real.fade[up][tile], real.ceiling[up][tile])
                    believed = DirectionCurve(known.fade[up][0], known.ceiling[up][0])
                    state = conductance[tile], effective[tile], self.stuck[tile]
                    count_pulses(*state, *law, own, LIMITS, self.sigma, noise)
                    free = np.zeros_like(self.stuck[tile])
                    count_pulses(asked[tile], asked[tile], free, *law, believed, LIMITS, 0.0, noise)
                    driven = most[up, tile] > number
                    place = first[tile] + number + (most[0, tile] if up else 0)
                    power[place[driven]] = (work_out() if up else before)[driven]
        return conductance, effective, asked, power


@pytest.mark.parametrize("case", CASES)
def test_cells_and_power_are_those_of_the_kernels_of_single_tiles_bit_for_bit(case):
    layer = Layer(*case)
    found = layer.pulse()
    for array, expected in zip(found, layer.by_tiles(), strict=True):
        np.testing.assert_array_equal(array, expected)
    assert len(found[-1]) == layer.pulses.max(axis=3).sum() > 0
    assert (found[0] != layer.cells[0]).any()


@pytest.mark.parametrize("case", CASES)
def test_every_variant_agrees_with_the_twin(kernel_variant, monkeypatch, case):
    layer = Layer(*case)
    monkeypatch.setattr(stack_counts, "_count_stack", stack_counts._reference_stack)
    expected = layer.pulse()
    monkeypatch.setattr(stack_counts, "_count_stack", kernel_variant("pulses").count_stack)
    for array, twin in zip(layer.pulse(), expected, strict=True):
        np.testing.assert_allclose(array, twin, rtol=1e-11, atol=1e-13 * np.abs(twin).max(initial=0.0))


def test_bits_do_not_depend_on_threads():
    layer = Layer(70, 32, 64, 0.05, 1.0, 0.0)  # enough work for more than one
    for one, two in zip(layer.pulse(threads=1), layer.pulse(threads=2), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["stuck", "pulses", "word"])
def test_what_does_not_fit_is_refused(name):
    layer = Layer(*CASES[1])
    cut = {"stuck": 0, "pulses": 1, "word": 0}[name]
    setattr(layer, name, np.delete(getattr(layer, name), 0, axis=cut))
    with pytest.raises(ValidationError, match=name):
        layer.pulse()
