"""Which method, at which levels, two published gaps fit best: from a table whose answer is known."""

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
