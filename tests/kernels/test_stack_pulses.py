"""Programming of a whole layer: against that of its tiles one by one, in every variant and number of threads."""

import numpy as np
import pytest

from circuitmem import Tile, TileSpec
from circuitmem._kernels import stack_pulses
from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.pulses import TwoPulseLaw, changes, ground_resistance, reset_pulse, row_power, set_pulse
from circuitmem._kernels.stack_pulses import (
    Amplitudes,
    CellArrays,
    PairTargets,
    PulseWires,
    plan_stack,
    two_pulse_stack,
)
from circuitmem._kernels.tiling import Tiling
from circuitmem.config.cell import TransistorCell
from circuitmem.errors import ValidationError
from circuitmem.tile import PairMapping

LAW = TwoPulseLaw(5e-6, 1e-4, 0.7, 1.6, 1e-6)
DEADBAND = 2e-6
VOLTS = Amplitudes(1.2, 2.0)
CASES = [
    # rows, columns, grid, part of the weights that changes, ohms, series ohms
    (1, 2, (1, 1), 1.0, 1.0, 0.0),
    (8, 8, (2, 1), 0.5, 0.0, 0.0),
    (17, 26, (2, 3), 0.05, 1.0, 0.0),
    (17, 27, (2, 3), 0.3, 0.0, 1e3),
    (64, 64, (3, 2), 0.03, 0.0, 0.0),
    (33, 70, (2, 2), 0.2, 2.0, 5e2),
]


