"""How often the intervals of ``circuitmem fit`` hold the truth: curves of known devices, with 2 % noise, fitted again.

``python benchmarks/recovery.py [--repeats N] [--first-seed S] [MODEL ...]``; 200 repetitions of every model are the
default. The first seed is one that no choice of a method was made with. Writes results/recovery.txt after each curve,
where models that are not counted again stay: of 95 % intervals, how many held what the curve was made with, for each
parameter and for all of a model. An interval that is open on one side counts; a parameter without an interval, which
the fit calls not determined, is counted apart.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from circuitmem.config import PulseUpdateSpec
from circuitmem.device import flicker
from circuitmem.errors import CircuitmemError
from circuitmem.rng import Purpose, stream_key
from circuitmem.study.fit import SWEEPS, fit_device, write_pulses, write_sweep

RESULTS = Path(__file__).parent / "results"
FIRST_SEED = 20_000
NOISE = 0.02
"""Standard deviation of a reading, of the largest one."""
PULSES = PulseUpdateSpec.preset("AlOx/HfO2")
CELLS = {"programming_error": 0.05, "drift_exponent": 0.05, "drift_spread": 0.3, "white": NOISE, "flicker": 0.01}
TARGETS, PER_TARGET = (2e-6, 8e-6, 20e-6), 60
T_0, T_R = 20.0, 0.25
HEAD = f"{'model':<14}{'curves':>7}  {'parameter':<32}{'intervals':>10}{'hold':>8}{'none':>7}"

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


class Count:
    """What the fits of one model held.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`.
    """

    def __init__(self, name: str) -> None:
        self.name, self.curves, self.failed, self.seconds = name, 0, 0, 0.0
        self.held: dict[str, list[bool]] = {}
        self.none: dict[str, int] = {}

    def add(self, path: Path, seed: int) -> None:
        """Make a curve and fit it."""
        began = time.process_time()
        self.curves += 1
        try:
            fit, truth = MODELS[self.name](path, seed)
        except CircuitmemError:
            self.failed += 1
            return
        for parameter, interval in fit.estimate.intervals.items():
            # Rows of a table of steps lie elsewhere in each repetition.
            key = " ".join(parameter.split()[:2]) if self.name == "steps" else parameter
            own = self.held.setdefault(key, [])
            self.none[key] = self.none.get(key, 0) + (interval is None)
            if interval is not None:
                own.append(interval[0] <= truth[parameter] <= interval[1])
        self.seconds += time.process_time() - began

    def lines(self) -> list[str]:
        """Return a line for each parameter, and one for all."""
        every = [each for own in self.held.values() for each in own]
        rows = [*self.held.items(), ("all", every)]
        found = []
        for parameter, own in rows:
            none = sum(self.none.values()) if parameter == "all" else self.none[parameter]
            hold = f"{np.mean(own):.1%}" if own else "-"
            found.append(f"{self.name:<14}{self.curves:>7}  {parameter:<32}{len(own):>10}{hold:>8}{none:>7}")
        found[-1] += f"   {self.failed} failed, {self.seconds / self.curves:.2f} s of CPU each"
        return found


def write(path: Path, count: Count) -> None:
    """Write the lines of a model, and leave those of others as they are."""
    old = path.read_text().splitlines()[1:] if path.exists() else []
    lines = {name: [line for line in old if line.split()[0] == name] for name in MODELS}
    lines[count.name] = count.lines()
    text = "\n".join([HEAD, *(line for name in MODELS for line in lines[name])]) + "\n"
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)


def main() -> None:
    """Fit, count, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--out", type=Path, default=RESULTS / "recovery.txt")
    given = parser.parse_args()
    for name in given.models:
        if name not in MODELS:
            parser.error(f"MODEL must be some of {', '.join(MODELS)} (got {name!r})")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.models:
            count = Count(name)
            for seed in range(given.first_seed, given.first_seed + given.repeats):
                count.add(Path(folder) / "curve.csv", seed)
                write(given.out, count)
            print("\n".join(count.lines()), flush=True)


if __name__ == "__main__":
    main()
