"""The studies of the repository: full points are legal, quick forms run to their report, READMEs match the tables."""

from pathlib import Path

import pytest

from circuitmem.report import report_study
from circuitmem.report.study_report import BEGIN, END, study_text
from circuitmem.study.point import compute_point
from circuitmem.study.provenance import study_provenance
from circuitmem.study.runner import plan_study
from circuitmem.study.spec import load_study
from circuitmem.study.store import Store, load_table

FOLDERS = sorted(path.parent for path in (Path(__file__).parents[3] / "studies").glob("*/study.toml"))
NAMES = {
    "table1",
    "table1-full",
    "yield",
    "resistances",
    "size",
    "stuck-li2018",
    "converters",
    "devices",
    "defect-kinds",
}


def test_all_are_there():
    assert {folder.name for folder in FOLDERS} >= NAMES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_study_can_be_planned_and_its_quick_form_runs_to_the_report(folder, tmp_path):
    if folder.name == "own-networks":
        pytest.importorskip("torch")
    plan = plan_study(load_study(folder), tmp_path / "nothing")
    assert len({point["id"] for point in plan["points"]}) == len(plan["points"]) >= 2
    study = load_study(folder, quick=True)
    points, store = study.points(), Store(tmp_path)
    for point in (points[0], points[-1]):
        record = compute_point(point)
        assert record["status"] == "finished", record["error"]
        store.save(record)
    records = store.records(points)
    store.write_table(study, records, study_provenance(study, points, records, {"workers": 1}))
    written = report_study(study, tmp_path)
    assert len(written["figures"]) == len(study.spec.figures) >= 1
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in written["figures"])
    text = Path(written["report"]).read_text()
    assert "Test accuracy in %" in text
    assert (
        f"for other test samples than these {points[0].jobs[0].run.data.validation or points[0].jobs[0].run.data.test}"
        in text
    )
    assert ("Holm's" in text) == bool(study.spec.comparisons)
    for label, cost in (("Simulated time (ms) of", "simulated_time_s"), ("Energy (mJ) of", "energy_j")):
        assert (label in text) == any(figure.y == cost for figure in study.spec.figures.values())
    assert "too small to mean anything" in text
    # Levels that a comparison, goal or published figure names are levels that there are.
    full = load_study(folder)
    levels = [point.levels for point in full.points()]
    for spec in (*full.spec.goals, *full.spec.published, *full.spec.gaps, *full.spec.figures.values()):
        assert any(spec.where.items() <= each.items() for each in levels), spec


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_readme_has_question_method_command_and_the_results_of_the_table(folder):
    text = (folder / "README.md").read_text("utf-8")
    assert all(word in text for word in ("**Question.**", "**Method.**", f"circuitmem study run studies/{folder.name}"))
    inside = text.partition(BEGIN)[2].partition(END)[0].strip()
    if not (folder / "results.parquet").exists():
        assert inside == "Not run yet."
        return
    rows, provenance = load_table(folder)
    assert inside == study_text(load_study(folder), rows, provenance)
    assert all((folder / "figures" / f"{name}.png").is_file() for name in load_study(folder).spec.figures)
    assert all(path.stat().st_size < 300_000 for path in folder.glob("results.*"))  # twenty maps of `table1`: 212 kB
