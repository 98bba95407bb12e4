"""The conformance suite: what it holds, that referees and our own answers pass, and that wrong answers do not."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from circuitmem.engine import BehavioralEngine
from circuitmem.errors import DataFileError, SpiceUnavailableError, ValidationError
from circuitmem.study.conformance import GROUPS, cases, judge, solve_case, suite_record
from circuitmem.study.conformance.schema import answers_schema, suite_schema
from circuitmem.study.conformance.suite import QUANTITIES, answer_difference

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"


def answers_file(folder, change=lambda answers: None, groups=()):
    """Write our own answers, changed, as another program would."""
    answers = {
        case.name: {
            name: np.where(np.isnan(values), 7.0, values).tolist()  # where a node floats anything is right
            for name, values in solve_case(case).items()
        }
        for case in cases(groups)
    }
    change(answers)
    path = folder / "answers.json"
    path.write_text(json.dumps({"format": "circuitmem-conformance-answers/1", "answers": answers}))
    return path


@pytest.fixture(scope="module")
def record():
    return suite_record()


def test_it_has_200_tiles_of_every_kind_of_cell_and_defect(record):
    suite = cases()
    assert len(suite) == len({case.name for case in suite}) == 200
    assert {case.tile.spec.cell.kind for case in suite} == {"linear", "transistor", "sinh", "selector"}
    sizes = {side for case in suite for side in case.tile.spec.shape}
    assert {1, 64} <= sizes
    defects = [case.tile.defects for case in suite]
    for name in ("stuck", "open_word_segments", "open_bit_segments", "dead_drivers", "dead_senses"):
        assert any(getattr(found, name) is not None and getattr(found, name).any() for found in defects), name
    lines = {frozenset((b.first.line, b.second.line)) for found in defects for b in found.bridges}
    assert lines == {frozenset({"word"}), frozenset({"bit"}), frozenset({"word", "bit"})}
    assert any(np.isnan(solve_case(case)["word_line_voltage_v"]).any() for case in cases(("crossing-cuts",)))
    assert len(json.dumps(record)) < 5e6
    assert json.loads(json.dumps(record)) == json.loads(json.dumps(suite_record()))


def test_what_is_written_is_what_the_schema_says(record):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(json.dumps(record)), suite_schema())
    answers = {"large-1": {name: record["cases"][-7]["expected"][name] for name in QUANTITIES}}
    content = {"format": "circuitmem-conformance-answers/1", "program": "x", "answers": answers}
    jsonschema.validate(content, answers_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "answers": {"large-1": {"current": 1.0}}}, answers_schema())


def test_the_page_says_what_each_group_is_for():
    rows = re.findall(r"^\| `(.+?)` \| (\d+) \| (.+) \|$", PAGE.read_text("utf-8"), re.M)
    assert rows == [(group.name, str(group.tiles), group.purpose) for group in GROUPS]


def test_what_is_written_is_the_whole_circuit(record):
    """Kirchhoff's law from the numbers of the file alone, for a tile with a bridge and a cut."""
    case = next(case for case in record["cases"] if case["case"] == "floating-bridge-1")
    found = {name: np.array(values, dtype=float)[0] for name, values in case["expected"].items()}
    word, bit = found["word_line_voltage_v"], found["bit_line_voltage_v"]
    ohms = np.array(case["word_segment_ohm"], dtype=float)
    ends = np.array(case["driver_voltage_v"])[0][:, None]
    flow = np.nan_to_num((np.hstack([ends, word]) - np.hstack([word, ends])) / ohms)
    into = flow[:, :-1] - flow[:, 1:] - np.array(case["conductance_s"]) * (word - bit)
    for bridge in case["bridges"]:
        first, second = (tuple(bridge[end][1:]) for end in ("first", "second"))
        current = (word[first] - word[second]) / bridge["resistance_ohm"]
        into[first] -= current
        into[second] += current
    assert case["cell"]["kind"] == "linear"
    assert np.abs(into).max() <= 1e-12 * np.abs(flow).max()
    np.testing.assert_allclose(flow[:, 0] - flow[:, -1], found["driver_current_a"], rtol=1e-9)


@pytest.mark.parametrize(
    "which", [pytest.param("spice", marks=pytest.mark.spice), pytest.param("vacask", marks=pytest.mark.vacask)]
)
def test_referees_find_the_same(which, request):
    referee = request.getfixturevalue(which)
    for case in cases(("single-cell", "steep", "crossing-cuts")):
        found = answer_difference(case, solve_case(case), solve_case(case, referee))
        assert set(found) == set(QUANTITIES)
        assert max(found.values()) <= case.tolerance, case.name


def test_right_answers_pass(tmp_path):
    verdicts = judge(answers_file(tmp_path))
    assert [verdict.case for verdict in verdicts if not verdict.passed] == []
    assert max(verdict.difference for verdict in verdicts) == 0.0
    assert len(verdicts) == 200