class Layer:
    """Tiles with random cells, some stuck, one driver dead, and weights of which some change."""

    def __init__(self, rows, columns, grid, part, ohms, series):
        rng = np.random.default_rng(rows * 1000 + columns)
        tiles, used, pairs = grid[0] * grid[1], max(rows - 2, 1), max(columns // 2 - 1, 1)
        shape = used * grid[0], pairs * grid[1]
        inputs = np.full((tiles, rows), -1, dtype=np.int32)
        outputs = np.full((tiles, columns // 2), -1, dtype=np.int32)
        for tile in range(tiles):
            inputs[tile, rows - used :] = np.arange(used) + tile // grid[1] * used
            outputs[tile, :pairs] = np.roll(np.arange(pairs), tile) + tile % grid[1] * pairs
        self.tiling = Tiling(inputs, outputs, grid, shape).check()
        self.mapping = PairMapping(5e-6, 8e-5, 1.0)
        self.series = series
        self.before = rng.uniform(-1.2, 1.2, shape)
        self.weights = np.where(rng.random(shape) < part, rng.uniform(-1.2, 1.2, shape), self.before)
        self.weights[0, 0] = -self.before[0, 0]
        full = tiles, rows, columns
        self.asked = np.full(full, 5e-6)
        self.asked = plan_stack([self.targets(self.before)], self.asked, 0.0).wanted
        self.stuck = rng.random(full) < 0.05
        self.conductance = np.maximum(self.asked + 2e-6 * rng.standard_normal(full), 0.0)
        self.effective = np.where(self.stuck, 1e-4, self.conductance)
        self.slope = 1e-4 * rng.uniform(0.8, 1.2, full)
        self.noise = Addresses(
            rng.integers(0, 2**63, (tiles, 2), dtype=np.uint64), rng.integers(0, 99, tiles, dtype=np.uint64)
        )
        spec = TileSpec(rows=rows, columns=columns, word_line_resistance=ohms, bit_line_resistance=ohms)
        mesh = Tile(spec, self.asked[0]).mesh
        self.word, self.ground = mesh.word_resistance, ground_resistance(mesh.bit_resistance)
        self.dead = rng.random((tiles, rows)) < 0.05
        self.known = np.where(self.stuck, rng.uniform(0.0, 2e-4, full), np.nan)
        self.prefactor = rng.uniform(0.9, 1.3, full)

    def targets(self, weights, **known):
        """Return what the kernel is given."""
        mapping = self.mapping
        return PairTargets(weights, self.tiling, mapping.scale, mapping.minimum, mapping.maximum, self.series, **known)

    def plan(self, known=None, **options):
        """Plan with one call."""
        targets = self.targets(self.weights, **(known or {}))
        return plan_stack([targets], list(self.asked), DEADBAND, **options)

    def copies(self):
        """Return cells to be pulsed."""
        return CellArrays(self.conductance.copy(), self.effective.copy(), self.asked.copy(), self.stuck)

    def pulse(self, plan, **options):
        """Give the pulses; return what is left of the cells, and the power."""
        cells = self.copies()
        wires = PulseWires(self.word[None], self.ground[None], self.dead, self.series)
        given = {"wires": wires, "amplitudes": VOLTS} | options
        power = two_pulse_stack(plan, cells, self.slope, LAW, self.noise, **given)
        return *cells[:3], power

    def by_tiles(self, plan):
        """Do the same with the kernels of single tiles."""
        cells, power = self.copies(), np.zeros(plan.counts.shape)
        conductance, effective, asked, stuck = cells
        for tile in range(len(asked)):

            def work_out(chosen, voltage, tile=tile):
                between = effective[tile] / (1.0 + effective[tile] * self.series)
                return np.where(self.dead[tile], 0.0, row_power(between, chosen[tile], self.word, self.ground, voltage))

            state = conductance[tile], effective[tile], stuck[tile]
            power[0, tile] = work_out(plan.lowered, VOLTS.reset)
            reset_pulse(*state, plan.lowered[tile], LAW)
            set_pulse(
                *state, plan.selected[tile], plan.wanted[tile], asked[tile], self.slope[tile], LAW, self.noise.of(tile)
            )
            power[1, tile] = work_out(plan.selected, VOLTS.set)
        return conductance, effective, asked, power


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-13 * np.abs(wanted).max(initial=0.0))


@pytest.mark.parametrize("case", CASES)
def test_wanted_conductances_are_those_of_the_mapping_bit_for_bit(case):
    layer = Layer(*case)
    plan = layer.plan()
    cell = TransistorCell(on_resistance=layer.series) if layer.series else None
    for tile, (lines, pairs) in enumerate(zip(layer.tiling.inputs, layer.tiling.outputs, strict=True)):
        rows, places = np.flatnonzero(lines >= 0), np.flatnonzero(pairs >= 0)
        wanted = layer.asked[tile].copy()
        block = layer.mapping.conductances(layer.weights[np.ix_(lines[rows], pairs[places])])
        block = cell.memristor_conductance(block) if cell else block
        wanted[np.ix_(rows, (2 * places[:, None] + np.arange(2)).ravel())] = block
        np.testing.assert_array_equal(plan.wanted[tile], wanted)
        lowered, selected, counts = changes(wanted, layer.asked[tile], DEADBAND)
        np.testing.assert_array_equal(plan.lowered[tile], lowered)
        np.testing.assert_array_equal(plan.selected[tile], selected)
        np.testing.assert_array_equal(plan.counts[:, tile], counts)
    assert plan.lowered.any()
    assert (plan.selected & ~plan.lowered).any()
    again = plan_stack(plan.wanted, layer.asked, DEADBAND)
    for found, known in zip(again, plan, strict=True):
        np.testing.assert_array_equal(found, known)


@pytest.mark.parametrize("case", CASES)
def test_cells_are_left_as_by_the_kernels_of_single_tiles_bit_for_bit(case):
    layer = Layer(*case)
    plan = layer.plan()
    *cells, power = layer.pulse(plan)
    *wanted, watts = layer.by_tiles(plan)
    for found, known in zip(cells, wanted, strict=True):
        np.testing.assert_array_equal(found, known)
    close(power, watts)
    assert (cells[0] != layer.conductance).any()
    assert power[1].any()


@pytest.mark.parametrize("case", CASES)
def test_every_variant_agrees_with_the_twin(kernel_variant, monkeypatch, case):
    layer = Layer(*case)
    module = kernel_variant("programming")
    monkeypatch.setattr(stack_pulses, "_plan_stack", stack_pulses._reference_plan)
    monkeypatch.setattr(stack_pulses, "_two_pulse_stack", stack_pulses._reference_pulses)
    plan = layer.plan()
    wanted = layer.pulse(plan)
    monkeypatch.setattr(stack_pulses, "_plan_stack", module.plan_stack)
    monkeypatch.setattr(stack_pulses, "_two_pulse_stack", module.two_pulse_stack)
    for found, known in zip(layer.plan(), plan, strict=True):
        np.testing.assert_array_equal(found, known)
    for found, known in zip(layer.pulse(plan), wanted, strict=True):
        close(found, known)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("names", [("stuck",), ("prefactor",), ("stuck", "prefactor")])
def test_what_is_known_of_cells_enters_the_plan(kernel_variant, monkeypatch, case, names):
    """Partners make up for stuck cells, which get no pulses, and factors for wires: as tile by tile, in every bit."""
    layer, module = Layer(*case), kernel_variant("programming")
    known = {"stuck": layer.known, "prefactor": layer.prefactor}
    known = {name: known[name] for name in names}
    monkeypatch.setattr(stack_pulses, "_plan_stack", module.plan_stack)
    plan = layer.plan(known)
    monkeypatch.setattr(stack_pulses, "_plan_stack", stack_pulses._reference_plan)
    for found, twin in zip(plan, layer.plan(known), strict=True):
        np.testing.assert_array_equal(found, twin)
    mapping, tiling, cell = layer.mapping, layer.tiling, TransistorCell(on_resistance=layer.series)
    for tile, (lines, pairs) in enumerate(zip(tiling.inputs, tiling.outputs, strict=True)):
        rows, places = np.flatnonzero(lines >= 0), np.flatnonzero(pairs >= 0)
        cells = np.ix_(rows, (2 * places[:, None] + np.arange(2)).ravel())
        share = layer.weights[np.ix_(lines[rows], pairs[places])]
        between = mapping.conductances(share, known["stuck"][tile][cells] if "stuck" in known else None)
        if "prefactor" in known:
            between = np.clip(between * known["prefactor"][tile][cells], mapping.minimum, mapping.maximum)
        wanted = layer.asked[tile].copy()
        wanted[cells] = cell.memristor_conductance(between)
        if "stuck" in known:
            wanted = np.where(np.isnan(known["stuck"][tile]), wanted, layer.asked[tile])
        np.testing.assert_array_equal(plan.wanted[tile], wanted)


def test_a_law_of_one_s_own_is_that_of_the_same_resistance_in_series():
    layer = Layer(*CASES[5])
    known = {"stuck": layer.known, "prefactor": layer.prefactor}
    wanted = layer.plan(known).wanted
    law, layer.series = TransistorCell(on_resistance=layer.series).memristor_conductance, 0.0
    np.testing.assert_array_equal(layer.plan({**known, "law": law}).wanted, wanted)
    assert (layer.plan(known).wanted != wanted).any()


def test_layers_are_planned_one_after_another():
    one, other = Layer(*CASES[2]), Layer(*CASES[2])
    other.weights = other.weights[::-1].copy()
    plans = [each.plan() for each in (one, other)]
    targets = [each.targets(each.weights) for each in (one, other)]
    both = plan_stack(targets, np.concatenate([one.asked, other.asked]), DEADBAND)
    for field, axis in (("wanted", 0), ("lowered", 0), ("selected", 0), ("counts", 1)):
        expected = np.concatenate([getattr(plan, field) for plan in plans], axis=axis)
        np.testing.assert_array_equal(getattr(both, field), expected)
    with pytest.raises(ValidationError, match="wanted must be of 6 tiles"):
        plan_stack(targets, one.asked, DEADBAND)


@pytest.mark.parametrize("case", CASES)
def test_bits_depend_neither_on_threads_nor_on_the_other_tiles(case):
    layer = Layer(*case)
    plan = layer.plan(threads=1)
    for found, known in zip(layer.plan(threads=2), plan, strict=True):
        np.testing.assert_array_equal(found, known)
    one = layer.pulse(plan, threads=1)
    for found, known in zip(layer.pulse(plan, threads=2), one, strict=True):
        np.testing.assert_array_equal(found, known)
    last = np.array([len(layer.asked) - 1])
    *cells, power = layer.pulse(plan, tiles=last)
    for found, known, before in zip(cells, one, layer.copies(), strict=False):
        np.testing.assert_array_equal(found[-1], known[-1])
        np.testing.assert_array_equal(found[:-1], before[:-1])
    np.testing.assert_array_equal(power[:, -1], one[3][:, -1])
    assert not layer.pulse(plan, wires=None)[3].any()


def test_nothing_happens_where_nothing_changes():
    layer = Layer(*CASES[2])
    plan = plan_stack(layer.asked, layer.asked, 0.0)
    assert not plan.selected.any()
    *cells, power = layer.pulse(plan)
    for found, before in zip(cells, layer.copies(), strict=False):
        np.testing.assert_array_equal(found, before)
    assert not power.any()


def test_one_array_may_be_conductance_and_effective_conductance():
    layer = Layer(*CASES[2])
    plan, own = layer.plan(), layer.conductance.copy()
    nothing = np.zeros_like(layer.stuck)
    layer.stuck, layer.effective = nothing, layer.conductance.copy()
    wanted = layer.pulse(plan)
    cells = CellArrays(own, own, layer.asked.copy(), nothing)
    wires = PulseWires(layer.word[None], layer.ground[None], layer.dead)
    power = two_pulse_stack(plan, cells, layer.slope, LAW, layer.noise, wires=wires, amplitudes=VOLTS)
    np.testing.assert_array_equal(own, wanted[0])
    np.testing.assert_array_equal(power, wanted[3])


def test_what_does_not_fit_is_refused_by_name():
    layer = Layer(*CASES[2])
    plan = layer.plan()
    with pytest.raises(ValidationError, match="weights"):
        plan_stack([layer.targets(layer.weights[1:])], layer.asked, DEADBAND)
    with pytest.raises(ValidationError, match="wanted"):
        plan_stack(layer.asked[:, 1:], layer.asked, DEADBAND)
    with pytest.raises(ValidationError, match="slope"):
        two_pulse_stack(plan, layer.copies(), layer.slope[1:], LAW, layer.noise)
    with pytest.raises(ValidationError, match="tiles"):
        two_pulse_stack(plan, layer.copies(), layer.slope, LAW, layer.noise, tiles=np.array([6]))
    with pytest.raises(ValidationError, match="asked"):
        two_pulse_stack(plan, layer.copies()._replace(asked=layer.asked[:, :, ::2]), layer.slope, LAW, layer.noise)
