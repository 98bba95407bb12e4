"""Running a study: the same bits whatever the workers, failures as records, the table in three libraries."""

import json
import lzma
import os
import shutil
import signal
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

import circuitmem
from circuitmem.console import print_study
from circuitmem.errors import DataFileError, StudyBusyError, ValidationError
from circuitmem.report.study_inference import inference_text
from circuitmem.report.study_report import study_text
from circuitmem.study.cost import point_seconds
from circuitmem.study.fingerprint import code_fingerprint
from circuitmem.study.point import SISTERS, compute_point
from circuitmem.study.runner import plan_study, run_study
from circuitmem.study.spec import Point, config_values, load_study
from circuitmem.study.store import Store, load_table, table_rows
from circuitmem.training import METHODS, methods, tile_count
from circuitmem.training.run import start_run


def children():
    """Return the processes that this one has started."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def test_the_table_does_not_depend_on_the_workers_and_opens_everywhere(write_study, tmp_path, results):
    study = load_study(write_study())
    alone = run_study(study, tmp_path / "one", workers=1)
    many = run_study(study, tmp_path / "three", workers=3)
    assert (alone["finished"], alone["computed"], many["failed"]) == (4, 4, [])
    assert results(tmp_path / "one") == results(tmp_path / "three")

    rows, provenance = load_table(tmp_path / "one")
    for point in study.points()[:2]:  # the same in this process, with all its threads
        record = compute_point(point)
        own = [row for row in rows if row["point"] == point.id]
        for method, history in record["histories"].items():
            found = [row["accuracy_percent"] for row in own if row["method"] == method]
            assert found == [entry["accuracy_percent"] for entry in history]

    frame = pd.read_parquet(tmp_path / "one" / "results.parquet")
    assert len(frame) == len(rows) == 4 * (1 + 1 + 1 + 3 + 3)
    assert frame.loc[frame.end, "method"].value_counts().to_dict() == dict.fromkeys(
        ["digital", "raw", "calibration", "in_situ", "calibration_in_situ"], 4
    )
    ends = frame[frame.end].set_index(["device_yield", "seed", "method"])
    cube = xr.Dataset.from_dataframe(ends)["accuracy_percent"]
    assert cube.sizes == {"device_yield": 2, "seed": 2, "method": 5}
    assert not cube.isnull().any()
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "one" / "results.csv"), frame[frame.end].reset_index(drop=True), check_dtype=False
    )
    assert provenance["seeds"] == [1, 2]
    assert provenance["config_hash"] == study.config_hash
    assert {"circuitmem", "kernels", "ngspice", "platform", "numpy", "computing_time_s"} <= provenance.keys()
    assert json.loads((tmp_path / "one" / "provenance.json").read_text()) == {"format": 1, **provenance}


def test_more_repeats_keep_what_is_there(write_study, tmp_path):
    folder = write_study()
    run_study(load_study(folder, repeats=1), tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "points").glob("*.json")}
    plan = plan_study(load_study(folder), tmp_path / "out", workers=2)
    assert (plan["missing"], len(plan["points"])) == (2, 4)
    assert 0.0 < plan["seconds"] < 600.0
    summary = run_study(load_study(folder), tmp_path / "out")
    assert (summary["computed"], summary["finished"]) == (2, 4)
    assert len(before) == 2
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_clone_goes_on_from_the_packed_points(write_study, tmp_path, results):
    folder, here, clone = write_study(), tmp_path / "here", tmp_path / "clone"
    run_study(load_study(folder, repeats=1), here)
    first = (here / "points.tar.xz").read_bytes()
    clone.mkdir()
    shutil.copy(here / "points.tar.xz", clone)  # what is committed: no points/
    assert plan_study(load_study(folder), clone)["missing"] == 2
    summary = run_study(load_study(folder), clone)
    assert (summary["computed"], summary["finished"]) == (2, 4)
    assert len(list((clone / "points").glob("*.json"))) == 2
    run_study(load_study(folder), here)
    assert results(clone) == results(here)
    # A run with fewer repeats loses none of them, and the same points make the same file.
    both = (here / "points.tar.xz").read_bytes()
    assert both != first
    run_study(load_study(folder, repeats=1), here)
    assert (here / "points.tar.xz").read_bytes() == both
    assert plan_study(load_study(folder), here)["missing"] == 0


def test_a_damaged_pack_of_points_is_said(write_study, tmp_path):
    folder, out = write_study(), tmp_path / "out"
    out.mkdir()
    said = r"points.tar.xz: is damaged .*; delete it, and it is made again from points/; points that are not there are"
    for content in (b"no archive", lzma.compress(b"no archive either"), b""):
        (out / "points.tar.xz").write_bytes(content)
        with pytest.raises(DataFileError, match=said):
            plan_study(load_study(folder), out)


def test_what_is_finished_can_be_collected_at_any_time(write_study, tmp_path):
    folder = write_study()
    study, part = load_study(folder), load_study(folder, repeats=1)
    with pytest.raises(ValidationError, match="--collect needs a finished point of this study in its folder"):
        run_study(study, tmp_path / "r", collect=True)
    for more in ({"retry": True}, {"recompute": True}, {"scheduler": "tcp://127.0.0.1:1"}):
        with pytest.raises(ValidationError, match=f"--{next(iter(more))} must be left out with --collect"):
            run_study(study, tmp_path / "r", collect=True, **more)
    assert not (tmp_path / "r").exists()
    run_study(part, tmp_path / "r")
    (tmp_path / "r" / "results.parquet").unlink()
    summary = run_study(study, tmp_path / "r", collect=True)
    assert (summary["points"], summary["finished"], summary["computed"]) == (4, 2, 0)
    assert {path.stem for path in (tmp_path / "r" / "points").glob("*.json")} == {point.id for point in part.points()}
    rows, _ = load_table(tmp_path / "r")
    assert {row["point"] for row in rows} == {point.id for point in part.points()}
    _, provenance = load_table(tmp_path / "r")
    assert provenance["seeds"] == [1]
    # One point more: two maps are there now, but not at every level.
    run_study(load_study(folder), tmp_path / "r")
    next(
        path for path in (tmp_path / "r" / "points").glob("*.json") if json.loads(path.read_text())["seed"] == 2
    ).unlink()
    (tmp_path / "r" / "points.tar.xz").unlink()
    run_study(study, tmp_path / "r", collect=True)
    said = study_text(study, *load_table(tmp_path / "r"))
    assert (
        "3 of 4 points, 2 of the 2 defect maps that the declaration asks for, some points with fewer (seeds 1 to 2)"
        in said
    )


def test_a_plan_downloads_nothing(write_study, tmp_path, monkeypatch):
    folder = write_study('[axes.digits]\nkey = "data.source"\nvalues = ["bundled", "download"]\n')
    monkeypatch.setattr("circuitmem.data.mnist._fetch", lambda *_: pytest.fail("fetched"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    plan = plan_study(load_study(folder), tmp_path / "out")
    by_digits = [
        [each["seconds"] for each in plan["points"] if each["levels"]["digits"] == source]
        for source in ("bundled", "download")
    ]
    assert by_digits[0] == by_digits[1]  # both declare how many digits they use


def test_an_estimate_knows_that_ideal_wires_need_no_transfer_matrix(write_study):
    more = """
