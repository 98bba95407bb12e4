"""The registry: built-in names, entry points of packages, ``"package.module:Name"``, and what can go wrong."""

import json
import sys

import pytest

from circuitmem import registry
from circuitmem.calibration import Affine, Calibration
from circuitmem.config import load_run
from circuitmem.errors import ValidationError

MODULE = '''
"""A package of somebody else."""
from circuitmem.calibration import Affine

class Mine(Affine):
    """Corrects as mine does."""

    name = "mine"

class NotOne:
    """Something else."""
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that installs a package with entry points {group: {name: reference}} in a folder of its own."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # what the registry appends goes again

    def install(name, points, source=MODULE):
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source, "utf-8")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in own.items()) for group, own in points.items()]
        (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return module

    return install


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_built_in_name_is_there_and_says_what_it_is(kind):
    for name, (entry,) in registry.entries(kind).items():
        assert registry.find(kind, name) is not None
        assert entry.package == "circuitmem"
        assert 3 < len(registry.describe(entry)) < 130, name


def test_an_installed_package_adds_names(package):
    package("their-package", {"circuitmem.calibrations": {"mine": "their_package:Mine"}})
    assert registry.names("calibrations")[-1] == "mine"
    found = registry.find("calibrations", "mine")
    assert issubclass(found, Affine)
    assert found is not Affine
    ((entry),) = registry.entries("calibrations")["mine"]
    assert (entry.package, registry.describe(entry)) == ("their-package", "Corrects as mine does.")
    assert registry.check("calibrations", "mine") == "mine"


def test_a_module_is_found_where_python_was_started(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    (tmp_path / "own_module_of_mine.py").write_text(MODULE, "utf-8")
    with pytest.raises(ValidationError, match="no module own_module_of_mine is installed or on PYTHONPATH"):
        registry.find("calibrations", "own_module_of_mine:Mine", "calibration.method")
    monkeypatch.chdir(tmp_path)
    assert issubclass(registry.find("calibrations", "own_module_of_mine:Mine"), Calibration)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("afine", "m must be one of none, .*see circuitmem list calibrations.; did you mean 'affine'. .got 'afine'"),
        ("theirs:Mine", "m names what is not there: no module theirs is installed or on PYTHONPATH .got 'theirs:Mine'"),
        ("circuitmem.calibration:Afine", "module circuitmem.calibration has no Afine; did you mean 'Affine'"),
        ("circuitmem.nowhere:Affine", "no module circuitmem.nowhere is installed"),
        ("circuitmem.config:Spec", "m must name a subclass of circuitmem.calibration.Calibration"),
        ("not a module:Name", "must be one of"),
        (":", "must be one of"),
    ],
)
def test_what_is_not_there_is_one_line(name, words):
    with pytest.raises(ValidationError, match=words) as error:
        registry.check("calibrations", name, "m")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import a_library_that_nobody_has", "ModuleNotFoundError: No module named 'a_library_that_nobody_has'"),
        ("1/0", "ZeroDivisionError: division by zero"),
        ("def :", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1", "module broken of package broken has no Mine"),
        (MODULE.replace("(Affine)", ""), "must name a subclass of circuitmem.calibration.Calibration"),
    ],
)
def test_a_broken_package_is_one_line_that_names_it(package, source, words):
    package("broken", {"circuitmem.calibrations": {"mine": "broken:Mine"}}, source)
    with pytest.raises(ValidationError, match=words) as error:
        registry.find("calibrations", "mine", "calibration.method")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("calibration.method ")
    assert words.split(":")[0] in registry.describe(registry.entries("calibrations")["mine"][0])
    assert registry.find("calibrations", "affine") is Affine  # who does not use it is not disturbed


@pytest.mark.parametrize("name", ["affine", "mine"])
def test_a_name_with_two_meanings_has_none(package, name):
    package("one", {"circuitmem.calibrations": {name: "one:Mine"}})
    package("two", {"circuitmem.calibrations": {name: "two:Mine"}})
    with pytest.raises(
        ValidationError, match=r"must have one meaning, but is declared by .*one.* and two \(two:Mine\)"
    ):
        registry.find("calibrations", name)


def test_a_package_that_takes_a_built_in_name_is_told_before_a_run_begins(package):
    package("thief", {"circuitmem.update_rules": {"manhattan": "thief:Mine"}})
    assert load_run(None).in_situ.rule == "two-pulse"
    with pytest.raises(ValidationError, match=r"in_situ.rule must have one meaning, but is declared by .* and thief"):
        load_run(None, ["in_situ.rule=manhattan"])


def _run(arguments, monkeypatch, capsys):
    from circuitmem.cli import main

    monkeypatch.setattr(sys, "argv", ["circuitmem", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, *capsys.readouterr()


def test_list_shows_what_can_be_named(package, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)  # a worker of pytest-xdist has it, and rows are folded then
    package("their-package", {"circuitmem.calibrations": {"mine": "their_package:Mine"}})
    package("broken", {"circuitmem.update_rules": {"theirs": "broken:Rule"}}, "1/0")
    code, out, _ = _run(["list", "--json"], monkeypatch, capsys)
    found = json.loads(out)
    assert code == 0
    assert tuple(found) == registry.KINDS
    assert {
        "kind": "calibrations",
        "name": "mine",
        "reference": "their_package:Mine",
        "package": "their-package",
    }.items() <= found["calibrations"][-1].items()
    code, out, _ = _run(["list"], monkeypatch, capsys)
    lines = out.splitlines()
    assert sum(line.split()[:3] == ["calibrations", "mine", "their-package"] for line in lines) == 1
    assert len(lines) == 2 + sum(map(len, found.values()))
    assert "cannot be imported: module broken of package broken: ZeroDivisionError" in out
    code, out, err = _run(["list", "calibratons", "--json"], monkeypatch, capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert json.loads(out)["error"]["message"].endswith("did you mean 'calibrations'? (got 'calibratons')")
