"""Stage: the transfer of R-2R DACs with mismatch and switches, all codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ConverterSpec, DacSpec, TileSpec
from circuitmem.converter import Readout
from circuitmem.converter.linearity import Linearity, linearity
from circuitmem.study.plots import Lines, Plot, Series
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.tile import Tile

Floats = NDArray[np.float64]
NAME = "dac"
BOUND = 1e-9
"""Fraction of full scale (design: physics.md, section 9)."""


def run(context: StageContext) -> StageResult:
    """Compare every code of 8-bit DACs; one case per DAC. INL and DNL of both are in the record [LSB]."""
    count = 2 if context.quick else 8
    spec = ConverterSpec(
        dac=DacSpec(resistor_mismatch=0.01, switch_resistance=100.0, gain_error=0.02, offset_error=1e-3)
    )
    tile = TileSpec(rows=count, columns=1, sense_resistance=spec.tia.input_resistance)
    readout = Readout(spec, tile, context.seed)
    codes = np.repeat(np.arange(spec.dac.levels)[:, None], count, axis=1)
    with context.timed("referee"):
        found = context.referee.convert(Tile(tile, np.full((count, 1), 1e-4)), readout, codes).driver_voltage.T
    context.report(count, count)
    differences = np.abs(found - readout.dac.table).max(axis=1) / spec.dac.full_scale
    ours, theirs = readout.dac.linearity(), linearity(found)
    return StageResult(
        differences.tolist(),
        BOUND,
        {
            "largest_inl_lsb": float(np.abs(ours.inl).max()),
            "largest_dnl_lsb": float(np.abs(ours.dnl).max()),
            "inl_difference_lsb": float(np.abs(ours.inl - theirs.inl).max()),
            "dnl_difference_lsb": float(np.abs(ours.dnl - theirs.dnl).max()),
        },
        _plots(spec.dac.full_scale, readout.dac.table, found, ours, theirs, context.simulator),
        answers=list(found / spec.dac.full_scale),
    )


def _plots(
    full_scale: float, table: Floats, found: Floats, ours: Linearity, theirs: Linearity, simulator: str
) -> list[Plot]:
    """Show the first DAC: transfer, difference of the engines, INL and DNL."""
    code = np.arange(table.shape[1])
    off = np.abs(found[0] - table[0]) / full_scale
    return [
        Lines(
            "Transfer of the first DAC",
            "code",
            "output (V)",
            (
                Series("behavioral", code, table[0]),
                Series(simulator, code[::8], found[0][::8], "points"),
            ),
        ),
        Lines("Difference of the transfers", "code", "fraction of full scale", (Series("first DAC", code, off),)),
        Lines(
            "INL",
            "code",
            "INL (LSB)",
            (
                Series("behavioral", code, ours.inl[0]),
                Series(simulator, code[::8], theirs.inl[0][::8], "points"),
            ),
        ),
        Lines("DNL", "code", "DNL (LSB)", (Series("behavioral", code[-ours.dnl.shape[1] :], ours.dnl[0]),)),
    ]
