"""``conversion``: choose the programmed conductances so that the tile with its wires computes the intended product.

Source: the conversion algorithm of the dot-product engine (Hu et al., DAC 2016; 99 % on MNIST with 4-bit converters [P
abstract]), as a fixed point of the exact model: every conductance is multiplied by the ratio of its target to its
element of the transfer matrix. Cost: no reads, and no stored words except the factors, which later updates use again;
one solution of the model for each tile and iteration, booked for the digital core. Limits: it uses the model of the
design, so errors from defects, spread and converters remain; a cell at the top of its range cannot be raised further.
"""

from __future__ import annotations

import numpy as np

from circuitmem.calibration.method import Unmeasured
from circuitmem.control import Process
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ValidationError
from circuitmem.network import HardwareLayer
from circuitmem.tile import Tile

__all__ = ["Conversion"]

TURNS = 8
"""Iterations of the fixed point: with 1 ohm a segment each one reduces the error about tenfold."""


class Conversion(Unmeasured):
    """Programs conductances that compensate the wires."""

    name = "conversion"
    programs = True

    def prepare(self, layer: HardwareLayer) -> Process:
        """Compute the factors with the model of a sound tile, and program the weights again with them."""
        chip = layer.chip
        cell = chip.spec.tile.cell
        if not cell.linear:
            raise ValidationError("calibration.method", "conversion needs cells of a linear law", cell.kind)
        engine, geometry = BehavioralEngine(threads=chip.electrics.behavioral.threads), chip.spec.tile_spec
        low, high = layer.mapping.minimum, layer.mapping.maximum
        targets = np.full((len(layer.units), *geometry.shape), low)
        for index, place in enumerate(layer.placements):
            targets[index][place.cells] = layer.target(index, layer.weights)
        programmed = targets.copy()
        for _ in range(TURNS):
            found = engine.transfer([Tile(geometry, cell.memristor_conductance(each)) for each in programmed]).matrix
            programmed = np.clip(programmed * targets / np.swapaxes(found, 1, 2), low, high)
            # One solution by nested merging takes about rows·columns·(rows + columns) multiplications.
            yield from chip.compute(2 * programmed.size * sum(geometry.shape))
        layer.prefactor = programmed / targets
        yield from layer.program(layer.weights, 0.0)
