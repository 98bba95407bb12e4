"""Files of a run with something wrong inside: the one reader names the file and the key, whatever is wrong."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from circuitmem import records
from circuitmem.config import InferenceSpec, load_run
from circuitmem.console import print_results
from circuitmem.errors import DataFileError
from circuitmem.files import load_npz, save_npz
from circuitmem.records import check_record, read_arrays, read_config, read_record, write_record
from circuitmem.report import run_page, run_plots
from circuitmem.report.bottleneck import bottleneck_table
from circuitmem.training.run import resume_run, start_run
from circuitmem.training.serve import serve_run

TINY = ["data.side=8", "data.train=60", "data.test=40", "network.layers=[64,6,10]", "chip.tile.rows=16"]
TINY += ["chip.tile.columns=16", "ex_situ.epochs=1", "in_situ.epochs=1", "audit.tiles=0", "audit.fraction=0.0"]
WRONG = ([], {}, None, "a text", -1, 0.5, True, [1], {"a": 1})
POINT = {
    "id": "0123", "levels": {"yield": 0.8}, "seed": 1, "status": "finished", "config": {}, "wall_time_s": 1.0,
    "digital_percent": 90.0, "maps": [], "histories": {
        "raw": [{"epoch": 0, "accuracy_percent": 1.0, "pulses": 1, "simulated_time_s": 1.0, "energy_j": 1.0}],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "run"
    start_run(load_run(None, [*TINY, 'methods=["raw","calibration_in_situ"]']), folder)
    return folder


@pytest.fixture
def run(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "run"))


def spoilt(value, place=()):
    """Yield copies of a JSON value with one thing in it replaced, or one key taken out; long lists at their ends."""
    for wrong in WRONG:
        if type(wrong) is not type(value) or wrong != value:
            yield place, wrong
    children = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        children = [*enumerate(value)][:: max(len(value) - 1, 1)]
    for key, child in children:
        for where, changed in spoilt(child, (*place, key)):
            copied = copy.copy(value)
            copied[key] = changed
            yield where, copied
        if isinstance(value, dict):
            yield (*place, key), {name: other for name, other in value.items() if name != key}


def refusal(use, *arguments):
    """Return how the reader refuses a file, or None; any other error is one of the test."""
    try:
        use(*arguments)
    except DataFileError as error:
        return str(error)
    return None


def shown(path, content):
    """Let everything that uses a file of a run use it."""
    path.write_text(json.dumps(content))
    if path.name == "results.json":
        results = read_record(path, records.Results)
        print_results(results, path.parent, [])
    record = run_page.load_run_record(path.parent)
    run_page._rows(record)
    plots = (run_plots.confusion_plots, run_plots.cost_plots, run_plots.error_plots, run_plots.saturation_plots)
    for draw in (*plots, run_plots.product_plots, bottleneck_table):
        draw(record["methods"])
    run_plots.accuracy_plots(record)


@pytest.mark.parametrize("name", ["results.json", "method_raw.json", "digital.json", "provenance.json"])
def test_whatever_is_wrong_in_a_json_file_is_one_line(run, name, capsys):
    content, refused = json.loads((run / name).read_text()), 0
    for place, wrong in spoilt(content):
        said = refusal(shown, run / name, wrong)
        assert said is None or said.startswith(f"{run / name}: "), place
        assert "\n" not in (said or "")
        refused += said is not None
        capsys.readouterr()
    assert refused > 10
    shown(run / name, content)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("history", "raw", 0, "pulses"), "many", r"history\.raw\.0\.pulses: must be a valid integer \(got 'many'\)"),
        (("history", "raw"), [], r"history\.raw: List should have at least 1 item"),
        (("energy_j", "raw"), float("nan"), r"energy_j\.raw: must be a finite number"),
        (("audit", "methods"), 3, r"audit\.methods: must be an object"),
        (("accounts",), {}, "accounts must be of the methods of history"),
        (("format",), 2, "is of format 2; this version reads format 1"),
    ],
)
def test_the_key_is_named(run, place, value, said):
    content = json.loads((run / "results.json").read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (run / "results.json").write_text(json.dumps(content))
    with pytest.raises(DataFileError, match=rf"results\.json: {said}"):
        resume_run(run)


def test_files_without_a_format_are_read(run):
    for path in run.glob("*.json"):
        content = json.loads(path.read_text())
        assert content.pop("format") == 1
        path.write_text(json.dumps(content))
    before = resume_run(run)
    (run / "results.json").unlink()
    assert resume_run(run)["accuracy_percent"] == before["accuracy_percent"]


def test_whatever_is_wrong_in_a_point_or_a_validation_is_one_line(tmp_path):
    stage = {"stage": "a", "worst": 1e-9, "bound": 1e-6, "pass": True}
    for content, kind in ((POINT, records.PointRecord), ({"stages": [stage]}, records.Validation)):
        write_record(tmp_path / "a.json", content)
        assert read_record(tmp_path / "a.json", kind) == content
        refused = 0
        for _, wrong in spoilt(content):
            said = refusal(check_record, "a.json", json.dumps(wrong).encode(), kind)
            assert said is None or said.startswith("a.json: ")
            refused += said is not None
        assert refused > 10


@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"{", b'{"a": 1'])
def test_what_is_not_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataFileError, match=r"a\.json: is not JSON"):
        read_record(tmp_path / "a.json", records.Digital)
    (tmp_path / "a.json").unlink()
    (tmp_path / "a.json").mkdir()
    with pytest.raises(DataFileError, match=r"a\.json: cannot be read: Is a directory"):
        read_record(tmp_path / "a.json", records.Digital)


@pytest.mark.parametrize("text", ["chip = 5\n", "seed = -1\n", "[[\n", "colour = 3\n"])
def test_a_broken_configuration_names_the_file(run, text):
    (run / "config.toml").write_text(text)
    for use in (resume_run, read_config, run_page.load_run_record):
        with pytest.raises(DataFileError, match=r"config\.toml: "):
            use(run)


def spoilt_arrays(arrays):
    """Yield npz files with one array missing, of another shape, or of another type."""
    for name, array in arrays.items():
        yield {key: value for key, value in arrays.items() if key != name}
        yield arrays | {name: array[..., None]}
        yield arrays | {name: array.ravel()[:0]}
        yield arrays | {name: array.astype(str)}
        if array.ndim:
            yield arrays | {name: array[:, :-1] if array.ndim > 1 else array[:-1]}


@pytest.mark.parametrize("name", ["state_raw.npz", "digital.npz"])
def test_whatever_is_wrong_in_arrays_is_one_line(run, name):
    for path in ("results.json", "method_raw.json"):
        (run / path).unlink()
    spec = read_config(run)
    arrays = load_npz(run / name)
    for wrong in spoilt_arrays(arrays):
        save_npz(run / name, wrong)
        with pytest.raises(DataFileError, match=rf"{name}: "):
            read_arrays(run / name, records.STATE_ARRAYS) if "state" in name else resume_run(run)
    assert spec.methods


@pytest.mark.parametrize("other", ["state_raw.npz", "digital.npz", "audit_raw.npz", "chip_other.npz"])
def test_a_chip_or_sample_of_another_kind_is_named(run, tmp_path, other):
    start_run(load_run(None, [*TINY, "chip.tile.columns=20", 'methods=["raw"]']), tmp_path / "other")
    (run / "chip_other.npz").write_bytes((tmp_path / "other" / "chip_raw.npz").read_bytes())
    content = (run / other).read_bytes()
    (run / "chip_raw.npz").write_bytes(content)
    with pytest.raises(DataFileError, match=r"chip_raw\.npz: is (not )?a state"):
        serve_run(run, "raw", InferenceSpec(duration=1e-5))
    if other != "audit_raw.npz":
        (run / "results.json").unlink()
        (run / "audit_raw.npz").write_bytes(content)
        with pytest.raises(DataFileError, match=r"audit_raw\.npz: is (not )?a state"):
            resume_run(run)


@pytest.mark.parametrize("other", ["state_raw.npz", "chip_raw.npz", "audit_raw.npz"])
def test_a_checkpoint_of_another_kind_is_named_and_not_used(run, other, caplog):
    expected = resume_run(run)
    for path in ("results.json", "method_raw.json"):
        (run / path).unlink()
    (run / "checkpoint_raw_000001.npz").write_bytes((run / other).read_bytes())
    found = resume_run(run)
    assert "checkpoint_raw_000001.npz: is " in caplog.text
    assert {**found, "audit": 0} == {**expected, "audit": 0}


def test_a_state_with_a_wrong_shape_inside_is_named(run):
    arrays = load_npz(run / "chip_raw.npz")
    units = json.loads(str(arrays["plan"]))["dict"]["chip"]["dict"]["units"]
    name = units[0]["dict"]["conductance"]["array"]  # of all tiles, and what was asked of them
    wrong = {
        "an array": arrays[name][..., :-1],
        "of kind U": arrays[name].astype(str),
        "of 0 dimensions": arrays[name].ravel(),
    }
    for words, array in wrong.items():
        save_npz(run / "chip_raw.npz", arrays | {name: array})
        with pytest.raises(
            DataFileError, match=rf"chip_raw\.npz: .*chip\.units\.0\.\w+ must be an array.* not .*{words}"
        ):
            serve_run(run, "raw", InferenceSpec(duration=1e-5))
    for array in (np.array(3.0), arrays[name][:1]):
        save_npz(run / "chip_raw.npz", arrays | {name: array})
        with pytest.raises(DataFileError, match=r"chip_raw\.npz: is not a state of this run \(IndexError"):
            serve_run(run, "raw", InferenceSpec(duration=1e-5))
