"""The validation must be able to fail, and must contain what its stages are named for."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from circuitmem import cli
from circuitmem.config import TileSpec
from circuitmem.engine import BehavioralEngine
from circuitmem.study.stages import STAGES, Stage
from circuitmem.study.stages.tile_defects import every_defect


@pytest.mark.parametrize("side", [2, 12])
def test_every_tile_with_defects_has_every_kind(side):
    spec = TileSpec(rows=side, columns=side, word_line_resistance=1.0, bit_line_resistance=1.0)
    for seed in range(50):
        defects = every_defect(np.random.default_rng(seed), spec)
        assert (defects.stuck & (defects.stuck_conductance == 0.0)).any()
        assert defects.open_word_segments.any()
        assert defects.open_bit_segments.any()
        assert defects.dead_drivers.any()
        assert len(defects.bridges) == 1
        # Something must be left to compute.
        assert not defects.dead_drivers.all()
        assert not defects.open_word_segments[:, 0].all()
        assert not defects.open_bit_segments[-1].all()


@pytest.mark.spice
@pytest.mark.parametrize(
    ("spoil", "worst"),
    [
        (lambda current: current * (1.0 + 1e-8), pytest.approx(1e-8, rel=1e-3)),
        (lambda current: np.full_like(current, np.nan), None),
        (lambda current: np.full_like(current, np.inf), None),
    ],
    ids=["ten times the bound", "nan", "inf"],
)
def test_a_wrong_engine_fails_and_the_exit_code_says_so(spoil, worst, tmp_path, monkeypatch, capsys):
    right = BehavioralEngine.solve

    def wrong(*words):
        solution = right(*words)
        return dataclasses.replace(solution, column_current=spoil(solution.column_current))

    monkeypatch.setattr(BehavioralEngine, "solve", wrong)
    monkeypatch.setattr(sys, "argv", ["circuitmem", "validate", "-o", str(tmp_path), "--quick"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert "FAIL" in capsys.readouterr().out
    record = json.loads((tmp_path / "validation.json").read_text(), parse_constant=pytest.fail)
    stages = {stage["stage"]: stage for stage in record["stages"]}
    assert stages["tile linear"]["worst"] == worst
    assert stages["tile linear"]["pass"] is False
    assert stages["adc codes"]["pass"] is True
    assert stages["adc codes"]["near_threshold"] >= 0


def test_stages_have_names_of_their_own():
    names = [stage.NAME for stage in STAGES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("differences", "worst", "passed"),
    [([0.5, 1.0], 1.0, True), ([0.5, 1.1], 1.1, False), ([0.5, np.nan], None, False), ([], None, False)],
)
def test_a_stage_passes_only_on_numbers_within_its_bound(differences, worst, passed):
    stage = Stage(differences, 1.0)
    assert stage.worst == worst
    assert stage.passed is passed
