"""Give the command line random configurations, in this process, and say where it breaks its word.

``python tests/fuzz/tries.py --seed 1 --tries 2000 --seconds 3600`` goes on until all tries or the time are over and
prints what it found, each with the words that do it again. ``--what files`` tries the commands that read a user's or a
run's files, which are changed too; ``--corpus`` does the named cases of ``cases.toml`` instead.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main

sys.path.insert(0, str(Path(__file__).parent))

from changes import TINY, VARIANTS, words_of
from commands import Try, try_of
from damage import hurt_run

import circuitmem.cli.runs
import circuitmem.engine
import circuitmem.report
from circuitmem.cli import main

SPEAKS = re.compile(r"circuitmem: (error|warning|progress|interrupted)\b")
"""How every line begins that a command may write to stderr."""

CODES = 0, 1, 2, 130


@dataclass
class Ended:
    """How a command ended: its exit code, or the traceback of what it let through, and what it wrote."""

    code: int | str
    out: str
    err: str
    seconds: float


def call(words: list[str], limit: float) -> Ended:
    """Run a command in this process, with its streams in files; after ``limit`` seconds it gets a Ctrl-C."""
    code: int | str = 0
    began = time.monotonic()
    with tempfile.TemporaryFile("w+b") as out, tempfile.TemporaryFile("w+b") as err:
        kept = os.dup(1), os.dup(2)
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        arguments, sys.argv = sys.argv, ["circuitmem", *words]
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, limit if math.isfinite(limit) else 0.0, 2.0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            code = traceback.format_exc(limit=-8)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            sys.argv = arguments
            sys.stdout.flush()
            sys.stderr.flush()
            for target, saved in zip((1, 2), kept, strict=True):
                os.dup2(saved, target)
                os.close(saved)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Ended(code, *texts, time.monotonic() - began)


def not_finite(value: Any, name: str = "") -> str | None:
    """Return the name of the first number of a JSON value that is not finite, or a cost below 0."""
    if isinstance(value, dict):
        return next((bad for key, each in value.items() if (bad := not_finite(each, f"{name}.{key}"))), None)
    if isinstance(value, list):
        return next((bad for k, each in enumerate(value) if (bad := not_finite(each, f"{name}[{k}]"))), None)
    if isinstance(value, float) and not math.isfinite(value):
        return name
    cost = re.match(r"\.(energy|simulated_time|pulses|accounts|phases|saturated)", name)
    return name if cost and isinstance(value, (int, float)) and value < 0 else None


FIGURES = {
    "draw_run": lambda _: [],
    "draw_run_page": lambda folder, **_: [Path(folder, "report.html")],
    "draw_array": lambda _, folder, *__: [Path(folder, "report.html")],
    "draw_fit": lambda *_: None,
}
"""What stands in for what draws a run, an array, a fit."""


class NoDrawer(contextlib.nullcontext[Any]):
    """Stands for the process that draws a run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(self)
        self.result = lambda: [Path(folder, "report.html").absolute()]
        self.prepare = self.begin = self.result


@contextlib.contextmanager
def without_figures(wanted: bool) -> Iterator[None]:
    """Leave figures and pages out: they take twenty times as long as a tiny run."""
    runs: Any = circuitmem.cli.runs
    kept, drawer = {name: getattr(circuitmem.report, name) for name in FIGURES}, runs.PageDrawer
    vars(circuitmem.report).update(FIGURES if wanted else {})
    runs.PageDrawer = NoDrawer if wanted else drawer
    try:
        yield
    finally:
        vars(circuitmem.report).update(kept)
        runs.PageDrawer = drawer


def prepare_once() -> None:
    """Let every try have what is the same in all: ngspice's answer, a process of its own, and the parsed options."""
    engine: Any = circuitmem.engine.SpiceEngine
    engine.probe = staticmethod(functools.cache(engine.probe))
    typer.main.get_command = functools.cache(typer.main.get_command)


class Home:
    """Fills the folders of tries.

    Attributes
    ----------
    runs : path
        Folder of finished tiny runs, by variant, that are copied into them.
    """

    def __init__(self) -> None:
        self.runs = Path(tempfile.mkdtemp(prefix="fuzz_runs_"))

    def close(self) -> None:
        """Remove the runs."""
        shutil.rmtree(self.runs, ignore_errors=True)

    def fill(self, folder: Path, trial: Try) -> None:
        """Put the files of a try into its folder, and a run if it wants one."""
        for name, content in trial.files.items():
            (folder / name).write_bytes(content)
        if trial.run is None:
            return
        run = self.runs / str(trial.run)
        if not run.is_dir():
            methods = 'methods=["raw","calibration_in_situ"]'
            sets = [word for text in [*TINY, *VARIANTS[trial.run], methods] for word in ("--set", text)]
            with without_figures(True):
                ended = call(["train", "--out", str(run), *sets], math.inf)
            assert ended.code == 0, ended
        shutil.copytree(run, folder / "run")
        if trial.damage is not None:
            hurt_run(random.Random(trial.damage), folder / "run")


