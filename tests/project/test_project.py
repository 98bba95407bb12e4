"""What the project says of itself to others holds: pages of the interface, versions, workflows, the paper."""

import re
import tomllib
from pathlib import Path

import pytest

import circuitmem

ROOT = Path(__file__).parents[2]
INSIDE = {"cli", "console"}
"""Packages that a program does not import: the commands, and what they print."""


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_every_public_package_has_a_page():
    packages = {path.parent.name for path in (ROOT / "circuitmem").glob("*/__init__.py")}
    public = {name for name in packages if not name.startswith("_")} - INSIDE
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")}
    assert public - pages == set()
    listed = (ROOT / "docs" / "api" / "index.md").read_text("utf-8").split()
    assert pages - {"index"} - set(listed) == set()


def test_versions_agree():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)[1]
    assert cited == circuitmem.__version__
    # What is released has a section; what is not yet stands above it.
    sections = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert sections[0] in {"Unreleased", circuitmem.__version__}


def test_hosted_checks_take_every_python_that_wheels_are_built_for():
    yaml = pytest.importorskip("yaml")
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]
    tried = {f"cp{version.replace('.', '')}-*" for version in jobs["test"]["strategy"]["matrix"]["python"]}
    assert tried == set(project()["tool"]["cibuildwheel"]["build"].split())


def test_files_of_the_project_can_be_read():
    yaml = pytest.importorskip("yaml")
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"]
    assert len(files) >= 6
    for path in files:
        assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict), path


def test_the_paper_cites_what_its_bibliography_has_and_shows_a_figure_that_is_there():
    text = (ROOT / "paper" / "paper.md").read_text("utf-8")
    cited = set(re.findall(r"@(\w+)", text.split("---", 2)[2]))
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "paper" / "paper.bib").read_text("utf-8"), re.M))
    assert cited == known
    figures = re.findall(r"\]\((\S+\.png)\)", text)
    assert figures
    assert all((ROOT / "paper" / figure).is_file() for figure in figures)
