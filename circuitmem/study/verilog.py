"""A Verilog-A device on a chip: its tables, and how closely they follow the model itself in VACASK."""

from __future__ import annotations

from typing import Any

import numpy as np

from circuitmem.config import Pulse, PulseTrain, RunSpec, TileSpec, VerilogACellSpec
from circuitmem.device import conductance, state_of, tabulated_error
from circuitmem.engine import BehavioralEngine, VacaskEngine, verilog_law
from circuitmem.errors import ValidationError
from circuitmem.tile import Tile

__all__ = ["check_verilog"]

SIDE = 6
"""Rows and columns of the tile that gets the pulses."""


def check_verilog(run: RunSpec) -> dict[str, Any]:
    """Make the tables of a run's devices, and compare them with the model in VACASK for pulses on a tile.

    Returns
    -------
    dict
        ``file``, ``sha256``, ``points`` and ``error`` of the tables, ``lowest`` and ``highest`` conductance of the
        model [S], ``pulses``, ``moved`` (largest change of a state by them), ``state_difference`` (largest
        difference of the two), ``read_voltage`` (largest of a read [V]), and ``curvature`` (largest relative deviation
        of a current from Ohm's law at that voltage).

    Raises
    ------
    ValidationError
        If the devices are not Verilog-A, or their model cannot be used or does not reach the working range.
    """
    spec = run.chip.device
    if not isinstance(spec, VerilogACellSpec):
        raise ValidationError("chip.device.kind", "must be verilog-a", spec.kind)
    model = spec.model
    points, error = tabulated_error(model)
    ends = np.sort(conductance(model, [0.0, 1.0]))
    for name, value in (("minimum", spec.minimum_conductance), ("maximum", spec.maximum_conductance)):
        if not ends[0] <= value <= ends[1]:
            rule = f"must be between {ends[0]:.6g} and {ends[1]:.6g} S, what such a device can conduct"
            raise ValidationError(f"chip.device.{name}_conductance", rule, value)
    rng = np.random.default_rng(run.seed)
    wires = run.chip.tile
    tile_spec = TileSpec(
        rows=SIDE, columns=SIDE, word_line_resistance=float(np.max(wires.word_line_resistance)),
        bit_line_resistance=float(np.max(wires.bit_line_resistance)),
    )  # fmt: skip
    low, high = np.log([spec.minimum_conductance, spec.maximum_conductance])
    tile = Tile(tile_spec, np.exp(rng.uniform(low, high, tile_spec.shape)))
    before = state_of(model, tile.conductance)
    moved, apart = 0.0, 0.0
    sign = spec.set_sign
    with VacaskEngine() as referee:
        for amplitude, time in (
            (sign * spec.set_voltage, spec.set_time),
            (-sign * spec.reset_voltage, spec.reset_time),
        ):
            pulse = Pulse(
                amplitude=amplitude,
                width=time - 2.0 * spec.rise_time,
                rise=spec.rise_time,
                rows=(1,),
                columns=(0, 2, 5),
            )
            train = PulseTrain(device=model, pulses=(pulse,))
            ours, theirs = (engine.program(tile, train).state for engine in (BehavioralEngine(), referee))
            moved = max(moved, float(np.abs(theirs - before).max()))
            apart = max(apart, float(np.abs(ours - theirs).max()))
    read = min(run.chip.converters.dac.full_scale, model.positive_voltage)
    amperes, _ = verilog_law(model, before.ravel(), np.full(before.size, read))
    curvature = float(np.abs(amperes / (tile.conductance.ravel() * read) - 1.0).max())
    return {
        "file": spec.file,
        "sha256": spec.sha256,
        "points": points,
        "error": error,
        "lowest": float(ends[0]),
        "highest": float(ends[1]),
        "pulses": 2,
        "moved": moved,
        "state_difference": apart,
        "read_voltage": read,
        "curvature": curvature,
    }
