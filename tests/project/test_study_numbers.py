"""Numbers of studies in README and docs are those of their tables: text and data cannot differ unnoticed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = "study_numbers"


def test_text_and_data_agree(script, capsys):
    assert script.main(["--check"]) == 0, capsys.readouterr().out
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(script.NUMBER.findall(readme)) >= 8
    assert len(script.TABLE.findall(readme)) == 1


def test_a_number_that_differs_is_said_and_written(script):
    readme = (ROOT / "README.md").read_text("utf-8")
    marks = [
        re.search(pattern, readme)[0]
        for pattern in (r"-->\d+\.\d\d ± \d\.\d\d<!--", r"\| \d+\.\d\d % \| \d\.\d\d ms", r":\.0f -->\d+<!--")
    ]
    for old in marks:
        wrong = readme.replace(old, re.sub(r"\d+", "12345", old, count=1) if ":.0f" not in old else ":.0f -->1<!--", 1)
        assert wrong != readme
        mended, changes = script.renewed(wrong)
        assert mended == readme
        assert len(changes) == 1
        assert "should be" in changes[0]


def test_the_list_of_studies_is_that_of_their_results(script):
    page = (ROOT / "studies" / "README.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| [`")]
    assert len(rows) == len(list(ROOT.glob("studies/*/study.toml")))
    old = next(row for row in rows if row.endswith("| tuned |"))
    wrong = page.replace(old, old.replace("| tuned |", "| complete |"))
    mended, changes = script.renewed(wrong)
    assert mended == page
    assert changes == [f"studies: should have {old!r}"]


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("nothing raw", "nothing has no results.csv"),
        ("default-run rw", "default-run has no method rw"),
        ("default-run raw tile=3", "default-run has no axis tile"),
        ("default-run raw seed=99", "default-run has no rows of seed=99"),
        ("table1 raw chip=ideal", "table1 has several rows of raw for a seed"),
    ],
)
def test_a_mark_without_a_number_is_named(script, mark, message):
    with pytest.raises(script.WrongMarkError, match=message):
        script.renewed(f"<!-- = {mark} -->1<!-- / -->")
