"""Public functions with three parameters or more say what each is, what comes back, and which errors there are."""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

API = Path(__file__).parents[2] / "docs" / "api"
ROOMS = sorted(
    {name for page in API.glob("*.md") for name in re.findall(r"automodule:: (\S+)", page.read_text("utf-8"))}
)
ELSEWHERE = re.compile(r":(func|meth|class):`|[Pp]arameters? .*(those|as) ", re.S)
"""Of a docstring that sends the reader to another function for its parameters, or for what it returns."""
ARRAYS = r"ArrayLike|Floats|NDArray|Integers"
UNIT = re.compile(
    r"\[[^\]]+\]|\[0, 1[\])]|relative|fraction|share|ratio|factor|\btimes\b|between|0 to 1|units?\b|probab|confidence"
    r"|percent|number of|standard normal|derivative|step size|\bloss|epochs|weights?\b|activit|codes?\b|inputs|inverse",
    re.I,
)
"""What says the unit of a number, or that it is of none: one in brackets, or a word for a number without."""


def public_functions(room):
    """Return the functions that a room exports, and the public methods of its classes, by name."""
    module, found = importlib.import_module(room), {}
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.isfunction(value):
            found[name] = value
        elif inspect.isclass(value) and value.__module__.startswith("circuitmem"):
            for key, each in vars(value).items():
                each = getattr(each, "__func__", each)
                if inspect.isfunction(each) and not key.startswith("_") and not inherited(value, key):
                    found[f"{name}.{key}"] = each
    return found


def inherited(cls, name):
    """Say whether a base class has documented a method."""
    return any(inspect.getdoc(vars(base)[name]) for base in cls.__mro__[1:] if name in vars(base))


def missing(function):
    """Return the sections that a function's docstring should have and has not."""
    signature, text = inspect.signature(function), inspect.getdoc(function) or ""
    names = [name for name in signature.parameters if name not in ("self", "cls")]
    if len(names) < 3:
        return []
    found = []
    if not ELSEWHERE.search(text) and not (
        "Parameters\n----------" in text
        and all(re.search(rf"^\*{{0,2}}.*\b{name}\b.* : ", text, re.M) for name in names)
    ):
        found.append("Parameters")
    if signature.return_annotation not in ("None", None) and not re.search(
        r"^(Returns|Yields)\n-+|^Return|^Yield|^Say|; returns? ", text, re.M
    ):
        found.append("Returns")
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = {
        getattr(node.exc, "func", node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc
    }
    raised = {name.id for name in raised if isinstance(name, ast.Name) and name.id.endswith("Error")}
    if raised and not ELSEWHERE.search(text):
        said = text.partition("Raises\n------")[2]
        found += [f"Raises {name}" for name in sorted(raised) if name not in said]
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_public_functions_say_what_they_take_and_give(room):
    pytest.importorskip("torch") if room == "circuitmem.torch" else None
    wrong = {name: gaps for name, function in public_functions(room).items() if (gaps := missing(function))}
    assert wrong == {}


def vague(function):
    """Return the arrays of a function's docstring without a shape, and the numbers without a unit."""
    signature, text = inspect.signature(function), inspect.getdoc(function) or ""
    if len(signature.parameters) < 3 or "Parameters\n----------\n" not in text:
        return []
    section = re.split(r"\n(?:Returns|Raises|Yields)\n-", text.partition("Parameters\n----------\n")[2])[0]
    found = []
    for entry in re.split(r"\n(?=\S)", section):
        names, _, said = entry.partition(" : " if " : " in entry.partition("\n")[0] else "\n")
        if ELSEWHERE.search(said) or ":meth:" in said or said.lstrip().startswith("As "):
            continue
        for name in re.split(r"[, *]+", names):
            kind = str(getattr(signature.parameters.get(name), "annotation", ""))
            array = re.search(ARRAYS, kind)
            if array and not re.search(r"\(|array|scalar", said):
                found.append(f"{name}: shape")
            if re.search("float|Floats", kind) and not UNIT.search(said):
                found.append(f"{name}: unit")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_arrays_say_their_shape_and_numbers_their_unit(room):
    pytest.importorskip("torch") if room == "circuitmem.torch" else None
    wrong = {name: gaps for name, function in public_functions(room).items() if (gaps := vague(function))}
    assert wrong == {}


def test_a_number_without_a_unit_is_found():
    def gap(width: float, voltages: "Floats", seed: int) -> None:  # noqa: F821
        """Do nothing.

        Parameters
        ----------
        width : float
            Of the pulse.
        voltages : list
            Of the lines [V].
        seed : int
            Any.
        """

    assert vague(gap) == ["width: unit", "voltages: shape"]


def test_a_gap_is_found():
    def gap(first: int, second: int, third: int) -> int:
        """Add numbers.

        Parameters
        ----------
        first, second : int
            Numbers.
        """
        if third < 0:
            raise ValueError("third")
        return first + second + third

    assert missing(gap) == ["Parameters", "Returns", "Raises ValueError"]
