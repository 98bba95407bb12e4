"""Numbers keep all their digits, and nothing but what the generators write gets to ngspice."""

import re
from fractions import Fraction

import numpy as np
import pytest

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.errors import ValidationError
from circuitmem.netlists.text import OPTIONS, Netlist, number, number_texts
from circuitmem.netlists.tile import TileNetlist, tile_netlist

TEXT = f".title circuitmem\n* a comment\nRx a 0 1\nVa a 0 external\n.save a\n{OPTIONS}\n.end\n"


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, -2.5e17, np.float64(1e-6), np.float32(0.1), 7])
def test_a_number_reads_back_as_itself(value):
    assert float(number(value)) == float(value)
    assert re.fullmatch(r"-?[0-9.]+(e[+-][0-9]+)?", number(value))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(value):
    with pytest.raises(ValidationError, match="netlist value must be finite"):
        number(value)


@pytest.mark.parametrize("value", ["1\n.control", "1; shell id", None, object(), 1j])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        number_texts([value])


class Hostile(float):
    """A number whose text is a command."""

    def __str__(self):
        return "1\n.control\nshell touch owned\n.endc"

    __repr__ = __str__

    def __format__(self, spec):
        return str(self)


def test_a_number_cannot_bring_its_own_text():
    assert number(Hostile(0.5)) == "0.5"
    spec = TileSpec(rows=2, columns=2, word_line_resistance=Hostile(0.5), cell=SinhCell(a=Hostile(2.0)))
    bridge = (("word", 0, 0), ("bit", 1, 1), Hostile(9.0))
    tile = Tile(spec, [[Hostile(1e-6)] * 2] * 2, DefectMap(bridges=[bridge]))
    text = TileNetlist(tile).netlist.text + tile_netlist(tile, [Hostile(0.1), 0.2])
    assert "shell" not in text


def test_the_gate_lets_generated_text_through():
    assert Netlist(TEXT, ("a",), ("a", "va#branch")).text == TEXT


@pytest.mark.parametrize(
    "line",
    [
        ".control",
        "  .control",
        ".CONTROL",
        ".include /etc/passwd",
        ".lib x",
        ".model access nmos(level=1 vto=1) file=x",
        ".model access nmos(level=1 vto={system})",
        ".param a=1",
        ".subckt a b PARAMS: x={shell}",
        ".subckt a b PARAMS: x=1 .control",
        ".subckt a b PARAMS: x='system(1)'",
        ".subckt a b x=1",
        ".tran 1 1",
        ".meas tran a find v(a) at=1",
        ".title mine; shell id",
        "*# shell id",
        "  *# shell id",
        "R1 a 0 1 ; shell id",
        "R1 a 0 `id`",
        "R1 a 0 $HOME",
        "R1 a 0 1\r.control",
        "R1 a 0 1\x0b",
        "R1 é 0 1",
    ],
)
def test_the_gate_refuses_commands_and_foreign_characters(line):
    with pytest.raises(ValidationError, match="netlist text must"):
        Netlist(TEXT.replace("* a comment", line), ("a",), ("a",))


def test_the_gate_lets_the_parameters_of_a_subcircuit_through():
    text = TEXT.replace("* a comment", ".subckt a b PARAMS: x=1e-3 y=-2.5\n.ends a")
    assert Netlist(text, ("a",), ("a",)).text == text


@pytest.mark.parametrize("name", ["a b", "a;shell id", "", "a\n", "../x", "a)"])
def test_the_gate_refuses_names(name):
    with pytest.raises(ValidationError, match="must match"):
        Netlist(TEXT, (name,), ("a",))
    with pytest.raises(ValidationError, match="must match"):
        Netlist(TEXT, ("a",), (name,))


def test_resistors_carry_the_exact_conductance():
    conductance = np.random.default_rng(0).uniform(1e-6, 3e-4, (3, 2))
    text = TileNetlist(Tile(TileSpec(rows=3, columns=2), conductance)).netlist.text
    for (i, j), g in np.ndenumerate(conductance):
        ohms = float(re.search(rf"^Rcell_{i}_{j} \S+ \S+ (\S+)$", text, re.M)[1])
        assert abs(Fraction(ohms) * Fraction(float(g)) - 1) <= Fraction(1, 2**53)
