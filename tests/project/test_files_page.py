"""docs/files.md names what runs leave, and the limits that hold."""

from pathlib import Path

import pytest

from circuitmem import records
from circuitmem.config import load_run, quantity
from circuitmem.training import checkpoint
from circuitmem.training.run import start_run

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text("utf-8")
TINY = ["data.side=8", "data.train=40", "data.test=20", "network.layers=[64,6,10]", "chip.tile.rows=16", "trace=true"]
TINY += ["chip.tile.columns=16", "ex_situ.epochs=1", "audit.tiles=0", "audit.fraction=0.0", 'methods=["raw"]']


def test_every_file_of_a_run_is_on_the_page(tmp_path):
    start_run(load_run(None, TINY), tmp_path / "run")
    for path in (tmp_path / "run").iterdir():
        assert f"`{path.name.replace('_raw', '_METHOD')}`" in PAGE


def test_the_formats_and_limits_of_the_page_are_those_of_the_code():
    assert f"`format` {records.FORMAT}" in PAGE
    assert f"format {checkpoint.FORMAT}, kind" in PAGE
    assert f"{quantity.CLOCK_LIMIT / 1e12 / 86_400 / 365.25:.1f} years" in PAGE
    assert f"{quantity.LONGEST_JOB / 1e12 / 86_400:.2f} days" in PAGE
    limits = {
        "duration of one operation | 1 ps": quantity.LONGEST,
        "energy of one operation | 0": quantity.Energy.__metadata__[0].metadata[1].le,
        "power of one component | 0": quantity.Power.__metadata__[0].metadata[1].le,
        "any other number that is not 0 | 1e-60 in magnitude": quantity.LARGEST,
    }
    for words, limit in limits.items():
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| {words}"))
        assert float(line.split("|")[3].split()[0]) == limit
    assert pytest.approx(1e-12) == quantity.SHORTEST
