"""What happens when ngspice fails, hangs, dies, or is not there: a typed error, and nothing left behind."""

import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from circuitmem import Tile, TileSpec
from circuitmem.engine import SpiceEngine
from circuitmem.errors import SpiceError, SpiceTimeoutError, SpiceUnavailableError
from circuitmem.netlists.runner import Runner
from circuitmem.netlists.text import OPTIONS, Netlist
from circuitmem.netlists.tile import TileNetlist

SMALL = Tile(
    TileSpec(rows=2, columns=2, word_line_resistance=1.0, bit_line_resistance=1.0), [[1e-4, 2e-4], [3e-4, 4e-4]]
)
BIG = Tile(TileSpec(rows=64, columns=64, word_line_resistance=1.0, bit_line_resistance=1.0), np.full((64, 64), 1e-4))
BIG_BATCH = np.random.default_rng(0).uniform(0, 0.2, (100, 64))
"""Keeps ngspice busy for some 30 s."""

PATIENCE = 10.0
"""Seconds within which an orphan must be gone; it looks every second whether its parent lives."""


def alive(process):
    """Say whether a process runs. A zombie that waits to be reaped does not, once all its threads have ended:
    the first one is a zombie up to some 10 ms before the last, and until then nobody can reap the process.
    """
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state != "Z" or len(list(Path(f"/proc/{process}/task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def when_it_computes(process, action, *arguments):
    """Do something once a process has taken a quarter of a second of a processor from now on: it is at its job then."""

    def spent():
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def watch(before):
        deadline = time.monotonic() + PATIENCE
        while spent() < before + 0.25 and time.monotonic() < deadline:
            time.sleep(0.01)
        action(*arguments)

    threading.Thread(target=watch, args=(spent(),), daemon=True).start()


def wait_until_gone(process):
    deadline = time.monotonic() + PATIENCE
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(process)


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """An engine of its own whose worker's temporary folder is watched."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    with SpiceEngine(time_limit=60.0) as one:
        yield one
        one.close()
        assert not list(folder.iterdir())


def run_text(engine, lines, outputs=("a",)):
    """Run a hand-written circuit through the engine's worker."""
    text = "\n".join([".title circuitmem", *lines, "Vpoint point 0 dc 0", OPTIONS, ".end", ""])
    return engine._runner.run(Netlist(text, (), outputs), np.zeros((1, 0)))


def check_works(engine):
    """The next job must get a healthy worker."""
    np.testing.assert_allclose(engine.read(SMALL, [0.1, 0.2]), [7e-5, 1e-4], rtol=1e-2)


FAILING = {
    "singular matrix": (["Va a 0 1", "Ra a 0 1", "Ix x y 1", "Rx x y 1"], "singular", "singular matrix: +check node"),
    "voltage loop": (["Va a 0 1", "Vb a 0 2"], "singular matrix", "singular matrix: +check node"),
    "missing model": (["Va a 0 1", "Da a 0 nomodel"], "a model is missing", "can't find model 'nomodel'"),
    "bad value": (["Va a 0 1", "Ra a 0 xyz"], "missing|not understood", "xyz"),
    "bad element": (["Va a 0 1", "hello"], "not understood", "bad syntax"),
    # ngspice 39 takes 1 mOhm, 44 leaves the line out: an error either way.
    "resistor without a value": (["Va a 0 1", "Ra a 0"], "resistance is 0|not a valid resistor", "1 mOhm|valid"),
    "missing sub-circuit": (["Va a 0 1", "Xa a 0 nothing"], "not understood", "unknown subckt: xa a 0 nothing"),
    "no convergence": (["Va a 0 1", "Bq q 0 v=1-sgn(v(q)-0.3)", "Rq q 0 1"], "did not converge", "imestep too small"),
    "missing output": (["Va b 0 1", "Rb b 0 1"], "gave no result for a", ""),
    "not finite": (["Vb b 0 1", "Ba a 0 v=1e308*(1+v(b)*10)"], ".", ""),
}  # fmt: skip


@pytest.mark.spice
@pytest.mark.parametrize("kind", FAILING)
def test_a_circuit_that_fails_raises_with_the_lines_of_ngspice(engine, kind):
    lines, reason, said = FAILING[kind]
    with pytest.raises(SpiceError, match=reason) as caught:
        run_text(engine, lines)
    assert re.search(said, "\n".join(caught.value.log)), caught.value.log
    assert "\n" not in str(caught.value)
    assert len(caught.value.log) <= 8
    check_works(engine)


@pytest.mark.spice
def test_an_abort_inside_ngspice_is_an_error(engine):
    # A node called "value" is a keyword to ngspice, which then gives up altogether.
    with pytest.raises(SpiceError, match="worker ended with status 1") as caught:
        run_text(engine, ["Va a 0 1", "Ea value a a 0 1"])
    assert any(re.search("mal formed E (line|source)", line) for line in caught.value.log)
    check_works(engine)


@pytest.mark.spice
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_worker_killed_at_work_fails_that_job_only(engine, how):
    check_works(engine)
    process = engine._runner.process_id()
    when_it_computes(process, os.kill, process, how)
    with pytest.raises(SpiceError, match=f"worker was killed by {how.name}"):
        engine.read(BIG, BIG_BATCH)
    assert not alive(process)
    check_works(engine)
    assert engine._runner.process_id() != process


@pytest.mark.spice
def test_a_worker_killed_between_jobs_is_replaced(engine):
    check_works(engine)
    process = engine._runner.process_id()
    os.kill(process, signal.SIGKILL)
    assert wait_until_gone(process)
    check_works(engine)


@pytest.mark.spice
@pytest.mark.parametrize("state", ["busy", "stopped"])
def test_a_job_that_takes_too_long_is_ended(state):
    with SpiceEngine(time_limit=1.0) as engine:
        check_works(engine)
        process = engine._runner.process_id()
        if state == "stopped":
            os.kill(process, signal.SIGSTOP)
        # A stopped worker does not even take the job, which is larger than the pipe.
        with pytest.raises(SpiceTimeoutError, match="time limit of 1 s"):
            engine.read(BIG, BIG_BATCH)
        assert not alive(process)
        check_works(engine)


@pytest.mark.spice
def test_kill_from_another_thread_ends_the_call(engine):
    check_works(engine)
    when_it_computes(engine._runner.process_id(), engine.kill)
    with pytest.raises(SpiceError, match="killed by SIGKILL"):
        engine.read(BIG, BIG_BATCH)
    check_works(engine)


@pytest.mark.spice
def test_an_interrupt_leaves_no_half_read_answer(engine):
    check_works(engine)
    process = engine._runner.process_id()
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            engine.read(BIG, BIG_BATCH)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert not alive(process)
    check_works(engine)


@pytest.mark.spice
def test_close_and_collection_end_the_worker():
    engine = SpiceEngine()
    check_works(engine)
    process = engine._runner.process_id()
    engine.close()
    assert not alive(process)
    check_works(engine)
    process = engine._runner.process_id()
    del engine
    assert wait_until_gone(process)


SCRIPT = """
import os, sys, time
import numpy as np
from circuitmem import Tile, TileSpec
from circuitmem.engine import SpiceEngine
engine = SpiceEngine()
tile = Tile(TileSpec(rows=64, columns=64, word_line_resistance=1.0, bit_line_resistance=1.0), np.full((64, 64), 1e-4))
print(engine._runner.library().version, engine._runner.process_id(), flush=True)
mode = sys.argv[1]
if mode == "busy":
    engine.read(tile, np.full((100, 64), 0.1))
elif mode == "forked":
    # A forked child holds the parent's end of the pipe open.
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    time.sleep(30)
elif mode == "fork and use":
    small = Tile(TileSpec(rows=1, columns=1), [[1e-4]])
    child = os.fork()
    if child == 0:
        good = engine.read(small, [1.0])[0] == 1e-4
        engine.close()
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert engine.read(small, [1.0])[0] == 1e-4
elif mode == "idle":
    time.sleep(30)
"""


@pytest.mark.spice
@pytest.mark.parametrize("mode", ["busy", "idle", "forked"])
def test_no_orphan_when_the_program_is_killed(mode, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", SCRIPT, mode]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as parent:
        worker = int(parent.stdout.readline().split()[1])
        time.sleep(0.5)
        assert alive(worker)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        gone = wait_until_gone(worker)
        # The forked child of the third mode is still there.
        os.killpg(parent.pid, signal.SIGKILL) if mode == "forked" else None
    assert gone
    assert not list(tmp_path.iterdir())


@pytest.mark.spice
def test_a_forked_child_leaves_the_workers_of_its_parent_alone():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "fork and use"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.spice
@pytest.mark.parametrize("place", ["cwd", "HOME", "SPICE_SCRIPTS"])
def test_no_start_up_file_runs(place, monkeypatch, tmp_path):
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in (".spiceinit", "spice.rc", "spinit"):
        (trap / name).write_text(f"* start-up\nshell touch {tmp_path}/owned\n")
    if place == "cwd":
        monkeypatch.chdir(trap)
        # Nor does a module of the working folder stand in for a library.
        (trap / "numpy.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\n")
    else:
        monkeypatch.setenv(place, str(trap))
    with SpiceEngine() as engine:
        check_works(engine)
        assert str(Path(f"/proc/{engine._runner.process_id()}/cwd").readlink()).endswith("(deleted)")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("library", ["/nowhere/libngspice.so", __file__])
def test_a_missing_library_says_what_to_install(monkeypatch, library):
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", library)
    with SpiceEngine() as engine, pytest.raises(SpiceUnavailableError, match="apt-get install libngspice0") as caught:
        engine.read(SMALL, [0.1, 0.2])
    assert library in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not SpiceEngine.available()


def test_a_worker_that_cannot_start_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with SpiceEngine() as engine, pytest.raises(SpiceError, match="worker ended with status 1"):
        engine.read(SMALL, [0.1, 0.2])


@pytest.mark.spice
def test_results_that_break_kirchhoffs_law_are_refused(engine, monkeypatch):
    real = Runner.simulate

    def tampered(self, netlist, *job):
        answer = real(self, netlist, *job)
        results = answer.values
        results[:, netlist.outputs.index("vs_0#branch")] *= 1 + 1e-6
        return answer

    monkeypatch.setattr(Runner, "simulate", tampered)
    with pytest.raises(SpiceError, match="do not add up"):
        engine.read(SMALL, [0.1, 0.2])


@pytest.mark.spice
def test_voltages_beyond_the_sources_are_refused(engine, monkeypatch):
    real = Runner.simulate

    def tampered(self, netlist, *job):
        answer = real(self, netlist, *job)
        results = answer.values
        results[:, netlist.outputs.index("w_1_1")] = 1e7
        return answer

    monkeypatch.setattr(Runner, "simulate", tampered)
    with pytest.raises(SpiceError, match="beyond those of the sources"):
        engine.solve(SMALL, [0.1, 0.2])


@pytest.mark.spice
def test_nothing_is_unpickled(engine, monkeypatch):
    monkeypatch.setattr(pickle, "loads", lambda *a, **k: pytest.fail("something was unpickled"))
    monkeypatch.setattr(pickle, "load", lambda *a, **k: pytest.fail("something was unpickled"))
    check_works(engine)


@pytest.mark.spice
def test_inputs_that_ngspice_does_not_apply_are_noticed(engine):
    circuit = TileNetlist(SMALL).netlist
    # A source that holds 0.5 V whatever the table says.
    text = circuit.text.replace("Vdrive_1 drive_1 0 external", "Vdrive_1 drive_1 0 dc 0.5")
    with pytest.raises(SpiceError, match="did not apply the voltages of drive_1"):
        engine._runner.run(Netlist(text, circuit.inputs, circuit.outputs), np.array([[0.1, 0.2]]))


@pytest.mark.spice
@pytest.mark.parametrize("output", ["vs_0#branch", "w_1_1"])
def test_results_that_are_not_numbers_are_refused(engine, monkeypatch, output):
    real = Runner.simulate

    def tampered(self, netlist, *job):
        answer = real(self, netlist, *job)
        results = answer.values
        results[:, netlist.outputs.index(output)] = np.nan
        return answer

    monkeypatch.setattr(Runner, "simulate", tampered)
    with pytest.raises(SpiceError, match=r"do not add up|beyond those of the sources"):
        engine.solve(SMALL, [0.1, 0.2])
