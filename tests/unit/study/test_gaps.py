"""What a report finds at all points: where two published gaps fit best, and how far a default is below the best."""

import pytest

from circuitmem.errors import ValidationError
from circuitmem.report.study_report import study_text
from circuitmem.study.spec import load_study

GAP = """
[[gaps]]
source = "Somebody"
mark = "P"
method = "calibration_in_situ"
over = "raw"
gap = 40.0
candidates = ["calibration", "in_situ"]
candidate_gap = 30.0
"""
GAPS = GAP + GAP.replace(', "in_situ"]', "]") + "where = { device_yield = 1.0 }\n"
PROVENANCE = {
    "seeds": [1, 2], "kernels": {}, "data": [], "quick": False, "finished": 4, "points": 4, "circuitmem": "0",
    "platform": "", "computing_time_s": 1.0, "longest_point_s": 1.0, "written": "", "config_hash": "", "failed": [],
}  # fmt: skip

METHODS = "raw", "calibration", "in_situ", "calibration_in_situ"
ACCURACIES = {
    1.0: ((80.0, 82.0), (91.0, 91.0), (60.0, 62.0), (92.0, 92.0)),
    0.8: ((50.0, 52.0), (50.0, 80.0), (61.5, 61.5), (91.0, 91.0)),
}
"""At each yield, with seeds 1 and 2: in_situ at 0.8 has gaps of 40 and 29.5, calibration there of 40 and 26."""


def table():
    cells = {(y, name): each for y, own in ACCURACIES.items() for name, each in zip(METHODS, own, strict=True)}
    return [
        {"device_yield": y, "method": name, "seed": seed, "accuracy_percent": value, "end": True, "epoch": 0}
        for (y, name), values in cells.items()
        for seed, value in zip((1, 2), values, strict=True)
    ]


def test_the_nearest_levels_of_each_candidate_come_first_the_best_of_them(write_study):
    study = load_study(write_study(GAPS))
    first, second = study_text(study, table(), PROVENANCE).split("How far calibration + in-situ is above")[1:]
    assert "Somebody [P]: +40 points over raw defective chip, +30 over one of the others" in first
    at_08, at_1 = "| 0.8 | +40.00 ± 12.71 |", "| 1.0 | +11.00 ± 12.71 |"
    assert f"{at_08} +26.00 ± 190.59 | +29.50 ± 0.00 |" in first
    ranking = [line for line in first.splitlines() if line.startswith(("| in-situ only", "| calibration only"))]
    assert ranking == [
        f"| in-situ only {at_08} +29.50 ± 0.00 | 0.50 |",
        f"| calibration only {at_08} +26.00 ± 190.59 | 4.00 |",
    ]
    assert "above the others, device_yield 1.0, in points" not in first
    assert second.startswith(" the others, device_yield 1.0, in points")
    assert f"| calibration only {at_1} +1.00 ± 0.00 | 29.00 |" in second
    assert "| 0.8 |" not in second.split("![", 1)[0]


def test_methods_that_are_not_there_yet_leave_their_cells_empty(write_study):
    study = load_study(write_study(GAPS))
    rows = [row for row in table() if row["method"] != "calibration"]
    first, second = study_text(study, rows, PROVENANCE).split("How far calibration + in-situ is above")[1:]
    assert "| 0.8 | +40.00 ± 12.71 |  | +29.50 ± 0.00 |" in first
    ranked = [line for line in (first + second).splitlines() if line.startswith("| calibration only")]
    assert ranked == []


TUNED = """
[[tunings]]
method = "in_situ"
default = {{ device_yield = {} }}
within = {}
"""


def test_the_default_is_held_against_the_best_point(write_study):
    study = load_study(write_study(TUNED.format(1.0, 1.0) + TUNED.format(1.0, 0.4) + TUNED.format(0.8, 0.0)))
    text = study_text(study, table(), PROVENANCE).split("The best of all points")[1]
    assert text.startswith(" (device_yield) and the default, in %:")
    lines = [line for line in text.splitlines() if line.startswith("| in-situ only")]
    best = "| in-situ only | 2 | 0.8 | 61.50 ± 0.00 |"
    assert lines == [
        f"{best} 1.0 | 61.00 ± 12.71 | 0.50 | within 1: reached |",
        f"{best} 1.0 | 61.00 ± 12.71 | 0.50 | within 0.4: **not reached** |",
        f"{best} 0.8 | 61.50 ± 0.00 | 0.00 | within 0: reached |",
    ]


def test_a_default_that_is_not_there_yet_is_not_judged(write_study):
    study = load_study(write_study(TUNED.format(1.0, 1.0)))
    some = [row for row in table() if row["device_yield"] != 1.0]
    assert "| in-situ only | 1 | 0.8 | 61.50 ± 0.00 | 1.0 |  |  | not run |" in study_text(study, some, PROVENANCE)


@pytest.mark.parametrize("default", [0.7, '"none"'])
def test_the_default_must_be_a_point_of_the_study(write_study, default):
    with pytest.raises(ValidationError, match=r"tunings.0.default.device_yield must be one of 1.0, 0.8"):
        load_study(write_study(TUNED.format(default, 1.0)))


@pytest.mark.parametrize(("epochs", "share"), [(5, "200.00 %"), (0, "(not trained)")])
def test_a_published_figure_is_held_against_a_digital_network_that_was_trained(epochs, share, write_study):
    published = '[[published]]\nsource = "Somebody"\nmark = "P"\nvalue = 70.0\nmethod = "in_situ"\n'
    folder = write_study(f"{published}where = {{ device_yield = 1.0 }}\n")
    declared = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(
        declared.replace("[run.ex_situ]\nepochs = 5", f"[run.ex_situ]\nepochs = {epochs}")
    )
    digital = [{**row, "method": "digital", "accuracy_percent": 30.5} for row in table() if row["method"] == "raw"]
    text = study_text(load_study(folder), [*table(), *digital], PROVENANCE)
    assert f"| 70 | in-situ only | 61.00 ± 12.71 | {share} |" in text
