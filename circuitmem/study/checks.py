"""Checks of a declared study that compare its parts, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from circuitmem import registry
from circuitmem.config import AxisSpec, StudySpec
from circuitmem.errors import ValidationError
from circuitmem.study.levels import axis_levels, declared_level, level_kind, overlap
from circuitmem.validation import did_you_mean

__all__ = ["RESERVED", "check_study"]

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
    "inference_s",
    "inference_j",
    "digital_products",
    "mac_error_raw",
    "mac_error",
    "tiles",
    "test_samples",
    "split_seed",
    "trial",
    "settings",
    "status",
    "validation_percent",
)
"""Columns of the tables of results and of trials; no axis may have such a name."""

DECIDED = {
    "seed": "first_seed and repeats give the seeds",
    "trace": "a study writes no traces",
    "methods": "a study has its own methods",
    "data.validation": "the protocol says what is held back",
    "data.held_back": "the protocol says what is held back",
}
"""Keys of a run that the study decides, with the reason; whoever sets them would be overridden, or compare unlike."""


def check_study(spec: StudySpec, values: dict[str, Any]) -> None:
    """Check what no part of a declaration can check alone.

    Parameters
    ----------
    spec : StudySpec
        The declaration.
    values : dict
        The base run with the changes for every point, as tables.

    Raises
    ------
    ValidationError
        If a name or a level is unknown, or two parts contradict each other.
    """
    _check_methods(spec, values)
    _check_axes(spec)
    _check_keys(spec)
    _check_points(spec)
    _check_names(spec)
    _check_levels(spec)
    _check_protocol(spec, values)


def _check_methods(spec: StudySpec, values: dict[str, Any]) -> None:
    if not spec.methods:
        raise ValidationError("methods", "must be at least one")
    if len(set(spec.methods)) < len(spec.methods):
        raise ValidationError("methods", "must not have one twice", spec.methods)
    declared = values.get("methods")
    built = (*registry.names("methods"), *(declared if isinstance(declared, dict) else ()))
    for name, variant in spec.variants.items():
        if name in (*built, "digital"):
            raise ValidationError(f"variants.{name}", "must not have the name of a method, or of the digital network")
        _check_method(f"variants.{name}.method", variant.method, built)
    for name in spec.methods:
        _check_method("methods", name, (*built, *spec.variants))


def _check_axes(spec: StudySpec) -> None:
    for name, axis in spec.axes.items():
        if name in RESERVED:
            raise ValidationError(f"axes.{name}", f"must not be one of {', '.join(RESERVED)}")
        levels = [level for level, _ in axis_levels(axis)]
        if len(set(map(level_kind, levels))) > 1:  # they are one column of the table
            raise ValidationError(f"axes.{name}", "must have levels of one kind, numbers or words", levels)
        if len(set(levels)) < len(levels):
            raise ValidationError(f"axes.{name}", "must not have a level twice", levels)


def _keys_of(axis: AxisSpec) -> list[str]:
    """Return the keys that the levels of an axis set, each once."""
    return list(dict.fromkeys(key for _, settings in axis_levels(axis) for key in settings))


def _check_keys(spec: StudySpec) -> None:
    """Refuse keys that would be overridden: those that the study decides, and those that two axes set."""
    for key in DECIDED:
        # A table of methods declares their steps; a list of names would not count.
        if key in spec.run and not isinstance(spec.run[key], dict):
            raise ValidationError(f"run.{key}", f"must be left out: {DECIDED[key]}", spec.run[key])
    setters = [(f"axes.{name}", key) for name, axis in spec.axes.items() for key in _keys_of(axis)]
    setters += [(f"variants.{name}", key) for name, variant in spec.variants.items() for key in variant.set]
    setters += [(f"protocol.tune.{name}", key) for name, searched in spec.protocol.tune.items() for key in searched]
    for place, key in setters:
        for own, reason in DECIDED.items():
            if overlap(key, own) and not key.startswith("methods."):
                raise ValidationError(place, f"must not set {key}: {reason}")
    early: list[tuple[str, str]] = []
    for name, axis in spec.axes.items():
        for key in _keys_of(axis):
            for other, theirs in early:
                if overlap(key, theirs):
                    raise ValidationError(f"axes.{name}", f"must not set {key}: axes.{other} sets {theirs}")
        early += [(name, key) for key in _keys_of(axis)]


def _check_points(spec: StudySpec) -> None:
    found = []
    for point in spec.points:
        for name in spec.axes:
            if name not in point:
                raise ValidationError("points", f"must give a level of every axis, {name} too", point)
        _check_place("points", point, spec)
        if point in found:
            raise ValidationError("points", "must not have a combination twice", point)
        found.append(point)


def _check_place(key: str, place: dict[str, Any], spec: StudySpec) -> None:
    """Check levels of some axes."""
    for name, level in place.items():
        _check_name(key, name, tuple(spec.axes))
        declared_level(f"{key}.{name}", spec.axes[name], level)


def _check_names(spec: StudySpec) -> None:
    wanted = [(f"comparisons.{k}", name) for k, c in enumerate(spec.comparisons) for name in (c.method, c.against)]
    wanted += [(f"goals.{k}", name) for k, g in enumerate(spec.goals) for name in (g.method, g.against) if name]
    wanted += [(f"published.{k}", p.method) for k, p in enumerate(spec.published) if p.method]
    wanted += [(f"gaps.{k}", name) for k, g in enumerate(spec.gaps) for name in (g.method, g.over, *g.candidates)]
    wanted += [(f"tunings.{k}", t.method) for k, t in enumerate(spec.tunings)]
    wanted += [(f"figures.{key}", name) for key, f in spec.figures.items() for name in f.methods]
    for key, name in wanted:
        _check_name(key, name, (*spec.methods, "digital"))
    for key, figure in spec.figures.items():
        if figure.kind == "lines":
            _check_name(f"figures.{key}.x", figure.x, tuple(spec.axes))
        if figure.panels is not None:
            _check_name(f"figures.{key}.panels", figure.panels, tuple(spec.axes))


def _check_levels(spec: StudySpec) -> None:
    for key, place in _places(spec):
        _check_place(key, place, spec)
    for k, tuning in enumerate(spec.tunings):
        whole = set(tuning.default) == set(spec.axes)
        if not whole or (spec.points and tuning.default not in spec.points):
            raise ValidationError(f"tunings.{k}.default", "must be one of the study's points", tuning.default)


def _places(spec: StudySpec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the levels that results are looked up at, each with the key that gives them."""
    for k, goal in enumerate(spec.goals):
        yield f"goals.{k}.where", goal.where
        yield f"goals.{k}.against_where", goal.against_where or {}
    yield from ((f"published.{k}.where", published.where) for k, published in enumerate(spec.published))
    yield from ((f"gaps.{k}.where", gap.where) for k, gap in enumerate(spec.gaps))
    yield from ((f"tunings.{k}.default", tuning.default) for k, tuning in enumerate(spec.tunings))
    yield from ((f"figures.{key}.where", figure.where) for key, figure in spec.figures.items())


