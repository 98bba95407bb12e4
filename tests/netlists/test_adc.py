"""The netlist of a whole read with SARs: plain ``ngspice -b`` prints the codes that the behavioral engine finds."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from builders import options

from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, TiaSpec, TileSpec
from circuitmem.converter import Readout
from circuitmem.engine import adc_netlist
from circuitmem.errors import ValidationError
from circuitmem.study.random_tile import random_read

NODE = r"[a-z0-9_]+"
NUMBER = r"-?[0-9.]+(?:e[-+]?[0-9]+)?"
EXPRESSION = r"\{[A-Za-z0-9_(),.*/+<>=?: -]+\}"
LINES = (
    r"\*[^#].*",
    rf"R{NODE} {NODE} {NODE} {NUMBER}",
    rf"C{NODE} {NODE} {NODE} {NUMBER}(?: ic=0)?",
    rf"[VI]{NODE} {NODE} {NODE} (?:dc {NUMBER}|PULSE\({NUMBER}(?: {NUMBER}){{6}}\))",
    rf"E{NODE} {NODE} {NODE} {NODE} {NODE} {NUMBER}",
    rf"B{NODE} {NODE} {NODE} [VI]={EXPRESSION}",
    rf"X{NODE}(?: {NODE})+",
    rf"\.subckt(?: {NODE})+",
    rf"\.ends {NODE}",
    r"\.options .*",
    rf"\.tran {NUMBER} {NUMBER} uic",
    rf"\.measure tran {NODE} find v\({NODE}\) at={NUMBER}",
    r"\.end",
)
"""What a line may be: what the manuals of ngspice and of Xyce both know. (Xyce itself is in no Debian package.)"""


def chip(**adc):
    converters = ConverterSpec(
        dac=DacSpec(bits=4, resistor_mismatch=0.01, switch_resistance=100.0, gain_error=0.01, offset_error=1e-3),
        tia=TiaSpec(open_loop_gain=1e3, gain_bandwidth=2e9, input_offset=1e-3),
        adc=AdcSpec(**{"architecture": "sar", "bits": 6, "gain_error": 0.02, "offset_error": 5e-3, **adc}),
    )
    tile = TileSpec(
        rows=5, columns=4, word_line_resistance=2.0, bit_line_resistance=2.0, driver_resistance=50.0,
        word_line_capacitance=5e-15, bit_line_capacitance=5e-15,
    )  # fmt: skip
    return ChipSpec(tile=tile, converters=converters)


def logical_lines(text):
    """Return the lines of a netlist, continued ones put together."""
    return text.replace("\n+ ", " ").splitlines()


@pytest.fixture
def run_ngspice(tmp_path):
    """A function that runs a netlist in an empty folder and returns its codes."""
    program = shutil.which("ngspice")
    if program is None:
        reason = "the program ngspice is not installed (apt-get install ngspice)"
        pytest.fail(reason) if os.environ.get("CIRCUITMEM_REQUIRE_SPICE") == "1" else pytest.skip(reason)

    def run(text):
        (tmp_path / "adc.cir").write_text(text)
        done = subprocess.run(
            [program, "-n", "-b", "adc.cir"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
        )
        found = re.findall(rf"^code_(\d+)\s*=\s*({NUMBER})", done.stdout, re.M)
        assert found, done.stdout + done.stderr
        return [float(value) for _, value in sorted(found, key=lambda item: int(item[0]))]

    return run


@pytest.mark.spice
@pytest.mark.parametrize("seed", [1, 2])
def test_plain_ngspice_finds_the_behavioral_codes(run_ngspice, seed):
    read = random_read(chip(capacitor_mismatch=0.05, comparator_offset=5e-3), seed)
    assert len(set(read.answer.tolist())) > 2
    assert run_ngspice(adc_netlist(read.tile, read.readout, read.codes)) == read.answer.tolist()


@pytest.mark.spice
def test_the_command_writes_such_a_netlist(run_ngspice, tmp_path):
    size = ("chip.tile.rows=3", "chip.tile.columns=2", "chip.converters.adc.bits=4", "chip.converters.dac.bits=3")
    words = options(size)
    command = ["circuitmem", "netlist", "--what", "adc", "-o", str(tmp_path / "read.cir"), "--json", *words]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=True, timeout=120)
    record = json.loads(done.stdout)
    assert record["what"] == "adc"
    assert run_ngspice((tmp_path / "read.cir").read_text()) == record["codes"]


def test_every_line_is_one_that_ngspice_and_xyce_read():
    read = random_read(chip(sample_resistance=100.0), 3)
    first, *lines = logical_lines(adc_netlist(read.tile, read.readout, read.codes))
    assert first == ".title circuitmem"
    for line in lines:
        assert any(re.fullmatch(pattern, line) for pattern in LINES), line
    assert max(map(len, adc_netlist(read.tile, read.readout, read.codes).splitlines())) <= 200


def test_a_flash_is_written_as_a_sar_with_its_thresholds_and_refused_with_mismatch():
    read = random_read(chip(architecture="flash"), 3)
    np.testing.assert_allclose(read.readout.adc.thresholds, np.tile(np.arange(63) + 0.5, (4, 1)), atol=1e-9)
    with pytest.raises(ValidationError, match=r"threshold_mismatch must be 0 for a netlist of the ADCs"):
        random_read(chip(architecture="flash", threshold_mismatch=0.1), 3)
    flash = chip(architecture="flash")
    with pytest.raises(ValidationError, match=r"adc\.architecture must be sar"):
        adc_netlist(read.tile, Readout(flash.converters, flash.tile_spec), read.codes)


@pytest.mark.parametrize("codes", [[1], [[1] * 5], [0, 0, 0, 0, 16], [0.5] * 5])
def test_codes_that_are_none_are_refused(codes):
    read = random_read(chip(), 3)
    with pytest.raises(ValidationError, match="codes must"):
        adc_netlist(read.tile, read.readout, codes)
