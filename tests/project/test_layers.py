"""Imports go one way: the house as CONTRIBUTING.md draws it, enforced on the syntax tree."""

import ast
import sys
from pathlib import Path

import pytest

import circuitmem

ROOT = Path(__file__).parents[2]
FOUNDATION = ("errors", "deprecation", "validation", "files", "rng", "registry", "plugin", "allocation", "workers")
LAYERS = (
    *((name,) for name in FOUNDATION),
    ("_kernels",),
    ("config",),
    ("records",),
    ("device",),
    ("tile",),
    ("versions",),
    ("converter",),
    ("netlists",),
    ("engine",),
    ("control",),
    ("data",),
    ("network",),
    ("calibration",),
    ("training",),
    ("study",),
    ("report",),
    ("torch",),
    ("doctor",),
    ("console",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
PUBLIC_FACE = LEVEL["tile"]
"""circuitmem/__init__.py shows names of config and tile: who imports it must lie above both."""

MAY_IMPORT = {
    "_kernels": {"errors", "validation"},
    "netlists": {*FOUNDATION, "config", "device", "tile", "converter"},
    "data": set(FOUNDATION),
}
"""Rooms that may import less than all below them."""

NETLISTS_ARE_FOR = {f"circuitmem/engine/{name}.py" for name in ("circuit", "spice", "vacask", "verilog_a")}
ONLY_IN = {
    "jinja2": "report",
    "matplotlib": "report",
    "plotly": "report",
    "pooch": "data",
    "PIL": "data",
    "PySpice": "netlists",
    "rich": "console",
    "simpy": "control",
    "torch": "torch",
    "greenlet": "torch",
    "typer": "cli",
    "vcd": "control",
}
MAY_USE_PYDANTIC = {"config", "records"}
KERNEL_LIBRARIES = {"numpy", "threadpoolctl"}


def file_room(path):
    """Return the room of a file, given by its path in the repository."""
    parts = path.split("/")
    return "netlists" if parts[0] == "netlists" else parts[1].removesuffix(".py")


def package(path):
    """Return the dotted parts of the package that a file lies in, as it is installed."""
    parts = path.split("/")[:-1]
    return ["circuitmem", *parts] if parts[0] == "netlists" else parts


def imported(path, source):
    """Return the dotted modules that a source imports, at any depth of nesting, relative ones made absolute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package(path)[: -(node.level - 1) or None] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # "from circuitmem import tile" imports a room, "from circuitmem import Tile" the public face.
            rooms = [alias.name for alias in node.names if alias.name in LEVEL] if module == "circuitmem" else []
            yield from [f"circuitmem.{room}" for room in rooms] or [module]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (word.value for word in node.args if isinstance(word, ast.Constant))


def violations(path, source):
    """Return what is wrong with the imports of a file of circuitmem/ or netlists/."""
    room = file_room(path)
    wrong = []
    for module in imported(path, source):
        library, _, rest = module.partition(".")
        if library != "circuitmem":
            if ONLY_IN.get(library, room) != room:
                wrong.append(f"{module} belongs in {ONLY_IN[library]}")
            if library == "pydantic" and room not in MAY_USE_PYDANTIC:
                wrong.append(f"{module} belongs in config and records")
            if room == "_kernels" and library not in KERNEL_LIBRARIES | sys.stdlib_module_names:
                wrong.append(f"{module}, but kernels need only NumPy")
            continue
        target = rest.split(".")[0]
        if not target:
            if room != "__init__" and LEVEL[room] <= PUBLIC_FACE:
                wrong.append("circuitmem itself, which imports this room")
        elif room == "__init__":
            if LEVEL[target] > PUBLIC_FACE:
                wrong.append(f"{module}, which would make every import of circuitmem slow")
        elif target != room:
            below = {name for name in LEVEL if LEVEL[name] < LEVEL[room]}
            if target not in MAY_IMPORT.get(room, below):
                wrong.append(f"{module} from {room}")
            elif target == "netlists" and path not in NETLISTS_ARE_FOR:
                wrong.append(f"{module}, which is for {', '.join(NETLISTS_ARE_FOR)} only")
    return wrong


def private_imports(source):
    """Return what a study imports that is not in the public face: deep modules, or names that no ``__all__`` has."""
    closed = {"_kernels", "netlists", "cli", "console", "doctor", "__main__"}
    wrong = []
    for node in ast.walk(ast.parse(source)):
        pairs = []
        if isinstance(node, ast.Import):
            pairs = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            pairs = [(node.module or "", alias.name) for alias in node.names]
        for module, name in pairs:
            parts = module.split(".")
            if parts[0] != "circuitmem":
                continue
            file = ROOT.joinpath(*parts, "__init__.py")
            if not file.is_file() and len(parts) == 2:
                file = ROOT.joinpath(*parts).with_suffix(".py")
            known = public_names(file) if file.is_file() and not closed & set(parts) else None
            if parts == ["circuitmem"]:
                known |= circuitmem._ROOMS.keys()  # some not in __all__: `import *` shall not import torch
            if known is None or (name is not None and name not in known):
                wrong.append(f"{module}: {name}")
    return wrong


def public_names(file):
    """Return the ``__all__`` of a source file, without running it."""
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def sources(*folders):
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_every_room_has_its_place():
    rooms = {file_room(path) for path in sources("circuitmem", "netlists")}
    assert rooms - {"__init__"} == set(LEVEL)


def test_contributing_draws_the_same_house():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    drawn = text[text.index("    errors ->") : text.index("\n\n- `_kernels`")].replace("->", " ").split()
    assert drawn == [name for names in LAYERS for name in names if name != "__main__"]


@pytest.mark.parametrize("path", sources("circuitmem", "netlists"))
def test_imports_go_one_way(path):
    assert violations(path, (ROOT / path).read_text("utf-8")) == []


def circles(graph):
    """Return a circle of a graph {module: modules that it imports}, from a module to itself; empty if there is none."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        for target in sorted(graph.get(module, ())):
            if found := visit(target):
                return found
        done.add(path.pop())
        return []

    for module in sorted(graph):
        if found := visit(module):
            return found
    return []


def room_graph(files):
    """Return which modules each module of a room imports, {module: modules}, for {path: source}; types count too."""
    modules = {".".join([*package(path), Path(path).stem]): path for path in files}
    graph = {}
    for module, path in modules.items():
        if module.endswith("__init__"):
            continue  # it shows what the room has: every file of the room imports it by being imported
        targets = set()
        for node in ast.walk(ast.parse(files[path])):
            for name in imported(path, ast.unparse(node)) if isinstance(node, ast.Import | ast.ImportFrom) else ():
                found = {name} | {f"{name}.{alias.name}" for alias in node.names}
                targets |= found & modules.keys()
        graph[module] = targets
    return graph


ROOMS = sorted({file_room(path) for path in sources("circuitmem", "netlists")})


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_has_a_circle_inside(room):
    paths = [path for path in sources("circuitmem", "netlists") if file_room(path) == room]
    assert circles(room_graph({path: (ROOT / path).read_text("utf-8") for path in paths})) == []


def test_the_check_of_circles_sees_them():
    files = {
        "circuitmem/control/a.py": "from circuitmem.control.b import B",
        "circuitmem/control/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import C",
        "circuitmem/control/c.py": "def f():\n    from circuitmem.control import a",
    }
    circle = [f"circuitmem.control.{name}" for name in "abca"]
    assert circles(room_graph(files)) == circle
    assert circles(room_graph({**files, "circuitmem/control/c.py": "import simpy"})) == []


def test_studies_use_the_public_face():
    wrong = {
        path: private_imports((ROOT / path).read_text("utf-8")) for path in sources("studies", "benchmarks", "examples")
    }
    assert not any(wrong.values()), wrong


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("circuitmem/config/tile.py", "from circuitmem.tile import Tile"),
        ("circuitmem/config/tile.py", "from ..tile import Tile"),
        ("circuitmem/config/tile.py", "from circuitmem import tile"),
        ("circuitmem/config/tile.py", "from circuitmem import Tile"),
        ("circuitmem/tile/tile.py", "def f():\n    import circuitmem.engine.spice"),
        ("circuitmem/tile/tile.py", "import importlib\nimportlib.import_module('circuitmem.engine')"),
        ("circuitmem/validation.py", "from circuitmem.rng import stream"),
        ("circuitmem/__init__.py", "from circuitmem.engine import BehavioralEngine"),
        ("circuitmem/data/mnist.py", "from circuitmem.config import RunSpec"),
        ("circuitmem/training/run.py", "import simpy"),
        ("circuitmem/cli.py", "import matplotlib.pyplot"),
        ("circuitmem/engine/spice.py", "from PySpice.Spice import Netlist"),
        ("circuitmem/engine/behavioral.py", "from circuitmem.netlists import text"),
        ("circuitmem/training/run.py", "from circuitmem.netlists import text"),
        ("circuitmem/_kernels/mesh.py", "import scipy.linalg"),
        ("circuitmem/_kernels/mesh.py", "from circuitmem.rng import stream"),
        ("netlists/tile.py", "from circuitmem.engine import SpiceEngine"),
        ("netlists/tile.py", "from ..engine import SpiceEngine"),
        ("netlists/tile.py", "from circuitmem._kernels import kernel_info"),
    ],
)
def test_the_check_sees_violations(path, source):
    assert violations(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("circuitmem/tile/tile.py", "from circuitmem.config import TileSpec\nfrom .defects import DefectMap"),
        ("circuitmem/engine/spice.py", "from circuitmem.netlists.tile import TileNetlist"),
        ("netlists/tile.py", "from .text import number\nfrom PySpice.Spice import Netlist"),
        ("circuitmem/study/validate.py", "import circuitmem\nfrom circuitmem.engine import SpiceEngine"),
    ],
)
def test_the_check_lets_the_right_ones_pass(path, source):
    assert violations(path, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from circuitmem.engine.spice import SpiceEngine",
        "from circuitmem._kernels import kernel_info",
        "import circuitmem.netlists",
        "from circuitmem.tile import _range",
        "from circuitmem import no_such_name",
        "from circuitmem.rng import no_such_name",
    ],
)
def test_the_check_sees_studies_that_reach_inside(source):
    assert private_imports(source)


def test_a_study_may_use_the_public_face():
    assert not private_imports("import numpy\nfrom circuitmem import Tile\nfrom circuitmem.engine import SpiceEngine")


def test_no_file_is_longer_than_500_lines():
    folders = ("circuitmem", "netlists", "cython_ext", "tests", "studies", "benchmarks")
    paths = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".pyx", ".pxd")
    ]
    assert [path for path in paths if len(path.read_text("utf-8").splitlines()) > 500] == []
