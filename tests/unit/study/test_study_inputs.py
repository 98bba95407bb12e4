"""Changed data, weights and modules of the user, failed trials, other declarations: points are not mixed unnoticed."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from circuitmem.cli.app import main
from circuitmem.console import print_points, print_study
from circuitmem.errors import CircuitmemError, DataFileError, ValidationError
from circuitmem.files import load_npz
from circuitmem.report import draw_study, report_study
from circuitmem.report.study_plots import saved_map_plots
from circuitmem.report.study_report import BEGIN, END
from circuitmem.study import runner
from circuitmem.study.inputs import Inputs, files_used
from circuitmem.study.local import lost_record
from circuitmem.study.runner import plan_study, run_study
from circuitmem.study.spec import load_study
from circuitmem.study.store import Store, load_table
from circuitmem.study.tuning import trials_of

TABLE = """
title = "Own data"
methods = ["raw"]
repeats = 1
[run.data]
source = "{source}"
target = "target"
[run.network]
layers = [4, 3]
[run.chip.tile]
rows = 8
columns = 8
[run.ex_situ]
epochs = 2
[axes.device_yield]
key = "chip.defects.device_yield"
values = [1.0, 0.8]
[figures.accuracy]
kind = "lines"
x = "device_yield"
"""


def write_data(path, seed):
    rng = np.random.default_rng(seed)
    lines = ["a,b,c,d,target"]
    lines += [",".join([*(f"{x:.3f}" for x in rng.uniform(size=4)), "xyz"[k % 3]]) for k in range(60)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def own(write_study, tmp_path):
    """Return a study on a table of one's own, and that table."""
    write_data(tmp_path / "own.csv", 1)
    return load_study(write_study(text=TABLE.format(source=tmp_path / "own.csv"))), tmp_path / "own.csv"


def test_points_of_data_that_have_changed_are_refused_or_computed_again(own, tmp_path, capsys):
    study, data = own
    out = tmp_path / "out"
    run_study(study, out)
    ((name, sha256),) = load_table(out)[1]["data"]
    (out / "points" / f"{study.points()[1].id}.json").unlink()
    (out / "points.tar.xz").unlink()
    write_data(data, 2)
    refused = r"^data.source must be what finished points were computed with: .*own.csv had SHA-256 .* --recompute"
    for collect in (False, True):
        with pytest.raises(ValidationError, match=refused) as caught:
            run_study(study, out, collect=collect)
        assert "\n" not in str(caught.value)
    assert len(list((out / "points").glob("*.json"))) == 1  # nothing was computed
    plan = plan_study(study, out)
    assert plan["other_inputs"] == 1
    print_points(plan)
    assert "1 finished points are of data, weights or modules that have changed" in capsys.readouterr().out
    assert run_study(study, out, recompute=True)["computed"] == 2
    ((same, other),) = load_table(out)[1]["data"]
    assert (same, other != sha256) == (name, True)
    # The hash in the table is of what was computed, also where the file is no longer there.
    data.unlink()
    assert run_study(study, out, collect=True)["finished"] == 2
    assert load_table(out)[1]["data"] == [[name, other]]