[axes.wires.levels]
ideal = { "chip.tile.word_line_resistance" = 0.0, "chip.tile.bit_line_resistance" = 0.0 }
"1 ohm" = { "chip.tile.word_line_resistance" = 1.0, "chip.tile.bit_line_resistance" = 1.0 }
"""
    ideal, wired, *_ = load_study(write_study(more), repeats=1).points()
    assert point_seconds(ideal) < 0.8 * point_seconds(wired)


@pytest.mark.parametrize("method", SISTERS)
def test_a_method_without_training_is_its_sister_before_training(write_study, method):
    point = load_study(write_study()).points()[1]
    both = compute_point(point)["histories"]
    own = Point(point.levels, point.seed, tuple(job for job in point.jobs if job.name == method))
    assert compute_point(own)["histories"][method] == both[method] == both[SISTERS[method]][:1]
    assert {method, SISTERS[method]} <= METHODS.keys()


@pytest.mark.parametrize("more", ["[run.use]\nafter = 10.0\n", "[protocol]\nvalidation = 10\n"])
def test_a_method_that_is_tested_at_the_end_is_brought_up_with_its_sister(write_study, monkeypatch, more):
    point = load_study(write_study(more)).points()[1]
    brought_up = []
    prepare = methods.prepare_chip
    monkeypatch.setattr(methods, "prepare_chip", lambda *given: brought_up.append(given) or prepare(*given))
    both = compute_point(point)
    assert len(brought_up) == 2
    for method in SISTERS:
        own = compute_point(Point(point.levels, point.seed, tuple(job for job in point.jobs if job.name == method)))
        for what in ("histories", "tests", "inferences"):
            assert own[what][method] == both[what][method]


def test_the_report_says_how_exact_products_are(write_study):
    study = load_study(write_study(), quick=True)
    point = study.points()[0]
    record = compute_point(point)
    found = record["inferences"]["calibration_in_situ"]
    assert found["tiles"] == tile_count(point.jobs[0].run)
    assert found["mac_error_raw"] > found["mac_error"] > 0.0
    rows = [{"mac_error": None, **row} for row in table_rows(record)]
    text = inference_text(study, rows, [record["levels"]])
    assert f"| {1e6 * found['inference_s']:.4g} | {1e9 * found['inference_j']:.4g} |" in text
    assert f"| {100 * found['mac_error_raw']:.2f} | {100 * found['mac_error']:.2f} | {found['tiles']} |" in text
    assert inference_text(study, [row | {"mac_error": None} for row in rows], [record["levels"]]) == ""


def test_a_failing_point_is_a_record_and_the_others_go_on(write_study, tmp_path):
    more = '\n[axes.cell.levels]\nlinear = {}\nimpossible = { "chip.tile.cell" = { kind = "sinh", a = 1e6 } }\n'
    folder = write_study(more)
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text.replace("[1.0, 0.8]", "[1.0]"))
    study = load_study(folder, repeats=1)
    points = study.points()
    summary = run_study(study, tmp_path / "out")
    assert (summary["finished"], len(summary["failed"])) == (1, 1)
    failed = summary["failed"][0]
    assert failed["type"] == "ValidationError"
    assert failed["levels"] == {"device_yield": 1.0, "cell": "impossible"}
    assert "the current overflows" in failed["message"]
    rows, provenance = load_table(tmp_path / "out")
    assert {row["cell"] for row in rows} == {"linear"}
    assert provenance["failed"] == summary["failed"]
    # It stays as it is until a retry is asked for, which computes the failed points and no other.
    assert run_study(study, tmp_path / "out")["computed"] == 0
    store = Store(tmp_path / "out")
    broken = store.load(points[1]) | {
        "id": points[0].id,
        "levels": points[0].levels,
        "config": config_values(points[0]),
    }
    os.unlink(store.points / f"{points[1].id}.json")
    store.save(broken)
    again = run_study(load_study(folder, repeats=1), tmp_path / "out", retry=True, workers=2)
    assert (again["computed"], again["finished"]) == (2, 1)


def test_points_of_other_code_are_counted_and_computed_again_when_asked(write_study, tmp_path, results, capsys):
    study = load_study(write_study(), repeats=1)
    out = tmp_path / "out"
    assert run_study(study, out)["other_code"] == 0
    fresh = results(out)
    assert list(load_table(out)[1]["codes"].items()) == [(code_fingerprint(), 2)]
    store = Store(out)
    first, second = (store.load(point) for point in study.points())
    store.save(first | {"code": "0.0.1+aaaaaaaaaaaa", "digital_percent": 12.0})
    store.save({key: value for key, value in second.items() if key != "code"})  # as records were before they had one
    assert plan_study(study, out)["other_code"] == 2
    summary = run_study(study, out)
    assert (summary["computed"], summary["other_code"]) == (0, 2)
    print_study(summary)
    assert "2 finished points are of other code than this; --recompute" in capsys.readouterr().out
    rows, provenance = load_table(out)
    assert provenance["codes"] == {"0.0.1+aaaaaaaaaaaa": 1, "not recorded": 1}
    assert "of 2 versions of the code** (1 of 0.0.1+aaaaaaaaaaaa, 1 of not recorded)" in study_text(
        study, rows, provenance
    )
    again = run_study(study, out, recompute=True)
    assert (again["computed"], again["other_code"]) == (2, 0)
    assert results(out) == fresh
    assert run_study(study, out, recompute=True)["computed"] == 0
    assert "versions of the code" not in study_text(study, *load_table(out))


def test_the_fingerprint_is_of_what_can_change_a_number(tmp_path, monkeypatch):
    package = tmp_path / "circuitmem"
    shutil.copytree(Path(circuitmem.__file__).parent, package, ignore=shutil.ignore_patterns("*.npz", "__pycache__"))
    monkeypatch.setattr(circuitmem, "__file__", str(package / "__init__.py"))
    before = code_fingerprint.__wrapped__()
    assert before == code_fingerprint()
    for shows in ("cli/studies.py", "report/study_report.py", "study/runner.py", "console/table.py"):
        (package / shows).write_text("# other\n")
    assert code_fingerprint.__wrapped__() == before
    found = {before}
    kernel = next(package.glob("_kernels/*" + EXTENSION_SUFFIXES[0]), package / "_kernels" / "mesh.py")
    for counts in (package / "training" / "in_situ.py", package / "study" / "point.py", kernel):
        counts.write_bytes(counts.read_bytes() + b"#")
        found.add(code_fingerprint.__wrapped__())
    assert len(found) == 4


def test_a_worker_that_is_killed_costs_nothing(write_study, tmp_path, results):
    study = load_study(write_study())
    run_study(study, tmp_path / "calm")
    before, killed = children(), []

    def kill(_, done, total):
        if done in (1, 2) and len(killed) < done:
            victim = min(children() - before - set(killed))
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    summary = run_study(study, tmp_path / "hit", workers=2, progress=kill)
    assert len(killed) == 2
    assert (summary["finished"], summary["failed"]) == (4, [])
    assert results(tmp_path / "hit") == results(tmp_path / "calm")
    assert children() <= before


def test_only_one_process_works_on_a_study(write_study, tmp_path):
    study = load_study(write_study(), quick=True)
    with Store(tmp_path / "out").locked(), pytest.raises(StudyBusyError, match="another process"):
        run_study(study, tmp_path / "out")
    assert run_study(study, tmp_path / "out")["finished"] == 1
    with pytest.raises(ValidationError, match="--workers must be >= 1"):
        run_study(study, tmp_path / "out", workers=0)


NETWORK = """
import numpy as np
from circuitmem.network import Ask, Network

