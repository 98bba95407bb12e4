"""What is merged, what is left out, and what is tied to what."""

import re
from functools import partial

import numpy as np
import pytest
from builders import uniform_tile

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem.netlists.tile import TileNetlist
from circuitmem.netlists.wiring import Wiring

tile = partial(uniform_tile, 2, 2)


def elements(circuit):
    """Return {name: (node, node)} of the resistors."""
    return {name: (a, b) for name, a, b in re.findall(r"^(R\w+) (\w+) (\w+) ", circuit.text(), re.M)}


def test_ideal_wires_leave_only_cells_between_terminals():
    assert elements(Wiring(tile())) == {
        "Rcell_0_0": ("drive_0", "s_0"),
        "Rcell_0_1": ("drive_0", "s_1"),
        "Rcell_1_0": ("drive_1", "s_0"),
        "Rcell_1_1": ("drive_1", "s_1"),
    }


def test_no_resistance_of_zero_is_ever_written():
    mixed = [[0.0, 1.0], [2.0, 0.0]]
    wiring = Wiring(tile(word_line_resistance=mixed, bit_line_resistance=mixed, driver_resistance=3.0))
    values = [float(line.split()[-1]) for line in wiring.text().splitlines() if not line.startswith("*")]
    assert min(values) > 0.0
    assert wiring.word_nodes.tolist() == [["left_0", "w_0_1"], ["w_1_0", "w_1_0"]]
    assert wiring.bit_nodes.tolist() == [["b_0_0", "b_0_1"], ["b_0_0", "s_1"]]


def test_open_cells_and_cut_segments_are_left_out():
    defects = DefectMap(
        stuck=[[True, False], [False, False]],
        stuck_conductance=0.0,
        open_word_segments=[[False, True], [False, False]],
        open_bit_segments=[[True, False], [False, False]],
    )
    found = elements(Wiring(tile(defects=defects, ohms=1.0)))
    assert {"Rcell_0_0", "Rword_0_1", "Rbit_0_0"}.isdisjoint(found)
    assert {"Rcell_0_1", "Rword_0_0", "Rword_1_1", "Rbit_0_1", "Rbit_1_0"} <= set(found)


def test_a_floating_node_and_a_floating_island_have_no_name_and_no_branch():
    # Cell (0, 1) is open and its word line is cut before it: that node floats alone. Cells (2, 0) and (2, 1), on a word
    # line cut at its beginning, tie the line to the bit lines. Rows 0 and 1 of column 2 form an island of two nodes.
    conductance = np.full((3, 3), 1e-4)
    conductance[0, 1] = 0.0
    conductance[:2, 2] = 0.0
    cut_word = np.zeros((3, 3), bool)
    cut_word[0, 1] = cut_word[0, 2] = cut_word[2, 0] = True
    cut_bit = np.zeros((3, 3), bool)
    cut_bit[1, 2] = True
    spec = TileSpec(rows=3, columns=3, word_line_resistance=1.0, bit_line_resistance=1.0)
    wiring = Wiring(Tile(spec, conductance, DefectMap(open_word_segments=cut_word, open_bit_segments=cut_bit)))
    assert {tuple(x) for x in np.argwhere(wiring.word_nodes == None).tolist()} == {(0, 1), (0, 2)}  # noqa: E711
    assert {tuple(x) for x in np.argwhere(wiring.bit_nodes == None).tolist()} == {(0, 2), (1, 2)}  # noqa: E711
    assert "Rbit_0_2" not in elements(wiring)
    assert elements(wiring)["Rcell_2_0"] == ("w_2_0", "b_2_0")


def test_a_bridge_can_tie_an_island():
    cut = [[True, False], [False, False]]
    defects = DefectMap(open_bit_segments=cut, open_word_segments=cut)
    dark = tile(defects=defects, conductance=0.0, ohms=1.0)
    assert Wiring(dark).bit_nodes[0, 0] is None
    joined = DefectMap(open_bit_segments=cut, open_word_segments=cut, bridges=[(("bit", 0, 0), ("word", 1, 0), 5.0)])
    tied = tile(defects=joined, conductance=0.0, ohms=1.0)
    assert Wiring(tied).bit_nodes[0, 0] == "b_0_0"
    assert elements(Wiring(tied))["Rbridge_0"] == ("b_0_0", "w_1_0")


def test_a_bridge_along_an_ideal_wire_changes_nothing():
    defects = DefectMap(bridges=[(("word", 0, 0), ("word", 0, 1), 5.0)])
    assert elements(Wiring(tile(defects=defects))) == elements(Wiring(tile()))


def test_many_parallel_branches_stay_connected():
    # 512 bridges between two otherwise floating nodes: a count in 8 bits would come out as 0.
    cut = np.array([[True, False], [False, False]])
    defects = DefectMap(
        open_word_segments=cut,
        open_bit_segments=cut,
        bridges=[(("word", 0, 0), ("word", 1, 0), 5.0)] * 512,
    )
    wiring = Wiring(tile(defects=defects, conductance=0.0, ohms=1.0))
    assert wiring.word_nodes[0, 0] == "w_0_0"


def test_dead_drivers_are_not_inputs():
    circuit = TileNetlist(tile(defects=DefectMap(dead_drivers=[True, False])))
    assert circuit.netlist.inputs == ("drive_1",)
    assert "Vdrive_0 drive_0 0 dc 0" in circuit.netlist.text


@pytest.mark.parametrize(("resistance", "sources"), [(0.0, 1), (1.0, 2)])
def test_two_grounds_on_one_ideal_line_are_one_source(resistance, sources):
    circuit = TileNetlist(tile(bit_line_resistance=resistance, bit_line_sense="both"))
    assert [len(names) for names in circuit.sense_currents] == [sources, sources]
    assert len(re.findall("^V[st]_", circuit.netlist.text, re.M)) == 2 * sources


def test_the_netlist_does_not_use_the_behavioral_mesh(monkeypatch):
    monkeypatch.setattr(Tile, "mesh", property(lambda self: pytest.fail("the netlist used Tile.mesh")))
    monkeypatch.setattr(TileSpec, "word_segments", lambda self: pytest.fail("the netlist used word_segments"))
    monkeypatch.setattr(TileSpec, "bit_segments", lambda self: pytest.fail("the netlist used bit_segments"))
    TileNetlist(tile(word_line_resistance=1.0), all_nodes=True)
