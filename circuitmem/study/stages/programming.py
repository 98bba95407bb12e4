"""Pulses on random tiles of ODE devices in both engines: the common part of the stages of devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from circuitmem.config import Cell, PulseTrain, TabulatedSpec, TileSpec, TransistorCell
from circuitmem.device import conductance
from circuitmem.engine import BehavioralEngine, ProgrammingResult, program_netlist
from circuitmem.study.benches import Bench
from circuitmem.study.stages.random_tiles import every_defect, largest_size
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.study.trajectories import moving_cells, trajectory_lines, trajectory_record
from circuitmem.tile import Tile

__all__ = ["STATE_BOUND", "compare_programs"]

Scheme = Literal["v/2", "v/3", "1t1r"]
PulseName = Literal["set", "reset"]
STATE_BOUND = 1e-4
"""Bound of final states after a pulse, as a fraction of their range (design: physics.md, section 9)."""

SAMPLES = 24
"""States that are kept within each pulse, for the figure."""


def compare_programs(
    context: StageContext, bench: Bench, bound: float = STATE_BOUND, plans: Sequence[tuple[int, Scheme]] = ()
) -> StageResult:
    """Give SET and RESET pulses to tiles with every kind of defect; one difference of final states per pulse.

    ``plans`` are lines per side, and scheme, of each tile; some usual ones when left out.

    In the record, ``trajectories`` has the worst case: ``time`` [s] and, for a few ``cells`` (``row``, ``column``), the
    states of both engines at these times, ``behavioral`` and ``referee``; ``largest_on_the_way`` is the largest
    difference of states at any of the times of any case, ``largest_energy_difference`` that of energies, relative.
    """
    usual: list[tuple[int, Scheme]] = (
        [(5, "v/2")] if context.quick else [(8, "v/2"), (8, "v/3"), (8, "1t1r"), (16, "v/2"), (16, "1t1r")]
    )
    plans = plans or usual
    pairs: list[tuple[ProgrammingResult, ProgrammingResult]] = []
    circuits: list[tuple[Tile, PulseTrain]] = []
    kinds: tuple[PulseName, PulseName] = ("set", "reset")
    for case, ((side, scheme), kind) in enumerate((plan, kind) for plan in plans for kind in kinds):
        tile, train = _case(context.stream(case), bench, side, scheme, kind)
        with context.timed("behavioral"):
            ours = BehavioralEngine().program(tile, train, samples=SAMPLES)
        with context.timed("referee"):
            theirs = context.referee.program(tile, train, samples=SAMPLES)
        pairs.append((ours, theirs))
        circuits.append((tile, train))
        context.report(case + 1, 2 * len(plans))
    differences = [float(np.abs(ours.state - theirs.state).max()) for ours, theirs in pairs]
    number = int(np.argmax(differences))
    worst = dict(zip(("behavioral", "referee"), pairs[number], strict=True))
    cells = moving_cells(worst["behavioral"])
    details = {
        "largest_on_the_way": max(float(np.abs(a.trajectory - b.trajectory).max()) for a, b in pairs),
        "largest_energy_difference": max(abs(a.energy - b.energy) / abs(b.energy) for a, b in pairs),
        "trajectories": trajectory_record(worst, cells),
    }
    shown = {"behavioral": worst["behavioral"], context.simulator: worst["referee"]}
    plot = trajectory_lines(shown, cells, "States of the worst case in both engines")
    tile, train = circuits[number]
    return StageResult(
        differences,
        bound,
        details,
        [plot],
        # ngspice has no Verilog-A.
        netlist=None
        if isinstance(bench.device, TabulatedSpec)
        else program_netlist(tile, train.device, train.pulses[0]),
        answers=[theirs.state for _, theirs in pairs],
        size=largest_size(tile for tile, _ in circuits),
    )


def _case(
    rng: np.random.Generator, bench: Bench, side: int, scheme: Scheme, kind: PulseName
) -> tuple[Tile, PulseTrain]:
    """Draw a tile of devices in random states, with every kind of defect, and a pulse on two of its rows."""
    cell: Cell = TransistorCell(on_resistance=bench.transistor) if scheme == "1t1r" else bench.device.cell
    spec = TileSpec(
        rows=side,
        columns=side,
        word_line_resistance=float(rng.uniform(0.5, 5.0)),
        bit_line_resistance=float(rng.uniform(0.5, 5.0)),
        driver_resistance=20.0,
        sense_resistance=10.0,
        cell=cell,
    )
    defects = every_defect(rng, spec)
    tile = Tile(spec, conductance(bench.device, rng.uniform(*bench.states, spec.shape)), defects)
    assert defects.dead_drivers is not None
    assert defects.open_word_segments is not None
    alive = np.flatnonzero(~defects.dead_drivers & ~defects.open_word_segments[:, 0])
    pulse = bench.pulse(kind, rows=tuple(int(row) for row in rng.permutation(alive)[:2]), scheme=scheme)
    return tile, PulseTrain(device=bench.device, pulses=(pulse,))
