"""What a command says while it works: every part that lasts gets a word, and there are few of them."""

import importlib
import sys
import threading
from pathlib import Path

import pytest
from builders import options

import circuitmem.cli.runs
import circuitmem.console.progress as module
import circuitmem.report
import circuitmem.training.ex_situ
import circuitmem.training.methods
import circuitmem.training.run
from circuitmem.cli import main
from circuitmem.console.progress import PATIENCE, ProgressLines
from circuitmem.training.audit import RunAudit

TINY = ["data.side=4", "data.train=20", "data.test=10", "network.layers=[16,6,10]", "chip.tile.rows=8"]
TINY += ["chip.tile.columns=8", "ex_situ.epochs=2", "in_situ.epochs=1", "calibration.vectors=5", "audit.tiles=0"]
TINY += ["audit.fraction=0.0", 'methods=["raw","best"]']
SETTINGS = options(TINY)


class Clock:
    """A clock that others move."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


@pytest.fixture
def lines(clock, said):
    return ProgressLines("preparing", said.append, clock)


def test_a_short_command_says_nothing(lines, clock, said):
    for step in range(10):
        lines.update("digital", step, 10)
        clock.now += 0.19
    assert said == []


def test_an_hour_of_one_thing_says_ten_lines(lines, clock, said):
    lines.update("digital", 3, 20)
    for _ in range(36_000):
        clock.now += 0.1
        lines.speak()
    assert said[0] == "circuitmem: progress: digital network, 3 of 20 after 2 s"
    assert len(said) == 10


def test_nothing_waits_longer_than_the_patience_for_its_first_word(lines, clock, said):
    """A thing that follows one that took an hour is spoken of as soon as if it had been the first."""
    lines.update("hour", 0, 1)
    clock.now += 3600.0
    lines.speak()
    for number in range(10):
        lines.update(f"thing {number}", 0, 1)
        clock.now += PATIENCE + 0.1
        lines.speak()
        assert f"thing {number} after" in said[-1]


def test_many_short_things_get_words_as_one_long_thing_does(lines, clock, said):
    for number in range(1000):
        lines.update(f"thing {number}", 0, 1)
        clock.now += 0.9 * PATIENCE
    assert 8 <= len(said) <= 10


def test_going_to_and_fro_between_two_things_does_not_chatter(lines, clock, said):
    for step in range(36_000):
        clock.now += 0.1
        lines.update(("in_situ", "audit")[step % 2], 0, 9)
    assert len(said) < 30


def test_a_stderr_that_is_full_does_not_stop_the_work(monkeypatch):
    full = Path("/dev/full").open("w")  # noqa: SIM115  (closing it fails too)
    monkeypatch.setattr(sys, "stderr", full)
    module._say("circuitmem: progress: something")
    with pytest.raises(OSError, match="No space left"):
        full.close()


def ended(words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["circuitmem", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def test_every_part_of_a_run_that_lasts_is_spoken_of(tmp_path, monkeypatch, clock, said, capsys):
    """Each part of a run takes three seconds more on a false clock, in which only the thread would speak."""
    made = []

    def lines(what, _):
        made.append(ProgressLines(what, said.append, clock))
        return made[-1]

    heard = {}

    def delay(owner, name, real=None):
        real = real or getattr(owner, name)

        def slow(*arguments, **options):
            before = len(said)
            clock.now += 3.0
            made[-1].speak()
            heard.setdefault(name, said[before:])
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, slow)

    monkeypatch.setattr(module, "ProgressLines", lines)
    delay(circuitmem.training.run, "load_data")
    delay(circuitmem.training.ex_situ, "initial_perceptron")
    delay(circuitmem.training.run, "build_network")
    delay(circuitmem.training.methods, "prepare_chip")
    delay(RunAudit, "finish")
    delay(circuitmem.cli.runs.PageDrawer, "prepare", lambda _: None)
    delay(circuitmem.cli.runs.PageDrawer, "result", lambda drawer: [drawer.folder / "report.html"])
    assert ended(["train", "--out", str(tmp_path / "run"), *SETTINGS], monkeypatch) == 0, capsys.readouterr().err
    words = {name: " ".join(each) for name, each in heard.items()}
    assert "progress: data after" in words["load_data"]
    assert "progress: digital network, 0 of 2 after" in words["initial_perceptron"]
    assert "progress: raw defective chip after" in words["build_network"]
    assert "progress: audit after" in words["prepare"]  # it is drawn while simulators are at work
    assert "progress: page after" in words["result"]
    # Bringing a chip up belongs to the same thing as making it, which had its word three seconds ago.
    assert any("defective chip" in line or "best" in line.lower() for line in said)
    assert len(said) < 20


@pytest.mark.parametrize(
    ("command", "owner", "name"),
    [
        (["calibrate", "-m", "affine", "--held-out", "5"], "circuitmem.training.compare_calibrations", "train_ex_situ"),
        (["netlist", "-o", "tile.cir"], "circuitmem.study.random_tile", "random_tile"),
        (["doctor", "--json"], "circuitmem.doctor", "examine"),
    ],
)
def test_other_commands_speak_too(tmp_path, monkeypatch, clock, said, command, owner, name):
    monkeypatch.chdir(tmp_path)
    made = []

    def lines(what, _):
        made.append(ProgressLines(what, said.append, clock))
        return made[-1]

    monkeypatch.setattr(module, "ProgressLines", lines)
    place = importlib.import_module(owner)
    real = getattr(place, name)

    def slow(*arguments, **options):
        clock.now += 3.0
        made[-1].speak()
        return real(*arguments, **options)

    monkeypatch.setattr(place, name, slow)
    settings = [] if command[0] == "doctor" else SETTINGS
    assert ended([*command, *settings], monkeypatch) == 0
    assert len(said) >= 1


def test_the_thread_speaks_while_the_work_reports_nothing(monkeypatch, said):
    """Waits for the line itself, however long the machine takes."""
    heard = threading.Event()

    def say(line):
        said.append(line)
        heard.set()

    monkeypatch.setattr(module, "_say", say)
    with module.Progress("fit"):
        assert heard.wait(60.0)
    assert said[0].startswith("circuitmem: progress: fit after ")
