"""The declared ways to calibrate and to train: ex situ on a computer, in situ on the chip."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from circuitmem import registry
from circuitmem.config.base import Spec
from circuitmem.config.names import CalibrationName, OptimiserName, Options, RuleName, check_options
from circuitmem.errors import ValidationError

__all__ = [
    "BestSpec",
    "CalibrationSpec",
    "ExSituSpec",
    "HardwareAwareSpec",
    "InSituSpec",
    "RetrainingSpec",
    "ScheduleName",
    "check_joined",
]

GradientName = Literal["read", "ideal", "adjoint"]
ScheduleName = Literal["linear", "cosine", "step", "constant"]

MOST_EPOCHS = 320
"""Most passes of training ex situ where no number is declared: the default 20, doubled four times."""


def check_joined(name: str, methods: tuple[str, ...]) -> None:
    """Raise :class:`ValidationError` unless these calibrations can follow each other."""
    if not methods or len(set(methods)) < len(methods):
        raise ValidationError(name, "must name at least one calibration, each once", list(methods))
    if len(methods) > 1 and "none" in methods:
        raise ValidationError(name, "must not join none with others", list(methods))
    if {"defect-subtract", "out-of-range"} <= set(methods):
        raise ValidationError(name, "must not subtract twice: defect-subtract and out-of-range", list(methods))
    if "conversion" in methods and "redundant-column" in methods[methods.index("conversion") :]:
        raise ValidationError(name, "must have redundant-column before conversion: it moves columns", list(methods))


LEARNING_RATES = {"sgd": 0.3, "momentum": 0.2, "rmsprop": 2e-3, "adam": 2e-3}
"""Step size of each optimiser where none is declared; that of RMSprop is Li et al.'s (Nat. Commun. 9:2385, 2018),
that of momentum was found on validation samples (the study step-size)."""
CALIBRATED_RATES = {"momentum": 0.02}
"""The same for methods that calibrate first, where another was found (the study step-size)."""


class ExSituSpec(Spec):
    """Training of the starting weights on a digital computer (Adam, softmax cross-entropy).

    Parameters
    ----------
    epochs : int
        Passes over the training samples, >= 0; with 0 the network starts from random weights.
    batch : int
        Samples a step, >= 1.
    max_epochs : int
        Training that has not converged after ``epochs`` is doubled in length, again and again, until it converges or
        reaches this many, >= epochs. Left out, it is ``epochs`` where that is declared, and 320 otherwise.
    learning_rate : float
        Step size, > 0; it falls as ``schedule`` says, and starts anew each time that training is extended.
    schedule : {"linear", "cosine", "step", "constant"}
        How the step size falls: along a line or half a cosine to 0, in one step to a tenth after two thirds of the
        steps, or not at all.
    patience : int
        Number of epochs without a better accuracy on the validation samples (``data.held_back``) after which training
        ends, before ``max_epochs`` and whatever its loss, and returns to the best weights, >= 0. At 0 it ignores these
        samples.
    weight_limit : float
        Weights are kept within this many standard deviations of their layer, > 0, so that a few large ones do not
        use up the conductance range.
    """

    epochs: int = pydantic.Field(default=20, ge=0)
    max_epochs: int = pydantic.Field(default=MOST_EPOCHS, ge=0)
    batch: int = pydantic.Field(default=50, ge=1)
    learning_rate: float = pydantic.Field(default=1e-3, gt=0.0)
    schedule: ScheduleName = "linear"
    patience: int = pydantic.Field(default=0, ge=0)
    weight_limit: float = pydantic.Field(default=1.5, gt=0.0)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _declared_epochs_are_all(cls, values: Any) -> Any:
        if isinstance(values, dict) and "epochs" in values and "max_epochs" not in values:
            return {**values, "max_epochs": values["epochs"]}
        return values

    @pydantic.model_validator(mode="after")
    def _check_epochs(self) -> ExSituSpec:
        if self.max_epochs < self.epochs:
            raise ValidationError("max_epochs", f"must be >= epochs (={self.epochs})", self.max_epochs)
        if not self.epochs and (self.max_epochs or self.patience):
            name = "max_epochs" if self.max_epochs else "patience"
            raise ValidationError(
                name, "must be 0 where epochs is: random weights are not trained", getattr(self, name)
            )
        return self


class CalibrationSpec(Spec):
    """How the analogue multiply-accumulate is calibrated.

    Parameters
    ----------
    method : str or sequence of str
        What is learnt from measured codes: ``none``, ``offset``, ``affine``, ``split-affine``, ``defect-subtract``,
        ``out-of-range``, ``global-scale``, ``conversion``, ``redundant-column``, ``batch-norm``
        (:mod:`circuitmem.calibration`), or another that :mod:`circuitmem.registry` finds; or several, each of which
        learns from what the ones before it leave.
    vectors : int
        Calibration vectors (training samples and the hidden activities they cause), >= 2.
    groups : int
        Groups of word lines that ``split-affine`` reads one after another, >= 2 and at most the rows of a tile.
    threshold : float
        With ``out-of-range``: cells that read further than this outside the working range of the devices are subtracted
        [S], >= 0.
    options : table of tables, optional
        Options of methods that are not built in, a table for each name.
    """

    method: tuple[CalibrationName, ...] = ("out-of-range",)
    vectors: int = pydantic.Field(default=200, ge=2)
    groups: int = pydantic.Field(default=4, ge=2)
    threshold: float = pydantic.Field(default=50e-6, ge=0.0)
    options: Options | None = None

    @pydantic.field_validator("method", mode="before")
    @classmethod
    def _one_is_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _check_methods(self) -> CalibrationSpec:
        check_joined("method", self.method)
        check_options(self.options, (("calibrations", name) for name in self.method))
        return self


class InSituSpec(Spec):
    """Training on the chip: hardware forward pass, digital backward pass, pulses for the updates.

    Parameters
    ----------
    epochs, batch : int
        Passes over the training samples, >= 0, and samples a step, >= 1.
    optimiser : str
        How gradients become wanted changes of the digital core's weights: ``sgd``, ``momentum``, ``rmsprop``, ``adam``,
        or another that :mod:`circuitmem.registry` finds.
    learning_rate : float
        Step size on the weights, > 0; it falls as ``schedule`` says. Left out, it is the optimiser's own
        (``LEARNING_RATES``, or its class's ``learning_rate``).
    calibrated_learning_rate : float
        The same for methods that calibrate first, > 0: a chip that multiplies correctly before it is trained needs
        smaller steps. Left out, ``learning_rate`` where that is declared, else the optimiser's own
        (``CALIBRATED_RATES``).
    schedule : {"linear", "cosine", "step", "constant"}
        How the step size falls: along a line or half a cosine to a tenth, in one step to a tenth after two thirds of
        the steps, or not at all.
    momentum : float
        Momentum of the optimiser ``momentum``, in [0, 1).
    rule : str
        How wanted changes become pulses: ``two-pulse``, ``pulse-count``, ``manhattan``, ``threshold``,
        ``write-verify``, ``mixed-precision`` (:mod:`circuitmem.training.rules`), ``tiki-taka``, ``chopped-tiki-taka``,
        ``agad`` (:mod:`circuitmem.training.tiki_taka`), or another that :mod:`circuitmem.registry` finds. The first two
        each belong to one kind of device, and are the default of a run with such devices; the last three are for
        devices that count pulses.
    threshold : float
        With ``threshold``: weights that would change by less than this fraction of the largest change of their layer
        are left alone, in [0, 1].
    manhattan_step : float
        With ``manhattan``: the change of every weight, relative to the largest weight of its layer, > 0.
    mixed_precision_step : float
        With ``mixed-precision``: the step in which changes are programmed, relative to the largest weight of its layer,
        > 0; smaller changes add up digitally until they reach it.
    verify_tries : int
        With ``write-verify``: how often cells are read back and programmed again after an update, >= 1.
    gradient : {"read", "ideal", "adjoint"}
        What the error is propagated back through: the map that the forward pass applies, as far as reads can tell; the
        weights that were asked for; or the true tiles (:mod:`circuitmem.training.gradients`).
    read_batches : int
        With ``read``: cells are read back before the first batch and then each time after this many batches, >= 1.
    ranges : {"fixed", "follow"}
        Whether the ranges of DACs and amplifiers stay as they were chosen before training, or are chosen anew from what
        the last batch needed. The latter is for activities that grow, above all from random weights.
    ranges_batches : int
        With ``follow``: number of batches after which ranges are chosen anew, >= 1.
    recalibrate : {"never", "once", "every"}
        Whether a method that calibrates does so again while it trains: once, after ``recalibrate_batches``, or every
        time that this many batches are over.
    recalibrate_batches : int
        Number of batches after which ``recalibrate`` applies, >= 1.
    patience : int
        Number of epochs without a better accuracy on the validation samples (``data.held_back``) after which training
        ends, >= 0. The chip reads these samples after each epoch, and the method pays for these reads. At 0 it does
        not.
    evaluate_every : int
        Number of batches after which accuracy is tested, in addition to each epoch, >= 0; at 0 it is tested only after
        each epoch. Tests cost the method nothing.
    options : table of tables, optional
        Options of the rules ``tiki-taka``, ``chopped-tiki-taka`` and ``agad`` (:class:`TikiTakaSpec`, ...), or of a
        rule or an optimiser that is not built in, a table for each name.
    """

    epochs: int = pydantic.Field(default=3, ge=0)
    batch: int = pydantic.Field(default=200, ge=1)
    optimiser: OptimiserName = "momentum"
    learning_rate: float = pydantic.Field(default=LEARNING_RATES["momentum"], gt=0.0)
    calibrated_learning_rate: float = pydantic.Field(default=CALIBRATED_RATES["momentum"], gt=0.0)
    schedule: ScheduleName = "linear"
    momentum: float = pydantic.Field(default=0.9, ge=0.0, lt=1.0)
    rule: RuleName = "two-pulse"
    threshold: float = pydantic.Field(default=0.1, ge=0.0, le=1.0)
    manhattan_step: float = pydantic.Field(default=0.01, gt=0.0)
    mixed_precision_step: float = pydantic.Field(default=0.01, gt=0.0)
    verify_tries: int = pydantic.Field(default=1, ge=1)
    gradient: GradientName = "read"
    read_batches: int = pydantic.Field(default=50, ge=1)
    ranges: Literal["fixed", "follow"] = "fixed"
    ranges_batches: int = pydantic.Field(default=10, ge=1)
    recalibrate: Literal["never", "once", "every"] = "never"
    recalibrate_batches: int = pydantic.Field(default=100, ge=1)
    patience: int = pydantic.Field(default=0, ge=0)
    evaluate_every: int = pydantic.Field(default=0, ge=0)
    options: Options | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _learning_rates_of_the_optimiser(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name = values.get("optimiser", "momentum")
        if not isinstance(name, str):
            return values
        own, calibrated = LEARNING_RATES.get(name), CALIBRATED_RATES.get(name)
        if own is None:
            try:
                optimiser = registry.find("optimisers", name)
            except ValidationError:  # its own field says so
                return values
            own, calibrated = optimiser.learning_rate, optimiser.calibrated_learning_rate
        if own is None and "learning_rate" not in values:
            raise ValidationError("learning_rate", f"must be declared: optimiser {name} has none of its own")
        calibrated = values.get("learning_rate", own if calibrated is None else calibrated)
        return {"learning_rate": own, "calibrated_learning_rate": calibrated} | values

    @pydantic.model_validator(mode="after")
    def _check_options(self) -> InSituSpec:
        check_options(self.options, (("rules", self.rule), ("optimisers", self.optimiser)))
        return self

    def after_calibration(self) -> InSituSpec:
        """Return the settings with which a method that calibrates first trains."""
        return self.model_copy(update={"learning_rate": self.calibrated_learning_rate})


class RetrainingSpec(Spec):
    """Training off-line for a chip (methods SCHR and best): Adam, from the digital weights.

    Parameters
    ----------
    epochs, batch : int
        Passes over the training samples, and samples a step, >= 1.
    learning_rate : float
        Step size, > 0; it falls as ``schedule`` says.
    schedule, patience
        As in :class:`ExSituSpec`.
    """

    epochs: int = pydantic.Field(default=5, ge=1)
    batch: int = pydantic.Field(default=50, ge=1)
    learning_rate: float = pydantic.Field(default=1e-3, gt=0.0)
    schedule: ScheduleName = "linear"
    patience: int = pydantic.Field(default=0, ge=0)


class HardwareAwareSpec(RetrainingSpec):
    """Training off-line for chips of one kind (method hardware-aware): with defects and noise drawn anew in each batch.

    The loss falls slowly, since every batch sees a different network: it takes more epochs and larger steps than
    retraining for one chip. Validation samples are tested with random defects, too.

    Parameters
    ----------
    epochs, batch, learning_rate, schedule, patience
        As in :class:`RetrainingSpec`.
    input_ranges : {"measured", "learned"}
        Source of the DAC ranges of hidden layers: the activities of the network that training begins with, or training
        itself, which then clips and rounds activities as the DACs do (LSQ: Esser et al., ICLR 2020). For networks of
        layers.
    """

    epochs: int = pydantic.Field(default=30, ge=1)
    learning_rate: float = pydantic.Field(default=5e-3, gt=0.0)
    input_ranges: Literal["measured", "learned"] = "measured"


class BestSpec(Spec):
    """Settings of ``in_situ`` that the method ``best`` replaces.

    Parameters
    ----------
    optimiser : str
        Its optimiser, named as in :class:`InSituSpec`.
    learning_rate : float
        Its step size, > 0.
    """

    optimiser: OptimiserName = "momentum"
    learning_rate: float = pydantic.Field(default=0.05, gt=0.0)

    def of(self, in_situ: InSituSpec) -> InSituSpec:
        """Return the settings for training in situ, with these two replaced."""
        return in_situ.model_copy(update={"optimiser": self.optimiser, "learning_rate": self.learning_rate})
