"""A watch over a chip in use: measure its response to known inputs periodically, and correct it when it drifts.

Everything is measured through the converters, with their noise, and in the background: requests go first. The reference
is the products at the time when the watch began, so the watch suits a calibrated chip as well as one that was trained
to live with its errors.

Cost: ``vectors`` reads (times the groups of word lines) for a check; a calibration of each column takes ten times as
many, a calibration with one factor for the layer as many as a check. Limit: no such correction repairs a cell that
drifts differently from the others of its column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.affine import fit_affine
from circuitmem.control import PICOSECOND, Priority, Process
from circuitmem.network import HardwareLayer, HardwareNetwork
from circuitmem.rng import Purpose, stream

__all__ = ["DriftCheck", "DriftWatch"]

Floats = NDArray[np.float64]

PER_CALIBRATION = 10
"""Inputs of a calibration for each input of a check: a fit needs more of them than an alarm."""


@dataclass
class DriftCheck:
    """One check: when it ended [s], the largest error of a layer, and whether the chip was calibrated because of it."""

    time_s: float
    error: float
    recalibrated: bool


class DriftWatch:
    """Checks a network periodically and calibrates a layer again when its error exceeds a limit.

    Parameters
    ----------
    network : HardwareNetwork
        The network.
    inputs : (samples, inputs) ndarray
        Known inputs, at least ``10·vectors`` of them; hidden layers are watched with the activities that the digital
        core's model computes from these.
    vectors : int
        Inputs of a check.
    period : int
        Time from one check to the next [ps].
    limit : float
        Largest change of a layer's corrected products that is tolerated: root mean square, relative to that of the
        reference products.
    correction : {"affine", "global-scale"}
        What a calibration fits: a line for each column, with ten times as many inputs as a check, or one factor for the
        layer, with as many inputs as a check.

    Attributes
    ----------
    checks : list of DriftCheck
        The checks so far.
    """

    def __init__(
        self,
        network: HardwareNetwork,
        inputs: Floats,
        vectors: int,
        period: int,
        limit: float,
        correction: Literal["affine", "global-scale"] = "affine",
    ) -> None:
        self.network = network
        self.vectors = vectors
        self.period = period
        self.limit = limit
        self.correction = correction
        self.checks: list[DriftCheck] = []
        rng = stream(network.chip.seed, Purpose.CALIBRATION, 1)  # where a layer sees many patches of an input
        self._activities = network.model.vectors(inputs[: PER_CALIBRATION * vectors], rng)
        self._reference: list[Floats] = []

    def begin(self) -> Process:
        """Measure the reference products, before the chip is put to use."""
        for index, layer in enumerate(self.network.layers):
            measured = yield from self._measure(index, None, Priority.NORMAL)
            self._reference.append(layer.correction.apply(measured))

    def keep(self, until: int) -> Process:
        """Check every ``period`` until ``until`` [ps]."""
        chip = self.network.chip
        while chip.clock + self.period <= until:
            yield from chip.wait_until(chip.clock + self.period)
            yield from self.check()

    def check(self) -> Process:
        """Check all layers now, and calibrate those that have changed too much."""
        errors = []
        for index, layer in enumerate(self.network.layers):
            error = yield from self._check(index, layer)
            if error > self.limit:
                yield from self._calibrate(index, layer)
            errors.append(error)
        self.checks.append(DriftCheck(self.network.chip.clock * PICOSECOND, max(errors), max(errors) > self.limit))

    def _check(self, index: int, layer: HardwareLayer) -> Process:
        """Return the relative change of a layer's products."""
        chip, reference = self.network.chip, self._reference[index][:, :, : self.vectors]
        with chip.during("drift check"):
            measured = yield from self._measure(index, self.vectors, Priority.BACKGROUND)
            change = layer.correction.apply(measured) - reference
            yield from chip.compute(4 * change.size, Priority.BACKGROUND)
        return float(np.sqrt((change**2).mean() / (reference**2).mean()))

    def _calibrate(self, index: int, layer: HardwareLayer) -> Process:
        """Fit a layer's products to the reference."""
        chip, scales = self.network.chip, self.correction == "global-scale"
        with chip.during("re-calibration"):
            measured = yield from self._measure(index, self.vectors if scales else None, Priority.BACKGROUND)
            yield from chip.compute((4 if scales else 8) * measured.size, Priority.BACKGROUND)
        if scales:
            own = layer.correction
            found, wanted = own.apply(measured), self._reference[index][:, :, : self.vectors]
            factor = float((found * wanted).sum() / (found**2).sum())
            layer.correction = replace(own, scale=factor * own.scale, shift=factor * own.shift)
            return
        fitted = fit_affine(measured, self._reference[index])
        layer.correction = replace(layer.correction, scale=fitted.scale, shift=fitted.shift)

    def _measure(self, index: int, vectors: int | None, priority: Priority) -> Process:
        layer = self.network.layers[index]
        codes = layer.input_codes(np.minimum(self._activities[index][:vectors], layer.input_scale))
        return (yield from layer.measure(codes, layer.correction.groups, "calibration_read", priority))
