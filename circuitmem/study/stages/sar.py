"""Stage: SAR ADCs in time, clock by clock, against the codes of their capacitors."""

from __future__ import annotations

import numpy as np

from circuitmem.config import AdcSpec, TiaSpec
from circuitmem.converter import AdcBank
from circuitmem.converter.successive import approximate
from circuitmem.engine import SpiceEngine
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.stage import StageContext, StageResult

NAME = "sar"
ONLY = "ngspice"
"""The only referee that has the logic of the registers, and analogue switches."""
COLUMNS = 4
NEAR_LSB = 0.02
"""Distance of half of the inputs from a threshold [LSB]: nearer, tolerances of the transient analysis would decide."""


def run(context: StageContext) -> StageResult:
    """Count the codes that differ, conversion by conversion; ``logic`` says how the registers were modelled."""
    spice, rng = context.referee, context.stream()
    assert isinstance(spice, SpiceEngine)
    spec = AdcSpec(architecture="sar", capacitor_mismatch=0.05, comparator_offset=3e-3)
    bank = AdcBank(spec, TiaSpec(), COLUMNS, context.seed)
    assert bank.thresholds is not None
    assert bank.capacitors is not None
    conversions = 4 if context.quick else 24
    steps = rng.uniform(-1.0, spec.highest_code + 1.0, (conversions, COLUMNS))
    # Half of the inputs lie beside a threshold that is well apart from the others.
    for column, thresholds in enumerate(bank.thresholds):
        apart = np.flatnonzero(np.diff(thresholds, prepend=-np.inf, append=np.inf).clip(max=1.0) >= 2.0 * NEAR_LSB)
        chosen = thresholds[rng.choice(apart[:-1], conversions // 2)]
        steps[::2, column] = chosen + NEAR_LSB * rng.choice([-1.0, 1.0], conversions // 2)
    logic = "xspice" if spice.code_models() else "behavioral"
    with context.timed("referee"):
        found = spice.sar_codes(bank, steps * spec.lsb + spec.minimum)
    context.report(conversions, conversions)
    with context.timed("behavioral"):
        expected = approximate(bank.capacitors, bank.comparator_offset / spec.lsb, steps)
    details = {
        "logic": logic,
        "conversions": found.size,
        "saturated_codes": bank.saturated(found),
        "largest_inl_lsb": float(np.abs(bank.linearity().inl).max()),
    }
    code, inl = np.arange(1, spec.highest_code + 1), bank.linearity().inl
    plots = [
        Lines(
            "Codes",
            f"{context.simulator} (code)",
            "behavioral (code)",
            (Series("codes", found.ravel(), expected.ravel(), "points"),),
        ),
        Lines("INL", "code", "INL (LSB)", tuple(Series(f"ADC {k}", code, line) for k, line in enumerate(inl))),
    ]
    return StageResult((found != expected).sum(axis=1).astype(float).tolist(), 0.0, details, plots)
