"""A training epoch of 784-256-10 on 64x64 tiles, with wires and without, and of aihwkit's analogue layers beside it.

The time of the clock counts, where nothing else runs; the CPU time is beside it, for a machine that others use too.
What a user sees is measured too: an epoch is a fifth of what ``circuitmem train`` takes longer for six than for one,
with the test and the checkpoint that it ends with. All take the 10,000 digits of the package; times are of 60,000.

Each runs with one thread and with two: two threads of aihwkit sometimes wait for each other, and are then slower than
one, so that only the better of the two is a fair rival. All train with the same digits, for the time of pulses depends
on them, and with the kernels that BLAS chooses by itself: ``OPENBLAS_CORETYPE``, set to an old processor, makes
aihwkit take 1.5 times as long and hardly touches ours. Each case runs in a process of its own, for its peak memory.
``AIHWKIT_PYTHON`` names an interpreter that has aihwkit and torch: neither is a dependency, and they want an
environment of their own. aihwkit 1.1.0 works with torch 2.10.0; with torch 2.13.0 it refuses its own weights.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

IMAGES, BATCH, EPOCH = 10_000, 64, 60_000
RESULTS = Path(__file__).parent / "results"

RIVAL = """
import json, sys, time, numpy, torch, resource
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import MappingParameter, SingleRPUConfig
from aihwkit.simulator.configs.devices import ConstantStepDevice
digits, (batch, threads) = numpy.load(sys.argv[1]), map(int, sys.argv[2:])
torch.manual_seed(1)
torch.set_num_threads(threads)
tile = SingleRPUConfig(device=ConstantStepDevice(), mapping=MappingParameter(max_input_size=0, max_output_size=0))
layers = AnalogLinear(784, 256, True, rpu_config=tile), torch.nn.ReLU(), AnalogLinear(256, 10, True, rpu_config=tile)
network, loss = AnalogSequential(*layers), torch.nn.CrossEntropyLoss()
optimiser = AnalogSGD(network.parameters(), lr=0.05)
optimiser.regroup_param_groups(network)
inputs, labels = torch.tensor(digits["inputs"], dtype=torch.float32), torch.tensor(digits["labels"])
def epoch():
    for start in range(0, len(inputs), batch):
        optimiser.zero_grad()
        loss(network(inputs[start : start + batch]), labels[start : start + batch]).backward()
        optimiser.step()
