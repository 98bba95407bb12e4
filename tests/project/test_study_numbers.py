"""Numbers of studies in README and docs are those of their tables: text and data cannot differ unnoticed."""

import json
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


DECLARED = """
title = "A small one"
methods = ["in_situ", "best"]

[axes.wires.levels]
ideal = {}
"1 ohm" = { "chip.tile.word_line_resistance" = 1.0 }

[[comparisons]]
method = "best"
against = "in_situ"
"""


@pytest.fixture
def small(script, monkeypatch, tmp_path):
    """A table of two chips, two levels and two methods, instead of each study's own."""
    import study_marks

    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "study.toml").write_text(DECLARED, "utf-8")
    cost = {"maps": 3, "energy_j": 2.0}
    tuning = [
        {"method": "in_situ", "levels": {"wires": level}, "settings": {"in_situ.momentum": best}} | cost
        for level, best in (("ideal", 0.5), ("1 ohm", 0.75))
    ]
    (folder / "provenance.json").write_text(json.dumps({"tuning": tuning}), "utf-8")

    def row(level, seed, method, accuracy, pulses, epoch=2, end=True):
        return {
            "wires": level,
            "seed": seed,
            "method": method,
            "epoch": epoch,
            "end": end,
            "part": "test",
            "accuracy_percent": accuracy,
            "pulses": pulses,
            "digital_products": 0.25,
        }

    rows = []
    for level, more in (("ideal", 0.0), ("1 ohm", -1.0)):
        for seed in (1, 2):
            for epoch, accuracy, pulses in ((0, 10.0, 0), (0.5, 80.0, 50), (1, 85.0 + seed, 100)):
                rows.append(row(level, seed, "in_situ", accuracy, pulses, epoch, epoch == 1))
            rows.append(row(level, seed, "best", 90.0 + 3 * seed + more, 75, 0.5, end=False))
            rows.append(row(level, seed, "best", 90.0 + 3 * seed + more, 75))
    monkeypatch.setattr(study_marks, "known_rows", lambda study: tuple(rows))
    monkeypatch.setattr(study_marks, "STUDIES", tmp_path)
    return script


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        ("best wires=ideal :.1f", "94.5"),
        ("best 'wires=1 ohm' :.1f", "93.5"),
        ("best-in_situ wires=ideal", "+8.00 ± 12.71"),
        ("best-in_situ wires=ideal +- :+.1f", "+8.0 ± 12.7"),
        ("best-in_situ wires=ideal at=pulses :.2f", "11.25"),  # at 75 pulses: between 80 % and what an epoch reaches
        ("best/in_situ wires=ideal :.1f", "109.2"),
        ("in_situ/best of=pulses wires=ideal :.2f", "1.33"),
        ("best of=digital_products wires=ideal :.0f", "25"),
        ("in_situ of=pulses wires=ideal per=1000 :.1f", "0.1"),
        ("best-in_situ wires=ideal seed=1 :.0f", "7"),
        ("best wires=ideal '-wires=1 ohm'", "+1.00 ± 0.00"),
        ("best-in_situ 'wires=1 ohm' -wires=ideal :.1f", "-1.0"),
        ("best 'wires=1 ohm' /wires=ideal :.1f", "98.9"),
        ("best-in_situ wires=ideal '/wires=1 ohm' of=pulses :.2f", "1.00"),
        ("best/in_situ wires=ideal of=pulses less :.0f", "25"),
        ("best-in_situ range :+.1f", "+7.0 to +8.0"),
        ("in_situ tuned=in_situ.momentum wires=ideal :g", "0.5"),
        ("in_situ tuned=in_situ.momentum most :g", "0.75"),
        ("in_situ tuned=energy_j wires=ideal per=4 :g", "0.5"),
        ("best-in_situ p=t wires=ideal :.4f", "0.0792"),  # differences of 7 and 9
        ("best-in_situ p=t 'wires=1 ohm' :.4f", "0.0903"),
        ("best-in_situ p=holm range :.4f", "0.1583"),
        ("best-in_situ p=ranks wires=ideal :.2f", "0.50"),
        ("best-in_situ shown", "0 of 2"),
        ("best -wires=ideal range :+.1f", "-1.0 to 0.0"),
        ("best wires=ideal each range :.0f", "93 to 96"),
        ("best,in_situ wires=ideal range :.1f", "86.5 to 94.5"),
    ],
)
def test_a_mark_says_which_number_of_the_table(small, mark, text):
    mended, changes = small.renewed(f"by <!-- = some {mark} -->?<!-- / --> points")
    assert mended == f"by <!-- = some {mark} -->{text}<!-- / --> points"
    assert len(changes) == 1
    assert small.renewed(mended) == (mended, [])


def test_a_range_is_over_all_levels_that_are_chosen(script):
    page = "<!-- = . calibration_in_situ-in_situ {} chip=ideal :+.1f -->?<!-- / -->"
    least, most, both = (script.renewed(page.format(word), "table1")[0] for word in ("least", "most", "range"))
    found = [re.search("-->(.*?)<!--", text)[1] for text in (least, most, both)]
    assert found[2] == f"{found[0]} to {found[1]}"
    one = script.renewed("<!-- = table1 calibration_in_situ-in_situ defects_in=W1 chip=ideal :+.1f -->?<!-- / -->")[0]
    assert float(found[0]) <= float(re.search("-->(.*?)<!--", one)[1]) <= float(found[1])


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("nothing raw", "nothing has no results"),
        ("default-run rw", "default-run has no method rw"),
        ("default-run raw tile=3", "default-run has no axis tile"),
        ("default-run raw seed=99", "default-run has no rows of seed=99"),
        ("table1 raw chip=ideal", "table1 has no accuracy_percent of raw, or several for a seed"),
        ("table1 raw of=digits chip=ideal", "table1 has no column digits"),
        ("table1 digital of=pulses defects_in=W1 chip=ideal", "table1 has no pulses of digital"),
        ("table1 raw at=time defects_in=W1 chip=ideal", "only differences of accuracies are known at equal time"),
        ("table1 in_situ tuned=in_situ.momentum", "table1 has not tuned in_situ.momentum of in_situ"),
        ("table1 raw tuned=in_situ.momentum", "table1 has not tuned raw at any level"),
        ("table1 in_situ tuned=in_situ.learning_rate", "table1 has several of in_situ: say the levels"),
        ("table1 raw-schr p=t", "table1 does not declare raw-schr at equal end"),
        ("table1 raw p=chi", "table1 has no probability chi, only holm, t, ranks"),
        ("table1 raw,schr chip=ideal defects_in=W1", "table1 has several of raw,schr: say the levels"),
        ("table1 raw chip=ideal each", "table1: each needs range"),
        ("table1 raw chip=ideal less", "table1: only a ratio can be less"),
        ("table1 schr/raw chip=ideal defects_in=W1 -defects_in=W2", "table1: schr/raw is a ratio already"),
    ],
)
def test_a_mark_without_a_number_is_named(script, mark, message):
    with pytest.raises(script.WrongMarkError, match=message):
        script.renewed(f"<!-- = {mark} -->1<!-- / -->")


def test_no_mark_begins_a_line(script):
    """A comment at the beginning of a line ends the paragraph: what follows on the line would be shown as it stands."""
    for pattern in script.PAGES:
        for page in ROOT.glob(pattern):
            for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
                assert not line.lstrip().startswith("<!-- = "), f"{page.relative_to(ROOT)}:{number}"
