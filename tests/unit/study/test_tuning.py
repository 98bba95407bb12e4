"""The protocol of a study: methods are tuned alike, on maps and samples that are not reported, and then tested once."""

import json
import math
import shutil

import pandas as pd
import pytest

from circuitmem.config import ProtocolSpec, SearchedSpec
from circuitmem.errors import CircuitmemError, DataFileError, ValidationError
from circuitmem.report import report_study
from circuitmem.study import runner
from circuitmem.study.runner import plan_study, run_study
from circuitmem.study.spec import Point, load_study
from circuitmem.study.store import Store, load_table, table_rows
from circuitmem.study.tuning import Trial, choose, settings_tried, trials_due, trials_of

PROTOCOL = """
[protocol]
validation = 40
trials = 2
tuning_maps = 1
first_tuning_seed = 101

[protocol.tune.in_situ]
"in_situ.learning_rate" = [1e-9, 0.2]

[protocol.tune.schr]
"retraining.learning_rate" = [1e-9, 0.01]
"""

SMALL = """
title = "Small"
methods = ["raw", "in_situ", "schr"]
repeats = 1

[axes.device_yield]
key = "chip.defects.device_yield"
values = [1.0, 0.8]

[run.data]
side = 8
train = 200
test = 100

[run.network]
layers = [64, 10]

[run.chip.tile]
rows = 64
columns = 20

[run.in_situ]
epochs = 1
batch = 40
evaluate_every = 2

[run.ex_situ]
epochs = 2

[figures.training]
kind = "training"
x = "pulses"
panels = "device_yield"

[[comparisons]]
method = "in_situ"
against = "raw"
at = "pulses"
"""


def test_a_study_is_tuned_then_tested_and_says_what_it_took(write_study, tmp_path, results, monkeypatch):
    folder = write_study(PROTOCOL, text=SMALL)
    study, out = load_study(folder), tmp_path / "one"
    plan = plan_study(study, out, workers=2)
    assert [len(plan[key]) for key in ("trials", "points")] == [8, 2]
    assert plan["missing"] == 10
    with pytest.raises(ValidationError, match="--collect needs all trials of the tuning of this study"):
        run_study(study, out, collect=True)
    summary = run_study(study, out)
    assert [summary[key] for key in ("trials", "points", "finished", "computed")] == [8, 2, 2, 10]
    rows, provenance = load_table(out)
    # A rate of 1e-9 trains nothing, so that the other is found at both levels, for both methods.
    best = {(e["method"], e["levels"]["device_yield"]): e["settings"] for e in provenance["tuning"]}
    assert best == {
        (method, level): {key: value}
        for method, key, value in (
            ("in_situ", "in_situ.learning_rate", 0.2),
            ("schr", "retraining.learning_rate", 0.01),
        )
        for level in (1.0, 0.8)
    }
    for entry in provenance["tuning"]:
        assert (entry["trials"], entry["maps"], entry["failed"], entry["half_width"]) == (2, 1, 0, None)
        assert entry["percent"] > entry["lowest_percent"]
    trials = pd.read_csv(out / "tuning.csv")
    assert (len(trials), set(trials.seed), set(trials.status)) == (8, {101}, {"finished"})
    sums = trials.groupby(["method", "device_yield"])["pulses"].sum()
    assert {(e["method"], e["levels"]["device_yield"]): e["pulses"] for e in provenance["tuning"]} == sums.to_dict()
    # What is reported was trained with what was found, and tested with the test samples, once.
    chosen = choose(trials_of(study), Store(out).records([each.point for each in trials_of(study)]))[0]
    for point in study.points(chosen):
        record = json.loads((out / "points" / f"{point.id}.json").read_text())
        assert record["config"]["in_situ"]["in_situ"]["learning_rate"] == 0.2
        assert record["config"]["raw"]["in_situ"]["learning_rate"] == 0.2  # as declared by default
        data = record["config"]["in_situ"]["data"]
        assert (data["held_back"], data["validation"]) == (40, 0)
    ends = [row for row in rows if row["end"] and row["method"] == "in_situ"]
    within = [row for row in rows if row["part"] == "validation" and row["method"] == "in_situ"]
    assert {row["part"] for row in ends} == {"test"}
    assert [row["epoch"] for row in within] == [0.0, 0.5, 1.0] * 2
    text = (tmp_path / "one" / "results.md", report_study(study, out))[0].read_text()
    assert "Tuned on 40 validation samples and 1 map that is not reported (seed 101), 2 trials of each method" in text
    assert "Not tuned: raw defective chip." in text
    assert "in_situ.learning_rate = 0.2 (the largest tried)" in text

    # Half of it is lost: only that is computed again, on two processes, and the bits are the same.
    again = tmp_path / "two"
    shutil.copytree(out, again)
    for name in ("tuning.csv", "points.tar.xz"):
        (again / name).unlink()
    for path in sorted((again / "points").glob("*.json"))[::2]:
        path.unlink()
    assert run_study(study, again, workers=2)["computed"] == 5
    assert results(again) == results(out)
    assert (again / "tuning.csv").read_bytes() == (out / "tuning.csv").read_bytes()
    assert run_study(study, again, collect=True)["computed"] == 0
    assert plan_study(study, again)["missing"] == 0

    # A record of tuning that says less is named, not shown.
    real = runner.study_provenance
    monkeypatch.setattr(runner, "study_provenance", lambda *given: real(*given) | {"tuning": [{"method": "in_situ"}]})
    run_study(study, again, collect=True)
    with pytest.raises(DataFileError, match="tuning"):
        load_table(again)