def faults(words: list[str], ended: Ended, drawn: bool) -> list[str]:
    """Return every promise of the command line that was broken."""
    if isinstance(ended.code, str):
        return [f"traceback: {ended.code}"]
    found = [] if ended.code in CODES else [f"exit code {ended.code}"]
    lines = ended.err.splitlines()
    strange = [line for line in lines if not SPEAKS.match(line)]
    if strange and not (ended.code == 130 and "KeyboardInterrupt" in ended.err):
        found.append(f"stderr: {strange}")
    errors = sum(line.startswith("circuitmem: error: ") for line in lines)
    if errors != (ended.code == 2):
        found.append(f"exit code {ended.code} with {errors} lines of errors")
    if "--json" in words and ended.code in (0, 2):
        try:
            said = json.loads(ended.out, parse_constant=_refuse)
        except ValueError:
            found.append(f"stdout is no JSON: {ended.out[:200]!r}")
        else:
            if (ended.code == 2) != ("error" in said):
                found.append(f"stdout of exit code {ended.code}: {ended.out[:200]!r}")
    if ended.code == 0 and words[0] == "train":
        bad = not_finite(json.loads(Path("run/results.json").read_text()))
        found += [f"results.json: {bad}"] if bad else []
        files = ["provenance.json", *["report.html"] * drawn]
        found += [f"no {name}" for name in files if not Path("run", name).is_file()]
    left = [str(path) for path in Path().rglob(".partial_*")]
    return found + ([f"left behind: {left}"] if left else [])


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not of JSON")


def attempt(home: Home, trial: Try, limit: float, drawn: bool) -> tuple[Ended, list[str]]:
    """Run a command in a new folder and judge it."""
    before, folder = Path.cwd(), tempfile.mkdtemp(prefix="fuzz_")
    os.chdir(folder)
    try:
        home.fill(Path(folder), trial)
        with without_figures(not drawn):
            ended = call(trial.words, limit)
        return ended, faults(trial.words, ended, drawn)
    finally:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)


def corpus() -> dict[str, tuple[Try, int]]:
    """Return the named cases, each of which once broke a promise, and the exit code that is right."""
    cases = tomllib.loads((Path(__file__).parent / "cases.toml").read_text("utf-8"))
    return {name: (_case(case), case["code"]) for name, case in cases.items()}


def _case(case: dict[str, Any]) -> Try:
    sets = [word for setting in [*TINY, *case["set"]] for word in ("--set", setting)] if "set" in case else []
    files = {name: text.encode() for name, text in case.get("files", {}).items()}
    return Try([*case.get("command", ["train", "--out", "run"]), *sets], files, case.get("run"), case.get("damage"))


def tell(name: str, trial: Try, ended: Ended, found: list[str]) -> None:
    """Print a finding: what was changed, and how it ended."""
    changed = [word for word in trial.words if word != "--set" and word not in TINY]
    print(f"FOUND {name} ({ended.seconds:.1f} s): {' '.join(map(repr, changed))}")
    for file, content in trial.files.items():
        print(f"  {file}: {content[:2000]!r}")
    if trial.run is not None:
        print(f"  run of variant {trial.run}, damage {trial.damage}")
    for each in found:
        print("  " + each.rstrip().replace("\n", "\n  "))
    sys.stdout.flush()


def run(arguments: argparse.Namespace) -> int:
    """Do the tries that are asked for; returns how many of them broke a promise."""
    if arguments.memory:
        resource.setrlimit(resource.RLIMIT_AS, (arguments.memory << 20, arguments.memory << 20))
    prepare_once()
    known = corpus() if arguments.corpus else {}
    numbers = range(arguments.first, arguments.first + arguments.tries)
    make = try_of if arguments.what == "files" else (lambda *place: Try(words_of(*place)))
    tries = ((f"{arguments.seed}:{number}", make(arguments.seed, number)) for number in numbers)
    if arguments.corpus:
        tries = ((name, trial) for name, (trial, _) in known.items())
    began, bad, codes = time.monotonic(), 0, dict.fromkeys(CODES, 0)
    slow, home = [], Home()
    os.environ["XDG_CACHE_HOME"] = str(home.runs / "cache")  # tables of devices, which come and go
    for number, (name, trial) in enumerate(tries):
        if time.monotonic() - began > arguments.seconds:
            break
        if arguments.log:  # what was under way if the process dies
            Path(arguments.log).write_text(json.dumps({"name": name, "words": trial.words}))
        ended, found = attempt(home, trial, arguments.limit, (number + 1) % arguments.draw == 0)
        codes[ended.code if ended.code in CODES else 1] += 1
        if ended.code == 130:
            slow.append(name)
        if name in known and ended.code != known[name][1]:
            found.append(f"exit code {ended.code}, not {known[name][1]}: {ended.err}")
        if found:
            bad += 1
            tell(name, trial, ended, found)
        if arguments.verbose:
            print(
                f"{name} {ended.code if isinstance(ended.code, int) else 'traceback'} {ended.seconds:.2f} {ended.err!r}"
            )
    home.close()
    ends = ", ".join(f"{count} with {code}" for code, count in codes.items())
    print(f"{sum(codes.values())} tries in {time.monotonic() - began:.0f} s ended {ends}; {bad} broke a promise")
    if slow:
        print(f"interrupted after {arguments.limit:g} s: {' '.join(slow)}")
    return bad


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line of this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the changes")
    parser.add_argument("--what", choices=("settings", "files"), default="settings", help="what is changed")
    parser.add_argument("--first", type=int, default=0, help="number of the first try")
    parser.add_argument("--tries", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no try after so many")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds after which a try gets a Ctrl-C")
    parser.add_argument("--memory", type=int, default=0, help="MiB of address space that the process may have")
    parser.add_argument("--draw", type=int, default=1, help="draw the figures and the page of every so many tries only")
    parser.add_argument("--corpus", action="store_true", help="do the named cases instead")
    parser.add_argument("--log", help="file that has the try under way")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(bool(run(parse())))
