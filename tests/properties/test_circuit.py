"""Laws that every solved tile obeys, whatever it is made of (physics.md, section 9)."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from circuitmem import DefectMap, LinearCell, SelectorCell, SinhCell, Tile, TileSpec, TransistorCell
from circuitmem._kernels.mesh import solve_mesh
from circuitmem._kernels.tree import transfer_stack
from circuitmem.config.quantity import SMALLEST
from circuitmem.engine import BehavioralEngine

ENGINE = BehavioralEngine(threads=1)

SOLVED = 1e-12
"""Ten times the engine's tolerance for a voltage, because what is compared are sums over the nodes of a line. Direct
solvers reach 2.5e-15 for superposition and reciprocity at 64 x 64 (ngspice.md); the engine asks for 1e-13 only."""

EPSILON = float(np.finfo(float).eps)


def siemens(low=1e-9, high=1e-2):
    """Conductances over many decades, and open cells."""
    return st.one_of(st.just(0.0), st.floats(np.log10(low), np.log10(high)).map(lambda x: 10**x))


OHMS = st.one_of(st.just(0.0), st.floats(0.01, 20.0))


@st.composite
def specs(draw, cell=None, ohms=OHMS):
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    both_driven, both_sensed = draw(st.booleans()), draw(st.booleans())
    word = [[draw(ohms) for _ in range(columns + both_driven)] for _ in range(rows)]
    bit = [[draw(ohms) for _ in range(columns)] for _ in range(rows + both_sensed)]
    return TileSpec(
        rows=rows,
        columns=columns,
        word_line_resistance=word,
        bit_line_resistance=bit,
        driver_resistance=draw(ohms),
        sense_resistance=draw(ohms),
        word_line_drive="both" if both_driven else "left",
        bit_line_sense="both" if both_sensed else "bottom",
        cell=LinearCell() if cell is None else draw(cell),
    )


@st.composite
def defect_maps(draw, spec):
    flags = [[draw(st.integers(0, 9)) for _ in range(spec.columns)] for _ in range(spec.rows)]
    open_word, open_bit = np.array(flags) == 8, np.array(flags) == 9
    open_word[0, 0] = open_bit[-1, 0] = False  # a tile must stay connected
    bridges = []
    for _ in range(draw(st.integers(0, 2))):
        nodes = [
            (
                draw(st.sampled_from(["word", "bit"])),
                draw(st.integers(0, spec.rows - 1)),
                draw(st.integers(0, spec.columns - 1)),
            )
            for _ in range(2)
        ]
        if nodes[0] != nodes[1]:
            bridges.append((*nodes, draw(st.floats(0.1, 1e5))))
    return DefectMap(open_word_segments=open_word, open_bit_segments=open_bit, bridges=bridges)


@st.composite
def tiles(draw, cell=None, ohms=OHMS, defects=True):
    spec = draw(specs(cell, ohms))
    conductance = [[draw(siemens()) for _ in range(spec.columns)] for _ in range(spec.rows)]
    return Tile(spec, conductance, draw(defect_maps(spec)) if defects else None)


SINH = st.floats(0.1, 10.0).map(lambda a: SinhCell(a=a))
TRANSISTOR = st.floats(0.0, 1e5).map(lambda ohms: TransistorCell(on_resistance=ohms if ohms >= SMALLEST else 0.0))
SELECTOR = st.tuples(st.floats(0.05, 0.9), st.floats(0.05, 0.3)).map(
    lambda drawn: SelectorCell(threshold=drawn[0], swing=drawn[1])
)


def voltages(tile, seed, low=-1.0):
    return np.random.default_rng(seed).uniform(low, 1.0, tile.spec.rows)


SEEDS = st.integers(0, 2**32 - 1)


def wire_currents(tile, solution, source):
    """Return the currents through word-line and bit-line segments, NaN where a wire is ideal."""
    mesh = tile.mesh
    ends = source[:, None]
    word = np.concatenate([ends, solution.word_line_voltage, ends], axis=1)
    ground = np.zeros((1, tile.spec.columns))
    bit = np.concatenate([ground, solution.bit_line_voltage, ground])
    with np.errstate(invalid="ignore", divide="ignore"):
        return -np.diff(word, axis=1) / mesh.word_resistance, -np.diff(bit, axis=0) / mesh.bit_resistance


@given(st.one_of(tiles(), tiles(SINH), tiles(TRANSISTOR), tiles(SELECTOR)), SEEDS)
def test_no_node_gathers_charge(tile, seed):
    """Kirchhoff's current law at each node between two wires that are not ideal, relative to what passes it."""
    source = voltages(tile, seed)
    solution = ENGINE.solve(tile, source)
    word, bit = wire_currents(tile, solution, source)
    cell = tile.spec.cell.current(tile.effective_conductance, solution.word_line_voltage - solution.bit_line_voltage)
    lost = np.stack([word[:, :-1] - word[:, 1:] - cell, bit[:-1] - bit[1:] + cell])
    for bridge in tile.defects.bridges:
        nodes = [(int(node.line == "bit"), node.row, node.column) for node in (bridge.first, bridge.second)]
        lines = solution.word_line_voltage, solution.bit_line_voltage
        first, second = (lines[line][row, column] for line, row, column in nodes)
        lost[nodes[0]] -= (first - second) / bridge.resistance
        lost[nodes[1]] += (first - second) / bridge.resistance
    # A wire's current is a difference of voltages that are known to the engine's tolerance.
    mesh = tile.mesh
    with np.errstate(divide="ignore"):
        ties = np.stack(
            [
                1 / mesh.word_resistance[:, :-1] + 1 / mesh.word_resistance[:, 1:],
                1 / mesh.bit_resistance[:-1] + 1 / mesh.bit_resistance[1:],
            ]
        )
    slope = tile.spec.cell.slope(tile.effective_conductance, np.ones(tile.spec.shape))
    known = np.isfinite(lost)
    bound = (
        SOLVED * np.abs(source).max() * (ties + slope + sum(1 / bridge.resistance for bridge in tile.defects.bridges))
    )
    assert (np.abs(lost)[known] <= bound[known]).all()


