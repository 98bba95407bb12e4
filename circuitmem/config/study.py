"""The declared study: a base run, what is varied, how often it is repeated, and what is made of the results."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.config.protocol import FactorLevel, ProtocolSpec
from circuitmem.errors import ValidationError

__all__ = [
    "AxisSpec",
    "ComparisonSpec",
    "FigureSpec",
    "GapSpec",
    "GoalSpec",
    "MapsSpec",
    "PublishedSpec",
    "StudySpec",
    "TuningSpec",
    "VariantSpec",
]


class AxisSpec(Spec):
    """One axis of a study: a key of the run's configuration, or named levels that set several keys each.

    Parameters
    ----------
    key : str, optional
        Dotted key of the configuration, such as ``"chip.defects.device_yield"``.
    values : sequence, optional
        Values of the key, one after another; with ``key``.
    levels : table, optional
        Name of each level, and a table of dotted keys and values; instead of ``key`` and ``values``.
    label : str
        What figures and tables call the axis; its name when left out.
    """

    key: str | None = None
    values: tuple[Any, ...] = ()
    levels: dict[str, dict[str, Any]] = pydantic.Field(default_factory=dict)
    label: str = ""

    @pydantic.model_validator(mode="after")
    def _check_one_kind(self) -> AxisSpec:
        if bool(self.key) != bool(self.values) or bool(self.key) == bool(self.levels):
            raise ValidationError("axis", "must have key and values (one at least), or levels, and not both")
        for value in self.values:
            if not _has_a_name(value):
                rule = "must be numbers, words, true or false, or lists of them; name what is a table in levels"
                raise ValidationError("values", rule, value)
        return self


def _has_a_name(value: Any) -> bool:
    """Say whether the table of results can show a value as a level."""
    return all(map(_has_a_name, value)) if isinstance(value, list | tuple) else isinstance(value, FactorLevel)


class VariantSpec(Spec):
    """A method under another name, with its own settings.

    Parameters
    ----------
    method : str
        A method of ``circuitmem train``.
    set : table
        Dotted keys of the configuration and their values.
    label : str
        What figures and tables call it.
    """

    method: str
    set: dict[str, Any] = pydantic.Field(default_factory=dict)
    label: str = ""


class MapsSpec(Spec):
    """Tiles whose conductances and stuck devices are kept, before and after in-situ training of the first repeat.

    Parameters
    ----------
    tiles : sequence of int
        Numbers of the tiles, >= 0, each once; none when left out.
    """

    tiles: tuple[Annotated[int, pydantic.Field(ge=0)], ...] = ()

    @pydantic.model_validator(mode="after")
    def _check_each_once(self) -> MapsSpec:
        if len(set(self.tiles)) < len(self.tiles):
            raise ValidationError("tiles", "must not have one twice", self.tiles)
        return self


class ComparisonSpec(Spec):
    """Two methods compared on the same defect maps.

    Parameters
    ----------
    method, against : str
        Names of two methods; ``digital`` is the digital network.
    at : {"end", "pulses", "time"}
        Compare at the end of both, or at the programming pulses or the simulated time that the cheaper one spent in
        all; at the end only with ``digital``, which spends neither.
    """

    method: str
    against: str
    at: Literal["end", "pulses", "time"] = "end"

    @pydantic.model_validator(mode="after")
    def _check_two(self) -> ComparisonSpec:
        if self.method == self.against:
            raise ValidationError("against", "must be another method than method", self.against)
        if self.at != "end" and "digital" in (self.method, self.against):
            raise ValidationError("at", "must be end with digital, which spends no pulses and no time", self.at)
        return self


class GoalSpec(Spec):
    """A goal of the study; the report says whether it is met.

    Parameters
    ----------
    claim : str
        The goal in words.
    method : str
        The method it is about; its mean accuracy counts.
    where : table
        Levels of the axes; those left out are averaged over.
    minimum : float
        Smallest mean [%], or, with ``against``, smallest mean difference [points].
    against : str, optional
        Another method.
    against_where : table, optional
        Levels to compare with, of the method ``against``, or of the same method if that is left out.
    """

    claim: str
    method: str
    where: dict[str, FactorLevel] = pydantic.Field(default_factory=dict)
    minimum: float
    against: str | None = None
    against_where: dict[str, FactorLevel] | None = None


class PublishedSpec(Spec):
    """A published number.

    Parameters
    ----------
    source : str
        Who, and where.
    mark : {"P", "D", "I"}
        Read in a primary source, in a digest of it, or inferred by us.
    value : float
        Accuracy [%].
    method : str, optional
        Our method to compare it with.
    where : table
        Levels of the axes.
    """

    source: str
    mark: Literal["P", "D", "I"]
    value: float
    method: str | None = None
    where: dict[str, FactorLevel] = pydantic.Field(default_factory=dict)


class GapSpec(Spec):
    """Two published gaps of one method over others, where the compared method, or the levels, are not known.

    The report shows both gaps at all levels, and says for each candidate where it comes closest to both.

    Parameters
    ----------
    source : str
        Who, and where.
    mark : {"P", "D", "I"}
        As in :class:`PublishedSpec`.
    method : str
        Our method that stands for theirs.
    over : str
        Our method that the first gap is measured against.
    gap : float
        The first gap [points].
    candidates : sequence of str
        Our methods that the second gap may be measured against, at least one.
    candidate_gap : float
        The second gap [points].
    where : table
        Levels of axes to look at; all when left out.
    """

    source: str
    mark: Literal["P", "D", "I"]
    method: str
    over: str
    gap: float
    candidates: tuple[str, ...] = pydantic.Field(min_length=1)
    candidate_gap: float
    where: dict[str, FactorLevel] = pydantic.Field(default_factory=dict)


class TuningSpec(Spec):
    """A default setting that is compared with the best of all points of the study.

    Parameters
    ----------
    method : str
        The method that was tuned.
    default : table
        Levels of the axes that are the default, one for every axis.
    within : float
        How far below the best it may be [points], >= 0.
    """

    method: str
    default: dict[str, FactorLevel]
    within: float = pydantic.Field(ge=0.0)


PARETO_COSTS = ("inference_j", "inference_s", "energy_j", "simulated_time_s")
"""Costs against which a figure of kind ``pareto`` may plot accuracy."""

TRAINING_COSTS = ("epoch", "pulses", "simulated_time_s", "energy_j")
"""What a figure of kind ``training`` may plot accuracy against."""


class FigureSpec(Spec):
    """A figure, drawn from the table of results.

    Parameters
    ----------
    kind : {"lines", "training", "maps", "pareto"}
        Accuracy at the end along an axis; accuracy while training goes on; conductances of a tile; accuracy at the end
        against a cost, with a line through the Pareto-optimal points.
    x : str
        With ``lines``: the axis. With ``training``: ``epoch``, ``pulses``, ``simulated_time_s`` or ``energy_j``. With
        ``pareto``: ``inference_j``, ``inference_s``, ``energy_j`` or ``simulated_time_s``.
    y : {"accuracy_percent", "simulated_time_s", "energy_j"}
        With ``lines``: accuracy, or the total cost of a method.
    panels : str, optional
        Axis with one panel per level.
    methods : sequence of str
        Methods to show; all when left out. Not ``digital`` where a cost is shown: it has none.
    where : table
        Levels of axes that are neither on ``x`` nor in ``panels``.
    title : str
        Title.
    minimum, maximum : float
        Ends of the accuracy scale [%], ``minimum < maximum``.
    logarithmic : bool
        Whether ``x`` has a logarithmic scale.
    """

    kind: Literal["lines", "training", "maps", "pareto"]
    x: str = ""
    y: Literal["accuracy_percent", "simulated_time_s", "energy_j"] = "accuracy_percent"
    panels: str | None = None
    methods: tuple[str, ...] = ()
    where: dict[str, FactorLevel] = pydantic.Field(default_factory=dict)
    title: str = ""
    minimum: float = 0.0
    maximum: float = 100.0
    logarithmic: bool = False

    @pydantic.model_validator(mode="after")
    def _check_scales(self) -> FigureSpec:
        if self.kind != "lines" and self.y != "accuracy_percent":
            raise ValidationError("y", f"must be accuracy_percent with {self.kind}", self.y)
        costs = {"pareto": PARETO_COSTS, "training": TRAINING_COSTS}.get(self.kind)
        if costs is not None and self.x not in costs:
            raise ValidationError("x", f"must be one of {', '.join(costs)} with {self.kind}", self.x)
        if "digital" in self.methods and (self.kind == "pareto" or self.y != "accuracy_percent"):
            raise ValidationError("methods", "must not have digital where a cost is shown: it has none", self.methods)
        if self.minimum >= self.maximum:
            raise ValidationError("minimum", f"must be < maximum (={self.maximum:g})", self.minimum)
        return self


LAST_SEED = 2**63 - 1
"""Largest seed: tables of results hold 64-bit integers."""

_FILE = re.compile(r"\w[\w.-]*")
_LONGEST_NAME = 100
"""Longest name of a figure [bytes]: with its ending it must be the name of a file."""


class StudySpec(Spec):
    """Everything that ``circuitmem study run`` needs, as ``study.toml`` has it.

    Parameters
    ----------
    title : str
        One line.
    base : str
        The run that the study begins with: a preset, or a TOML file beside ``study.toml``.
    run : table
        Settings that differ from the base at every point, as in a run's configuration.
    methods : sequence of str
        Methods of ``circuitmem train``, and names of ``variants``, at least one.
    variants : table of VariantSpec
        Methods with settings of their own.
    repeats : int
        Defect maps (and starting weights, noises, orders of digits) at every point, >= 1. Repeat k has the seed
        ``first_seed + k`` everywhere, so that points and methods are paired.
    first_seed : int
        Seed of the first repeat, >= 0; that of the last one must be below 2^63.
    axes : table of AxisSpec
        The points are all combinations of their levels.
    points : sequence of tables, optional
        Only these combinations: tables with a level for every axis, each once.
    maps : MapsSpec
        Conductance maps to keep.
    protocol : ProtocolSpec
        What is held back for validation, and how methods are tuned with it before they are tested.
    comparisons, goals, published, gaps, tunings, figures
        What the report makes of the results. The name of a figure is that of its files.
    quick : table
        Changes that ``--quick`` makes to the study: the same keys, merged into it.
    """

    title: str
    base: str = "default"
    run: dict[str, Any] = pydantic.Field(default_factory=dict)
    methods: tuple[str, ...] = ("raw", "calibration", "in_situ", "calibration_in_situ")
    variants: dict[str, VariantSpec] = pydantic.Field(default_factory=dict)
    repeats: int = pydantic.Field(default=1, ge=1)
    first_seed: int = pydantic.Field(default=1, ge=0)
    axes: dict[str, AxisSpec] = pydantic.Field(default_factory=dict)
    points: tuple[dict[str, FactorLevel], ...] = ()
    maps: MapsSpec = MapsSpec()
    protocol: ProtocolSpec = ProtocolSpec()
    comparisons: tuple[ComparisonSpec, ...] = ()
    goals: tuple[GoalSpec, ...] = ()
    published: tuple[PublishedSpec, ...] = ()
    gaps: tuple[GapSpec, ...] = ()
    tunings: tuple[TuningSpec, ...] = ()
    figures: dict[str, FigureSpec] = pydantic.Field(default_factory=dict)
    quick: dict[str, Any] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def _check_seeds(self) -> StudySpec:
        protocol = self.protocol
        firsts = [("first_seed", self.first_seed, self.repeats)]
        firsts += [("protocol.first_tuning_seed", protocol.first_tuning_seed, protocol.tuning_maps)]
        for name, first, count in firsts:
            if first + count - 1 > LAST_SEED:
                raise ValidationError(name, f"must leave all {count} seeds below 2^63", first)
        return self

    @pydantic.model_validator(mode="after")
    def _check_figures(self) -> StudySpec:
        for name, figure in self.figures.items():
            if _FILE.fullmatch(name) is None or len(name.encode()) > _LONGEST_NAME:
                rule = f"must have a name of letters, digits, _, - and . (no dot first), up to {_LONGEST_NAME} bytes"
                raise ValidationError(f"figures.{name}", rule, name)
            if figure.kind == "maps" and not self.maps.tiles:
                raise ValidationError(f"figures.{name}.kind", "must be another without maps.tiles", figure.kind)
        return self
