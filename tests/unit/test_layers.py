"""Imports go one way: the house as docs and architecture have it, enforced on the syntax tree."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (
    ("errors", "validation", "files", "rng", "_kernels"),
    ("config",),
    ("data",),
    ("device",),
    ("tile",),
    ("converter",),
    ("netlists",),
    ("engine",),
    ("control",),
    ("network",),
    ("calibration",),
    ("training",),
    ("study",),
    ("report",),
    ("doctor", "console"),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
ONLY_IN = {"simpy": {"control"}, "matplotlib": {"report"}, "jinja2": {"report"}, "PySpice": {"netlists"}}


def imported(source):
    """Return the dotted names that a source imports, at any depth."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


def violations(room, source):
    """Return what is wrong with the imports of a source that lies in ``room``."""
    wrong = []
    for name in imported(source):
        head, _, rest = name.partition(".")
        if head in ONLY_IN and room not in ONLY_IN[head]:
            wrong.append(f"{room} imports {head}")
        if head != "circuitmem" or not rest:
            continue
        target = rest.split(".")[0]
        if LEVEL[target] > LEVEL[room] or (target == "netlists" and room not in ("netlists", "engine")):
            wrong.append(f"{room} imports {target}")
    return wrong


def sources():
    for path in sorted((ROOT / "circuitmem").rglob("*.py")):
        parts = path.relative_to(ROOT / "circuitmem").parts
        room = parts[0].removesuffix(".py")
        if room != "__init__":
            yield pytest.param(room, path, id="/".join(parts))
    for path in sorted((ROOT / "netlists").glob("*.py")):
        yield pytest.param("netlists", path, id=f"netlists/{path.name}")


@pytest.mark.parametrize(("room", "path"), list(sources()))
def test_imports_go_one_way(room, path):
    assert not violations(room, path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("config", "from circuitmem.tile import Tile"),
        ("tile", "def f():\n    import circuitmem.engine.spice"),
        ("training", "import simpy"),
        ("cli", "import matplotlib.pyplot"),
        ("training", "from circuitmem.netlists import text"),
        ("engine", "import PySpice"),
    ],
)
def test_the_check_sees_violations(room, source):
    assert violations(room, source)


def test_no_file_is_longer_than_500_lines():
    paths = [
        path for folder in ("circuitmem", "netlists", "cython_ext", "tests") for path in (ROOT / folder).rglob("*.py*")
    ]
    long = [
        path
        for path in paths
        if path.suffix in (".py", ".pyx", ".pxd") and len(path.read_text("utf-8").splitlines()) > 500
    ]
    assert not long