@given(tiles(), SEEDS)
def test_superposition(tile, seed):
    rng = np.random.default_rng(seed)
    first, second, factor = voltages(tile, seed), voltages(tile, seed + 1), float(rng.uniform(-2, 2))
    one, two, both = (ENGINE.solve(tile, v) for v in (first, second, first + factor * second))
    volts = np.abs(first).max() + np.abs(factor * second).max()
    # A current is known as well as the voltages are that drive it through cells and bridges.
    amps = volts * (tile.effective_conductance.sum() + sum(1 / bridge.resistance for bridge in tile.defects.bridges))
    for name in ("column_current", "driver_current", "word_line_voltage", "bit_line_voltage"):
        parts = getattr(one, name), factor * getattr(two, name)
        scale = amps if name.endswith("current") else volts
        np.testing.assert_allclose(getattr(both, name), sum(parts), rtol=0.0, atol=4 * SOLVED * scale + 1e-300)


@given(tiles())
def test_reciprocity(tile):
    """A volt on driver i sends into column j what a volt at the sense amplifier of column j would send into row i."""
    assume(not tile.defects.bridges)  # they are not part of the mesh
    conductance, word, bit = tile.mesh
    matrix, _ = transfer_stack(conductance[None], word, bit, threads=1)
    # The same wires seen from the sense amplifiers: turned about the other diagonal, lines have changed their kinds.
    turned = [array[::-1, ::-1].T for array in (conductance, bit, word)]
    back, _ = transfer_stack(turned[0][None], turned[1], turned[2], threads=1)
    scale = np.abs(matrix).max()
    np.testing.assert_allclose(back[0], matrix[0].T[::-1, ::-1], rtol=0.0, atol=2 * SOLVED * scale + 1e-300)
    driver = solve_mesh(conductance, word, bit, np.eye(len(conductance)), threads=1).driver_current
    np.testing.assert_allclose(driver, driver.T, rtol=0.0, atol=2 * SOLVED * np.abs(driver).max() + 1e-300)


@given(st.one_of(tiles(), tiles(SINH), tiles(TRANSISTOR), tiles(SELECTOR)), SEEDS)
def test_voltages_lie_between_those_of_the_sources(tile, seed):
    source = voltages(tile, seed)
    solution = ENGINE.solve(tile, source)
    slack = SOLVED * np.abs(source).max()
    for nodes in (solution.word_line_voltage, solution.bit_line_voltage):
        assert nodes.min() >= min(source.min(), 0.0) - slack  # the sense amplifiers are at 0 V
        assert nodes.max() <= max(source.max(), 0.0) + slack


