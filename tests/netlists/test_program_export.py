"""The exported netlist of a pulse, run by plain ``ngspice -b``, ends in the states that the behavioral engine finds."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from circuitmem import DefectMap, LinearCell, Tile, TileSpec, TransistorCell
from circuitmem.config import PulseTrain
from circuitmem.device import conductance
from circuitmem.engine import BehavioralEngine, program_netlist
from circuitmem.study.benches import BENCHES

AGREEMENT = 1e-3
"""Of the state's range (design: physics.md, section 9)."""


@pytest.fixture
def run_ngspice(tmp_path):
    """A function that runs a netlist in an empty folder and returns {name: measured value}."""
    program = shutil.which("ngspice")
    if program is None:
        reason = "the program ngspice is not installed (apt-get install ngspice)"
        pytest.fail(reason) if os.environ.get("CIRCUITMEM_REQUIRE_SPICE") == "1" else pytest.skip(reason)

    def run(text):
        (tmp_path / "tile.cir").write_text(text)
        command = [program, "-n", "-b", "tile.cir"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
        assert not re.search(r"error|warning|failed", done.stdout + done.stderr, re.I), done.stdout + done.stderr
        return {name: float(value) for name, value in re.findall(r"^(final_\w+) *= *(\S+)", done.stdout, re.M)}

    return run


def exported(name, kind, scheme="v/2"):
    bench = BENCHES[name]
    cell = TransistorCell(on_resistance=bench.transistor) if scheme == "1t1r" else LinearCell()
    spec = TileSpec(
        rows=4, columns=3, word_line_resistance=2.0, bit_line_resistance=1.0, driver_resistance=10.0, cell=cell
    )
    defects = DefectMap(
        stuck=np.arange(12).reshape(4, 3) == 4, stuck_conductance=1e-4, dead_drivers=np.arange(4) == 3,
        bridges=[(("bit", 1, 1), ("bit", 1, 2), 300.0)],
    )  # fmt: skip
    states = np.random.default_rng(2).uniform(0.2, 0.8, (4, 3))
    tile = Tile(spec, conductance(bench.device, states), defects)
    return tile, bench.device, bench.pulse(kind, rows=(1, 2), scheme=scheme)


@pytest.mark.spice
@pytest.mark.parametrize(
    ("name", "kind", "scheme"),
    [
        *((name, kind, "v/2") for name in BENCHES for kind in ("set", "reset")),
        ("vteam:A", "reset", "1t1r"),
        ("yakopcic:Oblea", "set", "v/3"),
    ],
)
def test_plain_ngspice_ends_in_the_same_states(run_ngspice, name, kind, scheme):
    tile, device, pulse = exported(name, kind, scheme)
    found = run_ngspice(program_netlist(tile, device, pulse))
    result = BehavioralEngine().program(tile, PulseTrain(device=device, pulses=(pulse,)))
    rows = (1, 2) if scheme == "1t1r" else range(4)
    assert set(found) == {f"final_{i}_{j}" for i in rows for j in range(3)} - {"final_1_1"}
    worst = max(abs(value - result.state[tuple(map(int, key.split("_")[1:]))]) for key, value in found.items())
    print(f"{name} {kind} {scheme}: {worst:.1e}")
    assert worst <= AGREEMENT
    assert np.abs(result.state - result.trajectory[0]).max() > 0.1


@pytest.mark.parametrize("name", BENCHES)
def test_other_simulators_can_read_all_but_a_marked_block(name):
    text = program_netlist(*exported(name, "set"))
    before, rest = text.split("* This block is for ngspice alone")
    block, after = rest.split(".endc\n")
    assert block.split("\n")[1] == ".control"
    assert after == ".end\n"
    commands = {line.split()[0].lower() for line in before.splitlines() if line.startswith(".")}
    assert commands == {".title", ".subckt", ".ends", ".tran", ".meas"}
    assert not re.search(r"[^\n -~]|[;`$\\?]|\bu\(|\*\*", before)
    for line in before.splitlines():  # Xyce wants expressions in braces
        if line.startswith("B"):
            assert re.fullmatch(r"B\w+ \w+ \w+ [IV]=\{[^{}]*\}", line), line