class Linear(Network):
    def __init__(self):
        super().__init__([np.random.default_rng(0).normal(size=(16, 10))])

    def steps(self, inputs):
        (scores,) = yield Ask([(0, inputs)])
        return scores
"""
OWN = """
title = "Own"
methods = ["raw", "calibration"]
repeats = 1

[run.network]
model = "network_of_a_study:Linear"

[run.data]
side = 4
train = 30
test = 10

[run.chip.tile]
rows = 16
columns = 8

[run.calibration]
vectors = 10

[axes.device_yield]
key = "chip.defects.device_yield"
values = [0.8]
"""


def test_a_network_that_asks_is_what_it_is_in_a_run(write_study, tmp_path):
    folder = write_study(text=OWN)
    (folder / "network_of_a_study.py").write_text(NETWORK)
    (point,) = load_study(folder).points()
    record = compute_point(point)
    assert record["status"] == "finished", record
    run = next(job.run for job in point.jobs if job.method == "calibration")
    found = start_run(run.model_copy(update={"methods": ("calibration",)}), tmp_path / "run")
    assert record["digital_percent"] == found["accuracy_percent"]["digital"]
    assert record["histories"]["calibration"][-1]["accuracy_percent"] == found["accuracy_percent"]["calibration"]
    assert record["inferences"]["calibration"]["tiles"] == 3
