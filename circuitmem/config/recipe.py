"""The declared steps of a method of a comparison."""

from __future__ import annotations

import re
from typing import Any

import pydantic

from circuitmem import registry
from circuitmem.config.base import Spec
from circuitmem.errors import ValidationError

__all__ = ["RecipeSpec", "check_steps", "split_methods", "split_step"]

_WORDS = {"calibrate": "calibrations joined by +", "train": "best"}
"""What may follow some of the built-in steps after ``=`` (:mod:`circuitmem.training.steps` has them)."""

_NEEDS_DEFECTS = ("remap-columns", "remap-rows-and-columns", "freeze-pairs", "use-partners")
_PLAIN = ("inject-defects", "find-defects", *_NEEDS_DEFECTS, "retrain", "program", "fine-tune")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")


class RecipeSpec(Spec):
    """A method that a run declares.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-``: it appears in the names of the run's files.
    steps : sequence of str
        What the method does to the chip, in this order.
    """

    name: str
    steps: tuple[str, ...]

    @pydantic.model_validator(mode="after")
    def _check(self) -> RecipeSpec:
        if _NAME.fullmatch(self.name) is None:
            raise ValidationError("name", "must be made of letters, digits, _ and -", self.name)
        if self.name in (*registry.names("methods"), "digital"):
            raise ValidationError("name", "must not be that of a method which is there already", self.name)
        check_steps("steps", self.steps)
        return self


def split_step(step: str) -> tuple[str, str]:
    """Return the name and the word of a step: ``("calibrate", "affine")`` for ``"calibrate=affine"``."""
    name, _, word = step.partition("=")
    return name, word


def check_steps(key: str, steps: tuple[str, ...]) -> None:
    """Raise :class:`ValidationError` unless these steps are known and can follow each other."""
    found = [split_step(step)[0] for step in steps]
    for step in steps:
        name, word = split_step(step)
        _check_step(key, name, word)
    for name in ("program", "calibrate", "fine-tune", "train"):
        if found.count(name) > 1 or (name == "program" and name not in found):
            rule = "must have program once" if name == "program" else f"must have {name} once at most"
            raise ValidationError(key, rule, list(steps))
    place = {name: k for k, name in enumerate(found)}
    if "calibrate" in place and place["calibrate"] < place["program"]:
        raise ValidationError(key, "must have calibrate after program", list(steps))
    if "fine-tune" in place and place["fine-tune"] < max(place["program"], place.get("calibrate", 0)):
        raise ValidationError(key, "must have fine-tune after program, and after calibrate", list(steps))
    if "train" in place and place["train"] != len(found) - 1:
        raise ValidationError(key, "must have train as the last", list(steps))
    for name in _NEEDS_DEFECTS:
        if name in place and ("find-defects" not in place or place["find-defects"] > place[name]):
            raise ValidationError(key, f"must have find-defects before {name}", list(steps))
    late = [name for name in ("inject-defects", "retrain", *_NEEDS_DEFECTS) if place.get(name, -1) > place["program"]]
    if late:
        raise ValidationError(key, f"must have {late[0]} before program", list(steps))
    if "retrain" in place and not any(
        place.get(n, len(found)) < place["retrain"] for n in ("freeze-pairs", "use-partners")
    ):
        raise ValidationError(key, "must have freeze-pairs or use-partners before retrain", list(steps))


def _check_step(key: str, name: str, word: str) -> None:
    registry.check("steps", name, key)
    if name == "calibrate" and word:
        for each in word.split("+"):
            registry.check("calibrations", each, key)
    elif word and (name in _PLAIN or (name == "train" and word != "best")):
        may = f"may have ={_WORDS[name]} after it" if name in _WORDS else "has nothing after it"
        raise ValidationError(key, f"must have {name} by itself: it {may}", f"{name}={word}")


def split_methods(values: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of a run with ``[methods.NAME]`` split into names and declared steps.

    Raises
    ------
    ValidationError
        If a table does not declare steps.
    """
    methods = values.get("methods")
    if not isinstance(methods, dict):
        return values
    recipes = []
    for name, table in methods.items():
        if not isinstance(table, dict):
            raise ValidationError(f"methods.{name}", "must be a table, with steps or empty", table)
        if not table:
            continue  # an existing method
        try:
            recipes.append(RecipeSpec(**{"name": name, **table}))
        except ValidationError as error:
            raise error.within(f"methods.{name}") from None
    return values | {"methods": tuple(methods), "recipes": tuple(recipes)}
