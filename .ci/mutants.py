#!/usr/bin/env python3
"""Change calibration, control and converter here and there, and list the changes that no test notices.

    .ci/mutants.py [SHARE] [SEED]    # a share of all mutants, 0.02 if left out, drawn with SEED, 1

mutmut (``pip install mutmut==3.8.1``) makes the mutants and runs the tests that pyproject.toml names for it, in a
copy of the checkout, ``build/mutation``; a second call goes on there. What lived is printed with its change. Who looks
at one writes a test that kills it, or into ``tests/mutants.md`` why there can be none.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPY = ROOT / "build" / "mutation"
FIRST = "circuitmem.converter.linearity*"
"""Mutants that are run first: mutmut makes all before it runs any, and their names are known from then on."""
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "CIRCUITMEM_THREADS": "1"}


def make_copy() -> None:
    """Copy what git knows, and the kernels; netlists/ lies where it is installed."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")  # noqa: S607
    kernels = [str(path.relative_to(ROOT)) for path in (ROOT / "circuitmem" / "_kernels").glob("*.so")]
    for name in filter(None, files + kernels):
        target = COPY / ("circuitmem" if name.startswith("netlists/") else "") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)


def mutmut(*names: str) -> None:
    """Run mutants by their names."""
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", "1", *names]
    subprocess.run(command, cwd=COPY, env=os.environ | ENVIRONMENT, check=True)  # noqa: S603  (names of mutants)


def results(folder: Path) -> dict[str, int | None]:
    """Return what the tests said of every mutant: their exit code, 0 where it lives, None where it was not run."""
    found: dict[str, int | None] = {}
    for path in sorted(folder.glob("mutants/circuitmem/*/*.meta")):
        found |= json.loads(path.read_text("utf-8"))["exit_code_by_key"]
    return found


def draw(found: dict[str, int | None], share: float, seed: int) -> list[str]:
    """Return the mutants of a sample that have not been run."""
    names = sorted(found)
    sample = random.Random(seed).sample(names, max(1, round(share * len(names))))  # noqa: S311
    return [name for name in sample if found[name] is None]


def change(folder: Path, name: str) -> list[str]:
    """Return the lines that a mutant has otherwise, as a diff."""
    module, function = name.rsplit(".", 1)
    text = (folder / "mutants" / f"{module.replace('.', '/')}.py").read_text("utf-8")
    bodies = {
        node.name: ast.get_source_segment(text, node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }
    first = bodies.get(re.sub(r"__mutmut_\d+$", "__mutmut_orig", function), "")
    lines = (each.splitlines()[1:] for each in (first, bodies.get(function, "")))
    marks = ("---", "+++", "@@")
    return [line for line in difflib.unified_diff(*lines, n=0, lineterm="") if not line.startswith(marks)]


def main(words: list[str]) -> int:
    """Run a sample and print what lived."""
    share, seed = float(words[0]) if words else 0.02, int(words[1]) if len(words) > 1 else 1
    make_copy()
    mutmut(FIRST)
    names = draw(results(COPY), share, seed)
    if names:
        mutmut(*names)
    found = results(COPY)
    lived = [name for name, code in found.items() if code == 0]
    run = sum(code is not None for code in found.values())
    print(f"{run} of {len(found)} mutants run, {len(lived)} lived")
    for name in lived:
        print(name, *change(COPY, name), sep="\n    ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
