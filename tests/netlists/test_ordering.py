"""The order in which a mesh is eliminated, and the netlist that brings Sparse 1.3 to it."""

import numpy as np
import pytest

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.engine import BehavioralEngine, SpiceEngine
from circuitmem.netlists.ordering import elimination_order, numbered
from circuitmem.netlists.simulator import KLU, SPARSE, Simulator
from circuitmem.netlists.tile import TileNetlist


def netlist(rows, columns, **laws):
    rng = np.random.default_rng(5)
    spec = TileSpec(rows=rows, columns=columns, word_line_resistance=1.0, bit_line_resistance=1.0, **laws)
    return TileNetlist(Tile(spec, rng.uniform(1e-6, 1e-4, (rows, columns))))


def test_each_node_has_as_few_neighbours_left_as_any_other():
    rng = np.random.default_rng(3)
    pairs = tuple((f"n{a}", f"n{b}") for a, b in rng.integers(60, size=(150, 2)) if a != b)
    left = {node: set() for pair in pairs for node in pair}
    for first, second in pairs:
        left[first].add(second)
        left[second].add(first)
    order = elimination_order(pairs)
    assert sorted(order) == sorted(left)
    for node in order:
        assert len(left[node]) == min(map(len, left.values()))
        around = left.pop(node)
        for other in around:
            left[other] = (left[other] | around) - {node, other}


def test_every_inner_node_is_numbered_once_and_nothing_else_changes():
    text = netlist(32, 32).netlist.text
    lines = numbered(text).splitlines()
    added = [line.split() for line in lines if line.startswith("Corder_")]
    assert [line for line in lines if not line.startswith("Corder_")] == text.splitlines()
    assert lines[0] == ".title circuitmem"
    assert {words[1] for words in added} == {f"{kind}_{i}_{j}" for kind in "wb" for i in range(32) for j in range(32)}
    assert all(words[2:] == ["0", "0"] for words in added)
    assert len(added) == 2 * 32 * 32


@pytest.mark.parametrize("text", [netlist(8, 8).netlist.text, netlist(32, 32, cell=SinhCell(a=2.0)).netlist.text])
def test_small_circuits_and_those_that_are_not_linear_stay_as_they_are(text):
    assert numbered(text) == text


@pytest.mark.parametrize(
    ("solver", "sweep", "ordered"), [(SPARSE, True, True), (SPARSE, False, False), (KLU, True, False)]
)
def test_only_sweeps_by_the_solver_that_needs_it_are_numbered(solver, sweep, ordered):
    simulator = object.__new__(Simulator)  # ngspice itself belongs into a worker process
    simulator.solver = solver
    text = simulator._with_solver(netlist(32, 32).netlist.text, sweep)
    assert ("\nCorder_" in text) == ordered
    # ngspice's own pivrel of 1e-3 costs KLU five digits behind amplifiers.
    assert ("\n.options klu pivrel=0.5\n.end\n" in text) == (solver == KLU)


@pytest.mark.spice
@pytest.mark.usefixtures("spice")
def test_ngspice_finds_the_same_in_that_order():
    rng = np.random.default_rng(7)
    spec = TileSpec(rows=32, columns=32, word_line_resistance=1.0, bit_line_resistance=2.0)
    tile = Tile(spec, rng.uniform(1e-6, 1e-4, (32, 32)), defects=DefectMap.random(spec, yield_=0.9, seed=1))
    assert "Corder_" in numbered(TileNetlist(tile).netlist.text)
    voltages = rng.uniform(-0.2, 0.2, (2, 32))
    with SpiceEngine() as engine:
        found = engine.read(tile, voltages)
    expected = BehavioralEngine().read(tile, voltages)
    assert np.abs(found - expected).max() < 1e-11 * np.abs(expected).max()