def _check_protocol(spec: StudySpec, values: dict[str, Any]) -> None:
    protocol = spec.protocol
    for name in protocol.tune:
        _check_name("protocol.tune", name, spec.methods)
    _check_place("protocol.at", protocol.at, spec)
    ours = range(spec.first_seed, spec.first_seed + spec.repeats)
    if protocol.tune and set(protocol.tuning_seeds) & set(ours):
        own, theirs = (f"{seeds[0]} to {seeds[-1]}" for seeds in (ours, protocol.tuning_seeds))
        rule = f"must keep the tuning maps (seeds {theirs}) apart from those that are reported ({own})"
        raise ValidationError("protocol.first_tuning_seed", rule, protocol.first_tuning_seed)
    for name, searched in protocol.tune.items():
        setters = [(f"axes.{axis}", key) for axis, of_axis in spec.axes.items() for key in _keys_of(of_axis)]
        setters += [(f"variants.{name}", key) for key in (spec.variants[name].set if name in spec.variants else ())]
        for tuned in searched:
            for place, key in setters:
                if overlap(tuned, key):
                    raise ValidationError(f"protocol.tune.{name}.{tuned}", f"must not be tuned: {place} sets {key}")
    data = values.get("data", {})
    for key in ("held_back", "validation"):
        if protocol.validation and key in data:
            raise ValidationError(f"run.data.{key}", "must be left out with protocol.validation", data[key])


def _check_name(key: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        names = ", ".join(known) or "the axes, and there are none"
        raise ValidationError(key, f"must be one of {names}{did_you_mean(name, list(known))}", name)


def _check_method(key: str, name: str, known: tuple[str, ...]) -> None:
    """Check the name of a method, which may be ``"package.module:NAME"`` too."""
    if registry.is_reference(name):
        registry.check("methods", name, key)
    else:
        _check_name(key, name, known)