def test_a_record_without_hashes_is_accepted_as_it_is(own, tmp_path):
    study, data = own
    out = tmp_path / "out"
    run_study(study, out)
    for path in (out / "points").glob("*.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({key: record[key] for key in record if key not in ("data", "files")}))
    write_data(data, 2)
    assert run_study(study, out)["computed"] == 0
    assert len(load_table(out)[1]["data"]) == 1


NETWORK = """
import numpy as np
from circuitmem.network import Ask, Network
from helper_of_{name} import seed

class Linear(Network):
    def __init__(self):
        super().__init__([np.random.default_rng(seed()).normal(size=(4, 3))])

    def steps(self, inputs):
        (scores,) = yield Ask([(0, inputs)])
        return scores
"""


def test_points_of_a_module_that_has_changed_are_refused_or_computed_again(own, tmp_path):
    folder, name = own[0].folder, "network_that_is_edited"
    text = (folder / "study.toml").read_text().replace("layers = [4, 3]", f'model = "{name}:Linear"')
    (folder / "study.toml").write_text(text.replace("[1.0, 0.8]", "[1.0]"))
    module, helper = folder / f"{name}.py", folder / f"helper_of_{name}.py"
    module.write_text(NETWORK.format(name=name))
    helper.write_text("from circuitmem import errors\n\ndef seed():\n    return 1 if errors else 0\n")
    study = load_study(folder)
    run_study(study)
    assert [each for each, _ in load_table(folder)[1]["files"]] == [helper.stem, name]
    for edited in (module, helper):
        before = edited.read_text()
        edited.write_text(before + "\n# other\n")
        said = rf"^module must be what finished points were computed with: {edited.stem} \({edited}\) had SHA-256"
        with pytest.raises(ValidationError, match=said):
            run_study(study)
        edited.write_text(before)
    assert run_study(study)["computed"] == 0
    helper.write_text(helper.read_text() + "\n# other\n")
    assert run_study(study, recompute=True)["computed"] == 1


def test_a_point_of_other_weights_is_refused(own, tmp_path):
    point = own[0].points()[0]
    (job,) = point.jobs
    weights = tmp_path / "weights.npz"
    weights.write_bytes(b"then")
    network = job.run.network.model_copy(update={"weights": str(weights)})
    named = replace(point, jobs=(replace(job, run=job.run.model_copy(update={"network": network})),))
    record = {"status": "finished", "files": files_used(named)}
    assert list(record["files"]) == [str(weights)]
    assert Inputs().change(named, record) is None
    weights.write_bytes(b"now")
    said = str(Inputs().change(named, record))
    assert said.startswith(f"network.weights must be what finished points were computed with: {weights} had SHA-256")
    assert Inputs().change(named, record | {"status": "failed"}) is None
    weights.unlink()
    assert Inputs().change(named, record) is None


def test_data_that_change_while_a_point_is_computed_are_refused(own, tmp_path):
    study, data = own

    def change(_, done, total):
        if done == 1:
            write_data(data, 2)

    with pytest.raises(ValidationError, match=r"own.csv had SHA-256"):
        # The worker that computed the first point keeps its samples: another seed reads the file again.
        run_study(load_study(study.folder, repeats=3), tmp_path / "out", progress=change)


def test_a_worker_reads_the_fingerprint_before_it_imports_what_it_runs():
    code = (
        "import sys\nimport circuitmem.study.worker as w\nassert 'circuitmem.training' not in sys.modules\n"
        "seen = []\nw.code_fingerprint = lambda: seen.append('circuitmem.training' in sys.modules)\n"
        "class Pipe:\n    def recv(self):\n        raise EOFError\n    send = print\n"
        "w.compute_points(Pipe())\nassert seen == [False], seen\nassert 'circuitmem.training' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


TUNED = """
[protocol]
validation = 5
trials = 2
tuning_maps = 1
first_tuning_seed = 101
[protocol.tune.in_situ]
"in_situ.learning_rate" = [0.1, 0.2]
"""


def test_failed_trials_are_listed_and_lost_ones_stop_the_study(own, tmp_path, capsys, monkeypatch):
    folder = own[0].folder
    text = (folder / "study.toml").read_text().replace('["raw"]', '["in_situ"]').replace("[1.0, 0.8]", "[0.8]")
    (folder / "study.toml").write_text(text + TUNED)
    study, out = load_study(folder), tmp_path / "out"
    run_study(study, out)
    store, first = Store(out), trials_of(study)[0]
    record = store.load(first.point)
    bad = {key: value for key, value in record.items() if key not in ("histories", "tests", "maps")}
    bad |= {"status": "failed", "error": {"type": "ConvergenceError", "message": "diverged", "where": ""}}
    store.save(bad)
    (out / "points.tar.xz").unlink()
    summary = run_study(study, out)
    assert summary["failed"] == []
    ((failed),) = summary["failed_trials"]
    assert (failed["settings"], failed["type"]) == ({"in_situ.learning_rate": 0.1}, "ConvergenceError")
    print_study(summary)
    said = capsys.readouterr().out
    assert "failed trial: device_yield 0.8, seed 101, in_situ, in_situ.learning_rate = 0.1: ConvergenceError" in said
    assert "--retry computes the failed trials again" in said
    monkeypatch.setattr(sys, "argv", ["circuitmem", "study", "run", str(folder), "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    store.save(lost_record(first.point, "the worker died 3 times"))
    for collect in (False, True):
        with pytest.raises(CircuitmemError, match=r"the tuning lost 1 of its trials .*died 3 times.*--retry"):
            run_study(study, out, collect=collect)
    summary = run_study(study, out, retry=True)
    assert (summary["computed"], summary["failed_trials"]) == (1, [])
    # Before the trials are finished there is nothing to collect, and an interruption does not promise it.
    monkeypatch.setattr(runner, "run_study", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert "finished (there are none before all trials of the tuning are finished)" in capsys.readouterr().err


def test_a_table_of_another_declaration_is_not_reported(own, tmp_path):
    study, _ = own
    folder, text = study.folder, (study.folder / "study.toml").read_text()
    run_study(study)

    def declared(new):
        (folder / "study.toml").write_text(new)
        return load_study(folder)

    for new, said in [
        (text + '[axes.noise]\nkey = "chip.read_noise"\nvalues = [0.0]\n', r"other axes \(without noise\)"),
        (text.replace('["raw"]', '["raw", "in_situ"]'), r"other methods \(without in_situ\)"),
        (text.replace("[1.0, 0.8]", "[1.0]"), r"other levels \(with 0.8\)"),
        (text.replace("epochs = 2", "epochs = 3"), r"another declaration of the points"),
    ]:
        assert new != text
        for show in (report_study, draw_study):
            with pytest.raises(DataFileError, match=said):
                show(declared(new), folder)
    assert not (folder / "results.md").exists()
    goal = '[[goals]]\nclaim = "c"\nmethod = "raw"\nminimum = 1.0\n'
    other = declared(text.replace("Own data", "Another title").replace("repeats = 1", "repeats = 2") + goal)
    assert report_study(other, folder)["report"]
    with pytest.raises(DataFileError, match=r"was written for the study, not its quick form"):
        report_study(load_study(folder, quick=True), folder)


def test_two_studies_do_not_share_a_folder(own, tmp_path):
    study, _ = own
    out, second = tmp_path / "out", tmp_path / "second"
    run_study(study, out)
    shutil.copytree(study.folder, second)
    for doing in (run_study, plan_study, report_study, draw_study):
        with pytest.raises(ValidationError, match=r"--out must be a folder without .*: it holds that of tiny"):
            doing(load_study(second), out)
    # A study may be renamed with its results.
    run_study(study)
    renamed = study.folder.rename(tmp_path / "renamed")
    assert run_study(load_study(renamed))["computed"] == 0
    assert report_study(load_study(renamed), renamed)["report"]


MAPS = """
[maps]
tiles = [0]
[axes.a.levels]
"x/y" = {}
x = {}
[axes.b.levels]
z = {}
"y/z" = {}
"""


def test_maps_of_levels_with_slashes_are_kept_apart_and_old_ones_go(own, tmp_path):
    folder = own[0].folder
    text = (folder / "study.toml").read_text().replace("[1.0, 0.8]", "[0.8]")
    points = 'points = [{ device_yield = 0.8, a = "x/y", b = "z" }, { device_yield = 0.8, a = "x", b = "y/z" }]\n'
    more = MAPS.replace('"x/y" = {}', '"x/y" = { "in_situ.epochs" = 1 }').replace(
        "x = {}", 'x = { "in_situ.epochs" = 2 }'
    )
    (folder / "study.toml").write_text(text.replace("repeats = 1", f"repeats = 1\n{points}") + more)
    study = load_study(folder)
    run_study(study)
    names = set(load_npz(folder / "maps.npz"))
    assert names == {f"0.8/{at}/raw/0/{when}" for at in ("x%2Fy/z", "x/y%2Fz") for when in ("before", "after", "stuck")}
    assert any("x/y" in plot.title for plot in saved_map_plots(study, folder))
    # Without its maps a point is computed again.
    gone = next((folder / "points").glob("*.npz"))
    gone.unlink()
    assert run_study(study)["computed"] == 1
    assert gone.exists()
    (folder / "study.toml").write_text((folder / "study.toml").read_text().replace("[maps]\ntiles = [0]\n", ""))
    run_study(load_study(folder))
    assert not (folder / "maps.npz").exists()


def test_where_all_points_fail_the_report_says_so(own, tmp_path):
    study, _ = own
    (study.folder / "README.md").write_bytes(f"# Mine\r\n{BEGIN}\r\nold\r\n{END}\r\nafter\r\n".encode())
    run_study(study)
    report_study(study, study.folder)
    readme = (study.folder / "README.md").read_bytes()
    assert readme.startswith(b"# Mine\r\n<!--")  # lines that are not ours keep their ends
    assert readme.endswith(f"{END}\r\nafter\r\n".encode())
    figures = [study.folder / "figures" / f"accuracy.{kind}" for kind in ("png", "pdf")]
    assert all(path.exists() for path in figures)
    store = Store(study.folder)
    for point in study.points():
        store.save(lost_record(point, "gone"))
    assert run_study(study)["finished"] == 0
    written = report_study(study, study.folder)
    assert "**2 points failed**" in (study.folder / "results.md").read_text()
    assert "0 of 2 points" in (study.folder / "README.md").read_text()
    assert (written["figures"], any(path.exists() for path in figures)) == ([], False)


def test_a_readme_that_is_not_utf8_is_named_before_anything_is_written(own):
    study, _ = own
    run_study(study)
    (study.folder / "README.md").write_bytes(b"caf\xe9 " + f"{BEGIN}{END}".encode())
    with pytest.raises(DataFileError, match=r"README.md: must be UTF-8 \(byte 3 is not\)"):
        report_study(study, study.folder)
    assert not (study.folder / "results.md").exists()
    assert not (study.folder / "figures").exists()


def pack(path, name, content, kind=tarfile.REGTYPE):
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, len(content), "nowhere"
    with tarfile.open(path, "w:xz") as archive:
        archive.addfile(entry, io.BytesIO(content))


def test_a_clone_is_collected_and_bad_members_of_its_pack_are_named(own, tmp_path):
    study, _ = own
    run_study(study)
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("study.toml", "points.tar.xz"):
        shutil.copy(study.folder / name, clone)
    assert run_study(load_study(clone), collect=True)["finished"] == 2
    name = f"{study.points()[0].id}.json"
    file = study.folder / "points.tar.xz"
    pack(clone / "points.tar.xz", name, b"{}")
    with pytest.raises(
        DataFileError, match=rf"points.tar.xz: is damaged: {name} in it must have the key .*; delete it"
    ):
        run_study(load_study(clone), collect=True)
    for kind in (tarfile.SYMTYPE, tarfile.DIRTYPE):
        pack(clone / "points.tar.xz", name, b"", kind)
        with pytest.raises(DataFileError, match=rf"is damaged \({name} in it is not a file\); delete it"):
            plan_study(load_study(clone))
    # A pack that is cut short is said before anything is written, and made again from the points.
    file.write_bytes(file.read_bytes()[:200])
    before = (study.folder / "results.parquet").stat().st_mtime_ns
    with pytest.raises(DataFileError, match=r"delete it, and it is made again from points/"):
        run_study(study)
    assert (study.folder / "results.parquet").stat().st_mtime_ns == before
    file.unlink()
    assert run_study(study)["computed"] == 0
    assert file.exists()


def test_what_killed_processes_left_in_a_study_is_removed(own):
    study, _ = own
    run_study(study)
    report_study(study, study.folder)
    names = ["points/.26d167311a363a2d.json.abcd1234", ".results.parquet.abcd1234", ".results.csv.abcd_234"]
    names += [".points.tar.xz.abcd1234", "figures/.accuracy.pdf.abcd1234", ".results.md.abcd1234"]
    for name in names:
        (study.folder / name).write_text("x")
    (study.folder / ".mine").write_text("x")
    run_study(study)
    assert [path.name for path in study.folder.rglob(".*")] != []
    assert not any((study.folder / name).exists() for name in names)
    assert (study.folder / ".mine").exists()
