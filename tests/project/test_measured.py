"""What README and docs say of validations and audits is what their records have."""

import json
import re
from pathlib import Path

import pytest

from circuitmem.study.fit import MODELS
from circuitmem.study.stages import STAGES

ROOT = Path(__file__).parents[2]
SCRIPT = "measured"


def test_text_and_records_agree(script, capsys):
    assert script.main(["--check"]) == 0, capsys.readouterr()
    marked = {match["record"] for match in script.MARK.finditer((ROOT / "README.md").read_text("utf-8"))}
    assert marked == {"validation", "audit-vacask", "audit-ngspice", "fresh-bookworm", "fresh-trixie"}
    assert all(path.stat().st_size < 100_000 for path in script.RECORDS.iterdir())


def test_the_record_is_of_stages_that_there_are_and_of_both_referees(script):
    record = script.load("validation")
    bounds = {(line["stage"], line["referee"]): line["bound"] for line in record["stages"]}
    assert {stage for stage, _ in bounds} == {stage.name for stage in STAGES}
    assert {referee for _, referee in bounds} == {"ngspice", "vacask"}
    assert not record["quick"]
    assert all(record[name] for name in ("ngspice", "vacask", "platform", "finished"))


def test_a_text_that_differs_is_said_and_written(script):
    readme = (ROOT / "README.md").read_text("utf-8")
    for pattern in (r"cases: \d\.\de-\d\d", r"operations -->\d+<!--", r"64x64, "):
        old = re.search(pattern, readme)[0]
        wrong = readme.replace(old, re.sub(r"\d+", "12345", old, count=1), 1)
        assert wrong != readme
        mended, changes = script.renewed(wrong)
        assert mended == readme
        assert len(changes) == 1
        assert "should be" in changes[0]


@pytest.mark.parametrize(
    ("mark", "message"),
    [("nothing reads", "there is no record nothing"), ("audit-vacask rads", "audit-vacask has no rads")],
)
def test_a_mark_without_a_text_is_named(script, mark, message):
    with pytest.raises(script.WrongRecordError, match=message):
        script.renewed(f"<!-- @ {mark} -->1<!-- / -->")


def test_failed_and_unknown_stages_make_no_table(script):
    record = script.load("validation")
    lines = record["stages"]
    failed = {**record, "stages": [{**lines[0], "pass": False}, *lines[1:]]}
    with pytest.raises(script.WrongRecordError, match=f"stages that failed: {lines[0]['stage']}"):
        script.table(failed)
    with pytest.raises(script.WrongRecordError, match="not the same: new stage"):
        script.table({**record, "stages": [*lines, {**lines[0], "stage": "new stage"}]})
    with pytest.raises(script.WrongRecordError, match="not the same: sar"):
        script.table({**record, "stages": [line for line in lines if line["stage"] != "sar"]})


def test_a_record_is_kept_of_what_a_validation_or_a_run_wrote(script, tmp_path, monkeypatch):
    validation, audit = script.load("validation"), script.load("audit-vacask")
    monkeypatch.setattr(script, "RECORDS", tmp_path / "measured")
    stages = [{**line, "plots": [1, 2, 3], "about": "what it is"} for line in validation["stages"]]
    validation["stages"] = [{**line, "measured": validation["finished"][:10]} for line in validation["stages"]]
    (tmp_path / "validation.json").write_text(json.dumps({**validation, "stages": stages, "speed_plot": {}}))
    assert script.keep(tmp_path) == "validation"
    assert script.load("validation") == validation
    some = {**validation, "stages": [{**stages[0], "worst": 1e-99}], "between_referees": []}
    (tmp_path / "validation.json").write_text(json.dumps(some))
    script.keep(tmp_path)  # one stage again: the others stay
    again = script.load("validation")
    assert again["stages"] == [{**validation["stages"][0], "worst": 1e-99}, *validation["stages"][1:]]
    assert again["between_referees"] == validation["between_referees"]
    (tmp_path / "validation.json").write_text(json.dumps({**some, "vacask": "another"}))
    with pytest.raises(script.WrongRecordError, match="vacask is not that of the record"):
        script.keep(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "results.json").write_text(json.dumps({"audit": audit, "seed": audit["seed"], "warnings": []}))
    (run / "provenance.json").write_text(json.dumps({**audit, "data": {}}))
    assert script.keep(run) == "audit-vacask"
    assert script.load("audit-vacask") == audit


def test_fits_hold_the_truth_as_often_as_they_say_and_the_page_has_the_record(script):
    """Of intervals of 95 % no fewer than 90 % of 200 curves, model by model, and no more than 98 %.

    Where most of a model's intervals are open on one side, parameters lie at ends of what they can be: intervals hold
    more often there. A count of fewer curves is not judged.
    """
    record, page = script.load("recovery"), (ROOT / "docs" / "fit.md").read_text("utf-8")
    assert set(record["models"]) >= {*MODELS}
    assert record["noise"] == 0.02
    for name, own in record["models"].items():
        keys = "both", "both_hold", "one", "one_hold"
        both, both_hold, one, one_hold = (sum(each[key] for each in own["parameters"].values()) for key in keys)
        assert f"\n| {name} | {own['curves']} | {both} | {100.0 * both_hold / both:.1f} % |" in page
        assert own["failed"] == 0
        if own["curves"] >= 200:
            assert both_hold >= 0.90 * both, name
            assert both_hold + one_hold >= 0.90 * (both + one), name
            assert one > both or both_hold <= 0.98 * both, name
    wrong, changes = script.renewed(re.sub(r"(\| pulse \| )\d+", r"\g<1>1", page))
    assert wrong == page
    assert len(changes) == 1