def spoil(change):
    def changed(answers):
        change(answers["sinh-1"])

    return changed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda a: a["column_current_a"][0].__setitem__(0, 1.01 * a["column_current_a"][0][0]),
            "column_current_a is off",
        ),
        (lambda a: a["bit_line_voltage_v"][1][0].__setitem__(0, 1.0), r"bit_line_voltage_v is off by .* limit 1e-07"),
        (lambda a: a["column_current_a"][0].__setitem__(0, None), "column_current_a has not a number"),
        (lambda a: a.pop("column_current_a"), "no column_current_a"),
        (
            lambda a: a.__setitem__("driver_current_a", [1.0]),
            r"driver_current_a must have shape \(2, \d+\) \(got \(1,\)\)",
        ),
        (lambda a: a.__setitem__("driver_current_a", "much"), "driver_current_a must be numbers of shape"),
        (lambda a: a.__setitem__("colum_current_a", []), "colum_current_a is nothing .*column_current_a"),
    ],
)
def test_wrong_answers_fail_with_their_reason(tmp_path, change, reason):
    verdicts = judge(answers_file(tmp_path, spoil(change), ("sinh",)), ("sinh",))
    assert [verdict.case for verdict in verdicts if not verdict.passed] == ["sinh-1"]
    assert re.search(reason, verdicts[0].reason), verdicts[0].reason


def test_a_looser_tolerance_is_for_programs_that_promise_less(tmp_path):
    def change(answers):
        first = answers["linear-1"]["column_current_a"][0]
        first[0] *= 1.0 + 1e-6

    path = answers_file(tmp_path, change, ("linear",))
    assert not judge(path, ("linear",))[0].passed
    assert judge(path, ("linear",), 1e-5)[0].passed


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", "is no JSON"),
        ("[]", "must be an object with format"),
        ('{"format": "other"}', "must be an object with format 'circuitmem-conformance-answers/1' .got 'other'"),
        ('{"format": "circuitmem-conformance-answers/1"}', "must have answers"),
        (
            '{"format": "circuitmem-conformance-answers/1", "answers": {"linaer-1": {}}}',
            "has an answer to linaer-1, which is no case; did you mean .linear-1",
        ),
    ],
)
def test_files_that_are_no_answers_are_refused(tmp_path, text, rule):
    path = tmp_path / "answers.json"
    path.write_text(text)
    with pytest.raises(DataFileError, match=rule):
        judge(path)


def test_what_is_not_known_is_refused(tmp_path):
    with pytest.raises(DataFileError, match="cannot be read"):
        judge(tmp_path / "none.json")
    path = answers_file(tmp_path, groups=("line",))
    with pytest.raises(ValidationError, match=r"group must be one of .*selector.*selectr"):
        judge(path, ("selectr",))
    with pytest.raises(ValidationError, match="tolerance"):
        judge(path, (), 0.0)


def test_the_commands(command, tmp_path):
    done = command("conformance", "export", "suite", "--referee", "none", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cases"] == 200
    suite = json.loads((tmp_path / "suite" / "cases.json").read_text())
    assert suite["cases"][0]["checked"] == {}
    answers = {case["case"]: case["expected"] for case in suite["cases"]}
    answers.pop("bridges-3")
    answers["linear-2"]["column_current_a"][0][0] *= 1.1
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"format": "circuitmem-conformance-answers/1", "answers": answers}))
    done = command("conformance", "check", path, cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("linear-2: column_current_a is off by")
    assert lines[1] == "bridges-3: no answer"
    assert lines[2].startswith("198 of 200 tiles are right, within ")
    found = command("conformance", "check", path, "--json", "--group", "linear", cwd=tmp_path)
    assert json.loads(found.stdout)["failed"] == 1
    for arguments, rule in (
        (("export", "suite"), "DIR must have no cases.json; --force overwrites (got"),
        (("check", "none.json"), "cannot be read"),
    ):
        done = command("conformance", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert rule in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_referee_that_disagrees_ends_the_export(monkeypatch):
    class Wrong:
        simulator = "Wrong"

        @staticmethod
        def probe():
            return type("Library", (), {"version": "wrong 1"})

        def solve(self, tile, voltages):
            return BehavioralEngine().solve(tile, 1.001 * np.asarray(voltages))

        def close(self):
            pass

    from circuitmem.study.conformance import suite

    monkeypatch.setitem(suite.REFEREES, "ngspice", Wrong)
    with pytest.raises(Exception, match=r"Wrong: .* of single-cell-1 is 1\.0e-03 .*nothing is written"):
        suite_record(["ngspice"])

    def missing():
        raise SpiceUnavailableError("is not installed", simulator="Wrong")

    monkeypatch.setattr(Wrong, "probe", staticmethod(missing))
    with pytest.raises(SpiceUnavailableError):
        suite_record(["ngspice"])
