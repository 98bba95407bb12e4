"""The declared protocol of a study: what is held back, and how methods are tuned before their test samples are seen."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.errors import ValidationError

__all__ = ["FactorLevel", "ProtocolSpec", "SearchedSpec"]

FactorLevel = str | int | float | bool
"""Level of an axis at a point, as the table of results shows it."""


class SearchedSpec(Spec):
    """Values of a setting for the tuning of a method; in a file, a list of values is enough.

    Parameters
    ----------
    values : sequence
        Values to choose from, at least one, each once.
    low, high : float
        Instead of ``values``: range of a number that is drawn log-uniformly and rounded to three digits,
        ``0 < low < high``. For ``search = "random"``.
    """

    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _list_is_values(cls, values: Any) -> Any:
        return {"values": tuple(values)} if isinstance(values, list | tuple) else values

    @pydantic.model_validator(mode="after")
    def _check(self) -> SearchedSpec:
        ends = self.low is not None, self.high is not None
        if ends[0] != ends[1] or ends[0] == bool(self.values):
            raise ValidationError("values", "must be at least one, or low and high instead", list(self.values))
        if self.low is not None and self.high is not None and not 0.0 < self.low < self.high:
            raise ValidationError("low", f"must be > 0 and < high (={self.high:g})", self.low)
        if any(value in self.values[:place] for place, value in enumerate(self.values)):
            raise ValidationError("values", "must not have one twice", list(self.values))
        return self


class ProtocolSpec(Spec):
    """Rules of a fair study: test samples are used once, at the end, and all methods get equally many trials.

    Parameters
    ----------
    validation : int
        Training samples that are held back at every point (``data.held_back``), >= 0. Methods are tuned with them, and
        whatever is tested before the end of a method is tested with them.
    trials : int
        Combinations of settings that are tried for every tuned method, >= 1.
    search : {"grid", "random"}
        Try all combinations of the declared values, which must be ``trials`` for every method; or draw ``trials``
        combinations at random.
    tuning_maps : int
        Defect maps on which each combination is tried, >= 1.
    halving : bool
        Whether the better half of each method's settings, rounded up, goes on to each next map (successive halving:
        Jamieson & Talwalkar, AISTATS 2016). All methods still get equally many trials, but fewer in all.
    first_tuning_seed : int
        Seed of the first of these maps, >= 0; no tuning seed may be that of a reported repeat.
    at : table
        Levels at which methods are tuned on these axes; the settings then hold for all levels of these axes. On the
        other axes (on all when left out), methods are tuned at every level.
    tune : table of tables
        For each method that is tuned: dotted keys of the configuration, and the values to search
        (:class:`SearchedSpec`). Seeds, samples and defects cannot be tuned.
    """

    validation: int = pydantic.Field(default=0, ge=0)
    trials: int = pydantic.Field(default=1, ge=1)
    search: Literal["grid", "random"] = "grid"
    tuning_maps: int = pydantic.Field(default=3, ge=1)
    halving: bool = False
    first_tuning_seed: int = pydantic.Field(default=1001, ge=0)
    at: dict[str, FactorLevel] = pydantic.Field(default_factory=dict)
    tune: dict[str, dict[str, SearchedSpec]] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _check(self) -> ProtocolSpec:
        if self.tune and not self.validation:
            raise ValidationError("validation", "must be >= 1 where methods are tuned", 0)
        for method, settings in self.tune.items():
            key = f"tune.{method}"
            if not settings:
                raise ValidationError(key, "must have a setting at least")
            for name, searched in settings.items():
                if name.partition(".")[0] in ("seed", "data"):
                    raise ValidationError(f"{key}.{name}", "must not be tuned: seeds and samples are the protocol's")
                if name == "chip" or name.startswith("chip.defects"):
                    raise ValidationError(f"{key}.{name}", "must not be tuned: a method would choose a better chip")
                if self.search == "grid" and not searched.values:
                    raise ValidationError(f"{key}.{name}", 'must be a list of values with search = "grid"')
            if self.search == "grid":
                count = prod(len(searched.values) for searched in settings.values())
                if count != self.trials:
                    rule = f"must have protocol.trials (={self.trials}) combinations: every method is tuned as much"
                    raise ValidationError(key, rule, count)
        return self

    @property
    def tuning_seeds(self) -> range:
        """Seeds of the maps that methods are tuned on."""
        return range(self.first_tuning_seed, self.first_tuning_seed + self.tuning_maps)
