"""Pulses on tiles of ODE devices: our kernel, ngspice and VACASK. Writes results/trains.txt.

Each pulse selects one row and moves its cells by about a tenth of their range. The kernel's time is that of the whole
call; a simulator's is its own solution alone, without the netlist, on a process that runs already. All calls of a row
take turns, and the best of each counts.

Goals: faster than ngspice at every size; a row of 64x64 in 5 ms.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from circuitmem import Tile, TileSpec
from circuitmem.config import OdeDevice, Pulse, PulseTrain, StanfordSpec, VteamSpec, YakopcicSpec
from circuitmem.device import conductance
from circuitmem.engine import BehavioralEngine, ProgrammingResult, SpiceEngine, VacaskEngine
from circuitmem.errors import SpiceUnavailableError

PULSES: dict[str, tuple[OdeDevice, float, float, tuple[float, float]]] = {
    "VTEAM set": (VteamSpec.preset("A"), -2.0, 2e-10, (0.3, 0.7)),
    "VTEAM reset": (VteamSpec.preset("A"), 1.2, 1e-10, (0.3, 0.7)),
    "Yakopcic set": (YakopcicSpec.preset("Oblea"), 0.8, 1e-4, (0.002, 0.02)),
    "Yakopcic reset": (YakopcicSpec.preset("Oblea"), -0.8, 1e-4, (0.01, 0.05)),
    "Stanford set": (StanfordSpec.preset("1.0"), 1.8, 2e-8, (0.5, 0.9)),
    "Stanford reset": (StanfordSpec.preset("1.0"), -1.8, 1e-7, (0.5, 0.9)),
}
"""Device, amplitude [V], width [s] and the states from which it starts: not so conductive that wires take it all."""

GOAL = 5.0
"""Milliseconds for a row of 64x64."""


def make(name: str, side: int) -> tuple[Tile, PulseTrain]:
    """Return a tile of random states with wires of 1 ohm, and a pulse on its middle row, the others at half of it."""
    device, amplitude, width, (low, high) = PULSES[name]
    spec = TileSpec(
        rows=side, columns=side, word_line_resistance=1.0, bit_line_resistance=1.0, cell=device.cell,
    )  # fmt: skip
    state = np.random.default_rng(side).uniform(low, high, spec.shape)
    pulse = Pulse(amplitude=amplitude, width=width, rise=width / 10.0, rows=(side // 2,), scheme="v/2")
    return Tile(spec, conductance(device, state)), PulseTrain(device=device, pulses=(pulse,))


def best(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the shortest time of each call [s], all taking turns."""
    found = {name: float("inf") for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name] = min(found[name], call())
    return found


def measure(name: str, side: int, referees: dict[str, SpiceEngine | VacaskEngine], rounds: int) -> str:
    """Return a line of the table."""
    tile, train = make(name, side)
    engine, answers = BehavioralEngine(threads=1), dict[str, ProgrammingResult]()

    def ours() -> float:
        began = time.perf_counter()
        answers["ours"] = engine.program(tile, train)
        return time.perf_counter() - began

    def referee(which: str) -> Callable[[], float]:
        def call() -> float:
            answers[which] = referees[which].program(tile, train)
            return float(referees[which].seconds["solve"])

        return call

    slow = best({which: referee(which) for which in referees}, 2)
    quick = best({"ours": ours}, rounds)["ours"]
    moved = np.abs(answers["ours"].state - answers["ours"].trajectory[0])[side // 2].mean()
    cells = "".join(
        f"{1e3 * slow[which]:>10.1f}{slow[which] / quick:>7.0f}x"
        f"{np.abs(answers[which].state - answers['ours'].state).max():>9.0e}"
        for which in referees
    )
    return f"{name:<15}{side:>3}x{side:<3}{answers['ours'].steps:>6}{moved:>8.3f}{1e3 * quick:>9.2f}{cells}"


def row(name: str, side: int, rounds: int) -> str:
    """Return a line about a row: on the clock, and the process's own time."""
    tile, train = make(name, side)
    engine = BehavioralEngine(threads=1)
    clock, own = float("inf"), float("inf")
    for _ in range(rounds):
        began, cpu = time.perf_counter(), time.process_time()
        result = engine.program(tile, train)
        clock, own = min(clock, time.perf_counter() - began), min(own, time.process_time() - cpu)
    moved = np.abs(result.state - result.trajectory[0])
    met = f"{'within' if 1e3 * clock <= GOAL else 'BEYOND'} {GOAL:g} ms" if side == 64 else ""
    return (
        f"{name:<15}{side:>3}x{side:<3}{result.steps:>6}{moved[side // 2].mean():>8.3f}"
        f"{np.delete(moved, side // 2, axis=0).max():>10.0e}{1e3 * clock:>9.2f}{1e3 * own:>9.2f}  {met}"
    )


def main() -> None:
    """Measure, print and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sides", type=int, nargs="+", default=[5, 8, 16, 32], help="sides of the tiles")
    options.add_argument("--row", type=int, default=64, help="side of the tile of the last table")
    options.add_argument("--pulses", nargs="+", choices=PULSES, default=list(PULSES), help="which pulses")
    options.add_argument("--rounds", type=int, default=20, help="calls of our kernel, of which the best counts")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for trains.txt")
    chosen = options.parse_args()
    referees: dict[str, SpiceEngine | VacaskEngine] = {"ngspice": SpiceEngine()}
    about = f"{SpiceEngine.probe().version}"
    try:
        about += f", {VacaskEngine.probe().version}"
        referees["VACASK"] = VacaskEngine()
    except SpiceUnavailableError as reason:  # an extra: the table says why it is not there
        about += f", no VACASK ({reason})"
    lines = [
        (
            f"{about}; milliseconds, best of several calls; "
            f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} processors when it began"
        ),
        "a row with all columns, others at half the voltage; wires of 1 ohm; diff: largest difference of final states",
        f"{'pulse':<15}{'tile':>7}{'steps':>6}{'moved':>8}{'ours':>9}"
        + "".join(f"{which:>10}{'ratio':>8}{'diff':>9}" for which in referees),
    ]
    print("\n".join(lines), flush=True)
    for name in chosen.pulses:
        for side in chosen.sides:
            lines.append(measure(name, side, referees, chosen.rounds))
            print(lines[-1], flush=True)
    shown = len(lines)
    lines += [
        "",
        "a row: steps, mean move of its cells, largest of the others, ms on the clock, ms of the process",
        *(row(name, chosen.row, chosen.rounds) for name in chosen.pulses),
    ]
    print("\n".join(lines[shown:]))
    for engine in referees.values():
        engine.close()
    (chosen.out / "trains.txt").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
