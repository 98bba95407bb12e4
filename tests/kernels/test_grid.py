"""Every compiled function against its NumPy twin on one grid: shapes x layouts of wires x defects.

A referee stands in the place of each compiled function. It gives the same arguments to the twin and to every variant of
the kernel, compares what they return and what they leave in their arguments, and goes on with the best one's answer: so
functions are compared on what their faces make of tiles, and a function that no path reaches is noticed.
"""

import copy
import importlib
from typing import NamedTuple

import numpy as np
import pytest

from circuitmem import DefectMap, Tile, TileSpec, TransistorCell
from circuitmem._kernels import (
    _reference_tree,
    adam,
    counts,
    devices,
    mesh,
    momentum,
    noise,
    pulses,
    reads,
    reference,
    stack_counts,
    stack_gradients,
    stack_pulses,
    stack_reads,
    switching,
    tree,
)
from circuitmem._kernels.noise import Address, Addresses
from circuitmem._kernels.tiling import Tiling
from circuitmem._kernels.variants import KERNELS, LEVELS
from circuitmem.config import Pulse, PulseTrain, VteamSpec
from circuitmem.device import conductance as conductance_of
from circuitmem.device.ode import device_law
from circuitmem.engine import BehavioralEngine

SHAPES = [(1, 2), (1, 9), (9, 2), (8, 8), (17, 26)]
LAYOUTS = ["one end", "both ends", "ideal", "ideal here and there", "long wires"]
DEFECTS = ["none", "stuck cells", "cut lines", "dead drivers"]

SOLVED = 1e-12
"""Two answers of tolerance 1e-13 each, and rounding; relative to the largest value, as all below."""
ROUNDED = 1e-12
"""Sums over a line, taken in another order."""
ELEMENT = 1e-13
"""A thousand rounding errors; ``test_tree.py`` has it of each element by itself."""
SINGLE = 1e-5
"""A hundred rounding errors of single precision."""
QUOTIENT = 1e-5
"""Of a difference quotient: rounding, magnified by what it divides by."""


def near(bound):
    """Compare arrays of numbers by their largest, and all others to the bit."""

    def compare(found, twin):
        if isinstance(twin, np.ndarray) and twin.dtype.kind == "f":
            largest = np.abs(twin[np.isfinite(twin)]).max(initial=0.0)
            np.testing.assert_allclose(found, twin, rtol=0.0, atol=bound * largest + 1e-300)
        elif isinstance(twin, tuple | list):
            assert len(found) == len(twin)
            for one, other in zip(found, twin, strict=True):
                compare(one, other)
        else:
            np.testing.assert_array_equal(found, twin)

    return compare


def solved(found, twin):
    """Compare voltages and currents; how often kernel and twin iterate is their own affair, success is not."""
    near(SOLVED)(*(np.stack(answer[:2]) for answer in (found, twin)))
    near(SOLVED)(found[2:4], twin[2:4])
    assert np.max(found[5]) <= mesh.TOLERANCE
    assert np.max(twin[5]) <= mesh.TOLERANCE


def either_precision(found, twin):
    near(SINGLE if found[0].dtype == np.float32 else ELEMENT)(found, twin)


def responses(found, twin):
    near(1e-11)(found[:4], twin[:4])
    near(QUOTIENT)(found[4:], twin[4:])


def motions(found, twin):
    """Compare states, currents, numbers of steps: rounding may turn one step's decision, within the tolerance."""
    near(1e-4)(found[0], twin[0])
    near(1e-2)(found[1], twin[1])
    assert (np.abs(found[2] - twin[2]) <= 5).all()


class Pair(NamedTuple):
    """A compiled function, where its face keeps it, its twin, and how they are compared."""

    face: object
    name: str
    kernel: str
    function: str
    twin: object
    compare: object


