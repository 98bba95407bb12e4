"""What calibrations that are not built in return and leave behind, held to the rules of :class:`Calibration`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, Products
from circuitmem.control import Process
from circuitmem.control.clock import plugin_process
from circuitmem.network import Correction, HardwareLayer
from circuitmem.plugin import array_of, is_ours, refusal

__all__ = ["learn", "prepare_with", "stored_words"]

Floats = NDArray[np.float64]


def prepare_with(method: Calibration, layer: HardwareLayer) -> Process:
    """Return the process of :meth:`Calibration.prepare`."""
    process = method.prepare(layer)
    return process if is_ours(type(method).prepare) else plugin_process("calibrations", method, "prepare", process)


def learn(method: Calibration, layer: HardwareLayer, activities: Floats, kept: Products | None) -> Process:
    """Carry out :meth:`Calibration.learn`, and check the correction that a user's method leaves.

    Raises
    ------
    ValidationError
        If the method returns no process, or leaves a correction that does not fit the layer or is not finite.
    """
    process = method.learn(layer, activities, kept)
    if is_ours(type(method).learn):
        yield from process
        return
    yield from plugin_process("calibrations", method, "learn", process)
    tiles, rows, columns = len(layer.units), layer.chip.spec.tile.rows, layer.chip.spec.tile.columns
    correction = layer.correction
    if not isinstance(correction, Correction):
        raise refusal("calibrations", method, "must leave a Correction in layer.correction after learn", correction)
    groups = next(iter(np.shape(correction.scale)), 0)  # those of an earlier calibration, if there was one
    shapes = {
        "scale": (groups, tiles, columns),
        "shift": (groups, tiles, columns),
        "excess": (tiles, rows, columns),
        "left": (tiles, rows, columns),
        "output_scale": (layer.partition.outputs,),
        "output_shift": (layer.partition.outputs,),
    }
    for name, shape in shapes.items():
        found = getattr(correction, name)
        if found is not None or name in ("scale", "shift"):
            array_of("calibrations", method, f"from learn as {name} of the layer's correction", found, shape)


def stored_words(method: Calibration, layer: HardwareLayer) -> int:
    """Return what :meth:`Calibration.stored_words` does, if that is a whole number."""
    found = method.stored_words(layer)
    if not isinstance(found, int | np.integer) or found < 0:
        raise refusal("calibrations", method, "must return a whole number >= 0 from stored_words", found)
    return int(found)
