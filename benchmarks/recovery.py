"""How often the intervals of ``circuitmem fit`` hold the truth: curves of known devices, with 2 % noise, fitted again.

``python benchmarks/recovery.py [--repeats N] [--first-seed S] [--ends FILE] [MODEL ...]``; 200 repetitions of every
model are the default, without vteam-slow, which is counted when it is named. The first seed is one that no choice of a
method was made with. After each curve it writes the record (docs/measured/recovery.json, which docs/fit.md is written
from) and results/recovery.txt: of 95 % intervals, how many held what the curve was made with, for each parameter and
for all of a model. Intervals that are open on one side are counted apart: a miss on that side there is none, and 97.5 %
of them are due. So is a parameter without an interval, which the fit calls not determined.

The model with the fewest curves comes next, so that a run that is stopped has counted all alike. It is gone on with
where it ended, and more repetitions are added to those that there are, as long as the code that fits is the same;
otherwise a model is counted from the beginning. --ends adds every interval to a CSV file, to look at those that missed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import inspect
import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from circuitmem.config import PulseUpdateSpec
from circuitmem.device import flicker
from circuitmem.errors import CircuitmemError
from circuitmem.rng import Purpose, stream_key
from circuitmem.study.fit import SWEEPS, fit_device, write_pulses, write_sweep

RESULTS = Path(__file__).parent / "results"
RECORD = Path(__file__).parents[1] / "docs" / "measured" / "recovery.json"
FIRST_SEED = 20_000
NOISE = 0.02
"""Standard deviation of a reading, of the largest one."""
PULSES = PulseUpdateSpec.preset("AlOx/HfO2")
CELLS = {"programming_error": 0.05, "drift_exponent": 0.05, "drift_spread": 0.3, "white": NOISE, "flicker": 0.01}
TARGETS, PER_TARGET = (2e-6, 8e-6, 20e-6), 60
T_0, T_R = 20.0, 0.25
HEAD = f"{'model':<14}{'curves':>7}  {'parameter':<32}{'both ends':>10}{'hold':>8}{'one end':>10}{'hold':>8}{'none':>7}"
COUNTED = "both", "both_hold", "one", "one_hold", "none"
"""Intervals with two ends and with one, how many of them held the truth, and parameters without any."""

Found = tuple[Any, dict[str, float]]
"""A fit, and what its parameters should be."""


def pulses(path: Path, seed: int) -> Found:
    """Fit a device that counts pulses."""
    return fit_device(write_pulses(path, PULSES, noise=NOISE, seed=seed), "pulse"), PULSES.model_dump()


def swept(name: str, path: Path, seed: int) -> Found:
    """Fit a device that follows an ODE."""
    own = SWEEPS[name]
    write_sweep(path, own.spec, own.amplitude, own.period, noise=NOISE, seed=seed)
    return fit_device(path, own.model, held=own.held), own.spec.model_dump()


def cells(path: Path, seed: int) -> Found:
    """Fit a device known by statistics."""
    rng, rows = np.random.default_rng(seed), ["cell,time_s,target_s,read_s"]
    times = np.concatenate([[20.0, 20.5, 21.0, 23.0], np.geomspace(30.0, 1e5, 12)])
    truth: dict[str, float] = {}
    for level, target in enumerate(TARGETS):
        left = target * (1.0 + CELLS["programming_error"] * rng.standard_normal(PER_TARGET))
        exponent = CELLS["drift_exponent"] * np.abs(1.0 + CELLS["drift_spread"] * rng.standard_normal(PER_TARGET))
        phase, key = rng.random(PER_TARGET), partial(stream_key, seed, Purpose.TEST, level)
        for when in times:
            slow = flicker(key, round(when * 1e12), np.full(PER_TARGET, when), phase, T_R)
            noise = (1.0 + CELLS["flicker"] * slow) * (1.0 + CELLS["white"] * rng.standard_normal(PER_TARGET))
            found = left * (1.0 + when / T_0) ** -exponent * noise
            rows += [f"{level}.{k},{when:.9g},{target:g},{g:.9g}" for k, g in enumerate(found)]
        for name, value in CELLS.items():
            truth[f"{name} at {target:.4g} S"] = value * (target if name == "programming_error" else 1.0)
    path.write_text("\n".join(rows))
    return fit_device(path, "statistical", held={"drift_time": T_0, "flicker_time": T_R}), truth


def steps(path: Path, seed: int) -> Found:
    """Fit a table of steps to ramps whose steps have a straight law and a spread of a tenth."""
    rng, rows = np.random.default_rng(seed), ["pulse,conductance_s,polarity"]
    g, reading = 5e-6, 0.1 * NOISE * 21e-6  # readings, which both the place and the step have, are a tenth as bad

    def law(conductance: float) -> float:
        return 0.3e-6 + 0.01 * conductance

    for _ in range(6):
        for way in ("up", "down"):
            for pulse in range(41):
                if pulse:
                    step = law(g) * (1.0 + 0.1 * rng.standard_normal())
                    g += step if way == "up" else -step
                rows.append(f"{pulse},{g + reading * rng.standard_normal():.9g},{way}")
    path.write_text("\n".join(rows))
    found = fit_device(path, "steps", seed=seed)
    return found, {name: law(float(name.split()[-2])) for name in found.estimate.values}


MODELS: dict[str, Callable[[Path, int], Found]] = {
    "pulse": pulses,
    "steps": steps,
    "statistical": cells,
    **{name: partial(swept, name) for name in SWEEPS},
}
SLOW = "vteam-slow"
CODE = {
    "pulse": ("pulse", "estimate", "problem", "descent", "profile", "intervals"),
    "steps": ("steps",),
    "statistical": ("statistics",),
}
"""Modules of ``circuitmem.study.fit`` that find the intervals of a model; an ODE's are those of pulses and its own."""


