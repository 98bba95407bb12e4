"""The page of mappings says what each costs: what a summary of the study's network gives."""

import tomllib
from pathlib import Path

import pytest

from circuitmem.config import load_run
from circuitmem.training import load_data
from circuitmem.training.summary import summarize

ROOT = Path(__file__).parents[2]
LEVELS = {
    "differential": "differential",
    "offset": "offset",
    "bit-slicing, 2 slices of 2 bits": "2x2-bit",
    "bit-slicing, 2 slices of 4 bits": "2x4-bit",
}


@pytest.mark.parametrize("title", list(LEVELS))
def test_the_costs_are_those_of_a_summary(title):
    study = tomllib.loads((ROOT / "studies/mappings/study.toml").read_text("utf-8"))
    run = study["run"]
    sets = [f"{table}.{key}={value}" for table in ("data", "network") for key, value in run[table].items()]
    mapping = study["axes"]["mapping"]["levels"][LEVELS[title]].get("chip.mapping", {"kind": "differential"})
    spec = load_run(None, sets + [f"chip.mapping.{key}={value}" for key, value in mapping.items()])
    found = summarize(spec, load_data(spec.data, spec.network, spec.seed))
    lines = (ROOT / "docs/mappings.md").read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {title} |"))
    costs = [float(cell) for cell in line.split("|")[2:7]]
    assert costs[:3] == [found.tiles, found.columns, found.reads]
    assert costs[3:] == [float(f"{found.time_s * 1e6:.3g}"), float(f"{found.energy_j * 1e9:.3g}")]


@pytest.mark.parametrize(("title", "gated"), [("whole tiles are read", "false"), ("`gated`", "true")])
def test_what_gating_saves_is_that_of_a_summary(title, gated):
    spec = load_run(None, [f"chip.gated={gated}"])
    found = summarize(spec, load_data(spec.data, spec.network, spec.seed))
    lines = (ROOT / "docs/mappings.md").read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {title} |"))
    assert line.split("|")[2:4] == [f" {found.time_s * 1e6:.4g} us ", f" {found.energy_j * 1e9:.4g} nJ "]
