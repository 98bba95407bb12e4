"""Stage: two-pulse 1T1R cells with a MOSFET, in ngspice and without."""

from __future__ import annotations

import numpy as np

from circuitmem.config import ComplianceCell, TwoPulseSpec
from circuitmem.device import two_pulses
from circuitmem.engine import SpiceEngine
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.stage import StageContext, StageResult

NAME = "1T1R compliance"
ONLY = "ngspice"
"""The only referee that has the subcircuit of the cell."""
BOUND = 1e-3
"""Difference of conductances after a SET, relative to the working range (design: physics.md, section 9)."""


def run(context: StageContext) -> StageResult:
    """Compare conductances after a RESET and a SET; one difference per gate voltage. ``from_law``: error of the law."""
    spec, cases = TwoPulseSpec(), 4 if context.quick else 16
    gates = context.stream().uniform(spec.minimum_gate, spec.maximum_gate, cases)
    span = spec.maximum_conductance - spec.minimum_conductance
    cell = ComplianceCell.of(spec)
    spice = context.referee
    assert isinstance(spice, SpiceEngine)
    with context.timed("referee"):
        theirs = spice.two_pulses(cell, gates)
    context.report(cases // 2, cases)
    with context.timed("behavioral"):
        ours = two_pulses(cell, gates)
    differences = np.abs(ours - theirs) / span
    law = spec.minimum_conductance + spec.slope * (gates - spec.minimum_gate)
    context.report(cases, cases)
    order = np.argsort(gates)
    series = (
        Series(context.simulator, gates[order], theirs[order] * 1e6, "points"),
        Series("behavioral", gates[order], ours[order] * 1e6, "points"),
        Series("law of two pulses", gates[order], law[order] * 1e6, "dashed"),
    )
    plot = Lines("What a SET leaves", "gate voltage (V)", "conductance (uS)", series)
    return StageResult(differences.tolist(), BOUND, {"from_law": float(np.abs(theirs - law).max() / span)}, [plot])
