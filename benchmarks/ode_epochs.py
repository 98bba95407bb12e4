"""An epoch of in-situ training of chips of ODE devices: 1,000 digits, 196-24-10, 64x64 tiles, wires of 1 ohm.

Each device has its default pulses and half-selected cells at half of the voltage, so that every pulse is solved for its
whole tile. Writes results/ode_epochs.txt: seconds to program the chip, and for the epoch. Goal: 3 minutes an epoch.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from circuitmem.config import load_run
from circuitmem.data import load_mnist
from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch, train_ex_situ

RESULTS = Path(__file__).parent / "results"
KINDS = "vteam", "yakopcic", "stanford-pku"
DIGITS, BATCH, GOAL = 1000, 50, 180.0


def measure(kind: str, digits: int) -> str:
    """Return a line of the table."""
    device = load_run(None, [f"chip.device.kind={kind}"]).chip.device
    span = device.maximum_conductance - device.minimum_conductance
    settings = [
        f"chip.device.kind={kind}",
        "data.side=14",
        "network.layers=[196,24,10]",
        f"chip.programming.deadband={span / 50}",  # what pulses of these widths can do
        f"chip.programming.verify_tolerance={span / 15}",
        f"in_situ.batch={BATCH}",
        *(["chip.converters.dac.full_scale=0.15"] if kind == "yakopcic" else []),  # below its threshold
    ]
    spec = load_run(None, settings)
    data = load_mnist().resized(14).first(digits, 100)
    model = train_ex_situ(spec.ex_situ, spec.network, data.train_inputs, data.train_targets, 1, lambda *_: None)
    network = build_network(spec, model, data)
    trainer, ledger = InSituTrainer(spec.in_situ, network), network.chip.ledger
    found: list[Any] = [os.getloadavg()[0]]
    for work in (
        lambda: bring_up(network, spec, data, False),
        lambda: train_epoch(network, trainer, data.train_inputs, data.train_targets, 1, 0),
    ):
        began, busy, pulses = time.perf_counter(), time.process_time(), ledger.total.pulses
        network.chip.run(work())
        found += [time.perf_counter() - began, time.process_time() - busy, ledger.total.pulses - pulses]
    load, program, _, first, epoch, busy, pulses = found
    times = f"{program:>9.1f} s{first:>11,}{epoch:>9.1f} s{busy:>9.1f} s"
    return f"{kind:<14}{times}{pulses:>11,}{load:>7.2f}  {'reached' if epoch <= GOAL else 'BEYOND'}"


def main() -> None:
    """Measure each device and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", type=int, default=DIGITS)
    chosen = parser.parse_args().digits
    lines = [
        f"{chosen} digits, 196-24-10, batch {BATCH}, 64x64 tiles, 1 ohm, V/2; goal: an epoch in {GOAL:.0f} s",
        f"{'device':<14}{'to program':>11}{'pulses':>11}{'epoch':>11}{'of CPU':>11}{'pulses':>11}{'load':>7}",
    ]
    print(*lines, sep="\n", flush=True)
    for kind in KINDS:
        lines.append(measure(kind, chosen))
        print(lines[-1], flush=True)
    if chosen == DIGITS:
        (RESULTS / "ode_epochs.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
