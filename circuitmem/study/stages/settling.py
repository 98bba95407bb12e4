"""Stage: what a read still lacks of its final value at the chosen read time."""

from __future__ import annotations

import numpy as np

from circuitmem.config import ChipSpec, ConverterSpec, DacSpec, TiaSpec, TileSpec
from circuitmem.engine import BehavioralEngine
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.tile import DefectMap, Tile

NAME = "settling"
BOUND = 2e-2
"""Fraction of the final output: the estimate has two poles, the circuit one for each capacitor and amplifier. Measured
differences are 1.4e-2 where a quarter of the output is still missing, and 1.5e-3 where a hundredth is."""
BANDWIDTHS = (0.03e9, 0.06e9, 0.1e9, 0.2e9, 0.5e9)
"""Gain-bandwidth products of the amplifiers [Hz]: from a read that is far from settled to one that is."""
STOP = 10.0
"""End of the simulation after the read time, in longest delays: the last value is settled to 1e-4."""


def run(context: StageContext) -> StageResult:
    """Compare the settling error at the read time, in SPICE and as estimated; one case per amplifier.

    The record has both for every case, as fractions of the final output, and the read time.
    """
    bandwidths = BANDWIDTHS[1::2] if context.quick else BANDWIDTHS
    rng = context.stream()
    geometry = TileSpec(
        rows=8,
        columns=8,
        word_line_resistance=2.0,
        bit_line_resistance=2.0,
        driver_resistance=200.0,
        word_line_capacitance=50e-15,
        bit_line_capacitance=50e-15,
    )
    conductance, voltages = rng.uniform(1e-6, 300e-6, geometry.shape), rng.uniform(0.02, 0.2, geometry.rows)
    defects = DefectMap.random(geometry, yield_=0.8, seed=context.seed)
    differences, estimates, found, answers = [], [], [], []
    for case, bandwidth in enumerate(bandwidths):
        amplifier = TiaSpec(gain_bandwidth=bandwidth, open_loop_gain=1e3)
        converters = ConverterSpec(tia=amplifier, dac=DacSpec(settling_time=2e-9))
        tile = Tile(ChipSpec(tile=geometry, converters=converters).tile_spec, conductance, defects)
        read_time = converters.dac.settling_time + amplifier.settling_time
        with context.timed("behavioral"):
            ours = BehavioralEngine().settling_time(tile, voltages, amplifier=amplifier)
        with context.timed("referee"):
            response = context.referee.step_response(
                tile, voltages, read_time + STOP * ours.longest, amplifier=amplifier
            )
        lacking, estimate = 1.0 - response.at(read_time) / response.output[-1], ours.error(read_time)
        differences.append(float(np.abs(lacking - estimate).max()))
        answers.append(lacking)
        found.append(float(np.abs(lacking).max()))
        estimates.append(float(np.abs(estimate).max()))
        context.report(case + 1, len(bandwidths))
    details = {
        "read_time_s": read_time,
        "gain_bandwidth_hz": list(bandwidths),
        "settling_error_referee": found,
        "settling_error_estimate": estimates,
    }
    plot = Lines(
        f"What a read of {read_time * 1e9:.0f} ns lacks of the settled output",
        "gain-bandwidth of the amplifiers (Hz)",
        "fraction of the final output",
        (Series(context.simulator, bandwidths, found, "both"), Series("estimate", bandwidths, estimates, "both")),
        "xy",
    )
    return StageResult(differences, BOUND, details, [plot], answers=answers, size=geometry.shape)
