"""Files of a run that somebody changed, errors as JSON, full outputs: one line each, and exit code 2."""

import fcntl
import http.client
import json
import threading

import pytest

from circuitmem.config import load_run
from circuitmem.errors import DataFileError, RunBusyError, ValidationError
from circuitmem.report import draw_run, draw_run_page
from circuitmem.report.watch import RunServer
from circuitmem.training.run import resume_run, start_run

SMALL = [
    "data.side=8",
    "data.train=100",
    "data.test=50",
    "network.layers=[64,12,10]",
    "chip.tile.rows=16",
    "chip.tile.columns=16",
    "ex_situ.epochs=1",
    "in_situ.epochs=1",
    "audit.tiles=0",
    "audit.fraction=0.0",
]


@pytest.fixture
def run(tmp_path):
    start_run(load_run(None, [*SMALL, 'methods=["raw"]']), tmp_path / "run")
    return tmp_path / "run"


def test_seed_edited_in_config_is_refused(run):
    (run / "results.json").unlink()
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("seed = 1\n", "seed = 2\n", 1))
    with pytest.raises(ValidationError, match=r"^seed must be 1 in .*config\.toml, as when the run was begun"):
        resume_run(run)


@pytest.mark.parametrize("content", ["[]", "{}", "not json", "3"])
@pytest.mark.parametrize("name", ["results.json", "method_raw.json"])
def test_json_of_another_shape_is_named(run, name, content):
    if name != "results.json":
        (run / "results.json").unlink()
    (run / name).write_text(content)
    for use in (resume_run, draw_run_page):
        with pytest.raises(DataFileError, match=name):
            use(run)


def test_checkpoint_that_is_a_folder_is_named(run):
    for name in ("results.json", "method_raw.json"):
        (run / name).unlink()
    (run / "checkpoint_raw_000001.npz").mkdir()
    with pytest.raises(DataFileError, match=r"checkpoint_raw_000001\.npz: must be a file"):
        resume_run(run)


def test_npz_of_another_kind_is_named(run):
    for name in ("results.json", "method_raw.json"):
        (run / name).unlink()
    (run / "digital.npz").write_bytes((run / "state_raw.npz").read_bytes())
    with pytest.raises(DataFileError, match=r"digital\.npz: must have the array"):
        resume_run(run)


def test_leftovers_of_a_kill_are_removed_and_other_files_stay(run):
    (run / ".partial_raw.json.abcd1234").write_text("{")
    (run / ".gitignore").write_text("*")
    resume_run(run)
    assert not (run / ".partial_raw.json.abcd1234").exists()
    assert (run / ".gitignore").exists()


def test_second_resume_is_refused_while_the_first_lives(run):
    (run / "results.json").unlink()
    with (run / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunBusyError, match="another process works on this run"):
            resume_run(run)
    resume_run(run)


@pytest.mark.parametrize("words", [("resume", "nowhere"), ("train", "-o", "x", "--set", "chip.tile=5"), ("report",)])
def test_error_with_json_is_an_object(command, words, tmp_path):
    done = command(*words, "--json", cwd=tmp_path)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert set(error) == {"kind", "message"}
    assert done.stderr.splitlines() == [f"circuitmem: error: {error['message']}"]


@pytest.mark.parametrize("words", [("report",), ("resume", "--json"), ("resume",)])
def test_full_output_is_one_line(forked, run, words):
    done = forked(words[0], run, *words[1:], stdout="/dev/full")
    assert done["code"] == 2
    assert done["errors"] == ["circuitmem: error: No space left on device"]


def test_netlist_is_not_overwritten_and_hint_is_quoted(command, tmp_path):
    small = ("--set", "chip.tile.rows=4", "--set", "chip.tile.columns=4")
    done = command("netlist", "-o", tmp_path / "a b.cir", *small)
    assert done.stdout.rstrip().endswith(f"ngspice -b '{tmp_path / 'a b.cir'}'")
    again = command("netlist", "-o", tmp_path / "a b.cir", *small)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert command("netlist", "-o", tmp_path / "a b.cir", "--force", *small).returncode == 0


def test_head_is_refused_where_get_is(run, tmp_path):
    (tmp_path / "secret.txt").write_text("x")
    (run / "link.txt").symlink_to(tmp_path / "secret.txt")
    with RunServer(run) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            for path, host, expected in (
                ("/news", "127.0.0.1", 200),
                ("/digital.json", "127.0.0.1", 200),
                ("/digital.json", "example.org", 403),
                ("/link.txt", "127.0.0.1", 404),
                ("/%00", "127.0.0.1", 404),
            ):
                for method in ("GET", "HEAD"):
                    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
                    connection.request(method, path, headers={"Host": host})
                    answer = connection.getresponse()
                    assert answer.status == expected, (method, path, host)
                    assert method == "GET" or answer.read() == b""
                    connection.close()
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "setting",
    [
        "chip.programming.energy_per_pulse=1e3",
        "chip.converters.tia.power=1e12",
        "chip.device.set_voltage=1e6",
        "chip.digital.energy_per_operation=1e3",
        "chip.device.set_time=10.0",
    ],
)
def test_energy_beyond_64_bits_is_exact_in_results_and_drawn(tmp_path, setting):
    settings = [*SMALL, 'methods=["raw"]', setting]
    results = start_run(load_run(None, settings), tmp_path / "run")
    parts = results["energy_by_part_aj"]["raw"]
    assert sum(parts.values()) > 2**63 or "voltage" in setting or "set_time" in setting
    assert sum(parts.values()) == sum(account["energy"] for account in results["accounts"]["raw"].values())
    assert {"accuracy.png", "bottleneck.png"} <= {path.name for path in draw_run(tmp_path / "run")}
    assert draw_run_page(tmp_path / "run", figures=False)
