"""No text of a user becomes a command: every door is tried with text that ngspice, or a shell, would execute.

The canary is a file that each of them would make. ``HOSTILE`` are more than 40 ways to say so.
"""

import contextlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import tomli_w
from builders import uniform_tile

from circuitmem import DefectMap, Tile
from circuitmem.cli import main
from circuitmem.config import RunSpec, VerilogASpec, load_run, remember_verilog
from circuitmem.engine import AuditQueue, BehavioralEngine, load_case, tile_netlist, verilog_law
from circuitmem.errors import CircuitmemError, DataFileError, SpiceError, ValidationError
from circuitmem.files import load_npz, save_npz
from circuitmem.netlists.jobs import OperatingPoints
from circuitmem.netlists.runner import Runner
from circuitmem.netlists.text import OPTIONS, Netlist
from circuitmem.netlists.vacask.elements import BASE
from circuitmem.netlists.vacask.text import OPTIONS as VACASK_OPTIONS
from circuitmem.netlists.vacask.text import VacaskNetlist, model_source
from circuitmem.netlists.vacask.verilog import read_model
from circuitmem.study.random_tile import random_tile

CANARY = "canary"
DO = f"shell touch {CANARY}"
HOSTILE = [
    f"\n.control\n{DO}\n.endc\n",
    f".control\n{DO}\n.endc",
    f"  .CONTROL\n{DO}\n.ENDC",
    f"\t.control\n{DO}\n.endc",
    f"x\r.control\r{DO}\r.endc",
    f"x\r\n.control\r\n{DO}\r\n.endc",
    f"x\x0b.control\x0b{DO}",
    f"x\x0c.control\x0c{DO}",
    f"x\x1c.control\x1c{DO}",
    f"x\x85.control\x85{DO}",
    f"x\u2028.control\u2028{DO}",
    f"*# {DO}",
    f"\n*# {DO}\n",
    f"\n  *# {DO}\n",
    f"*#{DO}",
    f"1 ; {DO}",
    f"1\n;{DO}",
    f"1 $ {DO}",
    f"`touch {CANARY}`",
    f"$(touch {CANARY})",
    f"${{touch {CANARY}}}",
    f"| touch {CANARY}",
    f"&& touch {CANARY}",
    f"'; touch {CANARY}; '",
    f'"; touch {CANARY}; "',
    f"> {CANARY}",
    f"! touch {CANARY}",
    f"\n+ \n.control\n{DO}\n.endc",
    f"\n+ *# {DO}",
    f"\\\n.control\\\n{DO}",
    f"\\\\\n*# {DO}",
    DO,
    f"system touch {CANARY}",
    "\n.include evil.cir\n",
    ".include 'evil.cir'",
    ".inc evil.cir",
    ".lib evil.cir x",
    "source evil.cir",
    f".title x\n*# {DO}",
    f"*ng_script\n{DO}",
    f"* ng_script\n{DO}",
    f".param x='{{`touch {CANARY}`}}'",
    f".csparam x=`touch {CANARY}`",
    f".model m d_process (process_file=\"touch {CANARY}\")",
    f".exec touch {CANARY}",
    f".options x=`touch {CANARY}`",
    f".save `touch {CANARY}`",
    f".end\n.control\n{DO}\n.endc",
    f"alter x = 1 ; {DO}",
    f"__import__('os').system('touch {CANARY}')",
    f"{{{{ cycler.__init__.__globals__.os.system('touch {CANARY}') }}}}",
    "../../../../etc/passwd",
    "\0",
    "%n%n%n%s",
]  # fmt: skip
LINES = [text.replace("\n", "_").replace("\r", "_") for text in HOSTILE]


@pytest.fixture(autouse=True)
def trap(tmp_path, monkeypatch):
    """A working folder with everything that would make the canary; at the end of each test there must be none."""
    (tmp_path / "evil.cir").write_text(f".control\n{DO}\n.endc\n")
    (tmp_path / ".spiceinit").write_text(f"{DO}\n")
    (tmp_path / "spinit").write_text(f"{DO}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPICE_SCRIPTS", str(tmp_path))
    yield tmp_path
    found = [path for path in tmp_path.rglob("*") if path.name == CANARY]
    assert not found, "a command was executed"


