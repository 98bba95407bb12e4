"""What the arbiter costs beside bare SimPy, for the same requests and time-outs, and what it adds to a training epoch.

Each client asks for its resources again and again, holds them for some time-outs, and gives them back. Bare SimPy does
that with ``Resource.request`` and ``timeout``; the arbiter with trains of as many beats, in both granularities. Rounds
of all three take turns, and the best of each counts: the machine may have other things to do.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import simpy

from circuitmem.control import Arbiter, Priority, Resource, Train

RESULTS = Path(__file__).parent / "results"
CASES = (
    ("1 resource, 1 time-out", 1, 1),
    ("1 resource, 64 time-outs", 1, 64),
    ("3 resources, 1 time-out", 3, 1),
    ("3 resources, 64 time-outs", 3, 64),
)
CLIENTS, BEAT = 8, 500
GOAL_PULSE, GOAL_BURST = 1.5, 0.05


class Idle(Train):
    """A train that does nothing but pass."""

    kind = "idle"

    def begin(self, now: int) -> None:
        """Meet nothing."""

    def settle(self, beats: int) -> None:
        """Note what is done."""
        self.done = beats

    def pause(self, now: int) -> None:
        """Book nothing."""

    def result(self) -> None:
        """Return nothing."""


def bare(resources: int, beats: int, turns: int) -> int:
    """Let all clients have their turns with bare SimPy; returns when they end."""
    environment = simpy.Environment()
    shared = [simpy.Resource(environment, 2) for _ in range(resources)]

    def client() -> Iterator[Any]:
        for _ in range(turns):
            requests = [resource.request() for resource in shared]
            for request in requests:
                yield request
            for _ in range(beats):
                yield environment.timeout(BEAT)
            for resource, request in zip(shared, requests, strict=True):
                resource.release(request)

    for _ in range(CLIENTS):
        environment.process(client())
    environment.run()
    return int(environment.now)


def arbitrated(granularity: str) -> Callable[[int, int, int], int]:
    """Return the same with the arbiter."""

    def run(resources: int, beats: int, turns: int) -> int:
        environment = simpy.Environment(initial_time=0)
        arbiter = Arbiter(environment, "pulse" if granularity == "pulse" else "burst")
        shared = tuple(Resource(f"resource {number}", 2) for number in range(resources))
        ends = range(BEAT, BEAT * beats + 1, BEAT)

        def client() -> Iterator[Any]:
            for _ in range(turns):
                yield arbiter.perform(Idle(shared, ends, Priority.NORMAL))

        for _ in range(CLIENTS):
            environment.process(client())
        environment.run()
        return int(environment.now)

    return run


WAYS = {"simpy": bare, "pulse": arbitrated("pulse"), "burst": arbitrated("burst")}


def compare(resources: int, beats: int, timeouts: int, rounds: int) -> dict[str, float]:
    """Return the seconds of each way for about so many time-outs, the best of some rounds, and how many turns."""
    turns = max(2, timeouts // (CLIENTS * beats))
    best = dict.fromkeys(WAYS, float("inf"))
    ends = set()
    for _ in range(rounds):
        for name, way in WAYS.items():
            began = time.perf_counter()
            ends.add(way(resources, beats, turns))
            best[name] = min(best[name], time.perf_counter() - began)
    if len(ends) != 1:
        raise AssertionError(f"the ways ended at different times: {ends}")
    return best | {"turns": turns * CLIENTS}


def epoch(images: int) -> dict[str, float]:
    """Train in situ on the default chip; returns the seconds, and how many trains it took."""
    from threadpoolctl import threadpool_limits

    from circuitmem.config import load_run
    from circuitmem.data import load_mnist
    from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch, train_ex_situ

    spec = load_run(None, [f"data.train={images}", "data.test=100", "ex_situ.epochs=1"])
    digits = load_mnist("bundled").first(images, 100)
    inputs, labels = digits.train_inputs, digits.train_targets
    with threadpool_limits(limits=1, user_api="blas"):
        model = train_ex_situ(spec.ex_situ, spec.network, inputs, labels, 1, lambda *_: None)
        network = build_network(spec, model, digits)
        chip = network.chip
        chip.run(bring_up(network, spec, digits, calibrate=False))
        trainer = InSituTrainer(spec.in_situ, network)
        chip.run(train_epoch(network, trainer, inputs[:200], labels[:200], 1, 0))
        before, began = chip.arbiter.numbered, time.perf_counter()
        chip.run(train_epoch(network, trainer, inputs, labels, 1, 1))
        return {"seconds": time.perf_counter() - began, "trains": chip.arbiter.numbered - before}


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    timeouts, rounds, images = (2_000, 1, 200) if options.quick else (60_000, 7, 2_000)
    found = {name: compare(resources, beats, timeouts, rounds) for name, resources, beats in CASES}
    trained = epoch(images)
    # A train of an epoch, three resources in burst, costs what an idle one does.
    each = found["3 resources, 64 time-outs"]["burst"] / found["3 resources, 64 time-outs"]["turns"]
    share = trained["trains"] * each / trained["seconds"]
    lines = [
        "The arbiter beside bare SimPy: the same requests and time-outs; microseconds a turn, best of the rounds",
        f"goals: pulse <= {GOAL_PULSE} times bare SimPy; burst < {GOAL_BURST:.0%} of a training epoch",
        f"{'':<28}{'simpy':>9}{'pulse':>9}{'burst':>9}{'pulse/simpy':>13}",
    ]
    for name, row in found.items():
        micro = [row[way] / row["turns"] * 1e6 for way in WAYS]
        lines.append(f"{name:<28}{micro[0]:9.1f}{micro[1]:9.1f}{micro[2]:9.1f}{micro[1] / micro[0]:13.2f}")
    lines.append(
        f"an epoch of {images:,} digits, 784-100-10: {trained['seconds']:.2f} s, {trained['trains']:,} trains of "
        f"{each * 1e6:.1f} us each in burst: {share:.1%}"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"cases": found, "epoch": trained, "burst_share": share}
    (options.out / "scheduler.json").write_text(json.dumps(record, indent=2) + "\n")
    (options.out / "scheduler.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
