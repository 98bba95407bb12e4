"""The tests lie where a reader of the package looks for them, and slow ones say so."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "circuitmem"
SCRIPT = "durations"


def misplaced(files):
    """Return those of the test files, by their paths below ``tests/unit``, that lie beside no room of the package."""
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    modules = {f"test_{path.stem}.py" for path in PACKAGE.glob("*.py")}
    return [file for file in files if (file.parts[0] not in rooms if len(file.parts) > 1 else file.name not in modules)]


def test_unit_tests_mirror_the_package():
    folder = ROOT / "tests" / "unit"
    found = [path.relative_to(folder) for path in folder.rglob("test_*.py")]
    assert len(found) > 100
    assert not misplaced(found), "tests/unit has the folders of circuitmem, tests/project what tests the whole"


@pytest.mark.parametrize(
    ("file", "wrong"),
    [("torch/test_conv.py", False), ("test_files.py", False), ("test_torch_conv.py", True), ("no/test_conv.py", True)],
)
def test_what_lies_beside_no_room_is_found(file, wrong):
    assert misplaced([Path(file)]) == ([Path(file)] if wrong else [])


def marked(file):
    """Return the test functions of a file by name, and whether each carries the marker slow, itself or in a case."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    whole = any(isinstance(node, ast.Assign) and "mark.slow" in ast.unparse(node) for node in tree.body)
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {node.name: whole or "mark.slow" in "".join(map(ast.unparse, node.decorator_list)) for node in functions}


def wrong_marks(record, marks, slow):
    """Return what the recorded seconds {node: s} and the markers {(file, function): bool} say differently."""
    longest = {}
    for node, seconds in record.items():
        file, _, name = node.partition("::")
        key = file, name.partition("[")[0]
        longest[key] = max(seconds, longest.get(key, 0.0))
    gone = [key for key in longest if key not in marks]
    unmarked = [key for key, seconds in longest.items() if seconds > slow and not marks.get(key, True)]
    fast = [key for key, seconds in longest.items() if seconds < 0.5 * slow and marks.get(key, False)]
    return {"gone": gone, "unmarked": unmarked, "marked, but fast": fast}


def test_tests_that_take_long_are_marked_slow(script):
    record = json.loads((ROOT / "tests" / "durations.json").read_text("utf-8"))
    files = {node.partition("::")[0] for node in record}
    marks = {(file, name): slow for file in files for name, slow in marked(file).items()}
    found = wrong_marks(record, marks, script.SLOW)
    assert not any(found.values()), f"{found}: .ci/durations.py measures again"


def test_a_wrong_mark_is_found():
    record = {"a.py::test_one[x]": 7.0, "a.py::test_one[y]": 1.0, "a.py::test_two": 1.5, "a.py::test_three": 2.0}
    marks = {("a.py", "test_one"): False, ("a.py", "test_two"): True}
    found = wrong_marks(record, marks, 5.0)
    assert found == {"gone": [("a.py", "test_three")], "unmarked": [("a.py", "test_one")],
                     "marked, but fast": [("a.py", "test_two")]}  # fmt: skip