PAIRS = [
    Pair(mesh, "_solve", "mesh", "solve", reference.solve, solved),
    Pair(tree, "_transfer", "tree", "transfer", _reference_tree.transfer, either_precision),
    Pair(tree, "_largest", "tree", "largest", _reference_tree.largest, near(0.0)),
    Pair(tree, "_narrowed", "tree", "narrowed", _reference_tree.narrowed, near(0.0)),
    Pair(reads, "_read_currents", "reads", "read_currents", reads._reference_currents, near(ROUNDED)),
    Pair(reads, "_read_codes", "reads", "read_codes", reads._reference_codes, near(ROUNDED)),
    Pair(noise, "_standard_normal", "reads", "standard_normal", noise._reference, near(ROUNDED)),
    Pair(stack_reads, "_read_stack", "layers", "read_stack", stack_reads._reference_stack, near(ROUNDED)),
    Pair(pulses, "_row_power", "pulses", "row_power", pulses._reference_power, near(ROUNDED)),
    Pair(pulses, "_changes", "pulses", "changes", pulses._reference_changes, near(0.0)),
    Pair(pulses, "_reset_pulse", "pulses", "reset_pulse", pulses._reference_reset, near(0.0)),
    Pair(pulses, "_set_pulse", "pulses", "set_pulse", pulses._reference_set, near(ROUNDED)),
    Pair(counts, "_count_pulses", "pulses", "count_pulses", counts._reference_count, near(ROUNDED)),
    Pair(stack_counts, "_count_stack", "pulses", "count_stack", stack_counts._reference_stack, near(1e-11)),
    Pair(stack_pulses, "_plan_stack", "programming", "plan_stack", stack_pulses._reference_plan, near(0.0)),
    Pair(
        stack_pulses, "_two_pulse_stack", "programming", "two_pulse_stack",
        stack_pulses._reference_pulses, near(ROUNDED),
    ),
    Pair(stack_gradients, "_load_lines", "backward", "load_lines", stack_gradients._reference_load, near(0.0)),
    Pair(
        stack_gradients, "_weight_gradient", "backward", "weight_gradient",
        stack_gradients._reference_gradient, near(0.0),
    ),
    Pair(adam, "_adam_step", "backward", "adam_step", adam._reference_step, near(0.0)),
    Pair(momentum, "_momentum_step", "backward", "momentum_step", momentum._reference_step, near(0.0)),
    Pair(devices, "_respond", "devices", "respond", devices._reference_respond, responses),
    Pair(devices, "_integrate", "devices", "integrate", devices._reference_integrate, motions),
]  # fmt: skip

VTEAM = VteamSpec.preset("A")
DEVICE = device_law(VTEAM)
NUMBERS = (*DEVICE[:3], np.array(DEVICE.parameters))
NOISE = Address((17, 4), 9)
LAW = pulses.TwoPulseLaw(1e-6, 3.3e-4, 0.7, 1.6, 4e-6)


