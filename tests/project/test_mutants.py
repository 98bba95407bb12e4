"""The mutation run takes what is there: its sources, its tests; and tells what lived from what was not run."""

import json
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = "mutants"


def test_what_is_declared_for_it_is_there():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    assert all(list(ROOT.glob(pattern)) for pattern in declared["only_mutate"])
    folders = declared["pytest_add_cli_args_test_selection"]
    assert all(list((ROOT / folder).glob("test_*.py")) for folder in folders)
    assert all((ROOT / path).exists() for path in declared["also_copy"])


def test_a_mutant_that_lives_is_listed_with_its_change(script, tmp_path):
    folder = tmp_path / "mutants" / "circuitmem" / "converter"
    folder.mkdir(parents=True)
    name = "circuitmem.converter.adc.x_half__mutmut_"
    codes = {f"{name}1": 0, f"{name}2": 1, f"{name}3": None}
    (folder / "adc.py.meta").write_text(json.dumps({"exit_code_by_key": codes}))
    (folder / "adc.py").write_text(
        "def x_half__mutmut_orig(x):\n    return x / 2\n\n\ndef x_half__mutmut_1(x):\n    return x / 3\n"
    )
    found = script.results(tmp_path)
    assert found == codes
    assert script.draw(found, 1.0, 1) == [f"{name}3"]
    assert script.change(tmp_path, f"{name}1") == ["-    return x / 2", "+    return x / 3"]
