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
    (folder / "start.toml").write_text(f"[ex_situ]\nepochs = {epochs}\n")
    base = f'base = "start.toml"\n{declared}'.replace("[run.ex_situ]\nepochs = 5", "")
    (folder / "study.toml").write_text(base)
    assert study_text(load_study(folder), [*table(), *digital], PROVENANCE) == text


def test_a_digital_network_at_0_percent_has_no_share(write_study):
    published = '[[published]]\nsource = "Somebody"\nmark = "P"\nvalue = 70.0\nmethod = "in_situ"\n'
    study = load_study(write_study(f"{published}where = {{ device_yield = 1.0 }}\n"))
    digital = [{**row, "method": "digital", "accuracy_percent": 0.0} for row in table() if row["method"] == "raw"]
    text = study_text(study, [*table(), *digital], PROVENANCE)
    assert "| 70 | in-situ only | 61.00 ± 12.71 | (it has 0 %) |" in text


OPEN = """
[[published]]
source = "Somebody"
mark = "P"
value = 70.0
method = "raw"

[[goals]]
claim = "raw chips reach 60 %"
method = "raw"
minimum = 60.0

[[goals]]
claim = "calibration adds 5 points"
method = "calibration"
against = "raw"
minimum = 5.0
"""


def test_levels_that_are_averaged_over_are_no_further_maps(write_study):
    """Means 65 and 67 of two maps, not four; the differences of the maps are 5.5 and 18.5."""
    digital = [{**row, "method": "digital", "accuracy_percent": 66.0} for row in table() if row["method"] == "raw"]
    study = load_study(write_study(OPEN))
    text = study_text(study, [*table(), *digital], PROVENANCE)
    assert "| Somebody [P] | mean over device_yield | 70 | raw defective chip | 66.00 ± 12.71 | 100.00 % |" in text
    assert "| raw chips reach 60 % | 60 | 66.00 ± 12.71 | 2 | reached |" in text
    assert "| calibration adds 5 points | 5 | 12.00 ± 82.59 | 2 | reached |" in text
    # A map that has failed at one level says nothing of the mean over both.
    some = [row for row in table() if (row["seed"], row["device_yield"]) != (2, 1.0)]
    assert "| raw chips reach 60 % | 60 | 65.00 | 1 | reached |" in study_text(study, some, PROVENANCE)


def test_rows_stand_in_the_order_of_the_declaration_after_failures(write_study):
    """The first map has failed at the first level, which the table then has last."""
    late = [row for row in table() if (row["seed"], row["device_yield"]) != (1, 1.0)]
    text = study_text(load_study(write_study()), sorted(late, key=lambda row: row["seed"]), PROVENANCE)
    assert [line[:6] for line in text.splitlines() if line.startswith(("| 1.0", "| 0.8"))][:2] == ["| 1.0 ", "| 0.8 "]


def test_a_bar_in_the_name_of_a_level_divides_no_cell(write_study):
    folder = write_study()
    declared = (folder / "study.toml").read_text()
    levels = 'levels]\n"a|b" = { "chip.defects.device_yield" = 0.8 }\n'
    declared = declared.replace(
        'device_yield]\nkey = "chip.defects.device_yield"\nvalues = [1.0, 0.8]', "device_yield." + levels
    )
    (folder / "study.toml").write_text(declared.replace("points = [{ device_yield = 0.8 }]", ""))
    rows = [{**row, "device_yield": "a|b"} for row in table() if row["device_yield"] == 0.8]
    lines = study_text(load_study(folder), rows, PROVENANCE).splitlines()
    line = next(line for line in lines if line.startswith("| a"))
    assert line.startswith(r"| a\|b |")