class Case:
    """Tiles of one shape, layout and kind of defects, and what is asked of them."""

    def __init__(self, shape, layout, defects, tiles=3):
        self.rng = rng = np.random.default_rng([*shape, LAYOUTS.index(layout), DEFECTS.index(defects)])
        self.shape, self.full = shape, (tiles, *shape)
        self.spec = spec = self.drawn_spec(layout)
        self.stuck = rng.random(self.full) < (0.2 if defects == "stuck cells" else 0.0)
        self.dead = rng.random((tiles, shape[0])) < (0.4 if defects == "dead drivers" else 0.0)
        cut = rng.random((2, *shape)) < (0.1 if defects == "cut lines" else 0.0)
        cut[0, 0, 0] = cut[1, -1, 0] = False  # one driver and one sense amplifier reach the tile
        values = rng.choice([0.0, 1e-7, 2e-3], self.full)
        self.asked = rng.uniform(1e-6, 3e-4, self.full)
        self.programmed = np.maximum(self.asked + rng.normal(0.0, 3e-6, self.full), 0.0)
        self.effective = np.where(self.stuck, values, self.programmed)
        self.tiles = [
            Tile(
                spec,
                self.programmed[k],
                DefectMap(
                    stuck=self.stuck[k], stuck_conductance=values[k], open_word_segments=cut[0],
                    open_bit_segments=cut[1], dead_drivers=self.dead[k],
                ),
            )
            for k in range(tiles)
        ]  # fmt: skip
        self.wires = self.tiles[0].mesh[1:]
        self.ground = pulses.ground_resistance(self.wires[1])
        self.noise = Addresses(
            rng.integers(0, 2**63, (tiles, 2), dtype=np.uint64), rng.integers(0, 99, tiles, dtype=np.uint64)
        )

    def drawn_spec(self, layout):
        (rows, columns), both = self.shape, layout == "both ends"
        word, bit = np.full((rows, columns + both), 2.0), np.full((rows + both, columns), 2.0)
        if layout in ("both ends", "ideal here and there"):
            word, bit = (array * self.rng.uniform(0.5, 5.0, array.shape) for array in (word, bit))
        if layout == "ideal here and there":
            word, bit = (array * (self.rng.random(array.shape) < 0.7) for array in (word, bit))
        factor = {"ideal": 0.0, "long wires": 250.0}.get(layout, 1.0)
        ends = {"word_line_drive": "both", "bit_line_sense": "both"} if both else {}
        return TileSpec(
            rows=rows, columns=columns, word_line_resistance=factor * word, bit_line_resistance=factor * bit,
            driver_resistance=10.0 * factor, sense_resistance=5.0 * factor, **ends,
        )  # fmt: skip

    def voltages(self, largest, batch=3):
        return self.tiles[0].input_voltages(self.rng.uniform(-largest, largest, (batch, self.shape[0])))

    def channels(self, tile, table):
        """Converters of a tile; a dead driver gives 0 V whatever its code."""
        rng, (rows, columns) = self.rng, self.shape
        volts = rng.uniform(0.0, 0.4, (rows, 256)) * ~self.dead[tile][:, None]
        steps = np.sort(np.arange(255) + 0.5 + 3.0 * rng.standard_normal((columns, 255)), axis=1) if table else None
        highest = np.where(rng.random(columns) < 0.1, 0.0, 255.0)
        return reads.Channels(
            volts, rng.uniform(1.0, 2.0, columns) * 2e4 / rows, rng.normal(0.0, 0.01, columns), highest, -0.01,
            1.0 / 255.0, 0.01, steps,
        )  # fmt: skip

    def tiling(self):
        """All tiles in one column of a grid, their last word line and their last pair spare if there are more."""
        (rows, columns), tiles = self.shape, len(self.tiles)
        used, pairs = max(rows - 1, 1), max(columns // 2 - 1, 1)
        inputs, outputs = np.full((tiles, rows), -1, dtype=np.int32), np.full((tiles, columns // 2), -1, dtype=np.int32)
        for tile in range(tiles):
            inputs[tile, :used] = np.roll(np.arange(used), tile) + tile * used
            outputs[tile, :pairs] = np.roll(np.arange(pairs), tile)
        return Tiling(inputs, outputs, (tiles, 1), (tiles * used, pairs)).check()

    def transfer(self, **options):
        return tree.transfer_stack(self.effective, *self.wires, **options)


def linear_cells(case):
    mesh.solve_mesh(*case.tiles[0].mesh, case.voltages(0.5), threads=2)


def cells_of_each_vector(case):
    injection = case.rng.normal(0.0, 1e-5, (3, 2, *case.shape))
    mesh.solve_mesh(case.effective, *case.wires, case.voltages(0.5), injection=injection, threads=2)


def sinh_cells(case):
    mesh.solve_mesh_sinh(*case.tiles[0].mesh, case.voltages(0.3), 5.0, threads=2)


def selectors(case):
    mesh.solve_mesh_selector(*case.tiles[0].mesh, case.voltages(1.0), 1e-12, 0.03, threads=2)


def transfer_matrices(case):
    case.transfer(threads=1)
    case.transfer(dtype=np.float32, threads=1)


def transfer_matrices_abreast(case):
    """Nine tiles and two threads: one vector of tiles side by side, and a rest."""
    many = np.concatenate([case.effective] * 3)
    for dtype in (np.float64, np.float32):
        found = tree.transfer_stack(many, *case.wires, dtype=dtype, threads=2)
        if not tree.have_ideal_wires(many, *(each[None] for each in case.wires)).any():
            tree.transfer_stack(2.0 * many, *case.wires, dtype=dtype, threads=2, tiles=[4, 1], out=found)


def reads_of_a_tile(case):
    matrix, admittance = (array[0] for array in case.transfer())
    codes = case.rng.integers(0, 256, (70, case.shape[0])) * (case.rng.random((70, case.shape[0])) < 0.5)
    for table in (False, True):
        reads.read_codes(codes, matrix, admittance, case.channels(0, table), NOISE)
    reads.read_currents(case.voltages(0.4), matrix)
    noise.standard_normal(NOISE, matrix.size)


def reads_of_a_layer(case):
    tiling, columns = case.tiling(), case.shape[1]
    codes = case.rng.integers(0, 256, (70, tiling.shape[0])) * (case.rng.random((70, tiling.shape[0])) < 0.5)
    correction = stack_reads.StackCorrection(
        case.rng.uniform(0.5, 1.5, (2, len(case.tiles), columns)), case.rng.normal(size=(len(case.tiles), columns)),
        np.ones(1),
    )  # fmt: skip
    sources = [stack_reads.Matrices(*case.transfer())]
    if not (case.wires[0][:, :-1].any() or case.wires[1][1:].any()):
        sources.append(stack_reads.IdealWires(case.effective, case.wires[1][-1:]))
    for source in sources:
        for table in (False, True):
            channels = stack_reads.StackChannels.of([case.channels(k, table) for k in range(len(case.tiles))], 255)
            stack_reads.read_stack(
                codes, source, channels, case.noise, tiling=tiling, correction=correction, groups=2, threads=2
            )


def pulses_of_a_tile(case):
    state = case.programmed[0].copy(), case.effective[0].copy(), case.stuck[0]
    asked, slope = case.asked[0].copy(), 3.3e-4 * case.rng.uniform(0.9, 1.1, case.shape)
    wanted = np.where(case.rng.random(case.shape) < 0.6, case.rng.uniform(-1e-5, 3.5e-4, case.shape), asked)
    falling, changing, _ = pulses.changes(wanted, asked, 5e-6)
    pulses.row_power(state[1], falling, case.wires[0], case.ground, 1.5)
    pulses.reset_pulse(*state, falling, LAW)
    pulses.set_pulse(*state, changing, wanted, asked, slope, LAW, NOISE)
    steep = case.rng.uniform(1e-3, 8.0, case.shape)
    curve = counts.DirectionCurve(steep / 40.0, -1.0 / np.expm1(-steep))
    for up in (True, False):
        some = case.rng.integers(0, 6, case.shape)
        counts.count_pulses(*state, some, up, curve, (1e-6, 3e-4), 0.03, NOISE)


def pulses_of_a_layer(case):
    tiling, known = case.tiling(), np.where(case.stuck, case.effective, np.nan)
    weights = np.round(case.rng.uniform(-1.2, 1.2, tiling.shape), 1)
    targets = stack_pulses.PairTargets(
        weights, tiling, 8e-5, 5e-6, 3e-4, 500.0, case.rng.uniform(0.9, 1.3, case.full), known
    )
    plan = stack_pulses.plan_stack([targets], list(case.asked), 2e-6, threads=2)
    wires = stack_pulses.PulseWires(case.wires[0][None], case.ground[None], case.dead, 500.0)
    cells = stack_pulses.CellArrays(case.programmed.copy(), case.effective.copy(), case.asked.copy(), case.stuck)
    slope = 3.3e-4 * case.rng.uniform(0.9, 1.1, case.full)
    volts = stack_pulses.Amplitudes(1.2, 2.0)
    stack_pulses.two_pulse_stack(plan, cells, slope, LAW, case.noise, wires=wires, amplitudes=volts, threads=2)


def counted_pulses_of_a_layer(case):
    cells = stack_counts.CountedCells(case.programmed.copy(), case.effective.copy(), case.asked.copy(), case.stuck)
    some = case.rng.integers(0, 4, (2, *case.full)) * (case.rng.random((2, *case.full)) < 0.4)
    steep = case.rng.uniform(1e-3, 8.0, (2, 2, *case.full))
    curves = [stack_counts.Curves(tuple(own / 40.0), tuple(-1.0 / np.expm1(-own))) for own in steep]
    wires = stack_pulses.PulseWires(case.wires[0][None], case.ground[None], case.dead, 500.0)
    volts = stack_pulses.Amplitudes(1.2, 2.0)
    stack_counts.count_stack(cells, some, *curves, (1e-6, 3e-4), 0.03, case.noise, wires, volts, threads=2)


def gradients_of_a_layer(case):
    tiling, ideal = case.tiling(), Tile(case.spec, case.programmed[0]).mesh
    along = (1.0 / np.maximum(array, 1e-6) for array in (ideal.word_resistance.T, ideal.bit_resistance))
    lines = stack_gradients.LineSegments(*map(np.ascontiguousarray, along))
    seen = np.stack([tile.mesh.conductance for tile in case.tiles]) * ~case.dead[:, :, None]
    loaded = stack_gradients.load_lines(seen, lines, turns=3, least_reach=0.01, threads=2)
    outer, weights = case.rng.normal(size=(2, *tiling.shape))
    scale = case.rng.uniform(0.5, 2.0, (2, len(case.tiles), case.shape[1]))
    cells = {"stuck": np.where(case.stuck, case.effective, np.nan), "prefactor": case.rng.uniform(0.9, 1.3, case.full)}
    for wires in (None, (lines, loaded), (lines, loaded.kept_as(np.float32))):
        gradient = stack_gradients.weight_gradient(outer, tiling, scale, weights, **cells, lines=wires, threads=2)
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step in (1, 2):
        adam.adam_step(weights, first, second, gradient, step=step, rate=1e-3, threads=2)
    for limits in (None, (weights - 0.1, weights + 0.1)):
        adam.adam_step(weights, first, second, gradient, limits, step=2, rate=1e-3, threads=2)
        momentum.momentum_step(weights, first, gradient, limits, rate=0.1, momentum=0.9, threads=2)


def devices_of_a_tile(case):
    """Cells behind the resistance of their lines, and those of dead drivers switched off."""
    state = case.rng.uniform(0.0, 1.0, case.shape).ravel()
    series = np.where(case.dead[0][:, None], np.inf, case.wires[0][:, :1] + case.wires[1][-1:]).ravel()
    series = np.where(case.rng.random(len(state)) < 0.1, 3e3, series)
    fixed = np.where(case.stuck[0], case.effective[0], -1.0).ravel()
    across = case.rng.uniform(-2.0, 1.0, len(state))
    devices._respond(*NUMBERS, state, fixed, series, across, 1)
    time, some = np.linspace(0.0, 20e-9, 6), slice(0, 3)
    wave = np.sin(2.0 * np.pi * time / 20e-9) * case.rng.uniform(0.3, 1.0, (len(state[some]), 1))
    finite = np.where(np.isinf(series), 50.0, series)[some]
    devices._integrate(*NUMBERS, *devices.METHOD, state[some], finite, time, wave, 1e-4, 10_000, 1)


PATHS = [
    linear_cells, cells_of_each_vector, sinh_cells, selectors, transfer_matrices, transfer_matrices_abreast,
    reads_of_a_tile, reads_of_a_layer, pulses_of_a_tile, pulses_of_a_layer, counted_pulses_of_a_layer,
    gradients_of_a_layer, devices_of_a_tile,
]  # fmt: skip


def variants(kernel):
    """Return the modules of a kernel that this processor runs, the best last."""
    available = importlib.import_module("circuitmem._kernels._cpu").level()
    suffixes = [level.suffix for level in LEVELS if level.needed <= available]
    return [importlib.import_module(f"circuitmem._kernels._{kernel}{suffix}") for suffix in suffixes]


def referee(pair, monkeypatch, met):
    """Put a function that asks the twin and every variant of the kernel in the place of the compiled one."""
    kernels = [getattr(module, pair.function) for module in variants(pair.kernel)]

    def all_of_them(*given):
        left_by_twin = copy.deepcopy(given)
        twin = pair.twin(*left_by_twin)
        for kernel in kernels:
            left = given if kernel is kernels[-1] else copy.deepcopy(given)
            found = kernel(*left)
            pair.compare(found, twin)
            for ours, theirs in zip(left, left_by_twin, strict=True):
                if isinstance(theirs, np.ndarray):
                    near(ROUNDED)(ours, theirs)
        met.add((pair.kernel, pair.function))
        return found

    monkeypatch.setattr(pair.face, pair.name, all_of_them)


@pytest.fixture
def met(monkeypatch):
    """Put referees everywhere; return which functions they were asked for so far."""
    found = set()
    for pair in PAIRS:
        referee(pair, monkeypatch, found)
    return found


@pytest.mark.parametrize("defects", DEFECTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__.replace("_", " "))
def test_kernels_and_twins_agree(path, layout, defects, met):
    for shape in SHAPES:
        path(Case(shape, layout, defects))
    assert met or layout == "ideal"  # their matrix is that of the conductances, which no kernel works out


def test_every_compiled_function_is_on_the_grid(met):
    for path in PATHS:
        path(Case((5, 4), "one end", "stuck cells"))
    compiled = {
        (kernel, name)
        for kernel in KERNELS
        for name, value in vars(variants(kernel)[0]).items()
        if not name.startswith("_") and callable(value)
    }
    assert met | {("switching", "switch")} == compiled  # which is below


@pytest.mark.parametrize("defects", DEFECTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pulse_on_a_tile_agrees_with_the_engine_s_own_way(layout, defects, monkeypatch):
    """The twin of this kernel is the engine, moment by moment. ``test_switching.py`` has every variant."""
    kernel = switching._compiled
    for shape, cell, scheme in (((1, 2), VTEAM.cell, "v/2"), ((5, 4), TransistorCell(on_resistance=2e3), "1t1r")):
        case = Case(shape, layout, defects, tiles=1)
        states = conductance_of(VTEAM, case.rng.uniform(0.2, 0.8, shape))
        tile = Tile(case.spec.model_copy(update={"cell": cell}), states, case.tiles[0].defects)
        pulse = Pulse(amplitude=1.2, width=1e-9, rise=1e-10, rows=(0,), scheme=scheme)
        train = PulseTrain(device=VTEAM, pulses=(pulse,))
        found = []
        for module in (kernel, None):
            monkeypatch.setattr(switching, "_compiled", module)
            found.append(BehavioralEngine(threads=1).program(tile, train, tolerance=1e-6))
        # Where steps fall is left to the last bit: within ten times the tolerance of a step.
        np.testing.assert_allclose(found[0].state, found[1].state, rtol=0.0, atol=1e-5)
        assert found[0].energy == pytest.approx(found[1].energy, rel=1e-4, abs=1e-30)
