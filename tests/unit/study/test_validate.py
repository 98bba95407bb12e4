"""The validation must be able to fail, and must contain what its stages are named for."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from circuitmem import cli
from circuitmem.config import TileSpec
from circuitmem.engine import BehavioralEngine, SpiceEngine, VacaskEngine, replay_case
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.report import draw_validation
from circuitmem.study.stages import STAGES, StageContext, StageResult, trajectory
from circuitmem.study.stages.random_tiles import every_defect
from circuitmem.study.validate import compare_records, load_record, validate_engines


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
    chosen = ["--stage", "tile linear", "--stage", "adc codes"]
    monkeypatch.setattr(sys, "argv", ["circuitmem", "validate", "-o", str(tmp_path), "--quick", *chosen])
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
    names = [stage.name for stage in STAGES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("differences", "worst", "passed"),
    [([0.5, 1.0], 1.0, True), ([0.5, 1.1], 1.1, False), ([0.5, np.nan], None, False), ([], None, False)],
)
def test_a_stage_passes_only_on_numbers_within_its_bound(differences, worst, passed):
    stage = StageResult(differences, 1.0)
    assert stage.worst == worst
    assert stage.passed is passed


@pytest.mark.spice
def test_each_worst_case_is_kept_and_can_be_computed_again(tmp_path):
    names = ["tile linear", "tile, each defect", "dac", "program VTEAM"]
    record = validate_engines(tmp_path, quick=True, only=names)
    assert [stage["stage"] for stage in record["stages"]] == names
    for stage in record["stages"][:2]:
        found = replay_case(tmp_path / stage["replay"]["files"][0])
        assert found["agrees"]
        assert 0.0 < found["error"] < 10.0 * stage["worst"]  # each vector by its own largest current
        done = subprocess.run(
            ["ngspice", "-b", tmp_path / stage["replay"]["files"][1]], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    assert record["stages"][2]["replay"]["command"] == 'circuitmem validate -o again --stage "dac" --seed 1 --quick'
    assert "final_0_0" in (tmp_path / record["stages"][3]["replay"]["files"][0]).read_text()
    assert {stage["pass"] for stage in record["stages"]} == {True}


@pytest.mark.spice
def test_a_stage_alone_has_the_same_cases_as_among_all(tmp_path):
    alone = validate_engines(tmp_path / "one", quick=True, only=["dac"])["stages"][0]
    both = validate_engines(tmp_path / "two", quick=True, only=["tia", "dac"])["stages"][0]
    assert alone["stage"] == both["stage"] == "dac"
    assert alone["worst"] == both["worst"]
    options = json.loads((tmp_path / "one" / "validation.json").read_text())["ngspice_options"]
    assert "reltol=1e-9" in options["reads"]


def test_an_unknown_stage_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match="did you mean 'tile linear'"):
        validate_engines("nowhere", only=["tile linaer"])


@pytest.mark.spice
def test_a_network_that_answers_otherwise_fails_its_stage(tmp_path, monkeypatch):
    right = SpiceEngine.codes

    def wrong(self, *words):
        codes = right(self, *words)
        codes[-1, 0] += 1
        return codes

    monkeypatch.setattr(SpiceEngine, "codes", wrong)
    (stage,) = validate_engines(tmp_path, quick=True, only=["network"])["stages"]
    assert not stage["pass"]
    assert stage["worst"] >= 1.0


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (1e-10, 1.5e-10, "same"),
        (1e-10, 3e-10, "worse"),
        (3e-10, 1e-10, "better"),
        (1e-15, 9e-13, "same"),
        (1e-10, None, "worse"),
        (None, 1e-10, "better"),
    ],
)
def test_a_baseline_says_what_changed(before, after, change):
    stages = [{"stages": [{"stage": "a", "worst": worst, "bound": 1e-9, "pass": True}]} for worst in (before, after)]
    assert compare_records(*stages)[0]["change"] == change


def test_a_stage_of_one_record_only_is_new_or_gone():
    one, two = ({"stages": [{"stage": name, "worst": 0.0, "bound": 1.0, "pass": True}]} for name in "ab")
    assert [(line["stage"], line["change"]) for line in compare_records(one, two)] == [("b", "new"), ("a", "gone")]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stages": []}', '{"stages": [{"stage": 1}]}', '{"stages": 3}'])
def test_a_baseline_that_is_none_is_refused(text, tmp_path):
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(DataFileError, match=r"old.json: "):
        load_record(tmp_path / "old.json")
    with pytest.raises(DataFileError, match="cannot be read"):
        load_record(tmp_path / "none.json")


@pytest.mark.spice
@pytest.mark.vacask
def test_both_referees_compute_the_same_cases_and_are_compared_with_each_other(tmp_path, monkeypatch):
    right = VacaskEngine.convert

    def wrong(self, *words):
        found = right(self, *words)
        return dataclasses.replace(found, driver_voltage=found.driver_voltage * (1.0 + 1e-6))

    monkeypatch.setattr(VacaskEngine, "convert", wrong)
    record = validate_engines(tmp_path, quick=True, only=["dac", "sar"], referee="all")
    lines = [(stage["stage"], stage["referee"], stage["pass"]) for stage in record["stages"]]
    assert lines == [("dac", "ngspice", True), ("dac", "vacask", False), ("sar", "ngspice", True)]
    (three,) = record["between_referees"]  # VACASK cannot compute the SARs
    assert three["behavioral_ngspice"] < 1e-12
    assert (
        three["behavioral_vacask"] == pytest.approx(three["ngspice_vacask"], rel=1e-3) == pytest.approx(1e-6, rel=0.2)
    )
    assert set(record["speed"][0]) == {"side", "ngspice", "vacask", "direct", "behavioral"}
    assert load_record(tmp_path / "validation.json")["vacask"].startswith("vacask ")
    page = draw_validation(record, tmp_path)[0].read_text()
    assert "ngspice and VACASK against behavioral" in page
    assert "Three ways" in page
    assert "1 of 3 stages fail: dac, VACASK." in page
    for stage in record["stages"]:
        stage |= {"verdict": "pass"}
    assert "All 3 stages pass." in draw_validation(record, tmp_path)[0].read_text()
    record["stages"][0] |= {"verdict": "undecided", "undecided": 1.0, "undecided_of_all": 0.75}
    page = draw_validation(record, tmp_path)[0].read_text()
    assert "2 of 3 stages pass; undecided: dac, ngspice." in page
    assert "undecided of all: 0.75" in page


@pytest.mark.vacask
def test_a_worst_case_of_vacask_is_replayed_there(tmp_path):
    (stage,) = validate_engines(tmp_path, quick=True, only=["tile linear"], referee="vacask")["stages"]
    assert stage["replay"]["files"] == ["cases/tile-linear-vacask.npz", "cases/tile-linear-vacask.sim"]
    assert stage["replay"]["command"].endswith(".npz --referee vacask")
    found = replay_case(tmp_path / stage["replay"]["files"][0])
    assert (found["referee"], found["agrees"]) == ("vacask", True)


def test_a_stage_that_a_referee_cannot_compute_is_refused(tmp_path):
    with pytest.raises(ValidationError, match=r"referee must be ngspice for the stage sar \(got 'vacask'\)"):
        validate_engines(tmp_path, only=["sar"], referee="vacask")
    with pytest.raises(ValidationError, match=r"referee must be one of ngspice, vacask, all; did you mean 'ngspice'\?"):
        validate_engines(tmp_path, referee="ngspise")


@pytest.mark.vacask
def test_training_takes_the_same_steps_in_the_kernels_and_in_vacask(tmp_path, monkeypatch):
    (stage,) = validate_engines(tmp_path, quick=True, only=["trajectory"], referee="vacask")["stages"]
    assert (stage["cases"], stage["worst"], stage["pass"]) == (4, 0.0, True)
    assert stage["pulses"] > 200
    assert stage["steps"]["behavioral"] == stage["steps"]["referee"]
    assert [len(step["labels"]) for step in stage["steps"]["referee"]] == [8] * 4
    assert {label for step in stage["steps"]["referee"] for label in step["labels"]} <= {0, 1, 2, 3}
    assert stage["steps"]["referee"][-1]["pulses"] == stage["pulses"]
    right = VacaskEngine.codes
    monkeypatch.setattr(VacaskEngine, "codes", lambda self, *words: right(self, *words) + 1)
    (stage,) = validate_engines(tmp_path, quick=True, only=["trajectory"], referee="vacask")["stages"]
    assert not stage["pass"]


def test_the_trajectory_that_referees_see_learns():
    """A network that training drives into saturation would give the same codes in any engine."""
    kernels = BehavioralEngine()
    kernels.simulator = "kernels"
    context = StageContext("trajectory", kernels, 1)
    steps = trajectory.run(context).details["steps"]["behavioral"]
    losses = [step["loss"] for step in steps]
    assert len(losses) == 20
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])
    assert len(set(steps[-1]["labels"])) == 3  # the test digits are of four classes, one of them there once


LARGE = ["large linear tiles", "large sinh tiles"]


@pytest.mark.vacask
def test_large_tiles_are_for_vacask(tmp_path):
    with pytest.raises(ValidationError, match="referee must be vacask for the stage large sinh tiles"):
        validate_engines(tmp_path, only=["large sinh tiles"])
    stages = validate_engines(tmp_path, quick=True, only=LARGE, referee="vacask")["stages"]
    assert [(stage["stage"], stage["cases"], stage["pass"]) for stage in stages] == [(name, 1, True) for name in LARGE]


@pytest.mark.vacask
def test_random_tiles_of_every_kind_agree_with_vacask(tmp_path):
    (stage,) = validate_engines(tmp_path, quick=True, only=["thousand tiles"], referee="vacask")["stages"]
    assert (stage["cases"], stage["bound"], stage["pass"]) == (20, 1e-9, True)
    assert stage["worst"] <= 1e-12


@pytest.mark.vacask
def test_converters_and_pulses_on_large_tiles_are_for_vacask(tmp_path):
    names = ["large converters", "large pulses VTEAM"]
    with pytest.raises(ValidationError, match="referee must be vacask for the stage large converters"):
        validate_engines(tmp_path, only=names[:1])
    stages = validate_engines(tmp_path, quick=True, only=names, referee="vacask")["stages"]
    found = [(stage["stage"], stage["cases"], stage["bound"], stage["pass"]) for stage in stages]
    assert found == [(names[0], 5, 0.0, True), (names[1], 2, 1e-4, True)]


@pytest.mark.slow
@pytest.mark.vacask
def test_tiles_up_to_256x256_agree_with_vacask(tmp_path):
    stages = validate_engines(tmp_path, only=LARGE, referee="vacask")["stages"]
    assert [(stage["cases"], stage["pass"]) for stage in stages] == [(3, True), (2, True)]
    assert max(stage["worst"] for stage in stages) <= 1e-12
