"""From ``study.toml`` to points: every declared combination with its runs, resolved and checked."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from circuitmem.config import RunSpec, StudySpec, VariantSpec, merge, read_toml
from circuitmem.config.protocol import FactorLevel
from circuitmem.control import check_faults
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.study.checks import check_study
from circuitmem.study.levels import axis_levels, changed, declared_level
from circuitmem.training import tile_count

__all__ = ["Chosen", "FactorLevel", "MethodAtPoint", "Point", "Study", "config_values", "load_study"]

Chosen = dict[tuple[str, tuple[FactorLevel, ...]], dict[str, Any]]
"""Settings found by tuning, by the name of a method and the levels at which it was tuned."""


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
            return [
                {axis: declared_level(f"points.{axis}", self.spec.axes[axis], level) for axis, level in point.items()}
                for point in self.spec.points
            ]
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
        return Point(levels, seed, (self._job(method, levels, values, settings),))

    def _point(self, levels: dict[str, FactorLevel], seed: int, chosen: Chosen) -> Point:
        values, tuned = self._values(levels, seed), tuple(self.tuned_at(levels).values())
        jobs = tuple(self._job(name, levels, values, chosen.get((name, tuned), {})) for name in self.spec.methods)
        tiles = self.spec.maps.tiles if seed == self.spec.first_seed else ()
        return Point(levels, seed, jobs, tiles)

    def _values(self, levels: dict[str, FactorLevel], seed: int) -> dict[str, Any]:
        """Return the run at a combination of levels, as tables."""
        values = self.values
        for name, axis in self.spec.axes.items():
            values = _set(f"axes.{name}", values, dict(axis_levels(axis))[levels[name]])
        held_back = {"data.held_back": self.spec.protocol.validation} if self.spec.protocol.validation else {}
        return changed(values, {"seed": seed, "trace": False, **held_back})

    def run_values(self, levels: dict[str, FactorLevel], method: str) -> dict[str, Any]:
        """Return the run of a method at a combination of levels, as tables, with the settings that are not tuned.

        The digital network is that of the first method.
        """
        variant = self.spec.variants.get(self.spec.methods[0] if method == "digital" else method)
        values = self._values(levels, self.spec.first_seed)
        return values if variant is None else changed(values, variant.set)

    def _job(
        self, name: str, levels: dict[str, FactorLevel], values: dict[str, Any], settings: dict[str, Any]
    ) -> MethodAtPoint:
        variant = self.spec.variants.get(name, VariantSpec(method=name))
        values = _set(f"protocol.tune.{name}", _set(f"variants.{name}", values, variant.set), settings)
        try:
            run = RunSpec(**values)
            if run.data.may_be_split and run.data.split_seed is None:
                run = RunSpec(**changed(values, {"data.split_seed": self.spec.first_seed}))
            check_faults(run.chip, tile_count(run))
        except ValidationError as error:
            parts = [(f"protocol.tune.{name}", settings), (f"variants.{name}", variant.set)]
            parts += [(f"axes.{n}", dict(axis_levels(axis))[levels[n]]) for n, axis in self.spec.axes.items()]
            found = [part for part, keys in parts if any(f"{error.name}.".startswith(f"{key}.") for key in keys)]
            found += [part for part, own in (("run", self.spec.run), ("base", self.values)) if _has(own, error.name)]
            raise (error.within(found[0]) if found else error) from None
        return MethodAtPoint(name, variant.method, run)

    def check_tiles(self) -> None:
        """Refuse tiles whose maps are to be kept and which no point has, as far as the networks' tiles are known."""
        if not self.spec.maps.tiles:
            return
        firsts = [self._point(levels, self.spec.first_seed, {}) for levels in self.combinations()]
        runs = [job.run for point in firsts for job in point.jobs]
        most = max(map(tile_count, runs))
        if max(self.spec.maps.tiles) >= most and not any(run.network.model for run in runs):
            raise ValidationError("maps.tiles", f"must be < {most}, the number of tiles, each", self.spec.maps.tiles)


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
    check_study(spec, study.values)
    study.check_tiles()
    return study


def _set(part: str, values: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the tables with the settings of a part of the declaration, which an error names."""
    try:
        return changed(values, settings)
    except ValidationError as error:
        raise error.within(part) from None


def _has(table: Any, key: str) -> bool:
    """Say whether nested tables set a dotted key, or a value that the key leads into."""
    for name in key.split("."):
        if not isinstance(table, dict):
            return True
        if name not in table:
            return False
        table = table[name]
    return True


def config_values(point: Point) -> dict[str, Any]:
    """Return the complete configuration of each of a point's jobs, as JSON values."""
    return {job.name: _plain(job.run.model_dump()) for job in point.jobs}


def _plain(values: Any) -> Any:
    """Return values as they come back from JSON."""
    return json.loads(json.dumps(values))
