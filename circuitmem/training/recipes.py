"""The methods of a comparison, by name: lists of named steps that are applied to the same chip one after another."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from circuitmem import registry
from circuitmem.config import CalibrationSpec, RunSpec
from circuitmem.config.recipe import check_steps, split_step
from circuitmem.errors import ValidationError
from circuitmem.rng import name_number

__all__ = ["METHODS", "Recipe", "check_copies", "check_values", "method_number", "method_title", "recipe_of"]


@dataclass(frozen=True)
class Recipe:
    """A method of a comparison.

    Parameters
    ----------
    title : str
        Its name for readers.
    steps : sequence of str
        Names of its steps (``circuitmem list steps``), in the order in which they are taken; a step may have a word of
        its own, as in ``"calibrate=affine"``.

    Raises
    ------
    ValidationError
        If the steps cannot follow each other.
    """

    title: str
    steps: Sequence[str]

    def __post_init__(self) -> None:
        check_steps(f"steps of {self.title}", tuple(self.steps))

    def word(self, step: str) -> str | None:
        """Return the word of a step of this name, ``""`` if it has none; None if the method has no such step."""
        found = dict(map(split_step, self.steps))
        return found.get(step)

    @property
    def train(self) -> bool:
        """Whether it trains in situ."""
        return self.word("train") is not None

    @property
    def best(self) -> bool:
        """Whether it trains with the settings that ``best`` declares."""
        return self.word("train") == "best"

    @property
    def calibrate(self) -> bool:
        """Whether it learns corrections."""
        return self.word("calibrate") not in (None, "none")

    def calibrations(self, spec: CalibrationSpec) -> tuple[str, ...]:
        """Return the names of its calibrations, in their order."""
        word = self.word("calibrate")
        if word is None:
            return ("none",)
        return tuple(word.split("+")) if word else spec.method


_KNOWN = ("find-defects", "remap-rows-and-columns", "use-partners")

METHODS = {
    "raw": Recipe("raw defective chip", ("program",)),
    "calibration": Recipe("calibration only", ("program", "calibrate")),
    "in_situ": Recipe("in-situ only", ("program", "train")),
    "calibration_in_situ": Recipe("calibration + in-situ", ("program", "calibrate", "train")),
    "schr": Recipe("SCHR", ("find-defects", "remap-columns", "freeze-pairs", "retrain", "program")),
    "schr_device": Recipe("SCHR by device", ("find-defects", "remap-columns", "use-partners", "retrain", "program")),
    "hardware_aware": Recipe("hardware-aware ex situ", ("inject-defects", "program")),
    "batch_norm": Recipe("batch-norm only", ("program", "calibrate=batch-norm")),
    "defect_subtract": Recipe("defects subtracted", ("program", "calibrate=defect-subtract")),
    "compensation": Recipe("partner devices only", ("find-defects", "use-partners", "program")),
    "remapping": Recipe("remapping + partners", (*_KNOWN, "program")),
    "best": Recipe("best", (*_KNOWN, "retrain", "program", "calibrate", "train=best")),
    "chip_in_the_loop": Recipe("chip in the loop", ("program", "calibrate", "fine-tune")),
}
"""The built-in methods by name, as in ``methods`` and in the files of a run."""

_NUMBERS = {name: number for number, name in enumerate(islice(METHODS, 12))}
"""Numbers of the random streams of the first twelve methods, older than numbers from names: never to be changed."""


def method_number(name: str) -> int:
    """Return the number that addresses a method's random streams: it depends on the name, not on other methods."""
    return _NUMBERS[name] if name in _NUMBERS else name_number(name)


def recipe_of(spec: RunSpec, name: str) -> Recipe:
    """Return the steps of a method: those that the run declares, or those that the registry knows.

    Raises
    ------
    ValidationError
        If there is no method of that name.
    """
    for declared in spec.recipes:
        if declared.name == name:
            return Recipe(method_title(name), declared.steps)
    found: Recipe = registry.find("methods", name, "methods")
    return found


def method_title(name: str) -> str:
    """Return the title of a method, or of the digital network; a method that a run declares has its name as title."""
    if name == "digital":
        return "digital network"
    if name in METHODS:
        return METHODS[name].title
    if registry.is_reference(name) or name in registry.names("methods"):
        with contextlib.suppress(ValidationError):  # if the method is gone, fall back on its name
            title: str = registry.find("methods", name).title
            return title
    return name.replace("_", " ")


FOR_CLASSES = ("inject-defects", "remap-columns", "remap-rows-and-columns", "retrain", "fine-tune")
"""Steps that need the loss of a classifier."""


PLACED = ("remap-columns", "remap-rows-and-columns", "freeze-pairs")
"""Steps that choose places for weights, or freeze them, by the devices of one set of tiles."""
FAST = ("tiki-taka", "chopped-tiki-taka", "agad")
"""Rules that train on tiles of their own."""


def check_copies(spec: RunSpec, recipe: Recipe) -> None:
    """Refuse methods that a chip with several copies of kernels does not support.

    Raises
    ------
    ValidationError
        If a method places weights by the devices of one copy, or trains on tiles of its own.
    """
    copies, key = spec.chip.kernel_copies, "chip.kernel_copies"
    if copies == 1:
        return
    for step in PLACED:
        if recipe.word(step) is not None:
            raise ValidationError(key, f"must be 1 with the step {step}: copies have stuck cells of their own", copies)
    if recipe.train and spec.in_situ.rule in FAST:
        raise ValidationError(key, f"must be 1 with in_situ.rule {spec.in_situ.rule}", copies)


def check_values(spec: RunSpec) -> None:
    """Refuse steps and settings that make sense only for classes, in a run whose network predicts values.

    Raises
    ------
    ValidationError
        If a method has such a step, or training is to use the accuracy on validation samples.
    """
    for name in spec.methods:
        for step in FOR_CLASSES:
            if recipe_of(spec, name).word(step) is not None:
                raise ValidationError(
                    "methods", f"must not have {step}, which is for classes: data.task is values", name
                )
    for key, value in (
        ("data.held_back", spec.data.held_back),
        ("ex_situ.patience", spec.ex_situ.patience),
        ("in_situ.patience", spec.in_situ.patience),
        ("in_situ.evaluate_every", spec.in_situ.evaluate_every),
    ):
        if value:
            raise ValidationError(key, "must be 0 where data.task is values: it looks at accuracies", value)