def test_methods_may_be_tuned_at_some_levels_for_all(write_study):
    folder = write_study(
        PROTOCOL.replace("[protocol.tune.in_situ]", "at = { device_yield = 0.8 }\n[protocol.tune.in_situ]"), text=SMALL
    )
    study = load_study(folder)
    assert {trial.point.levels["device_yield"] for trial in trials_of(study)} == {0.8}
    chosen = {("in_situ", (0.8,)): {"in_situ.learning_rate": 0.123}}
    for point in study.points(chosen):
        rates = {job.name: job.run.in_situ.learning_rate for job in point.jobs}
        assert (rates["in_situ"], rates["schr"]) == (0.123, 0.2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("= 101", "= 1", r"must keep the tuning maps \(seeds 1 to 1\) apart from those .* \(1 to 1\) \(got 1\)"),
        ("trials = 2", "trials = 3", r"tune.in_situ must have protocol.trials \(=3\) combinations: .* \(got 2\)"),
        ("validation = 40", "", "protocol.validation must be >= 1 where methods are tuned"),
        ("tune.schr]", "tune.shcr]", "protocol.tune must be one of raw, in_situ, schr; did you mean 'schr'"),
        ('"in_situ.learning_rate"', '"data.train"', "tune.in_situ.data.train must not be tuned: seeds and samples"),
        ('"in_situ.learning_rate"', '"chip.defects.clustering"', "must not be tuned: a method would choose a better"),
        ('"in_situ.learning_rate"', '"in_situ.learning_rat"', "^protocol.tune.in_situ.in_situ.learning_rat is not"),
        ("[1e-9, 0.2]", "{ low = 0.1, high = 0.2 }", 'must be a list of values with search = "grid"'),
        ("[1e-9, 0.2]", "{ low = 0.2, high = 0.1 }", r"low must be > 0 and < high \(=0.1\) \(got 0.2\)"),
        ("[1e-9, 0.2]", "[0.2, 0.2]", r"in_situ.learning_rate.values must not have one twice \(got \[0.2, 0.2\]\)"),
        ("[1e-9, 0.2]", "[]", "must be at least one, or low and high instead"),
        ("[protocol]", "[run.data]\nheld_back = 3\n[protocol]", "run.data.held_back must be left out with protocol"),
        ("trials = 2", "at = { wires = 1 }\ntrials = 2", "protocol.at must be one of device_yield"),
        ("trials = 2", "at = { device_yield = 0.7 }\ntrials = 2", "^protocol.at.device_yield must be one of 1.0, 0.8"),
        ("= 101", "= 9223372036854775808", "^protocol.first_tuning_seed must leave all 1 seeds below 2.63"),
    ],
)  # fmt: skip
def test_what_would_not_be_fair_is_refused_before_anything_begins(write_study, tmp_path, old, new, message):
    text = SMALL.replace("[run.data]\n", "[run.data]\nheld_back = 3\n") if "held_back" in new else SMALL
    protocol = PROTOCOL if "held_back" in new else PROTOCOL.replace(old, new, 1)
    assert protocol != PROTOCOL or text != SMALL
    with pytest.raises(ValidationError, match=message) as caught:
        run_study(load_study(write_study(protocol, text=text)), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_more_repeats_may_not_reach_the_tuning_maps(write_study):
    folder = write_study(PROTOCOL, text=SMALL)
    assert len(load_study(folder, repeats=100).seeds) == 100
    with pytest.raises(ValidationError, match="must keep the tuning maps"):
        load_study(folder, repeats=101)


def test_a_random_search_is_of_the_seed_and_the_method_alone():
    searched = {"a": SearchedSpec(low=1e-4, high=1e-1), "b": SearchedSpec(values=(1, 2, 3))}
    many = ProtocolSpec(validation=1, search="random", trials=400, tune={"x": searched, "y": searched})
    found = settings_tried(many)
    few = ProtocolSpec(validation=1, search="random", trials=5, tune={"y": searched})
    assert settings_tried(few)["y"] == found["y"][:5]
    assert found["x"] != found["y"]
    other = few.model_copy(update={"first_tuning_seed": 7})
    assert settings_tried(other) != settings_tried(few)
    values = [each["a"] for each in found["x"]]
    assert 1e-4 <= min(values) < 2e-4
    assert 0.05 < max(values) <= 0.1
    assert sum(value < math.sqrt(1e-5) for value in values) == pytest.approx(200, abs=40)  # any ratio alike
    assert {each["b"] for each in found["x"]} == {1, 2, 3}


def trial(number, seed, name="in_situ"):
    point = Point({"a": 1}, seed, (), (number, seed))
    return Trial(name, number, {"rate": number}, point)


def record(trial, percent):
    head = {"id": trial.point.id, "wall_time_s": 1.5, "status": "finished" if percent is not None else "failed"}
    end = {"simulated_time_s": 1e-3, "energy_j": 2e-3, "pulses": 5}
    more = {"tests": {"in_situ": percent}, "histories": {"in_situ": [end]}}
    return head | (more if percent is not None else {"error": {"message": "too fast"}})


def test_the_best_mean_is_chosen_and_a_trial_that_fails_on_a_map_is_not():
    trials = [trial(number, seed) for seed in (101, 102) for number in range(4)]
    percents = [80.0, 70.0, 99.0, 75.0, 60.0, 75.0, None, 70.0]  # means 70, 72.5, failed, 72.5
    chosen, (tuned,) = choose(trials, [record(*each) for each in zip(trials, percents, strict=True)])
    assert chosen == {("in_situ", (1,)): {"rate": 1}}
    assert (tuned["trials"], tuned["failed"], tuned["maps"]) == (4, 1, 2)
    assert (tuned["percent"], tuned["lowest_percent"], tuned["pulses"], tuned["computing_time_s"]) == (
        72.5,
        70.0,
        30,
        12.0,
    )
    with pytest.raises(CircuitmemError, match=r"all trials of in_situ failed while it was tuned .*too fast"):
        choose(trials, [record(each, None) for each in trials])


def test_with_halving_the_better_half_goes_on_to_the_next_map():
    trials = [trial(number, seed) for seed in (101, 102, 103) for number in range(6)]
    at = {(each.point.seed, each.number): each for each in trials}

    def due(records, **more):
        return [(each.point.seed, each.number) for each in trials_due(trials, records, True, **more)]

    first = [(101, number) for number in range(6)]
    assert due([]) == first
    # Counted before anything is known: 6 settings, then 3, then 2 of them.
    assert due([], guess=True) == [*first, (102, 0), (102, 1), (102, 2), (103, 0), (103, 1)]
    percents = [60.0, 75.0, None, 75.0, 90.0, 70.0]
    records = [record(at[place], percent) for place, percent in zip(first, percents, strict=True)]
    assert due(records[:5]) == first
    second = [(102, 1), (102, 3), (102, 4)]
    assert due(records) == [*first, *second]
    # The mean over both maps counts: 4 is behind on the second, and still in front.
    records += [record(at[place], percent) for place, percent in zip(second, [79.0, 77.0, 70.0], strict=True)]
    third = [(103, 1), (103, 4)]
    assert due(records) == [*first, *second, *third]
    records += [record(at[place], percent) for place, percent in zip(third, [77.0, 70.0], strict=True)]
    chosen, (tuned,) = choose(trials_due(trials, records, True), records)
    assert chosen == {("in_situ", (1,)): {"rate": 1}}  # 77 on three maps; 4 has 76.7
    assert (tuned["trials"], tuned["failed"], tuned["maps"], tuned["percent"]) == (6, 1, 3, 77.0)
    assert (tuned["lowest_percent"], tuned["pulses"]) == (60.0, 50)  # what was left out was paid for too
    assert trials_due(trials, [], False) == trials


def test_a_study_that_halves_runs_fewer_trials_and_goes_on_where_it_stopped(write_study, tmp_path, results):
    rates = "[1e-9, 0.1, 1e-8, 0.2]"
    protocol = PROTOCOL.replace("[1e-9, 0.2]", rates).replace("[1e-9, 0.01]", "[1e-9, 0.01, 1e-8, 0.005]")
    protocol = protocol.replace("trials = 2\ntuning_maps = 1", "trials = 4\ntuning_maps = 2\nhalving = true")
    compared = '\n[[comparisons]]\nmethod = "schr"\nagainst = "in_situ"\n'
    study, out = load_study(write_study(protocol + compared, text=SMALL)), tmp_path / "one"
    counts = (4 + 2) * 2 * 2, 2
    plan = plan_study(study, out)
    assert (len(plan["trials"]), len(plan["points"]), plan["missing"]) == (*counts, sum(counts))
    seen = []
    summary = run_study(study, out, progress=lambda _, done, total: seen.append((done, total)))
    assert (summary["trials"], summary["computed"]) == (24, 26)
    assert seen[0] == (0, 26)
    assert seen[-1] == (26, 26)
    trials = pd.read_csv(out / "tuning.csv")
    assert trials.groupby("seed").size().to_dict() == {101: 16, 102: 8}
    for _, own in trials.groupby(["method", "device_yield"]):
        first = own[own.seed == 101].sort_values("validation_percent", ascending=False, kind="stable")
        assert set(own[own.seed == 102].trial) == set(first.trial[:2])
    report_study(study, out)
    text = (out / "results.md").read_text()
    assert "After each map the better half of them, rounded up, went on to the next." in text
    assert "\nSCHR against in-situ only" in text  # and not Schr
    assert plan_study(study, out)["missing"] == 0
    again = tmp_path / "two"
    shutil.copytree(out, again)
    (again / "points.tar.xz").unlink()
    for path in sorted((again / "points").glob("*.json"))[::3]:
        path.unlink()
    with pytest.raises(ValidationError, match="--collect needs all trials"):
        run_study(study, again, collect=True)
    assert run_study(study, again)["computed"] == 9
    assert results(again) == results(out)
    assert run_study(study, again, collect=True)["computed"] == 0


def test_rows_of_the_end_are_those_of_the_test():
    entry = {"epoch": 0, "accuracy_percent": 50.0, "pulses": 1, "simulated_time_s": 1.0, "energy_j": 1.0}
    found = {
        "id": "x",
        "levels": {},
        "seed": 1,
        "digital_percent": 90.0,
        "histories": {"raw": [entry], "in_situ": [entry, entry | {"epoch": 1}]},
    }
    rows = list(table_rows(found | {"tests": {"raw": 40.0, "in_situ": 45.0}}))
    assert [(row["method"], row["epoch"], row["end"], row["part"], row["accuracy_percent"]) for row in rows] == [
        ("digital", 0, True, "test", 90.0),
        ("raw", 0, False, "validation", 50.0),
        ("raw", 0, True, "test", 40.0),
        ("in_situ", 0, False, "validation", 50.0),
        ("in_situ", 1, False, "validation", 50.0),
        ("in_situ", 1, True, "test", 45.0),
    ]
    assert [row["end"] for row in table_rows(found)] == [True, True, False, True]
