"""Stage: ADC codes of random products on a defective tile, converters and all."""

from __future__ import annotations

import numpy as np

from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, TileSpec
from circuitmem.converter import Readout
from circuitmem.engine import BehavioralEngine
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.tile import DefectMap, Tile

NAME = "adc codes"
THRESHOLD_LSB = 1e-6
"""Codes may differ only where the analogue value is this near to a threshold [LSB]; such codes are counted."""
POINTS = 2000
"""Number of codes that are plotted; all are compared."""


def run(context: StageContext) -> StageResult:
    """Count the codes that differ, on a 16x16 tile; ``near_threshold`` counts codes too near to one to say."""
    return compare_codes(context, 16, 100 if context.quick else 1000)


def compare_codes(context: StageContext, side: int, cases: int) -> StageResult:
    """Count the codes that differ, of ``cases`` random products on a square tile of ``side`` lines a side."""
    rng = context.stream()
    converters = ConverterSpec(
        dac=DacSpec(resistor_mismatch=0.005, gain_error=0.01, offset_error=1e-3),
        adc=AdcSpec(gain_error=0.03, offset_error=10e-3, noise=2e-3),
    )
    spec = ChipSpec(
        tile=TileSpec(rows=side, columns=side, word_line_resistance=1.0, bit_line_resistance=1.0), converters=converters
    ).tile_spec
    tile = Tile(spec, rng.uniform(1e-6, 300e-6, spec.shape), DefectMap.random(spec, yield_=0.8, seed=context.seed))
    readout = Readout(converters, spec, context.seed, defects=tile.defects)
    readout.adc.set_pga_gain(8.0)
    codes = rng.integers(0, converters.dac.levels, (cases, side))
    noise = converters.adc.noise * rng.standard_normal((cases, side))
    with context.timed("behavioral"):
        voltages = readout.dac.voltages(codes)
        currents = BehavioralEngine().read(tile, voltages)
        ours = readout.adc.codes(currents, noise)
    with context.timed("referee"):
        theirs = context.referee.codes(tile, readout, codes, noise)
    steps = (readout.adc.input_voltage(currents, noise) - converters.adc.minimum) / converters.adc.lsb
    near = np.abs(steps - np.floor(steps) - 0.5) < THRESHOLD_LSB
    context.report(cases, cases)
    different = ((ours != theirs) & ~near).sum(axis=1)
    details = {"near_threshold": int(np.count_nonzero(near)), "saturated_codes": readout.adc.saturated(theirs)}
    agreement = Series("codes", theirs.ravel()[:POINTS], ours.ravel()[:POINTS], "points")
    plot = Lines(
        f"Codes, behavioral against {context.simulator}",
        f"{context.simulator} (code)",
        "behavioral (code)",
        (agreement,),
    )
    worst = slice(int(different.argmax()), int(different.argmax()) + 1)
    reads = tile, voltages[worst], currents[worst], context.referee.read(tile, voltages[worst])
    return StageResult(
        [float(count) for count in different], 0.0, details, [plot], reads, answers=list(theirs), size=spec.shape
    )
