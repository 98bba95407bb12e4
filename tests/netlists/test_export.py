"""The exported netlist, run by plain ``ngspice -b``, gives the currents that the engine gives."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.errors import ValidationError
from circuitmem.netlists.tile import tile_netlist

AGREEMENT = 1e-9
"""Relative to the largest current: the bound of both engines, and more digits than ngspice prints by default."""


@pytest.fixture
def run_ngspice(tmp_path):
    """A function that runs a netlist in an empty folder and returns {name: current}."""
    program = shutil.which("ngspice")
    if program is None:
        reason = "the program ngspice is not installed (apt-get install ngspice)"
        pytest.fail(reason) if os.environ.get("CIRCUITMEM_REQUIRE_SPICE") == "1" else pytest.skip(reason)

    def run(text):
        (tmp_path / "tile.cir").write_text(text)
        done = subprocess.run(
            [program, "-n", "-b", "tile.cir"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        )
        table = re.search(r"^Index\s+(.*)$\n-+\n0\s+(.*)$", done.stdout, re.M)
        assert table, done.stdout + done.stderr
        return dict(zip(table[1].split(), map(float, table[2].split()), strict=True))

    return run


@pytest.mark.spice
@pytest.mark.parametrize("ends", ["bottom", "both"])
@pytest.mark.parametrize("cell", [None, SinhCell(a=3.0)])
def test_plain_ngspice_gives_the_same_currents(run_ngspice, spice, ends, cell):
    rng = np.random.default_rng(4)
    law = {} if cell is None else {"cell": cell}
    spec = TileSpec(
        rows=6, columns=30, word_line_resistance=2.0, bit_line_resistance=1.0, sense_resistance=3.0,
        bit_line_sense=ends, **law,
    )  # fmt: skip
    defects = DefectMap(
        dead_drivers=np.arange(6) == 2,
        open_word_segments=rng.random((6, 30)) < 0.05,
        bridges=[(("bit", 1, 1), ("bit", 1, 2), 30.0)],
    )
    tile = Tile(spec, rng.uniform(1e-6, 3e-4, (6, 30)), defects)
    voltages = rng.uniform(-0.2, 0.2, 6)
    found = run_ngspice(tile_netlist(tile, voltages))
    names = [[f"vs_{j}#branch", f"vt_{j}#branch"] for j in range(30)]
    printed = np.array([sum(found[name] for name in pair if name in found) for pair in names])
    expected = spice.read(tile, voltages)
    assert len(found) == (60 if ends == "both" else 30)
    np.testing.assert_allclose(printed, expected, rtol=0, atol=AGREEMENT * np.abs(expected).max())


@pytest.mark.parametrize("voltages", [[0.1], [[0.1, 0.2], [0.1, 0.2]], [0.1, np.nan]])
def test_one_vector_of_the_right_shape_is_needed(voltages):
    with pytest.raises(ValidationError, match="voltages must"):
        tile_netlist(Tile(TileSpec(rows=2, columns=2), np.ones((2, 2))), voltages)
