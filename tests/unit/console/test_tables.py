"""Every table of every command, as wide as it takes, in 80 columns and in 40: texts are folded, numbers never cut."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from circuitmem import console
from circuitmem.console.table import print_table

METHODS = ("raw", "calibration", "in_situ", "calibration_in_situ", "schr_device", "best")
COSTS = {"time_s": 123.456789, "energy_j": 9.87654321, "stored_words": 123_456, "reads": 7_654_321}
STAGE = {"stage": "linear cells with lines that are cut and bridged", "cases": 12345, "size": (256, 256), "bound": 1e-9,
         "pass": True, "verdict": "pass"}  # fmt: skip
STAGE |= {"referee": "ngspice"}
BETWEEN = {"stage": "tile linear", "behavioral_ngspice": 1.2e-113, "behavioral_vacask": None, "ngspice_vacask": 3.4e-10}
FIT = {
    "parameters": [
        {"name": "a_long_parameter", "value": 8.99746e-10, "low": 8.9971e-10, "high": 9e-10,
         "unit": "A", "at_bound": 1},
        {"name": "nonlinearity", "value": -1.23456e-100, "low": None, "high": None,
         "unit": "1/(V*s)", "at_bound": False},
    ],
    "derived": {"retention_time": 1.23457e300},
    "relative_residual": 1.23e-10, "points": 1234567, "agreeing_starts": 11, "starts": 12, "weak": ["nonlinearity"],
    "toml": "a.toml", "figure": "a.png",
    "assumed": ["current: in uA, times 1e-06 A"], "notes": ["a range of 1.2345678e-09 S"],
}  # fmt: skip
RESULTS = {
    "accuracy_percent": dict.fromkeys(("digital", *METHODS), 100.0),
    "simulated_time_s": dict.fromkeys(METHODS, 98_765.43210),
    "energy_j": dict.fromkeys(METHODS, 9_876.543),
    "pulses": dict.fromkeys(METHODS, 123_456_789_012),
    "calibration": {
        name: {"reads_per_product": 16, "digital_products": 123, "products": 800} for name in METHODS
    },
    "product_errors": {
        name: {"before": [{"rmse": 1.2345}], "after": [{"rmse": 0.0123}]} for name in METHODS
    },
    "calibration_and_in_situ_against_in_situ": None,
    "audit": {
        "reads": 0, "skipped_reason": None, "failures": [],
        "methods": {name: {"largest_relative_error": 2.1e-13} for name in METHODS},
    },
}  # fmt: skip
INFERENCE = {
    "requests": 123_456_789, "refused": 12, "throughput_per_s": 1.2345e9, "on_chip": {"mean": 61.25, "largest": 64},
    "latency_s": {"mean": 1.5e-3, "p50": 1.25e-3, "p95": 2.5e-3, "p99": 12.345678}, "accuracy_percent": 93.75,
    "energy_per_inference_j": 1.23456789e-3, "energy_per_inference_with_upkeep_j": 9.87654321e3,
    "checks": [{"recalibrated": True, "error": 0.123}], "refreshes": [{"pulses": 123_456_789}],
    "utilisation": {"adc": 0.5},
}  # fmt: skip
PLAN = {
    "points": [
        {"id": "0123456789abcdef", "status": "missing", "seconds": 123456.7, "seed": 12345,
         "levels": {"yield": 0.8765432101, "word line resistance": 12.345678901}},
    ],
    "trials": [
        {"id": "fedcba9876543210", "status": "missing", "seconds": 1234567.8, "seed": 1001, "method": "in_situ",
         "levels": {"yield": 0.8}, "settings": {"in_situ.learning_rate": 1.23456789e-4}},
    ],
    "methods": ["raw"], "missing": 2, "seconds": 2.0, "workers": 2, "basis": "a rough estimate", "other_code": 0,
    "other_inputs": 1,
}  # fmt: skip
STUDY = {
    "study": "yield", "finished": 1, "points": 2, "trials": 36, "computed": 2, "wall_time_s": 12.0, "other_code": 1,
    "failed_trials": [],
    "failed": [{"levels": {"yield": 0.8765432101}, "seed": 3, "type": "E", "message": "no 1.2345678901e-300"}],
}  # fmt: skip
REPLAY = {
    "kind": "read", "size": 123456, "saved_error": 1.23e-5, "error": None, "limit": 1e-6, "agrees": False,
    "provenance": {"seed": 123456789012}, "referee": "vacask",
}  # fmt: skip
FINDINGS = {
    "packages": ["numpy 2.4.61234567", "scipy 1.17.1234567"], "kernels": {"mesh": "compiled x86-64-v4"},
    "ngspice": None, "processors": 2, "missing": {"ngspice": "apt-get install libngspice0"}, "essential": [],
}  # fmt: skip
LAYER = {"rmse_after": 1.23456789, "largest_after": 98.7654321}
CALIBRATIONS = {"defect-subtract": {"layers": [LAYER, LAYER], "accuracy_percent": 93.75, **COSTS}}
RECORD = {
    "stages": [
        STAGE | {"worst": 1.2e-113},
        STAGE | {"worst": None, "verdict": "fail"},
        STAGE | {"worst": 1e-12, "undecided": 0.99996, "undecided_of_all": 1e-5, "verdict": "undecided"},
    ],
    "baseline": [{"change": "worse", "stage": "a", "before": 1.2e-12, "after": 3.4e-10}],
    "wall_time_s": 123456.7,
    "drawing_s": 1234.5,
    "between_referees": [BETWEEN],
}
NAMES = {"devices": [{"name": "stanford-pku", "package": "circuitmem 0.1.0", "description": "12345 states of 1.2 uS"}]}
DATA = {
    "name": "MNIST", "samples": {"training": 60000, "test": 10000}, "licence": None, "credit": "",
    "sha256": "b47427a5454c65356", "shape": [28, 28], "features": [], "lowest": -1.23456e-105, "highest": 255.0,
    "mean": 33.3184, "constant": ["0, 0"], "task": "classes", "classes": {"7": {"training": 6265, "test": 1028}},
}  # fmt: skip
ARRAY = {
    "rows": 128, "columns": 64, "vectors": 12345, "mac_error": {"rms": 1.23456e-7, "largest": 9.87654e-3},
    "cell_read": {"row": 127, "column": 63, "high_a": 1.23e-105, "low_a": 4.56e-9, "margin": 0.123, "sneak_a": 1.2e-7,
        "sneak_path": [[127, 0], [0, 0], [0, 63]], "sneak_path_a": 1.2e-8},
    "column_error": {"largest": [0.1] * 64},
}  # fmt: skip
VERILOG = {
    "file": "/somewhere/mine.va", "sha256": "b47427a5454c65356b47427a5454c653", "points": 12345, "error": 1.2e-5,
    "lowest": 1.23456e-7, "highest": 3.45678e-3, "pulses": 2, "moved": 0.123, "state_difference": 1.2e-6,
    "read_voltage": 0.2, "curvature": 1.2e-4,
}  # fmt: skip
UPKEEP = {
    "checks": 12,
    "calibrations": 3,
    "refreshes": 1,
    "refresh_pulses": 12345,
    "time_s": 1.2e-3,
    "energy_j": 3.4e-7,
}
AGES = {"ages": [{"age_s": 31557600.0, "accuracy_percent": 87.65, "upkeep": UPKEEP}]}
TABLES = {
    "print_ages": (AGES,),
    "print_array": (ARRAY, "uS", ["array/report.html", "array/tile.cir"]),
    "print_calibrations": (CALIBRATIONS,),
    "print_data": (DATA,),
    "print_findings": (FINDINGS,),
    "print_fit": (FIT, 0.95),
    "print_inference": (INFERENCE,),
    "print_names": (NAMES,),
    "print_points": (PLAN,),
    "print_replay": (REPLAY,),
    "print_results": (RESULTS, Path("run"), []),
    "print_stages": (RECORD, Path("report.html")),
    "print_study": (STUDY,),
    "print_verilog": (VERILOG,),
}
NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


def test_every_table_of_the_console_is_here():
    assert set(TABLES) == {name for name in console.__all__ if name.startswith("print_")}


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("name", TABLES)
def test_no_table_cuts_a_number(name, columns, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    getattr(console, name)(*TABLES[name])  # in a pipe: as wide as it takes
    whole = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", columns)
    getattr(console, name)(*TABLES[name])
    narrow = capsys.readouterr().out
    numbers = NUMBER.findall(whole)
    assert set(NUMBER.findall(narrow)) == set(numbers)
    assert numbers
    assert "…" not in whole + narrow


@pytest.mark.parametrize("width", [*range(20, 130, 3)])
def test_no_width_loses_a_word_or_overflows(width, capsys, monkeypatch):
    headings = ("parameter", "value", "0.95 interval", "unit", "a note of some words")
    rows = [("name", "8.99746e-10", "8.9e-10 to 9.1e-10", "A", "end of the range searched"), ("b", "1", "", "", "")]
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(headings, rows, {0, 3, 4})
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= max(width, 24)
    for text in ("8.99746e-10", "8.9e-10 to 9.1e-10"):
        assert text in (printed if width > 22 else " ".join(printed.split()))
    for word in (word for row in rows for cell in row for word in cell.split()):
        assert word in printed.split()


def test_a_table_that_is_too_wide_folds_its_notes_first(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "34")
    print_table(("name", "value", "note"), [("a", "8.99746e-10", "the end of the range searched")], {0, 2})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name        value  note"
    assert [line.rstrip() for line in lines[2:]] == [
        "a     8.99746e-10  the end of the",
        "                   range searched",
    ]


def test_a_terminal_of_40_columns_gets_whole_numbers():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    code = "from circuitmem.console.table import print_table\n"
    code += 'print_table(("name", "value", "note"), [("parameter", "8.99746e-10", "a note that is long")] * 2, {0, 2})'
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, stdin=theirs, env=env, check=True, timeout=100)
    os.close(theirs)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 10_000).decode())
    os.close(ours)
    assert shown.count("8.99746e-10") == 2
    assert max(map(len, shown.splitlines())) <= 40


def test_a_stage_of_which_most_is_undecided_does_not_read_as_a_pass(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    console.print_stages(RECORD, Path("report.html"))
    shown = capsys.readouterr().out
    verdicts = [line.split()[-1] for line in shown.splitlines() if line.startswith(STAGE["stage"] + "  ")]
    assert verdicts[:3] == ["pass", "FAIL", "undecided"]
    assert (
        ", ngspice: 99.9 % of the cells are undecided after the worst pulse, 0.1 % after all: 1e-5 of their state"
        in shown
    )
