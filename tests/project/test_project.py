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


def test_the_address_of_the_method_is_the_one_that_is_cited():
    cited = re.search(r"^ +doi: (.*)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)[1]
    assert project()["project"]["urls"]["Method"] == f"https://doi.org/{cited}"


def test_a_commit_is_checked_as_make_lint_does():
    yaml = pytest.importorskip("yaml")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    before = {hook["entry"].replace(" --force-exclude", "") for hook in hooks}
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.M)[1]
    steps = [line.strip("@\t").replace("$(BIN)", ".venv/bin") for line in recipe.splitlines() if "@echo" not in line]
    assert len(steps) == 4
    assert {step.removesuffix(" .") for step in steps} <= before


def test_hosted_checks_build_for_every_system_and_count_lines_without_a_test():
    yaml = pytest.importorskip("yaml")
    folder = ROOT / ".github" / "workflows"
    wheels, checks = (yaml.safe_load((folder / f"{name}.yml").read_text("utf-8"))["jobs"] for name in ("wheels", "ci"))
    systems = set(wheels["build"]["strategy"]["matrix"]["os"])
    assert {name.partition("-")[0] for name in systems} == {"ubuntu", "macos", "windows"}
    assert sum(name.endswith("-arm") for name in systems) == 1
    assert sum(name.endswith("-arm") for name in checks["test"]["strategy"]["matrix"]["os"]) == 1
    targets = {word for job in checks.values() for step in job["steps"] for word in step.get("run", "").split()}
    made = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert {"test", "wheel", "docs", "coverage"} <= targets & made


def test_people_are_told_how_to_join_and_what_stays():
    conduct, stays, contributing = (
        (ROOT / name).read_text("utf-8") for name in ("CODE_OF_CONDUCT.md", "docs/stability.md", "CONTRIBUTING.md")
    )
    assert "What to do" in conduct
    for tier in ("**stable**", "**provisional**", "**private**", "**Deprecation.**"):
        assert tier in stays
    for name in ("CODE_OF_CONDUCT.md", "docs/stability.md", "CHANGELOG.md"):
        assert name in contributing
    asked = (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text("utf-8")
    assert "CHANGELOG.md" in asked


def test_the_paper_cites_what_its_bibliography_has_and_shows_a_figure_that_is_there():
    text = (ROOT / "paper" / "paper.md").read_text("utf-8")
    cited = set(re.findall(r"@(\w+)", text.split("---", 2)[2]))
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "paper" / "paper.bib").read_text("utf-8"), re.M))
    assert cited == known
    figures = re.findall(r"\]\((\S+\.png)\)", text)
    assert figures
    assert all((ROOT / "paper" / figure).is_file() for figure in figures)
