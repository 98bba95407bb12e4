"""Stage: amplifiers of finite gain with input offsets behind a tile."""

from __future__ import annotations

import numpy as np

from circuitmem.config import ChipSpec, ConverterSpec, TiaSpec, TileSpec
from circuitmem.converter import Readout
from circuitmem.engine import BehavioralEngine
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.tile import Tile

NAME = "tia"
BOUND = 1e-9
"""Relative to the largest output (design: physics.md, section 9)."""


def run(context: StageContext) -> StageResult:
    """Compare the amplifiers' outputs for random inputs; one case per tile, each with another gain."""
    gains = (50.0, 1e4) if context.quick else (5.0, 50.0, 500.0, 1e4, 1e6)
    differences, outputs = [], []
    for case, gain in enumerate(gains):
        rng = context.stream(case)
        converters = ConverterSpec(tia=TiaSpec(open_loop_gain=gain, input_offset=2e-3))
        geometry = TileSpec(rows=16, columns=16, word_line_resistance=2.0, bit_line_resistance=2.0)
        spec = ChipSpec(tile=geometry, converters=converters).tile_spec
        tile = Tile(spec, rng.uniform(1e-6, 300e-6, spec.shape))
        readout = Readout(converters, spec, context.seed, (case,))
        codes = rng.integers(0, converters.dac.levels, (10, 16))
        with context.timed("referee"):
            found = context.referee.convert(tile, readout, codes).amplifier_voltage
        with context.timed("behavioral"):
            engine, ground = BehavioralEngine(), readout.adc.ground_voltage
            current = engine.read(tile, readout.dac.voltages(codes)) + engine.offset_current(tile, ground)
            ours = ground - converters.tia.transimpedance * current
        differences.append(float(np.abs(ours - found).max() / np.abs(found).max()))
        outputs.append((gain, ours, found))
        context.report(case + 1, len(gains))
    series = tuple(Series(f"gain {gain:g}", a.ravel() * 1e3, b.ravel() * 1e3, "points") for gain, b, a in outputs)
    plot = Lines("Outputs of the amplifiers", f"{context.simulator} (mV)", "behavioral (mV)", series)
    answers = [found / np.abs(ours).max() for _, ours, found in outputs]
    return StageResult(differences, BOUND, plots=[plot], answers=answers, size=geometry.shape)