def test_there_are_many_ways():
    assert len(set(HOSTILE)) >= 40


def simulate(spice, tile):
    """Send a tile through ngspice, and its exported netlist through the program if there is one."""
    spice.read(tile, np.full(tile.spec.rows, 0.1))
    text = tile_netlist(tile, np.full(tile.spec.rows, 0.1))
    assert CANARY not in text
    return text


def refused(what, *arguments, **keywords):
    """Call something; return None if it refuses with one line, else what it returned."""
    try:
        return what(*arguments, **keywords)
    except CircuitmemError as error:
        assert "\n" not in str(error)  # noqa: PT017  (what is refused is as right as what is not)
        return None


def leaves(values, prefix=""):
    """Return the dotted keys of all values of a nested dictionary."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


KEYS = [*leaves(RunSpec().model_dump()), "chip.tile.cell.kind", "chip.device.kind", "chip.name", "title", "model"]
TEXT_KEYS = [
    "data.source", "chip.tile.word_line_drive", "chip.tile.cell.kind", "chip.device.kind", "calibration.method",
    "granularity", "chip.endurance.failure", "title",
]  # fmt: skip


@pytest.mark.parametrize("door", ["file", "--set"])
def test_values_of_a_configuration(door, trap):
    reference = tile_netlist(*random_tile(RunSpec().chip, 1))
    cases = [(key, HOSTILE[index % len(HOSTILE)]) for index, key in enumerate(KEYS)]
    cases += [(TEXT_KEYS[index % 2 * (index // 2 % len(TEXT_KEYS))], text) for index, text in enumerate(2 * HOSTILE)]
    accepted = 0
    for key, text in cases:
        if door == "file":
            values = text
            for part in reversed(key.split(".")):
                values = {part: values}
            (trap / "config.toml").write_bytes(tomli_w.dumps(values).encode(errors="surrogatepass"))
            spec = refused(load_run, trap / "config.toml")
        else:
            spec = refused(load_run, None, [f"{key}={text}"])
        if spec is not None:
            accepted += 1
            assert spec.chip == RunSpec().chip
            if accepted % 10 == 1:
                assert tile_netlist(*random_tile(spec.chip, 1)) == reference, key
    assert accepted >= len(HOSTILE) / 3  # a folder of digits may have any name


@pytest.mark.parametrize("door", ["preset", "--set key", "raw toml"])
def test_names_of_presets_keys_and_whole_files(door, trap):
    for text in HOSTILE:
        if door == "preset":
            assert refused(load_run, text) is None
        elif door == "--set key":
            assert refused(load_run, None, [text]) is None
            assert refused(load_run, None, [f"{text}=1"]) is None
        else:
            (trap / "config.toml").write_text(text, errors="surrogatepass")
            assert refused(load_run, trap / "config.toml") in (None, RunSpec())


SMALL = ["--set", "chip.tile.rows=2", "--set", "chip.tile.columns=2"]


def call(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["circuitmem", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_output_paths(trap, monkeypatch, capsys):
    """``ngspice -b NAME`` executes what stands in backticks in the name: such a name is refused."""
    written = []
    for text in LINES:
        name = f"./out {text.replace('/', '_')}.cir"[:200]
        if "\0" in name:
            continue
        code = call(monkeypatch, "netlist", "-o", name, *SMALL)
        assert code in (0, 2)
        assert (trap / name).exists() == (code == 0)
        written += [name] * (code == 0)
    texts = {(trap / name).read_text() for name in written}
    assert len(texts) == 1  # none has its name in it
    assert CANARY not in texts.pop()
    if shutil.which("ngspice"):
        # Where the program looks for its own start-up files is the user's business, and here a trap.
        monkeypatch.delenv("SPICE_SCRIPTS")
        for name in written:
            subprocess.run(["ngspice", "-n", "-b", name], capture_output=True, timeout=60)
    assert 5 < len(written) < len(LINES) / 2
    capsys.readouterr()


make_tile = partial(uniform_tile, 2, 2, word_line_resistance=1.0)


@pytest.mark.spice
def test_defect_files(spice, trap):
    bridges = [["word", 0, 0], ["word", 1, 0], 10.0]
    for index, text in enumerate(HOSTILE):
        for place in {index % 3, 3, 4}:
            changed = json.loads(json.dumps(bridges))
            if place == 4:
                changed[2] = text
            elif place == 3:
                changed[0] = [text]
            else:
                changed[0][place] = text
            save_npz(trap / "defects.npz", {"bridges": np.array(json.dumps([changed]))})
            assert refused(DefectMap.load, trap / "defects.npz") is None
        save_npz(trap / "defects.npz", {"bridges": np.array(text)})
        assert refused(DefectMap.load, trap / "defects.npz") is None
        for name in ("stuck", "dead_drivers", "open_word_segments"):
            save_npz(trap / "defects.npz", {"bridges": np.array("[]"), name: np.array([[text]])})
            assert refused(DefectMap.load, trap / "defects.npz") is None
    save_npz(trap / "defects.npz", {"bridges": np.array(json.dumps([bridges]))})
    simulate(spice, Tile(make_tile().spec, make_tile().conductance, DefectMap.load(trap / "defects.npz")))


class Bomb:
    def __reduce__(self):
        return os.system, (f"touch {CANARY}",)


@pytest.mark.parametrize("loader", [DefectMap.load, load_case, load_npz])
def test_pickles_in_files(trap, loader):
    bomb = np.array([Bomb()], dtype=object)
    np.savez(trap / "bomb.npz", bridges=bomb, format=bomb, sha256=np.array(""), allow_pickle=True)
    (trap / "bomb.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.npz", "bomb.npy"):
        with pytest.raises(DataFileError):
            loader(trap / name)


@pytest.mark.spice
def test_tile_files_for_replay(spice, trap, monkeypatch, capsys):
    tile, voltages = make_tile(), np.array([[0.1, 0.2]])
    with AuditQueue(folder=trap) as audit:
        audit.submit(tile, voltages, 1.1 * BehavioralEngine().read(tile, voltages))
    (file,) = audit.record.files
    content = dict(load_npz(file))
    spec = json.loads(str(content["case_spec"]))
    accepted = 0
    for index, text in enumerate(HOSTILE):
        keys = [*spec, "title"][index % 3 :: 3]
        changes = [{"case_spec": np.array(text)}, {"provenance": np.array(json.dumps({"title": text, text: "x"}))}]
        changes += [{"case_spec": np.array(json.dumps(spec | {key: text}))} for key in keys]
        changes += [{"case_spec": np.array(json.dumps(spec | {"cell": {"kind": text}}))}]
        changes += [{name: np.array([[text]])} for name in ("case_conductance", "case_voltages", "reference")]
        changes += [{"case_defects_bridges": np.array(json.dumps([[[text, 0, 0], ["word", 1, 0], 1.0]]))}]
        for change in changes:
            save_npz(trap / "changed.npz", content | change)
            saved = refused(load_case, trap / "changed.npz")
            if saved is not None:
                assert "provenance" in change
                accepted += 1
                assert CANARY not in simulate(spice, saved.case.tile) if accepted == 1 else True
    assert accepted == len(HOSTILE)
    # What a foreign file says about itself is printed, and no more than that.
    save_npz(trap / "changed.npz", content | {"provenance": np.array(json.dumps({"title": HOSTILE[0], "b": "[red]x"}))})
    assert call(monkeypatch, "replay", str(trap / "changed.npz")) == 0
    assert "[red]x" in capsys.readouterr().out


TEXT = f".title circuitmem\nVa a 0 dc 1\nRa a 0 1\nVpoint point 0 dc 0\n{OPTIONS}\n.end\n"
DOORS = {
    "a line": lambda text: TEXT.replace("Ra", f"{text}\nRa", 1),
    "a name": lambda text: TEXT.replace("Ra a", f"R{text} a"),
    "a node": lambda text: TEXT.replace("Ra a", f"Ra {text}"),
    "a value": lambda text: TEXT.replace("a 0 1\n", f"a 0 {text}\n", 1),
    "a comment": lambda text: TEXT.replace("Ra", f"* {text}\nRa", 1),
    "the title": lambda text: TEXT.replace("circuitmem", text),
    "the title line": lambda text: text + TEXT[len(".title circuitmem") :],
    "an option": lambda text: TEXT.replace(".options ", f".options {text} "),
    "what is saved": lambda text: TEXT.replace(".end", f".save {text}\n.end"),
    "the end": lambda text: TEXT + text,
}


@pytest.mark.spice
@pytest.mark.parametrize("door", DOORS)
def test_a_fragment_of_a_netlist(door):
    """The gate refuses it, or ngspice itself takes it for no command."""
    runner, passed = Runner(time_limit=20.0), []
    for text in HOSTILE:
        try:
            passed.append(Netlist(DOORS[door](text), (), ("a",)))
        except ValidationError as error:
            assert str(error).startswith("netlist text must")  # noqa: PT017
    # A job that fails costs a worker: of those that the gate lets pass, the first that would leave a trace.
    for netlist in [one for one in passed if CANARY in one.text or "evil" in one.text][:8]:
        with contextlib.suppress(SpiceError):
            runner.simulate(netlist, OperatingPoints(np.zeros((1, 0))))
    runner.close()
    assert len(passed) < len(HOSTILE) / 2


@pytest.mark.parametrize("place", ["inputs", "outputs"])
def test_names_of_inputs_and_outputs(place):
    for text in HOSTILE:
        with pytest.raises(ValidationError, match="must match"):
            Netlist(TEXT, **{"inputs": (), "outputs": (), place: (text,)})


FOR_VACASK = [
    f'postprocess("/bin/sh","-c","touch {CANARY}")',
    f'embed "{CANARY}" "x"',
    'load "evil.osdi"',
    'include "/etc/passwd"',
    "analysis '../canary' op",
    f"parameters x=1\ncontrol\npostprocess(PYTHON,\"-c\",\"open('{CANARY}','w')\")\nendc",
]
"""Ways to say so to VACASK, whose control blocks run commands and write files."""


def test_no_text_passes_the_gate_of_vacask():
    for text in [*HOSTILE, *FOR_VACASK]:
        for lines, outputs in ((f"{text}\n", ("a",)), (f"r1 (a 0) r r={text}\n", ("a",)), ("", (text,))):
            with pytest.raises(ValidationError) as error:
                VacaskNetlist(BASE + lines, (), outputs, VACASK_OPTIONS, {})
            assert "\n" not in str(error.value)


def test_names_in_the_declaration_of_a_verilog_device():
    limits = {"positive_voltage": 1.0, "negative_voltage": 1.0, "time": 1e-6}
    for text in [*HOSTILE, *FOR_VACASK]:
        for words in ({"module": text}, {"state": text}, {"sha256": text}, {"parameters": {text: 1.0}}, {"file": text}):
            assert refused(VerilogASpec, **({"file": "vteam"} | limits | words)) is None, words


@pytest.mark.vacask
def test_a_verilog_file_whose_name_and_comments_are_hostile(trap, monkeypatch):
    """The text is code that its user has read; its name and its comments are not, and reach no simulator."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(trap / "cache"))
    every = [text.replace("\0", "") for text in [*HOSTILE, *FOR_VACASK]]
    comments = "".join(
        f"// {line}\n" for text in every for line in text.encode("ascii", "replace").decode().splitlines()
    )
    found = []
    for number, text in enumerate(["mine", *every]):
        name = f"{number} {text.replace('/', '_')}"[:60].encode("utf-8", "replace").decode()
        path = trap / f"{name}.va"
        path.write_text(comments + model_source("vteam"))
        if refused(remember_verilog, path) is not None:
            spec = VerilogASpec(file=str(path), positive_voltage=1.0, negative_voltage=1.0, time=1e-6)
            found.append(read_model(spec))
    assert len(found) > len(HOSTILE) / 2
    assert {model.text for model in found} == {found[0].text}
    assert CANARY not in found[0].text
    amperes, _ = verilog_law(spec, np.full(1, 0.5), np.full(1, 0.1))
    assert amperes[0] > 0.0
