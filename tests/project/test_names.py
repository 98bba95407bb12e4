"""One name, one meaning: nothing that is used across the package shares its name with something else."""

import ast
import importlib
import inspect
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED: dict[str, str] = {}
"""Names of classes and types that two modules may have, with the reason."""
ALLOWED_FUNCTIONS = {
    "conductance": "of the state, in the module of each device: registered laws of one shape",
    "law": "the constants that a kernel takes, in the module of each device",
    "state_of": "the inverse of conductance, in the module of each device",
    "run": "the function of each stage of validate, looked up by module",
    "main": "what each program begins with",
}
"""Public functions that several modules may define, with the reason. Commands are named after what they call."""


def definitions(tree):
    """Yield the classes and type aliases of a module, by name, but no alias of a NumPy array: it says what it holds."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, ast.unparse(node.value)
            if name[:1].isupper() and not name.isupper() and "NDArray[" not in value.partition("|")[0][:20]:
                yield name


def shared(modules, names_of):
    """Return the names that more than one of the modules has, each with its modules."""
    found = defaultdict(list)
    for module, tree in modules.items():
        for name in set(names_of(tree)):
            if not name.startswith("_"):
                found[name].append(module)
    return {name: sorted(places) for name, places in found.items() if len(places) > 1}


@pytest.fixture(scope="module")
def modules():
    """Every module of the package, parsed, by path."""
    files = [path for folder in ("circuitmem", "netlists") for path in (ROOT / folder).rglob("*.py")]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in files}


def functions(tree):
    """Return the functions of a module."""
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_every_class_and_type_has_a_name_of_its_own(modules):
    found = shared(modules, definitions)
    assert {name: places for name, places in found.items() if name not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "allowed, but shared no more"


def test_no_two_public_packages_give_one_name_to_two_things():
    found = defaultdict(dict)
    for path in sorted((ROOT / "circuitmem").glob("[!_]*/__init__.py")):
        room = path.parent.name
        if room == "torch":
            pytest.importorskip("torch")
        if room != "cli":  # commands, not imported by programs
            module = importlib.import_module(f"circuitmem.{room}")
            for name in getattr(module, "__all__", ()):
                value = getattr(module, name)
                if inspect.isclass(value) or inspect.isfunction(value):
                    found[name].setdefault(value, room)
    assert {name: list(things.values()) for name, things in found.items() if len(things) > 1} == {}


def test_a_public_function_shares_its_name_with_no_other(modules):
    inside = {path: tree for path, tree in modules.items() if not path.startswith("circuitmem/cli/")}
    found = shared(inside, functions)
    assert {name: places for name, places in found.items() if name not in ALLOWED_FUNCTIONS} == {}
    assert set(ALLOWED_FUNCTIONS) <= set(found), "allowed, but shared no more"


def test_a_new_pair_is_found():
    array = "Floats = NDArray[float]"
    first, second = ast.parse(f"class Job: ...\n{array}"), ast.parse(f"Job = tuple[int, int]\n{array}")
    assert shared({"a.py": first, "b.py": second}, definitions) == {"Job": ["a.py", "b.py"]}
    text = ast.parse("def find(): ...")
    assert shared({"a.py": text, "b.py": text}, functions) == {"find": ["a.py", "b.py"]}
