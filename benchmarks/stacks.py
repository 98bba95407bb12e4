"""Kernels with a tile axis beside the same tile after tile, and beside the product of matrices that they contain.

784 inputs and 256 outputs on 64x64 tiles, batch 64, a fifth of the inputs driven, 3 % of the weights changed.
All ways take turns in one process and leave the same bits; the best of each counts, in seconds of processor and on the
clock. ``make bench`` clears OPENBLAS_CORETYPE, so that the yardstick is the kernel that OpenBLAS chooses by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from circuitmem._kernels.noise import Addresses, standard_normal
from circuitmem._kernels.pulses import TwoPulseLaw, changes, ground_resistance, reset_pulse, row_power, set_pulse
from circuitmem._kernels.reads import Channels, IdealAdmittance, read_codes
from circuitmem._kernels.stack_pulses import Amplitudes, Cells, PulseWires, Targets, plan_stack, two_pulse_stack
from circuitmem._kernels.stack_reads import IdealWires, Matrices, StackChannels, StackCorrection, read_stack
from circuitmem._kernels.tiling import Tiling
from circuitmem._kernels.tree import transfer_of_ideal, transfer_stack
from circuitmem.network import Partition
from circuitmem.tile import PairMapping

RESULTS = Path(__file__).parent / "results"
FLOPS = 35.0
"""Multiplications and additions of a transfer matrix, per cube of the side of its tile, about."""


class Bench:
    """The layer, and each way to work on it."""

    def __init__(self, inputs: int, outputs: int, side: int, batch: int) -> None:
        rng = np.random.default_rng(0)
        partition = Partition(inputs, outputs, side, side)
        self.tiles, self.side = partition.tiles, side
        lines = np.full((self.tiles, side), -1, dtype=np.int32)
        pairs = np.full((self.tiles, side // 2), -1, dtype=np.int32)
        for tile in range(self.tiles):
            own, out = partition.input_slice(tile), partition.output_slice(tile)
            lines[tile, partition.word_lines(tile)] = np.arange(own.start, own.stop)
            pairs[tile, : out.stop - out.start] = np.arange(out.start, out.stop)
        self.tiling = Tiling(lines, pairs, partition.grid, (inputs, outputs)).check()
        self.codes = rng.integers(0, 256, (batch, inputs)) * (rng.random((batch, inputs)) < 0.2)
        self.drives = np.where(lines[:, None] >= 0, self.codes[:, np.maximum(lines, 0)].transpose(1, 0, 2), 0)
        table = rng.uniform(0.0, 0.4, (self.tiles, side, 256))
        numbers = np.full(side, 1e3), np.zeros(side), np.full(side, 255.0), -0.01, 1.0 / 255.0, 0.01
        self.channels = [Channels(each, *numbers) for each in table]
        self.noise = Addresses(
            rng.integers(0, 2**63, (self.tiles, 2), dtype=np.uint64), np.zeros(self.tiles, dtype=np.uint64)
        )
        self.correction = StackCorrection(np.ones((1, self.tiles, side)), np.zeros((self.tiles, side)), np.ones(1))
        self.ideal, self.wires = self.segments(0.0), self.segments(1.0)
        self.mapping = PairMapping(5e-6, 8e-5, 1.0)
        self.law = TwoPulseLaw(5e-6, 1e-4, 0.7, 1.6, 1e-6)
        before = rng.uniform(-1.0, 1.0, (inputs, outputs))
        self.weights = np.where(rng.random(before.shape) < 0.03, rng.uniform(-1.0, 1.0, before.shape), before)
        shape = self.tiles, side, side
        self.asked = plan_stack(self.targets(before), np.full(shape, 5e-6), 0.0).wanted
        self.slope, self.stuck = np.full(shape, 1e-4), np.zeros(shape, dtype=bool)
        self.matrices = transfer_stack(self.asked, *self.wires)

    def segments(self, ohms: float) -> tuple[Any, Any]:
        """Return word and bit lines that are driven from the left and sensed below."""
        word, bit = np.full((self.side, self.side + 1), ohms), np.full((self.side + 1, self.side), ohms)
        word[:, -1] = bit[0] = np.inf
        bit[-1] += 50.0
        return word, bit

    def targets(self, weights: Any) -> Targets:
        """Return weights as the kernel takes them."""
        return Targets(weights, self.tiling, self.mapping.scale, self.mapping.minimum, self.mapping.maximum)

    def read(self, threads: int, *, ideal: bool) -> Any:
        """Read the layer in one call."""
        source = IdealWires(self.asked, self.ideal[1][-1:]) if ideal else Matrices(*self.matrices)
        given = {"tiling": self.tiling, "correction": self.correction, "threads": threads}
        return read_stack(self.codes, source, StackChannels.of(self.channels, 255), self.noise, **given).codes

    def read_tiles(self, threads: int, *, ideal: bool) -> Any:
        """Read tile after tile."""
        found = []
        for tile, channels in enumerate(self.channels):
            if ideal:
                known = transfer_of_ideal(self.asked[tile], *self.ideal)
                assert known is not None
                matrix: Any = known[0]
                admittance: Any = IdealAdmittance(*known[1:])
            else:
                matrix, admittance = self.matrices[0][tile], self.matrices[1][tile]
            given = self.drives[tile], matrix, admittance, channels, self.noise.of(tile)
            found.append(read_codes(*given, threads=threads)[0])
        return np.stack(found)

    def program(self, threads: int) -> Any:
        """Program the layer: from weights to pulses, in two calls."""
        plan = plan_stack(self.targets(self.weights), self.asked, 2e-6, threads=threads)
        left = self.asked.copy()
        wires = PulseWires(self.ideal[0][None], ground_resistance(self.ideal[1])[None])
        cells = Cells(left, left, self.asked.copy(), self.stuck)
        given = {"wires": wires, "amplitudes": Amplitudes(1.2, 2.0), "threads": threads}
        two_pulse_stack(plan, cells, self.slope, self.law, self.noise, **given)
        return left

    def program_tiles(self, threads: int) -> Any:  # noqa: ARG002
        """Program tile after tile."""
        left, ground = self.asked.copy(), ground_resistance(self.ideal[1])
        for tile, own in enumerate(left):
            wanted, asked = self.asked[tile].copy(), self.asked[tile].copy()
            lines, pairs = self.tiling.inputs[tile], self.tiling.outputs[tile]
            rows, places = np.flatnonzero(lines >= 0), np.flatnonzero(pairs >= 0)
            columns = (2 * places[:, None] + np.arange(2)).ravel()
            share = self.weights[np.ix_(lines[rows], pairs[places])]
            wanted[np.ix_(rows, columns)] = self.mapping.conductances(share)
            lowered, selected, _ = changes(wanted, asked, 2e-6)
            state = own, own, self.stuck[tile]
            row_power(own, lowered, self.ideal[0], ground, 1.2)
            reset_pulse(*state, lowered, self.law)
            set_pulse(*state, selected, wanted, asked, self.slope[tile], self.law, self.noise.of(tile))
            row_power(own, selected, self.ideal[0], ground, 2.0)
        return left


def measure(rounds: int, bench: Bench) -> dict[str, dict[str, float]]:
    """Return the least seconds of each way, on the clock and of the processor; ways of one kind leave the same bits."""
    ways: dict[str, Callable[[], Any]] = {}
    for threads in (1, 2):
        for name, ideal in (("ideal wires", True), ("1 ohm", False)):
            ways[f"read, {name}: tile by tile, {threads}"] = lambda t=threads, i=ideal: bench.read_tiles(t, ideal=i)
            ways[f"read, {name}: one call, {threads}"] = lambda t=threads, i=ideal: bench.read(t, ideal=i)
        ways[f"program: tile by tile, {threads}"] = lambda t=threads: bench.program_tiles(t)
        ways[f"program: one call, {threads}"] = lambda t=threads: bench.program(t)
        ways[f"transfer matrices: one call, {threads}"] = lambda t=threads: transfer_stack(
            bench.asked, *bench.wires, threads=t
        )[0]
    ways["noise of a layer's reads: one call, 1"] = lambda: standard_normal(
        bench.noise.of(0), bench.tiles * len(bench.codes) * bench.side
    )
    square = np.random.default_rng(1).random((768, 768))
    with threadpool_limits(limits=1, user_api="blas"):
        ways["dgemm of 768x768: one call, 1"] = lambda: square @ square
        found: dict[str, dict[str, float]] = {name: {"wall_s": np.inf, "cpu_s": np.inf} for name in ways}
        bits: dict[str, bytes] = {}
        for _ in range(rounds):
            for name, way in ways.items():
                clock, processor = time.perf_counter(), time.process_time()
                result = way()
                for key, taken in (
                    ("wall_s", time.perf_counter() - clock),
                    ("cpu_s", time.process_time() - processor),
                ):
                    found[name][key] = min(found[name][key], taken)
                kind, left = name.split(":")[0], np.asarray(result, dtype=np.float64).tobytes()
                if bits.setdefault(kind, left) != left:
                    raise SystemExit(f"{name}: not the bits of the other ways")
    return found


def table(record: dict[str, dict[str, float]], bench: Bench, load: float) -> str:
    """Return the measurements as text: milliseconds, and ratios of processor time."""
    lines = [
        f"{bench.tiles} tiles of {bench.side}x{bench.side}, batch {len(bench.codes)}; load of the machine {load:.2f}",
        f"{'work':<28}{'way':<16}{'threads':>8}{'clock ms':>10}{'CPU ms':>9}{'ratio':>8}",
    ]
    for name, row in record.items():
        work, way = name.split(": ")
        how, threads = way.rsplit(", ", 1)
        base = record.get(f"{work}: tile by tile, {threads}")
        ratio = f"{base['cpu_s'] / row['cpu_s']:8.1f}" if base and how == "one call" else ""
        lines.append(f"{work:<28}{how:<16}{threads:>8}{1e3 * row['wall_s']:10.2f}{1e3 * row['cpu_s']:9.2f}{ratio}")
    dgemm = 2.0 * 768**3 / record["dgemm of 768x768: one call, 1"]["cpu_s"]
    tree = FLOPS * bench.side**3 * bench.tiles / record["transfer matrices: one call, 1"]["cpu_s"]
    lines.append(f"transfer matrices, of the rate of dgemm, one thread each: {tree / dgemm:.2f} (goal 0.60)")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small layer, few rounds")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the table")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    bench = Bench(40, 20, 16, 16) if options.quick else Bench(784, 256, 64, 64)
    record = measure(2 if options.quick else 15, bench)
    text = table(record, bench, load)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "stacks.txt").write_text(text + "\n", "utf-8")
    (options.out / "stacks.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
