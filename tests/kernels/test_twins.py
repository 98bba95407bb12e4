"""Every compiled function has a twin in NumPy, and every twin is on a page with its mathematics, error and cost."""

import importlib
import re
from pathlib import Path

import pytest

import circuitmem._kernels
from circuitmem._kernels import sources
from circuitmem._kernels.variants import KERNELS

FACES = Path(circuitmem._kernels.__file__).parent
CHOICE = re.compile(r"(\w[\w.]*) if _compiled is None else _compiled\.(\w+)")
ELSEWHERE = {"switching": {"switch"}}
"""The twin of a pulse on a tile is the engine's own way, ``engine/programming.py``; tests/kernels/test_switching.py."""


def test_every_compiled_function_has_a_twin():
    chosen = {kernel: set(names) for kernel, names in ELSEWHERE.items()}
    for path in FACES.glob("*.py"):
        text = path.read_text("utf-8")
        if (loaded := re.search(r'_compiled = load_kernel\("(\w+)"\)', text)) is not None:
            chosen.setdefault(loaded[1], set()).update(compiled for _, compiled in CHOICE.findall(text))
    for kernel in KERNELS:
        module = pytest.importorskip(f"circuitmem._kernels._{kernel}")
        compiled = {name for name in dir(module) if not name.startswith("_") and callable(getattr(module, name))}
        assert chosen[kernel] == compiled, kernel


@pytest.mark.skipif(not sources.FOLDER.is_dir(), reason="only a checkout has the pages")
def test_every_twin_is_on_a_page():
    pages = (sources.FOLDER.parent / "docs" / "kernels").glob("*.md")
    shown = {
        name
        for page in pages
        for name in re.findall(r"automodule:: circuitmem\._kernels\.(\w+)", page.read_text("utf-8"))
    }
    for name in shown:
        assert importlib.import_module(f"circuitmem._kernels.{name}").__doc__
    twins = {"reference", "_reference_tree", "_reference_relaxation", "selector", "tables", "switching"}
    twins |= {path.stem for path in FACES.glob("*.py") if "def _reference" in path.read_text("utf-8")}
    assert shown == twins
    for name in shown:
        said = importlib.import_module(f"circuitmem._kernels.{name}").__doc__
        assert "**Cost.**" in said, name
        assert re.search(r"\*\*(How far off|What bounds the error|Until it is right)\.\*\*", said), name


@pytest.mark.parametrize("name", ["reference", "_reference_relaxation", "_reference_tree", "pulses", "stack_gradients"])
def test_what_eliminates_says_why_nothing_is_pivoted_or_subtracted(name):
    said = importlib.import_module(f"circuitmem._kernels.{name}").__doc__
    assert "pivot" in said
    assert "subtract" in said