epoch()
began, busy = time.perf_counter(), time.process_time()
epoch()
taken, cpu = time.perf_counter() - began, time.process_time() - busy
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": taken, "cpu_seconds": cpu, "peak_mib": peak}))
"""


def measure(ohms: float, precision: str = "double") -> dict[str, float]:
    """Train in situ for a part of an epoch, after one that warms up."""
    from threadpoolctl import threadpool_limits

    from circuitmem.allocation import keep_freed_memory
    from circuitmem.config import load_run
    from circuitmem.data import load_mnist
    from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch, train_ex_situ

    wires = [f"chip.tile.{line}_line_resistance={ohms}" for line in ("word", "bit")]
    size = ["network.layers=[784,256,10]", f"in_situ.batch={BATCH}", "ex_situ.epochs=1", f"data.train={IMAGES}"]
    rest = ["data.test=100", "chip.defects.device_yield=0.8", f"precision={precision}"]
    spec = load_run(None, [*wires, *size, *rest])
    digits = load_mnist("bundled").first(IMAGES, 100)
    keep_freed_memory()  # as the commands do
    with threadpool_limits(limits=1, user_api="blas"):
        model = train_ex_situ(spec.ex_situ, spec.network, digits.train_inputs, digits.train_targets, 1, lambda *_: None)
        network = build_network(spec, model, digits)
        network.chip.run(bring_up(network, spec, digits, calibrate=False))
        trainer = InSituTrainer(spec.in_situ, network)
        taken = cpu = 0.0
        for epoch, count in ((0, 2 * BATCH), (1, IMAGES)):
            began, busy = time.perf_counter(), time.process_time()
            images, labels = digits.train_inputs[:count], digits.train_targets[:count]
            network.chip.run(train_epoch(network, trainer, images, labels, 1, epoch))
            taken, cpu = time.perf_counter() - began, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": taken, "cpu_seconds": cpu, "peak_mib": peak}


def measure_command(ohms: float) -> dict[str, float]:
    """Return what an epoch adds to ``circuitmem train``; each has a test with a hundred digits after it."""
    wires = [f"chip.tile.{line}_line_resistance={ohms}" for line in ("word", "bit")]
    size = ["network.layers=[784,256,10]", f"in_situ.batch={BATCH}", "ex_situ.epochs=1", f"data.train={IMAGES}"]
    rest = ["data.test=100", "chip.defects.device_yield=0.8", 'methods=["in_situ"]', "audit.tiles=0"]
    taken, cpu = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (1, 6):
            settings = [*wires, *size, *rest, f"in_situ.epochs={epochs}"]
            words = [word for each in settings for word in ("--set", each)]
            told = [sys.executable, "-m", "circuitmem", "train", "--out", f"{folder}/{epochs}", *words]
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(told, check=True, capture_output=True)
            taken[epochs] = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu[epochs] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = after.ru_maxrss / 1024
    return {"seconds": (taken[6] - taken[1]) / 5, "cpu_seconds": (cpu[6] - cpu[1]) / 5, "peak_mib": peak}


def run(told: list[str], threads: int) -> dict[str, Any]:
    """Run one case with so many threads; what cannot be measured says why."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    given |= {"CIRCUITMEM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    answer = subprocess.run(told, env=given, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return {"missing": answer.stderr.strip().splitlines()[-1] if answer.stderr.strip() else "failed"}
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def _digits(folder: str) -> str:
    """Write the digits that all train with into a file for those who cannot load them; returns its path."""
    import numpy as np

    from circuitmem.data import load_mnist

    own = load_mnist("bundled").first(IMAGES, 100)
    path = Path(folder) / "digits.npz"
    np.savez(path, inputs=own.train_inputs, labels=own.train_targets)
    return str(path)


THREADS = (1, 2)
WIRES = {"1 ohm a segment": 1.0, "0 ohm a segment": 0.0}
TRAIN = {f"train, {name}": ohms for name, ohms in WIRES.items()}
SINGLE = "1 ohm, single precision"
"""Of transfer matrices; aihwkit computes all in single precision."""
AIHWKIT = "aihwkit, ConstantStep"
CASES = (*WIRES, SINGLE, *TRAIN, AIHWKIT)


def command(name: str, threads: int, digits: str) -> list[str] | None:
    """Return what measures a case; None if there is no interpreter for it."""
    if name in WIRES:
        return [sys.executable, __file__, "layers", str(WIRES[name])]
    if name == SINGLE:
        return [sys.executable, __file__, "layers", "1.0", "single"]
    if name in TRAIN:
        return [sys.executable, __file__, "train", str(TRAIN[name])]
    rival = os.environ.get("AIHWKIT_PYTHON")
    return [rival, "-c", RIVAL, digits, str(BATCH), str(threads)] if rival else None


def measure_all(digits: str) -> dict[str, list[dict[str, Any]]]:
    """Measure all cases in turn, twice; keep the better of each with each number of threads, and the load before it."""
    best: dict[tuple[str, int], dict[str, Any]] = {}
    for _ in range(2):
        for name in CASES:
            for threads in THREADS:
                told = command(name, threads, digits)
                load = round(os.getloadavg()[0], 2)
                row = run(told, threads) if told else {"missing": "AIHWKIT_PYTHON is not set"}
                row |= {"threads": threads, "load_before": load}
                before = best.setdefault((name, threads), row)
                cpu = min((each["cpu_seconds"] for each in (before, row) if "cpu_seconds" in each), default=None)
                if row.get("seconds", 1e9) < before.get("seconds", 1e9):
                    best[name, threads] = row
                if cpu is not None:
                    best[name, threads]["cpu_seconds"] = cpu
    return {name: [best[name, threads] for threads in THREADS] for name in CASES}


def table(record: dict[str, list[dict[str, Any]]]) -> str:
    """Return the measurements as text, with the ratios of the better rows of each case."""
    lines = [
        f"784-256-10, batch {BATCH}, {IMAGES:,} digits, as {EPOCH:,}: seconds an epoch, of CPU, peak memory, load",
        "goals: with wires <= 5 times without, without <= aihwkit, <= 1,024 MiB",
    ]
    seconds: dict[str, float] = {}
    cpu = {name: rows[0]["cpu_seconds"] for name, rows in record.items() if "missing" not in rows[0]}
    for name, rows in record.items():
        for row in rows:
            label = f"{name:<26}{row['threads']} thread{'s' if row['threads'] > 1 else ' '}"
            if "missing" in row:
                lines.append(f"{label}  not measured: {row['missing']}")
                continue
            seconds[name] = min(row["seconds"], seconds.get(name, row["seconds"]))
            epoch, busy = (row[key] / IMAGES * EPOCH for key in ("seconds", "cpu_seconds"))
            lines.append(f"{label}{epoch:8.1f} s{busy:8.1f} s{row['peak_mib']:8.0f} MiB{row['load_before']:8.2f}")
    (with_wires, without), (train_with, train_without) = WIRES, TRAIN
    for title, one, other in (
        ("with wires / without", with_wires, without),
        ("without wires / aihwkit", without, AIHWKIT),
        ("with wires / aihwkit", with_wires, AIHWKIT),
        ("with wires, single precision / aihwkit", SINGLE, AIHWKIT),
        ("train without wires / aihwkit", train_without, AIHWKIT),
        ("train with wires / aihwkit", train_with, AIHWKIT),
    ):
        if one in seconds and other in seconds:
            lines.append(f"{title}, best of each: {seconds[one] / seconds[other]:.2f}")
        if one in cpu and other in cpu:
            lines.append(f"{title}, CPU time of one thread: {cpu[one] / cpu[other]:.2f}")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        record = measure_all(_digits(folder))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "epoch.json").write_text(json.dumps(record, indent=2) + "\n")
    (RESULTS / "epoch.txt").write_text(table(record) + "\n")
    print(table(record))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        how, (given, *more) = measure if sys.argv[1] == "layers" else measure_command, sys.argv[2:]
        print(json.dumps(how(float(given), *more)))
    else:
        main()
