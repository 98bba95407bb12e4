"""The pool: jobs side by side, in time too, and whatever happens to one of them happens to no other."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

from circuitmem.engine import SpiceEngine
from circuitmem.errors import SpiceError, SpiceMemoryError, SpiceTimeoutError, SpiceWorkerError, ValidationError
from circuitmem.netlists import process as worker_process
from circuitmem.netlists.jobs import OperatingPoints, Transient
from circuitmem.netlists.runner import Runner
from circuitmem.netlists.simulator import KLU, SPARSE, choose_solver
from circuitmem.netlists.text import OPTIONS, Netlist

pytestmark = pytest.mark.spice

BUSY = 0.3
"""Seconds after which a job that takes seconds has begun and has not ended."""


def circuit(*lines, outputs=("a",)):
    return Netlist("\n".join([".title circuitmem", *lines, "Vpoint point 0 dc 0", OPTIONS, ".end", ""]), (), outputs)


DIVIDER = circuit("Va a 0 dc 1", "Ra a b 1", "Rb b 0 3", outputs=("a", "b"))
LOW_PASS = circuit("Va a 0 pwl 0 0 1e-6 0 1.000001e-6 1", "Ra a b 1k", "Cb b 0 1n", outputs=("b", "a"))
SINGULAR = circuit("Va a 0 1", "Vb a 0 2")
STUCK_IN_TIME = circuit("Va a 0 1", "Bq a q i=v(q)>0.5?1e300:-1e300", "Cq q 0 1e-30", "Rq q 0 1e30")
ABORTING = circuit("Va a 0 1", "Ea value a a 0 1")
ONE = OperatingPoints(np.zeros((1, 0)))
LONG = Transient(step=1e-9, stop=10.0, largest_step=1e-9)
"""Ten thousand million steps."""


@pytest.fixture
def pool():
    runner = Runner(workers=2)
    yield runner
    runner.close()


def alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_jobs_run_side_by_side(pool):
    both = threading.Barrier(2, timeout=20.0)
    real = worker_process.Worker.exchange

    def meet(self, request, limit):
        if request:
            both.wait()  # goes on only when two jobs are at this point at once
        return real(self, request, limit)

    worker_process.Worker.exchange = meet
    try:
        found = [pool.submit(DIVIDER, ONE) for _ in range(4)]
        for future in found:
            np.testing.assert_allclose(future.result(30.0).values, [[1.0, 0.75]], rtol=1e-9)
    finally:
        worker_process.Worker.exchange = real
    assert len(pool.process_ids()) == 2


def test_a_transient_analysis_has_its_times(pool):
    answer = pool.submit(LOW_PASS, Transient(step=1e-8, stop=5e-6, largest_step=1e-8)).result(60.0)
    assert answer.axis[0] == 0.0
    assert answer.axis[-1] == pytest.approx(5e-6)
    assert (np.diff(answer.axis) > 0).all()
    charged = 1.0 - np.exp(-np.maximum(answer.axis - 1e-6, 0.0) / 1e-6)
    np.testing.assert_allclose(answer.values[:, 0], charged, atol=1e-3)
    assert set(answer.seconds) == {"load", "solve", "fetch", "transfer"}
    late = pool.simulate(LOW_PASS, Transient(step=1e-8, stop=5e-6, start=4e-6))
    assert late.axis[0] >= 4e-6 - 1e-12


def test_a_transient_analysis_begins_as_it_is_told(pool):
    discharging = circuit("Ra a 0 1k", "Ca a 0 1n ic=2", outputs=("a",))
    answer = pool.simulate(discharging, Transient(step=1e-8, stop=1e-6, largest_step=1e-8, initial=True))
    np.testing.assert_allclose(answer.values[:, 0], 2.0 * np.exp(-answer.axis / 1e-6), atol=5e-3)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"step": 0.0, "stop": 1.0}, "step must be > 0"),
        ({"step": 1.0, "stop": np.nan}, "stop must be"),
        ({"step": 1.0, "stop": 1.0, "start": -1.0}, "start must be"),
        ({"step": 1.0, "stop": 1.0, "largest_step": "1 uic; shell id"}, "largest_step must be a real number"),
    ],
)
def test_bad_times_are_refused(values, rule):
    with pytest.raises(ValidationError, match=rule):
        Transient(**values)


def test_a_transient_analysis_has_no_inputs(pool):
    driven = Netlist(DIVIDER.text.replace("dc 1", "external"), ("a",), ("a",))
    with pytest.raises(ValidationError, match="netlist inputs must be none"):
        pool.submit(driven, LONG)


def kill_the_busy_one(pool):
    """Kill the worker that has been at a job for a while."""
    time.sleep(BUSY)
    os.kill(next(iter(pool._busy)).process.pid, signal.SIGKILL)


FATES = {
    "killed": (circuit("Va a 0 1"), LONG, kill_the_busy_one, SpiceWorkerError, "killed by SIGKILL"),
    "hang": (circuit("Va a 0 1"), LONG, None, SpiceTimeoutError, "time limit of 2 s"),
    "abort": (ABORTING, ONE, None, SpiceWorkerError, "ended with status 1"),
    "singular": (SINGULAR, ONE, None, SpiceError, "singular matrix"),
    "time step": (STUCK_IN_TIME, Transient(1e-9, 1e-3), None, SpiceError, "did not converge"),
}


@pytest.mark.parametrize("fate", FATES)
def test_each_failure_is_an_error_of_its_job_alone(fate):
    netlist, analysis, inject, kind, words = FATES[fate]
    pool = Runner(workers=2, time_limit=2.0)
    try:
        bad = pool.submit(netlist, analysis)
        if inject:
            assert wait_for(lambda: pool._busy)
        good = [pool.submit(DIVIDER, ONE) for _ in range(5)]
        if inject:
            inject_into = threading.Thread(target=inject, args=(pool,))
            for future in good:
                future.result(30.0)  # meanwhile the bad one runs on
            inject_into.start()
        with pytest.raises(kind, match=words) as caught:
            bad.result(30.0)
        assert "\n" not in str(caught.value)
        for future in good:
            np.testing.assert_allclose(future.result(30.0).values, [[1.0, 0.75]], rtol=1e-9)
        if fate in ("abort", "singular", "time step"):
            assert caught.value.log
    finally:
        workers = pool.process_ids()
        pool.close()
    assert wait_for(lambda: not any(alive(number) for number in workers))


def test_a_time_step_that_gets_too_small_says_so():
    runner = Runner()
    with pytest.raises(SpiceError) as caught:
        runner.simulate(STUCK_IN_TIME, Transient(1e-9, 1e-3))
    assert "imestep too small" in "\n".join(caught.value.log)
    runner.close()


def address_space(number):
    lines = Path(f"/proc/{number}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize"))


@pytest.mark.parametrize("large", ["circuit", "results"])
def test_out_of_memory_is_an_error_of_that_job(large):
    runner = Runner()
    runner.library()
    base = address_space(runner.process_id())
    runner.close()
    # Room for a small circuit; a resistor takes some 600 bytes in ngspice.
    runner = Runner(address_limit=base + (12 << 20))
    if large == "circuit":
        job = circuit("Va a 0 1", *(f"R{index} a 0 1" for index in range(200_000))), ONE
    else:
        job = DIVIDER, OperatingPoints(np.zeros((4_000_000, 0)))
    # Where ngspice does not look whether it got its memory, it crashes.
    with pytest.raises((SpiceMemoryError, SpiceWorkerError), match="memory") as caught:
        runner.simulate(*job)
    assert large == "circuit" or isinstance(caught.value, SpiceMemoryError)
    np.testing.assert_allclose(runner.simulate(DIVIDER, ONE).values, [[1.0, 0.75]], rtol=1e-9)
    runner.close()


def test_what_ngspice_says_when_it_has_no_memory_is_understood(monkeypatch):
    runner = Runner()
    worker = runner._take()
    worker._errors.extend([b"realloc: Internal Error: can't allocate 65536 bytes.", b"ngspice gave up with status 1"])
    worker.process.kill()
    with pytest.raises(SpiceMemoryError, match=r"ran out of memory.*can't allocate 65536 bytes"):
        worker.exchange(b"x" * 100, 5.0)


@pytest.mark.parametrize("when", ["before it is given", "while it starts"])
def test_a_job_that_meets_a_dying_worker_gets_a_second_one(monkeypatch, when):
    runner, lives = Runner(), []
    runner.library()
    real = worker_process.Worker.exchange

    def dying(self, request, limit):
        if len(lives) == 0 and (bool(request) == (when == "before it is given")):
            lives.append(self.process.pid)
            os.kill(self.process.pid, signal.SIGKILL)  # it looked alive a moment ago
        return real(self, request, limit)

    if when == "while it starts":
        runner.close()
    monkeypatch.setattr(worker_process.Worker, "exchange", dying)
    np.testing.assert_allclose(runner.simulate(DIVIDER, ONE).values, [[1.0, 0.75]], rtol=1e-9)
    assert lives
    assert runner.process_id() not in lives
    runner.close()


def test_no_job_is_tried_more_than_twice(monkeypatch):
    runner, killed = Runner(), []
    real = worker_process.Worker.exchange

    def dying(self, request, limit):
        if request:
            killed.append(self.process.pid)
            os.kill(self.process.pid, signal.SIGKILL)
        return real(self, request, limit)

    monkeypatch.setattr(worker_process.Worker, "exchange", dying)
    with pytest.raises(SpiceWorkerError, match="killed by SIGKILL"):
        runner.simulate(DIVIDER, ONE)
    assert len(killed) == 2
    assert not runner.process_ids()


def test_close_forgets_the_jobs_that_wait_and_ends_the_one_at_work():
    runner = Runner(workers=1)
    at_work, waiting = runner.submit(circuit("Va a 0 1"), LONG), runner.submit(DIVIDER, ONE)
    assert wait_for(lambda: runner._busy)
    time.sleep(BUSY)
    workers = runner.process_ids()
    runner.close()
    with pytest.raises(SpiceWorkerError):
        at_work.result(10.0)
    with pytest.raises(CancelledError):
        waiting.result(10.0)
    assert wait_for(lambda: not any(alive(number) for number in workers))
    np.testing.assert_allclose(runner.submit(DIVIDER, ONE).result(30.0).values, [[1.0, 0.75]], rtol=1e-9)
    runner.close()


def test_the_memory_of_the_program_is_not_that_of_its_workers():
    """A process inherits the peak of the one that starts it: a big program would get a new worker for each job."""
    hog = np.ones(60_000_000)  # 480 MB
    runner = Runner(memory_limit=300 << 20)
    runner.simulate(DIVIDER, ONE)
    first = runner.process_id()
    runner.simulate(DIVIDER, ONE)
    assert runner.process_id() == first is not None
    runner.close()
    assert hog[-1] == 1.0


AT_THE_END = """
import atexit
from circuitmem.errors import SpiceWorkerError
from circuitmem.netlists.runner import Runner
from circuitmem.netlists.process import Worker