@given(st.one_of(tiles(), tiles(SINH), tiles(TRANSISTOR), tiles(SELECTOR)), SEEDS)
def test_what_is_delivered_is_dissipated(tile, seed):
    source = voltages(tile, seed)
    solution = ENGINE.solve(tile, source)
    across = solution.word_line_voltage - solution.bit_line_voltage
    cell = tile.spec.cell.current(tile.effective_conductance, across)
    parts = [(cell * across).ravel()]
    slopes = tile.spec.cell.slope(tile.effective_conductance, across).sum()
    mesh = tile.mesh
    for ohms, amps in zip(
        (mesh.word_resistance, mesh.bit_resistance), wire_currents(tile, solution, source), strict=True
    ):
        live = (ohms > 0.0) & np.isfinite(ohms)
        parts.append(amps[live] ** 2 * ohms[live])
        slopes += (1.0 / ohms[live]).sum()
    for bridge in tile.defects.bridges:
        lines = {"word": solution.word_line_voltage, "bit": solution.bit_line_voltage}
        drop = lines[bridge.first.line][bridge.first[1:]] - lines[bridge.second.line][bridge.second[1:]]
        parts.append(np.array([drop**2 / bridge.resistance]))
        slopes += 1.0 / bridge.resistance
    # Power over a conductance g is known to 2 g V times the error of a voltage: ten wires of 1 mΩ lose ten digits.
    slack = 4 * SOLVED * np.abs(source).max() ** 2 * slopes
    assert abs(np.concatenate(parts).sum() - solution.power) <= slack


@given(st.one_of(tiles(), tiles(SINH)), SEEDS, st.data())
def test_more_conductance_never_means_less_power_or_current(tile, seed, data):
    """Rayleigh's law; it holds for every passive cell whose current grows with its voltage."""
    more = tile.conductance.copy()
    more[data.draw(st.integers(0, tile.spec.rows - 1)), data.draw(st.integers(0, tile.spec.columns - 1))] += 1e-4
    larger = Tile(tile.spec, more, tile.defects)
    source = voltages(tile, seed)
    before, after = (ENGINE.solve(t, source) for t in (tile, larger))
    if isinstance(tile.spec.cell, LinearCell):
        # A voltage known to SOLVED times the largest lets the current of a conductance g be known to that times g,
        # which is all there is when the true current is nothing (every path of it cut).
        slack = SOLVED * np.abs(source).max() ** 2 * larger.effective_conductance.sum()
        assert after.power >= before.power - slack - SOLVED * after.power
    # All inputs equal: one source, one ground, and the total current is their conductance times the voltage.
    before, after = (ENGINE.read(t, np.ones(tile.spec.rows)).sum() for t in (tile, larger))
    assert after >= before * (1.0 - SOLVED)


@given(tiles(defects=False), st.floats(-9.0, -3.0), SEEDS)
def test_wires_without_resistance_are_the_limit(tile, exponent, seed):
    """The error of the ideal product is of first order in the resistance of the wires."""
    ohms = 10**exponent
    source, shape = voltages(tile, seed), tile.spec.shape
    spec = TileSpec(rows=shape[0], columns=shape[1], word_line_resistance=ohms, bit_line_resistance=ohms)
    ideal = source @ tile.conductance
    given_ = ENGINE.read(Tile(spec, tile.conductance), source)
    total = tile.conductance.sum() * np.abs(source).max()
    # No wire carries more than the total current, and no cell is further than all segments from its terminals.
    drop = total * ohms * sum(shape)
    assert np.abs(given_ - ideal).max() <= tile.conductance.sum() * drop + SOLVED * total


@given(tiles(defects=False), SEEDS)
def test_on_ideal_wires_a_permutation_permutes(tile, seed):
    rng, shape = np.random.default_rng(seed), tile.spec.shape
    spec = TileSpec(rows=shape[0], columns=shape[1], cell=tile.spec.cell)
    rows, columns = rng.permutation(shape[0]), rng.permutation(shape[1])
    source = voltages(tile, seed)
    straight = ENGINE.read(Tile(spec, tile.conductance), source)
    shuffled = ENGINE.read(Tile(spec, tile.conductance[rows][:, columns]), source[rows])
    scale = np.abs(source) @ tile.conductance
    # The sums have the same terms in another order.
    np.testing.assert_array_less(np.abs(shuffled - straight[columns]), shape[0] * EPSILON * scale[columns] + 1e-300)


@given(tiles(), SEEDS)
def test_weak_non_linearity_is_linear(tile, seed):
    """``sinh(x)/x - 1`` is at most x²/5 for x <= 1.

    The bound is relative to the power, however small it is: drivers' currents are corrected until they have settled.
    """
    a = 1e-3
    bent = Tile(tile.spec.model_copy(update={"cell": SinhCell(a=a)}), tile.conductance, tile.defects)
    source = voltages(tile, seed)
    straight, nearly = ENGINE.solve(tile, source), ENGINE.solve(bent, source)
    assert abs(nearly.power - straight.power) <= straight.power * (4 * a**2 / 5 + SOLVED) + 1e-300
