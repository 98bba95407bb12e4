"""From ``study.toml`` to points: every declared combination with its runs, resolved and checked."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from circuitmem import registry
from circuitmem.config import AxisSpec, RunSpec, StudySpec, VariantSpec, merge, read_toml, set_key
from circuitmem.config.protocol import FactorLevel
from circuitmem.control import check_faults
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.training import tile_count
from circuitmem.validation import did_you_mean

__all__ = ["Chosen", "FactorLevel", "MethodAtPoint", "Point", "Study", "config_values", "load_study"]

Chosen = dict[tuple[str, tuple[FactorLevel, ...]], dict[str, Any]]
"""Settings found by tuning, by the name of a method and the levels at which it was tuned."""
RESERVED = (
    "point",
    "seed",
    "method",
    "epoch",
    "end",
    "part",
    "accuracy_percent",
    "pulses",
    "simulated_time_s",
    "energy_j",
)
"""Columns of the table; no axis may have such a name."""


@dataclass(frozen=True)
class MethodAtPoint:
    """One method at one point: the name that the table gives it, the method, and the resolved run."""

    name: str
    method: str
    run: RunSpec


@dataclass(frozen=True)
class Point:
    """One combination of levels with one seed; independent of all others, and named by its content.

    Attributes
    ----------
    levels : dict
        Level on each axis.
    seed : int
        Seed of everything random.
    jobs : tuple of MethodAtPoint
        Its methods, all on the same chip.
    map_tiles : tuple of int
        Tiles whose conductances are kept.
    """

    levels: dict[str, FactorLevel]
    seed: int
    jobs: tuple[MethodAtPoint, ...]
    map_tiles: tuple[int, ...] = ()

    @cached_property
    def id(self) -> str:
        """Name made from the declared values: a new key of circuitmem does not change it while at its default."""
        declared = [[job.name, job.method, _plain(job.run.model_dump(exclude_defaults=True))] for job in self.jobs]
        text = json.dumps([declared, self.map_tiles], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def description(self) -> str:
        """Levels and seed in words."""
        return ", ".join([*(f"{axis} {level}" for axis, level in self.levels.items()), f"seed {self.seed}"])


@dataclass(frozen=True)
class Study:
    """A study as declared, with its folder.

    Attributes
    ----------
    folder : Path
        Where ``study.toml`` lies.
    spec : StudySpec
        The declaration, with ``quick`` merged into it if that was requested.
    values : dict
        The base run, as tables.
    quick : bool
        Whether it is the quick form.
    declared_repeats : int
        Repeats in the declaration, whatever the user asked for.
    """

    folder: Path
    spec: StudySpec
    values: dict[str, Any]
    quick: bool
    declared_repeats: int

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def config_hash(self) -> str:
        """SHA-256 of the declaration and the base run."""
        text = json.dumps([_plain(self.spec.model_dump()), _plain(self.values)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def combinations(self) -> list[dict[str, FactorLevel]]:
        """Return the level of every axis, for every declared combination."""
        if self.spec.points:
            return [dict(point) for point in self.spec.points]
        levels = [[name for name, _ in axis_levels(axis)] for axis in self.spec.axes.values()]
        return [dict(zip(self.spec.axes, chosen, strict=True)) for chosen in product(*levels)]

    @property
    def seeds(self) -> range:
        """Seeds of the maps that are reported."""
        return range(self.spec.first_seed, self.spec.first_seed + self.spec.repeats)

    def points(self, chosen: Chosen | None = None) -> list[Point]:
        """Return all points, repeat after repeat, so that every repeat is finished as soon as possible.

        Parameters
        ----------
        chosen : dict, optional
            Settings found by tuning, if methods are tuned; without them methods have the declared settings.

        Raises
        ------
        ValidationError
            If a combination, or the run that it makes, breaks a rule.
        """
        return [self._point(levels, seed, chosen or {}) for seed in self.seeds for levels in self.combinations()]

    def tuned_at(self, levels: dict[str, FactorLevel]) -> dict[str, FactorLevel]:
        """Return the levels at which the methods of a combination are tuned."""
        return {axis: self.spec.protocol.at.get(axis, levels[axis]) for axis in self.spec.axes if axis in levels}

    def tuned_combinations(self) -> list[dict[str, FactorLevel]]:
        """Return the combinations at which methods are tuned, each once."""
        found = {tuple(at.values()): at for at in map(self.tuned_at, self.combinations())}
        return list(found.values())

    def trial(self, levels: dict[str, FactorLevel], seed: int, method: str, settings: dict[str, Any]) -> Point:
        """Return the point at which a method is tried with some settings, and tested with validation samples."""
        values = changed(self._values(levels, seed), {"data.validation": self.spec.protocol.validation})
        return Point(levels, seed, (self._job(method, values, settings),))

    def _point(self, levels: dict[str, FactorLevel], seed: int, chosen: Chosen) -> Point:
        values, tuned = self._values(levels, seed), tuple(self.tuned_at(levels).values())
        jobs = tuple(self._job(name, values, chosen.get((name, tuned), {})) for name in self.spec.methods)
        tiles = self.spec.maps.tiles if seed == self.spec.first_seed else ()
        return Point(levels, seed, jobs, tiles)

    def _values(self, levels: dict[str, FactorLevel], seed: int) -> dict[str, Any]:
        """Return the run at a combination of levels, as tables."""
        values = self.values
        for name, axis in self.spec.axes.items():
            if name not in levels:
                raise ValidationError("points", f"must give a level of every axis, {name} too", levels)
            settings = dict(axis_levels(axis)).get(levels[name])
            if settings is None:
                raise ValidationError(f"points.{name}", f"must be one of {level_names(axis)}", levels[name])
            values = changed(values, settings)
        unknown = set(levels) - set(self.spec.axes)
        if unknown:
            name = sorted(unknown)[0]
            raise ValidationError(f"points.{name}", f"is no axis{did_you_mean(name, self.spec.axes)}")
        held_back = {"data.held_back": self.spec.protocol.validation} if self.spec.protocol.validation else {}
        return changed(values, {"seed": seed, "trace": False, **held_back})

    def _job(self, name: str, values: dict[str, Any], settings: dict[str, Any]) -> MethodAtPoint:
        variant = self.spec.variants.get(name, VariantSpec(method=name))
        values = changed(values, {**variant.set, **settings})
        run = RunSpec(**values)
        if run.data.may_be_split and run.data.split_seed is None:
            run = RunSpec(**changed(values, {"data.split_seed": self.spec.first_seed}))
        check_faults(run.chip, tile_count(run))
        return MethodAtPoint(name, variant.method, run)


def load_study(folder: str | Path, quick: bool = False, repeats: int | None = None) -> Study:
    """Read a study.

    Parameters
    ----------
    folder : path
        The folder that has ``study.toml``.
    quick : bool
        Whether its ``quick`` table is to be merged into it.
    repeats : int, optional
        Number of defect maps instead of the declared one, >= 1.

    Raises
    ------
    DataFileError
        If the folder is not a study, or a file is not TOML.
    ValidationError
        If a key or a value breaks its rule.
    """
    path = Path(folder)
    if not (path / "study.toml").is_file():
        raise DataFileError(path, "is not a study (it has no study.toml)")
    # Permanently, and last: networks may lie beside the study, and worker processes inherit the path.
    sys.path.extend({str(path.resolve())} - set(sys.path))
    values = read_toml(str(path / "study.toml"))
    if quick:
        values = merge(values, values.get("quick", {}))
    declared = StudySpec(**values).repeats
    if repeats is not None:
        values["repeats"] = repeats
    spec = StudySpec(**values)
    base = str(path / spec.base) if spec.base.endswith(".toml") else spec.base
    study = Study(path, spec, merge(read_toml(base), spec.run), quick, declared)
    _check(study)
    return study


def _check(study: Study) -> None:
    spec = study.spec
    if not spec.methods:
        raise ValidationError("methods", "must be at least one")
    if len(set(spec.methods)) < len(spec.methods):
        raise ValidationError("methods", "must not have one twice", spec.methods)
    declared = study.values.get("methods")
    built = (*registry.names("methods"), *(declared if isinstance(declared, dict) else ()))
    for name, variant in spec.variants.items():
        if name in built:
            raise ValidationError(f"variants.{name}", "must not have the name of a method")
        _check_method(f"variants.{name}.method", variant.method, built)
    for name in spec.methods:
        _check_method("methods", name, (*built, *spec.variants))
    for name, axis in spec.axes.items():
        if name in RESERVED:
            raise ValidationError(f"axes.{name}", f"must not be one of {', '.join(RESERVED)}")
        levels = [level for level, _ in axis_levels(axis)]
        kinds = {bool if isinstance(level, bool) else str if isinstance(level, str) else float for level in levels}
        if len(kinds) > 1:  # they are one column of the table
            raise ValidationError(f"axes.{name}", "must have levels of one kind, numbers or words", levels)
        if len(set(levels)) < len(levels):
            raise ValidationError(f"axes.{name}", "must not have a level twice", levels)
    wanted = [(f"comparisons.{k}", name) for k, c in enumerate(spec.comparisons) for name in (c.method, c.against)]
    wanted += [(f"goals.{k}", name) for k, g in enumerate(spec.goals) for name in (g.method, g.against) if name]
    wanted += [(f"published.{k}", p.method) for k, p in enumerate(spec.published) if p.method]
    wanted += [(f"gaps.{k}", name) for k, g in enumerate(spec.gaps) for name in (g.method, g.over, *g.candidates)]
    wanted += [(f"tunings.{k}", t.method) for k, t in enumerate(spec.tunings)]
    wanted += [(f"figures.{key}", name) for key, f in spec.figures.items() for name in f.methods]
    for key, name in wanted:
        _check_name(key, name, (*spec.methods, "digital"))
    wheres = [(f"goals.{k}", {**g.where, **(g.against_where or {})}) for k, g in enumerate(spec.goals)]
    wheres += [(f"published.{k}", p.where) for k, p in enumerate(spec.published)]
    wheres += [(f"gaps.{k}", g.where) for k, g in enumerate(spec.gaps)]
    wheres += [(f"figures.{key}", figure.where) for key, figure in spec.figures.items()]
    for key, where in wheres:
        for name in where:
            _check_name(f"{key}.where", name, tuple(spec.axes))
    for k, tuning in enumerate(spec.tunings):
        if tuning.default not in study.combinations():
            raise ValidationError(f"tunings.{k}.default", "must be one of the study's points", tuning.default)
    _check_protocol(study)
    for key, figure in spec.figures.items():
        axes = [figure.panels] if figure.panels else []
        for name in [*axes, *([figure.x] if figure.kind == "lines" else [])]:
            _check_name(f"figures.{key}", name, tuple(spec.axes))


def _check_protocol(study: Study) -> None:
    spec, protocol = study.spec, study.spec.protocol
    for name in protocol.tune:
        _check_name("protocol.tune", name, spec.methods)
    for name in protocol.at:
        _check_name("protocol.at", name, tuple(spec.axes))
    if protocol.tune and set(protocol.tuning_seeds) & set(study.seeds):
        ours, theirs = (f"{seeds[0]} to {seeds[-1]}" for seeds in (study.seeds, protocol.tuning_seeds))
        rule = f"must keep the tuning maps (seeds {theirs}) apart from those that are reported ({ours})"
        raise ValidationError("protocol.first_tuning_seed", rule, protocol.first_tuning_seed)
    of_axes = {key for axis in spec.axes.values() for _, settings in axis_levels(axis) for key in settings}
    for name, searched in protocol.tune.items():
        for key in searched:
            if key in of_axes:
                raise ValidationError(f"protocol.tune.{name}.{key}", "must not be tuned: an axis sets it")
    data = study.values.get("data", {})
    for key in ("held_back", "validation"):
        if protocol.validation and key in data:
            raise ValidationError(f"run.data.{key}", "must be left out with protocol.validation", data[key])


def _check_name(key: str, name: str, known: Any) -> None:
    if name not in known:
        raise ValidationError(key, f"must be one of {', '.join(known)}{did_you_mean(name, list(known))}", name)


def _check_method(key: str, name: str, known: tuple[str, ...]) -> None:
    """Check the name of a method, which may be ``"package.module:NAME"`` too."""
    if registry.is_reference(name):
        registry.check("methods", name, key)
    else:
        _check_name(key, name, known)


def axis_levels(axis: AxisSpec) -> Iterator[tuple[FactorLevel, dict[str, Any]]]:
    """Yield every level of an axis, and the settings that it stands for."""
    if axis.key is None:
        yield from axis.levels.items()
        return
    for value in axis.values:
        level = value if isinstance(value, FactorLevel) else "-".join(str(item) for item in value)
        yield level, {axis.key: value}


def level_names(axis: AxisSpec) -> str:
    """Return the names of an axis's levels, for a message."""
    return ", ".join(str(level) for level, _ in axis_levels(axis))


def changed(values: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the tables with dotted keys set; a value that is a table replaces the whole old one."""
    new = deepcopy(values)
    for key, value in settings.items():
        set_key(new, key, deepcopy(value))
    return new


def config_values(point: Point) -> dict[str, Any]:
    """Return the complete configuration of each of a point's jobs, as JSON values."""
    return {job.name: _plain(job.run.model_dump()) for job in point.jobs}


def _plain(values: Any) -> Any:
    """Return values as they come back from JSON."""
    return json.loads(json.dumps(values))
