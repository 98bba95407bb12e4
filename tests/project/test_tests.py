"""The tests lie where a reader of the package looks for them."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "circuitmem"


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