class Count:
    """What the fits of one model held.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`.
    first_seed : int
        Of the curves.
    old : dict, optional
        What was counted before: it goes on from there if the code of fits and the seed are the same.
    """

    def __init__(self, name: str, first_seed: int, old: dict[str, Any] | None) -> None:
        self.name = name
        self.record: dict[str, Any] = {"code": fit_code(name), "first_seed": first_seed}
        if old is not None and all(old[key] == value for key, value in self.record.items()):
            self.record = old
        else:
            self.record |= {"curves": 0, "failed": 0, "cpu_s": 0.0, "parameters": {}}

    def add(self, path: Path, ends: Path | None) -> None:
        """Make the next curve and fit it."""
        began, own = time.process_time(), self.record
        seed = own["first_seed"] + own["curves"]
        own["curves"] += 1
        try:
            fit, truth = MODELS[self.name](path, seed)
        except CircuitmemError:
            own["failed"] += 1
            return
        for parameter in fit.parameters:
            name, interval, told = parameter.name, fit.estimate.intervals[parameter.name], fit.ends(parameter)
            # Rows of a table of steps lie elsewhere in each repetition.
            key = " ".join(name.split()[:2]) if self.name == "steps" else name
            counts = own["parameters"].setdefault(key, dict.fromkeys(COUNTED, 0))
            if interval is None:
                counts["none"] += 1
            else:
                ends_told = "one" if None in told else "both"
                counts[ends_told] += 1
                counts[f"{ends_told}_hold"] += int(interval[0] <= truth[name] <= interval[1])
            if ends is not None:
                row = [self.name, seed, name, truth[name], fit.estimate.values[name]]
                with open(ends, "a", encoding="utf-8", newline="") as file:
                    csv.writer(file).writerow([*row, *(interval or ("", "")), fit.estimate.agreeing])
        own["cpu_s"] = round(own["cpu_s"] + time.process_time() - began, 2)
        own["measured"] = datetime.now(UTC).date().isoformat()


def fit_code(name: str) -> str:
    """Return a digest of the code that finds a model's intervals: those of other code are not counted together."""
    digest, folder = hashlib.sha256(), Path(inspect.getfile(fit_device)).parent
    for module in CODE.get(name, ("ode", "ode_models", *CODE["pulse"][1:])):
        digest.update((folder / f"{module}.py").read_bytes())
    return digest.hexdigest()[:12]


def lines_of(name: str, own: dict[str, Any]) -> list[str]:
    """Return a line for each parameter of a model, and one for all."""
    rows = own["parameters"]
    every = {key: sum(counts[key] for counts in rows.values()) for key in COUNTED}
    found = []
    for parameter, counts in [*rows.items(), ("all", every)]:
        shares = [f"{counts[f'{ends}_hold'] / counts[ends]:.1%}" if counts[ends] else "-" for ends in ("both", "one")]
        found.append(
            f"{name:<14}{own['curves']:>7}  {parameter:<32}{counts['both']:>10}{shares[0]:>8}"
            f"{counts['one']:>10}{shares[1]:>8}{counts['none']:>7}"
        )
    found[-1] += f"   {own['failed']} failed, {own['cpu_s'] / own['curves']:.2f} s of CPU each"
    return found


def write(folder: Path, record_path: Path, record: dict[str, Any]) -> None:
    """Write the record and its table, at once or not at all."""
    text = "\n".join([HEAD, *(line for name, own in record["models"].items() for line in lines_of(name, own))]) + "\n"
    for path, content in ((record_path, json.dumps(record, indent=1) + "\n"), (folder / "recovery.txt", text)):
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(content, "utf-8")
        fresh.replace(path)


def main() -> None:
    """Fit, count, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--ends", type=Path, help="CSV file that every interval is added to")
    parser.add_argument("models", nargs="*", default=[], metavar="MODEL")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of recovery.txt")
    parser.add_argument("--record", type=Path, default=RECORD)
    given = parser.parse_args()
    for name in given.models:
        if name not in MODELS:
            parser.error(f"MODEL must be some of {', '.join(MODELS)} (got {name!r})")
    record: dict[str, Any] = {"models": {}}
    if given.record.exists():
        record = json.loads(given.record.read_text("utf-8"))
    record = {"circuitmem": version("circuitmem"), "noise": NOISE, "confidence": 0.95, "models": record["models"]}
    with tempfile.TemporaryDirectory() as folder:
        chosen = given.models or [name for name in MODELS if name != SLOW]
        counts = {name: Count(name, given.first_seed, record["models"].get(name)) for name in chosen}
        while True:
            name, count = min(counts.items(), key=lambda each: each[1].record["curves"])
            if count.record["curves"] >= given.repeats:
                break
            count.add(Path(folder) / "curve.csv", given.ends)
            some = record["models"] | {name: count.record}
            record["models"] = {each: some[each] for each in MODELS if each in some}
            write(given.out, given.record, record)
    print((given.out / "recovery.txt").read_text("utf-8"), end="")


if __name__ == "__main__":
    main()
