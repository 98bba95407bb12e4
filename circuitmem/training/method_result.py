"""Results and cost of a method."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.training.objective import Objective, Values, accuracy_percent

__all__ = ["ERROR_EDGES", "MethodResult"]

Floats = NDArray[np.float64]

ERROR_EDGES = np.linspace(-1.0, 1.0, 42)
"""Edges of the bins of output errors; the middle one is around 0."""


@dataclass
class MethodResult:
    """Scores and cost of a method; the reads of the test itself do not count as cost.

    Attributes
    ----------
    accuracy_percent : float
        Test accuracy at the end.
    rmse, r2 : float, optional
        Instead, for a network that predicts values: root mean square error in their units, and R2.
    each : dict of list of float
        The same for each of several values: ``rmse``, ``r2``; empty for one.
    simulated_time_s, energy_j, pulses : float, float, int
        Cost of programming, calibration and training.
    history : list of dict
        After each epoch: epoch, accuracy_percent, pulses, simulated_time_s, energy_j; epoch 0 is before training. With
        ``data.held_back`` accuracy is on the validation samples.
    between : list of dict
        The same within epochs, at fractions of them, where ``in_situ.evaluate_every`` asks for it.
    confusion : list of list of int
        At the last test: how many samples of each class (rows) were classified as which (columns).
    output_errors : dict of list of int
        Errors of the outputs at the first test and at the last, as counts between ``ERROR_EDGES``: the output of the
        hardware minus the output of the digital core's weights for the same test samples, relative to the largest
        magnitude of the latter. Larger errors count in the outermost bins.
    accounts, phases : dict
        The chip's ledger by kind of operation, and by phase of the run, test reads included: times in ps, energies in
        aJ.
    energy_by_part : dict
        Energy of each part of the chip, test reads included [aJ].
    saturated_codes : dict
        Numbers of ADC codes at the upper end of their range, and of activities beyond the range of the DACs, test reads
        included.
    losses : list of float
        Mean loss of each epoch of training in situ.
    layers : list of dict
        For each layer: conversions of its ADCs in products and of its DACs, test reads included, and how many of them
        saturated; its tiles that fill the range at gain 1; its weights, and how many of them used the whole range
        of the cells before and after training.
    utilisation : dict
        Fraction of the time for which each kind of resource was held, the bottleneck first.
    reuse : dict
        How transfer matrices were kept up to date, and the largest error that samples found
        (:class:`circuitmem.engine.ReuseRecord`).
    calibration : dict
        Cost of the calibration (:class:`circuitmem.calibration.CalibrationRecord`).
    inference : dict of float
        Time and energy of the last test on the chip for each sample, digital products included: ``time_s``,
        ``energy_j``.
    product_errors : dict of list of dict
        Errors of each layer's products with test samples, ``before`` and ``after`` calibration: ``rmse`` and
        ``largest`` relative to the largest ideal product. Without calibration there is no ``after``.
    upkeep : dict
        Upkeep of the chip until it had the age at which it is tested, and its cost
        (:meth:`circuitmem.training.use.Upkeep.summary`); empty if it is tested at once.
    """

    accuracy_percent: float = 0.0
    rmse: float | None = None
    r2: float | None = None
    each: dict[str, list[float | None]] = field(default_factory=dict)
    simulated_time_s: float = 0.0
    energy_j: float = 0.0
    pulses: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    between: list[dict[str, float]] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)
    output_errors: dict[str, list[int]] = field(default_factory=dict)
    accounts: dict[str, dict[str, int]] = field(default_factory=dict)
    phases: dict[str, dict[str, int]] = field(default_factory=dict)
    energy_by_part: dict[str, int] = field(default_factory=dict)
    saturated_codes: dict[str, int] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    utilisation: dict[str, dict[str, float]] = field(default_factory=dict)
    reuse: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    inference: dict[str, float] = field(default_factory=dict)
    product_errors: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    upkeep: dict[str, Any] = field(default_factory=dict)

    def note_test(
        self, outputs: Floats, ideal: Floats, targets: NDArray[Any], objective: Objective | None = None
    ) -> None:
        """Note the score and the output errors of a test, before training or after another epoch of it.

        Parameters
        ----------
        outputs, ideal : (samples, outputs) ndarray
            Outputs of the chip, and of the digital core's own weights.
        targets : (samples,) ndarray
            True classes, or the values.
        objective : Objective, optional
            The objective of training; classes when left out.
        """
        largest = max(float(np.abs(ideal).max()), np.finfo(np.float64).tiny)
        errors = np.clip((outputs - ideal) / largest, -1.0, 1.0)
        when = "at_the_end" if self.history else "before_training"
        self.output_errors[when] = np.histogram(errors, ERROR_EDGES)[0].tolist()
        if isinstance(objective, Values):
            score = objective.score(outputs, targets)
            self.rmse, self.r2, self.each = score["rmse"], score["r2"], objective.score_each(outputs, targets)
            return
        predicted = outputs.argmax(axis=1)
        self.accuracy_percent = accuracy_percent(predicted, targets)
        confusion = np.zeros((outputs.shape[1],) * 2, dtype=np.int64)
        np.add.at(confusion, (targets, predicted), 1)
        self.confusion = confusion.tolist()

    def note_inference(self, samples: int, time_s: float, energy_j: float) -> None:
        """Note the time and energy of a test on the chip.

        Parameters
        ----------
        samples : int
            Number of test samples.
        time_s : float
            Simulated time [s].
        energy_j : float
            Energy [J].
        """
        self.inference = {"time_s": time_s / samples, "energy_j": energy_j / samples}

    @property
    def score(self) -> dict[str, float]:
        """Result of the last test: ``accuracy_percent``, or ``rmse`` and ``r2``."""
        if self.rmse is not None and self.r2 is not None:
            return {"rmse": self.rmse, "r2": self.r2}
        return {"accuracy_percent": self.accuracy_percent}

    def note_cost(self, time_s: float, energy_j: float, pulses: int) -> None:
        """Note the cost until the last test, without tests, and append the entry of its epoch to the history.

        Parameters
        ----------
        time_s : float
            Simulated time [s].
        energy_j : float
            Energy [J].
        pulses : int
            Programming pulses.
        """
        self.simulated_time_s, self.energy_j, self.pulses = time_s, energy_j, pulses
        self.history.append(self._line(len(self.history), self.score))

    def note_between(self, epoch: float, percent: float, time_s: float, energy_j: float, pulses: int) -> None:
        """Note the accuracy in a test within an epoch [%], and the cost until then, without tests.

        Parameters
        ----------
        epoch : float
            Progress of training, in epochs.
        percent : float
            Accuracy [%].
        time_s, energy_j, pulses
            As for :meth:`note_cost`.
        """
        self.simulated_time_s, self.energy_j, self.pulses = time_s, energy_j, pulses
        self.between.append(self._line(epoch, {"accuracy_percent": percent}))

    def _line(self, epoch: float, score: dict[str, float]) -> dict[str, float]:
        return {
            "epoch": epoch,
            **score,
            "pulses": self.pulses,
            "simulated_time_s": self.simulated_time_s,
            "energy_j": self.energy_j,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file; ``between``, ``upkeep`` and ``each`` only if they are not empty."""
        found = asdict(self)
        for name in ("rmse", "r2") if self.rmse is None else ("accuracy_percent", "confusion"):
            del found[name]
        for name in ("between", "upkeep", "each"):
            if not found[name]:
                del found[name]
        return found
