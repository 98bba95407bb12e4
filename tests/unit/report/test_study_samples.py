"""A report says how many test samples a row has, and that all maps share them only where they do."""

import pytest

from circuitmem.config import DataSpec
from circuitmem.config.data import TEST_PARTS
from circuitmem.data import load_dataset
from circuitmem.report.study_report import study_text
from circuitmem.report.study_samples import sharing
from circuitmem.study.spec import load_study
from circuitmem.study.statistics import sampling_half_width
from circuitmem.study.store import table_rows

STUDY = """
title = "Samples"
methods = ["in_situ", "few"]
[axes.data.levels]
{levels}
[variants.few]
method = "in_situ"
set = {{ "data.test" = 50 }}
[protocol]
validation = 20
trials = 2
[protocol.tune.in_situ]
"in_situ.learning_rate" = [0.1, 0.2]
"""
PROVENANCE = {
    "seeds": [1, 2], "kernels": {}, "data": [], "quick": False, "finished": 4, "points": 4, "circuitmem": "0",
    "platform": "", "computing_time_s": 1.0, "longest_point_s": 1.0, "written": "", "config_hash": "", "failed": [],
}  # fmt: skip
TUNED = {
    "method": "in_situ", "settings": {"in_situ.learning_rate": 0.1}, "trials": 2, "maps": 1, "failed": 0,
    "percent": 90.0, "half_width": None, "lowest_percent": 80.0, "simulated_time_s": 1.0, "energy_j": 1.0, "pulses": 1,
    "computing_time_s": 1.0,
}  # fmt: skip


def text_of(folder, levels, smallest, **columns):
    """Return the report of a study with some levels, all accuracies 90 %."""
    declared = "\n".join(f"{name} = {settings}" for name, settings in levels.items())
    (folder / "study.toml").write_text(STUDY.format(levels=declared))
    rows = [
        {"data": name, "method": method, "seed": seed, "accuracy_percent": 90.0, "end": True, "epoch": 0} | columns
        for name in levels
        for method in ("digital", "in_situ", "few")
        for seed in (1, 2)
    ]
    tuning = [TUNED | {"levels": {"data": name}} for name in levels]
    return study_text(load_study(folder), rows, PROVENANCE | {"test_samples": smallest, "tuning": tuning})


def brackets(text, name):
    """Return the intervals in brackets of the row of a level."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.partition("(± ")[2].strip(" )") for cell in line.split("|")[2:5]]


def width(samples):
    return f"{sampling_half_width(90.0, samples):.2f}"


@pytest.mark.parametrize("source", ["bundled", "digits", "patches"])
def test_the_package_has_as_many_test_samples_as_the_report_says(source):
    assert [len(load_dataset(source, seed=seed).test_targets) for seed in (1, 2)] == [TEST_PARTS[source]] * 2


def test_a_row_has_the_interval_of_its_own_test_samples(tmp_path):
    text = text_of(tmp_path, {"all": "{}", "some": '{ "data.test" = 200 }'}, 50)
    assert brackets(text, "all") == [width(2000), width(2000), width(50)]
    assert brackets(text, "some") == [width(200), width(200), width(50)]
    assert "in brackets the same for other test samples than these 50, 200 or 2,000, which all maps share:" in text
    assert "(grid search), before the test samples were seen." in text


def test_samples_that_each_map_draws_for_itself_are_not_called_shared(tmp_path):
    levels = {"flowers": '{ "data.source" = "vowels", "data.test" = 60 }', "digits": '{ "data.test" = 60 }'}
    text = text_of(tmp_path, levels, 50)
    whose = "of which each map has its own (vowels) or which all maps share (bundled):"
    assert f"in brackets that of one map for other test samples than these 50 or 60, {whose}" in text
    assert "before the test samples were seen" not in text
    assert "Each map has its own test samples of vowels; tuning maps may have used some" in text
    # Points of this version have one split, and their table its seed.
    text = text_of(tmp_path, levels, 50, split_seed=1)
    assert "in brackets the same for other test samples than these 50 or 60, which all maps share:" in text
    assert "before the test samples were seen." in text


@pytest.mark.parametrize(("smallest", "found"), [(40, 40), (50, None), (None, None)])
def test_a_number_that_no_configuration_has_is_that_of_the_table_only_if_it_must_be(tmp_path, smallest, found):
    text = text_of(tmp_path, {"own": '{ "data.source" = "own.csv" }'}, smallest)
    assert brackets(text, "own") == [width(found) if found else ""] * 2 + [width(50)]
    assert ("without brackets where their number is not known" in text) is (found is None)


def test_what_two_tables_have_is_not_taken_for_one_number(tmp_path):
    text = text_of(tmp_path, {"one": '{ "data.source" = "1.csv" }', "two": '{ "data.source" = "2.csv" }'}, 40)
    assert brackets(text, "one") == ["", "", width(50)]


@pytest.mark.parametrize(
    ("data", "whose"),
    [
        ({"source": "download"}, "shared"),
        ({"source": "penguins"}, "own"),
        ({"source": "penguins", "split_seed": 3}, "shared"),
        ({"source": "folder/own.parquet"}, "own"),
        ({"source": "own.npz"}, "unknown"),
        ({"source": "module:function"}, "unknown"),
        ({"validation": 20}, "shared"),
        ({"validation": 20, "held_back": 20}, "own"),
    ],
)
def test_the_configuration_says_whether_maps_share_their_test(data, whose):
    assert sharing(DataSpec(**data)) == whose


def test_a_table_has_the_test_samples_and_the_seed_of_the_split():
    entry = {"epoch": 0, "accuracy_percent": 50.0, "pulses": 1, "simulated_time_s": 1.0, "energy_j": 1.0}
    data = {"source": "penguins", "validation": 0, "test": None, "split_seed": 7}
    record = {
        "levels": {},
        "seed": 1,
        "id": "one",
        "digital_percent": 90.0,
        "histories": {"raw": [entry], "b": [entry]},
    }
    config = {"raw": {"data": data}, "b": {"data": {**data, "source": "bundled", "split_seed": None}}}
    found = [(row["test_samples"], row["split_seed"]) for row in table_rows(record | {"config": config})]
    assert found == [(None, 7), (None, 7), (2000, None)]
