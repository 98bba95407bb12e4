"""The command line: exit codes, one-line errors, and what each command leaves behind."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import options

from circuitmem.cli.app import ORDER
from circuitmem.config import load_run

TINY = [
    "data.side=8",
    "data.train=200",
    "data.test=100",
    "network.layers=[64, 12, 10]",
    "chip.tile.rows=32",
    "chip.tile.columns=16",
    "in_situ.epochs=2",
    "in_situ.batch=50",
    "calibration.vectors=40",
    "ex_situ.epochs=5",
    "audit.reads=2",
    "audit.referee=ngspice",
]
SETTINGS = options(TINY)


@pytest.fixture(scope="module")
def run(command):
    """Commands in forks; the run that most tests look at, and the interrupt, are processes as users have them."""
    return command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["train"], "Missing option '--out'"),
        (
            ["train", "--out", "x", "--set", "chip.tile.rowss=3"],
            "chip.tile.rowss is not a known key; did you mean 'rows'?",
        ),
        (
            ["train", "--out", "x", "--set", "chip.defects.device_yield=1.5"],
            "device_yield must be less than or equal to 1",
        ),
        (["train", "--out", "x", "--set", "chip.tile.word_line_resistance=-1"], "word_line_resistance must be >= 0"),
        (["train", "--out", "x", "--set", "data.source=nowhere"], "nowhere: no such file or folder"),
        (["train", "--out", "x", "--seed", "-1"], "seed must be greater than or equal to 0 (got -1)"),
        (["train", "nope.toml", "--out", "x"], "nope.toml: cannot be read: No such file or directory"),
        (["train", "defualt", "--out", "x"], "did you mean 'default'?"),
        (
            ["train", "--out", "x", "--set", "precision=single", "--set", "engine=ngspice"],
            "precision must be double with the engine ngspice (got 'single')",
        ),
        (
            ["train", "--out", "x", "--set", "reuse_error=0.5"],
            "reuse_error must be less than or equal to 0.1 (got 0.5)",
        ),
        (["train", "--out", "x", "--set", "chip.adc_banks=0"], "adc_banks must be greater than or equal to 1 (got 0)"),
        (
            ["train", "--out", "x", "--set", 'chip.faults=[{what="cell",tile=999,time=1.0}]'],
            "chip.faults.0.tile must be < 54, the number of tiles (got 999)",
        ),
        (["resume", "nowhere"], "nowhere: is not a run folder"),
        (["infer", "nowhere"], "nowhere: is not a run folder"),
        (["report", "nowhere"], "nowhere: is not a run folder"),
        (["validate", "-o", "x", "--seed", "-1"], "seed must be >= 0 (got -1)"),
        (["validate", "-o", "x", "--referee", "spectre"], "Invalid value for '--referee': 'spectre' is not one of"),
        (["watch", "nowhere"], "nowhere: is not a run folder"),
        (["validate", "-o", "x", "--stage", "tile linaer"], "did you mean 'tile linear'"),
        (["validate", "-o", "x", "--baseline", "nope.json"], "nope.json: cannot be read: No such file"),
        (["netlist", "-o", "nowhere/tile.cir"], "cannot be written: No such file or directory"),
        (["netlist", "-o", "x", "--row", "1"], "--row is for --what program (got [1])"),
        (["netlist", "-o", "x", "--what", "program", "--row", "64"], "pulse.rows must be between 0 and 63 (got 64)"),
        (
            ["netlist", "-o", "x", "--what", "program", "--device", "vteam:C"],
            "device must be one of vteam:A, vteam:B, yakopcic:Oblea",
        ),
        (["netlist", "-o", "x", "--what", "program", "--scheme", "1t1r"], "cell must be a TransistorCell"),
        (["netlist", "-o", "x", "--what", "program", "--width", "-1"], "width must be greater than 0 (got -1.0)"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, words, message):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("circuitmem: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_no_command_says_what_to_do_next(run):
    done = run()
    assert done.returncode == 0
    assert "circuitmem train" in done.stdout


def test_an_interrupt_is_one_line_and_exit_code_130():
    program = (
        "import signal, sys, circuitmem.doctor as doctor; from circuitmem.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a job in the background inherits its neglect
        "doctor.examine = lambda: signal.raise_signal(signal.SIGINT); sys.argv[1:] = ['doctor']; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stderr == "circuitmem: interrupted\n"


def test_netlist_writes_the_same_tile_for_the_same_seed(run, tmp_path):
    small = ["--set", "chip.tile.rows=6", "--set", "chip.tile.columns=4"]
    for name, seed in (("a.cir", 3), ("b.cir", 3), ("c.cir", 4)):
        done = run("netlist", "-o", tmp_path / name, "--seed", seed, "--json", *small)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {
            "file": str(tmp_path / name),
            "rows": 6,
            "columns": 4,
            "seed": seed,
            "referee": "ngspice",
        }
    a, b, c = ((tmp_path / name).read_text() for name in ("a.cir", "b.cir", "c.cir"))
    assert a == b != c
    assert a.rstrip().lower().endswith(".end")


def test_netlist_writes_a_pulse_on_a_tile_of_devices(run, tmp_path):
    small = ["--set", "chip.tile.rows=3", "--set", "chip.tile.columns=2", "--seed", "5"]
    options = ["--device", "yakopcic:Oblea", "--pulse", "reset", "--row", "0", "--row", "2", "--column", "1"]
    done = run("netlist", "-o", tmp_path / "a.cir", "--what", "program", "--json", *small, *options, "--width", "1e-4")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {key: answer[key] for key in ("what", "device", "rows", "columns", "seed")} == {
        "what": "program", "device": "yakopcic:Oblea", "rows": 3, "columns": 2, "seed": 5,
    }  # fmt: skip
    assert answer["pulse"] == {
        "amplitude": -0.8, "width": 1e-4, "rise": 2e-5, "rows": [0, 2], "columns": [1], "scheme": "v/2",
    }  # fmt: skip
    text = (tmp_path / "a.cir").read_text()
    assert ".subckt yakopcic p n x" in text
    assert ".meas tran final_" in text
    # Of devices that are only counted there is no circuit: what stands in for them is said, unless it was asked for.
    for named, said in (([], True), (["--device", "vteam:A"], False)):
        done = run("netlist", "-o", tmp_path / f"{said}.cir", "--what", "program", *small, *named)
        assert "of vteam:A during a set pulse" in done.stdout
        assert ("(two-pulse devices have no circuit: --device names others)" in done.stdout) is said


def test_validate_without_ngspice_says_how_to_install_it(run, tmp_path):
    done = run("validate", "-o", tmp_path / "report", "--quick", NGSPICE_LIBRARY_PATH=str(tmp_path / "none.so"))
    assert done.returncode == 2
    assert done.stderr.startswith("circuitmem: error: libngspice cannot be loaded")
    assert done.stderr.endswith("apt-get install libngspice0\n")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "report").exists()


def test_doctor_shows_kernels_and_packages(run):
    findings = json.loads(run("doctor", "--json").stdout)
    assert "mesh" in findings["kernels"]
    assert "simpy" in findings["packages"]


@pytest.mark.spice
@pytest.mark.usefixtures("spice")
@pytest.mark.slow
def test_validate_passes_and_writes_its_record(run, tmp_path):
    done = run("validate", "-o", tmp_path / "report", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["drawing_s"] > 0.0
    stages = found["stages"]
    names = {stage["stage"] for stage in stages}
    assert names >= {"tile linear", "tile with defects", "tile sinh", "tile 1T1R", "tile 1S1R", "adc codes"}
    assert all(stage["pass"] and stage["worst"] <= stage["bound"] for stage in stages)
    written = json.loads((tmp_path / "report" / "validation.json").read_text())
    assert written["drawing_s"] == found["drawing_s"]
    assert [{k: v for k, v in stage.items() if k != "plots"} for stage in written["stages"]] == stages
    assert all(stage["plots"] for stage in written["stages"])
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    words = ["train", "--out", str(folder), "--json", "--trace", *SETTINGS]
    done = subprocess.run([sys.executable, "-m", "circuitmem", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_a_run_leaves_its_folder(tiny_run):
    folder, results = tiny_run
    methods = {"raw", "calibration", "in_situ", "calibration_in_situ"}
    assert set(results["accuracy_percent"]) == {"digital", *methods}
    for name in ("simulated_time_s", "energy_j", "pulses"):
        assert set(results[name]) == methods
        assert all(value > 0 for value in results[name].values())
    assert results["pulses"]["in_situ"] > results["pulses"]["raw"]
    assert results["simulated_time_s"]["calibration"] > results["simulated_time_s"]["raw"]
    assert json.loads((folder / "results.json").read_text()) == {"format": 1, **results}
    for name in ("config.toml", "provenance.json", "accuracy.png", "tile.png", "bottleneck.png"):
        assert (folder / name).stat().st_size > 100


def test_the_confusion_matrix_counts_every_digit_once_and_gives_the_accuracy(tiny_run):
    _, results = tiny_run
    for name, confusion in results["confusion"].items():
        counts = np.array(confusion)
        assert counts.shape == (10, 10)
        assert counts.sum() == 100  # data.test
        assert np.trace(counts) == results["accuracy_percent"][name]


def test_results_say_how_right_reused_matrices_were(run, tiny_run, tmp_path):
    _, exact = tiny_run
    settings = [*SETTINGS, "--set", "reuse_error=2e-3", "--set", "chip.retention.drift_exponent=0.01"]
    done = run("train", "--out", tmp_path / "run", "--json", *settings)
    assert done.returncode == 0, done.stderr
    reused = json.loads(done.stdout)["reuse"]
    assert 0.0 < max(record["largest_error"] for record in reused.values()) <= 2e-3
    for method, record in reused.items():
        assert record["scaled"] > 0
        before = exact["reuse"][method]
        assert before["exact"] > 0
        assert before["scaled"] == before["cells"] == 0


def test_results_terminal_and_page_say_how_right_single_precision_was(run, tmp_path):
    settings = [*SETTINGS, "--set", "precision=single", "--set", 'methods=["raw"]', "--set", "trace=false"]
    done = run("train", "--out", tmp_path / "run", *settings)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    record = results["reuse"]["raw"]
    assert results["precision"] == "single"
    assert record["checks"] > 0
    assert 0.0 < record["largest_error"] < 1e-5
    for text in (done.stdout, (tmp_path / "run" / "report.html").read_text("utf-8")):
        assert f"off by up to {record['largest_error']:.1e} of a tile" in " ".join(text.split()).replace("&#39;", "'")


def test_the_trace_of_a_method_adds_up_to_its_accounts(tiny_run):
    folder, results = tiny_run
    for method, accounts in results["accounts"].items():
        events = json.loads(gzip.decompress((folder / f"trace_{method}.json.gz").read_bytes()))["traceEvents"]
        for quantity, name in (("energy", "energy_aJ"), ("busy", "busy_ps"), ("pulses", "pulses")):
            total = sum(event["args"][name] for event in events if event.get("cat") == "operation")
            assert total == sum(account[quantity] for account in accounts.values())
            assert total == sum(account[quantity] for account in results["phases"][method].values())
        assert sum(results["energy_by_part_aj"][method].values()) == sum(a["energy"] for a in accounts.values())
        fractions = [used["fraction"] for used in results["utilisation"][method].values()]
        assert fractions == sorted(fractions, reverse=True)
        assert 0.0 < fractions[0] <= 1.0
        assert results["saturated_codes"][method]["adc"] == sum(a["saturated"] for a in accounts.values())

    trained, raw = results["phases"]["in_situ"], results["phases"]["raw"]
    assert set(trained) == {"bring-up", "training", "test"}
    assert set(raw) == {"bring-up", "test"}
    assert trained["bring-up"] == raw["bring-up"]


def test_saturated_codes_are_counted_and_printed(run, tmp_path):
    # A hundredth of the range: whatever gain the chip chooses, the offsets alone pass its end.
    settings = ("chip.converters.adc.maximum=0.01", "data.train=60", "in_situ.epochs=1", "audit.tiles=0")
    words = SETTINGS + options(settings)
    done = run("train", "--out", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "run" / "results.json").read_text())["saturated_codes"]
    assert all(count["adc"] > 1000 for count in counts.values())
    assert all(count["dac"] > 0 for count in counts.values())  # hidden activities beyond their DACs' range
    line = next(line for line in done.stdout.splitlines() if line.startswith("saturated codes"))
    assert f"raw defective chip {counts['raw']['adc']:,} / {counts['raw']['dac']:,}" in line


def test_the_bottleneck_is_in_a_table_and_a_figure(tiny_run):
    folder, results = tiny_run
    assert (folder / "bottleneck.png").stat().st_size > 1000
    blocks = (folder / "bottleneck.txt").read_text().split("\n\n")[1:]
    assert len(blocks) == len(results["phases"])
    for block, method in zip(blocks, results["phases"], strict=True):
        # Phases, operations and parts each add up to all of the energy, as the trace does (see above).
        tables = block.split("energy (mJ)")[1:]
        total = sum(account["energy"] for account in results["accounts"][method].values()) * 1e-15
        for table in tables:
            rows = [line.split() for line in table.splitlines() if line.rstrip().endswith("%")]
            energies = [float(row[-2]) for row in rows if "resource" not in row]
            if table is tables[-1]:
                energies = energies[: len(results["energy_by_part_aj"][method])]
            assert sum(energies) == pytest.approx(total, abs=1e-6 * len(energies))
        busiest = next(iter(results["utilisation"][method]))
        assert block.split("in use\n")[1].strip().startswith(busiest)


def test_the_table_of_a_run_names_the_bottleneck(run, tiny_run):
    folder, results = tiny_run
    done = run("resume", folder)
    assert done.returncode == 0, done.stderr
    longest = max(results["simulated_time_s"], key=results["simulated_time_s"].__getitem__)
    busiest = next(iter(results["utilisation"][longest]))
    assert f"the bottleneck first: {busiest} " in done.stdout


def test_the_chip_that_the_readme_declares_is_one(tmp_path):
    readme = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    (tmp_path / "chip.toml").write_text(readme.split("```toml\n")[1].split("```")[0], "utf-8")
    chip = load_run(tmp_path / "chip.toml", []).chip
    assert (chip.adc_banks, chip.retention.drift_exponent, chip.endurance.pulses) == (4, 0.01, 1e6)
    assert [(fault.what, fault.tile, fault.row, fault.time) for fault in chip.faults] == [("driver", 3, 5, 2e-3)]


@pytest.mark.spice
@pytest.mark.usefixtures("spice")
def test_the_audit_of_the_runs_own_reads_agrees_with_ngspice(tiny_run):
    audit = tiny_run[1]["audit"]
    assert audit["reads"] == 4 * 2
    assert audit["failures"] == []
    # Linear tiles agree to 1e-9 (physics.md, section 9).
    assert audit["largest_relative_error"] <= 1e-9


def test_a_finished_chip_can_be_put_to_use(run, tiny_run, tmp_path):
    folder, results = tiny_run
    load = ["--rate", 4e4, "--duration", 1e-3, "--check-every", 1e-4, "--limit", 0.01, "--refresh-every", 3e-4]
    ageing = ["--set", "chip.retention.drift_exponent=0.02", "--set", "chip.retention.drift_time=1e-5"]
    words = ["infer", folder, *load, *ageing, "--trace", tmp_path / "use.json.gz", "--json"]
    done, again = run(*words), run(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == again.stdout
    found = json.loads(done.stdout)
    assert found["requests"] == pytest.approx(40, abs=30)
    assert 0.0 < found["latency_s"]["p50"] <= found["latency_s"]["p95"] <= found["latency_s"]["largest"]
    assert abs(found["accuracy_percent"] - results["accuracy_percent"]["calibration_in_situ"]) < 40.0
    assert len(found["checks"]) >= 2
    assert any(check["recalibrated"] for check in found["checks"])
    assert found["refreshes"]
    assert found["energy_per_inference_with_upkeep_j"] > found["energy_per_inference_j"] > 0.0
    assert json.loads(gzip.decompress((tmp_path / "use.json.gz").read_bytes()))["traceEvents"]
    shown = run("infer", folder, "--method", "raw", "--duration", 1e-4)
    assert shown.returncode == 0, shown.stderr
    assert "energy per inference" in shown.stdout
    assert "drift checks" not in shown.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "in_sit"], "--method must be one of raw, "),
        (["--rate", 0], "rate must be greater than or equal to 0.000001 (got 0.0)"),
        (["--set", "chip.tile.rows=16"], "chip.tile must be as in the run: the chip is made already"),
        (["--trace", "nowhere/use.json"], "nowhere/use.json: cannot be written: No such file or directory"),
        (["--trace", ""], ".: cannot be written: must be a file, not a folder"),
    ],
)
def test_bad_use_of_a_chip_is_one_line(run, tiny_run, words, message):
    done = run("infer", tiny_run[0], *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_is_not_overwritten(run, tiny_run):
    done = run("train", "--out", tiny_run[0], *SETTINGS)
    assert done.returncode == 2
    assert "must be a new or empty folder" in done.stderr


def test_an_interrupted_run_resumes_to_the_same_bits(run, tiny_run, tmp_path):
    folder, results = tiny_run
    partial = tmp_path / "partial"
    partial.mkdir()
    kept = ["config.toml", "digital.npz"]
    kept += [name.format("raw") for name in ("method_{}.json", "state_{}.npz", "audit_{}.npz")]
    for name in kept:
        (partial / name).write_bytes((folder / name).read_bytes())
    done = run("resume", partial, "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert again == results
    for name in ("state_calibration_in_situ.npz", "audit_in_situ.npz", "trace_in_situ.json.gz"):
        assert (partial / name).read_bytes() == (folder / name).read_bytes()


def test_a_corrupt_run_file_is_refused(run, tiny_run, tmp_path):
    (tmp_path / "config.toml").write_bytes((tiny_run[0] / "config.toml").read_bytes())
    (tmp_path / "digital.npz").write_bytes((tiny_run[0] / "digital.npz").read_bytes()[:-100])
    done = run("resume", tmp_path)
    assert done.returncode == 2
    assert "digital.npz: is not a readable npz file" in done.stderr


def test_help_lists_every_command_in_one_line_that_is_whole(run):
    found = run("--help").stdout
    listed = found[found.index("Commands:") :].splitlines()[1:]
    assert [line.split()[0] for line in listed] == ORDER
    assert not [line for line in listed if line.endswith("...")]


@pytest.mark.parametrize("words", ["train", "tile", "study run", "fit", "netlist", "validate"])
def test_every_command_that_writes_knows_both_names_of_the_option(run, words):
    found = run(*words.split(), "--help").stdout
    assert "-o" in found
    assert "--out" in found.replace("--output", "")
    assert "--output" in found