def start():
    try:
        Worker(1 << 33, 0)
    except SpiceWorkerError as error:
        print(error)

atexit.register(start)  # comes after all that is registered later
print(Runner().library().version)
"""


def test_no_worker_is_started_while_the_program_ends(tmp_path):
    """A thread of the pool whose worker is ended has jobs left: a new one would stay behind, and its folder."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END], capture_output=True, text=True, env=environment, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["no ngspice is started while the program ends"]
    assert not list(tmp_path.iterdir())


SCRIPT = """
import sys, time
import numpy as np
from circuitmem.netlists.jobs import Transient
from circuitmem.netlists.runner import Runner
from circuitmem.netlists.text import OPTIONS, Netlist
runner = Runner(workers=2)
text = f".title circuitmem\\nVa a 0 1\\n{OPTIONS}\\n.end\\n"
jobs = [runner.submit(Netlist(text, (), ("a",)), Transient(1e-9, 10.0, largest_step=1e-9)) for _ in range(3)]
while len(runner._busy) < 2:
    time.sleep(0.02)
print(*runner.process_ids(), flush=True)
if sys.argv[1] == "killed":
    time.sleep(60)
"""


@pytest.mark.parametrize("end", ["killed", "done"])
def test_no_worker_outlives_the_program(end, tmp_path):
    """Killed, or at its end with jobs under way: it neither waits for them nor leaves a process or a file."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", SCRIPT, end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
        workers = [int(word) for word in program.stdout.readline().split()]
        assert len(workers) == 2
        if end == "killed":
            program.kill()
        assert program.wait(20.0) == (-signal.SIGKILL if end == "killed" else 0)
    assert wait_for(lambda: not any(alive(number) for number in workers))
    assert not list(tmp_path.iterdir())


def test_workers_let_others_go_first():
    runner = Runner(niceness=7)
    runner.library()
    assert os.getpriority(os.PRIO_PROCESS, runner.process_id()) >= 7
    runner.close()


@pytest.mark.parametrize(
    "limits", [{"workers": 0}, {"address_limit": 0}, {"niceness": 20}, {"jobs_per_worker": 0}, {"memory_limit": 0.5}]
)
def test_bad_limits_are_refused(limits):
    with pytest.raises(ValidationError, match=next(iter(limits))):
        SpiceEngine(**limits)


@pytest.mark.parametrize(
    ("version", "works", "chosen"),
    [
        ("39", True, SPARSE),
        (41, True, SPARSE),
        ("42", True, KLU),
        ("44.2", True, KLU),
        ("42", False, SPARSE),
        ("", True, SPARSE),
    ],
)
def test_klu_is_used_from_version_42_on_where_it_works(version, works, chosen):
    assert choose_solver(version, lambda: works) == chosen
