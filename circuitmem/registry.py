"""One registry of all names: built-in ones, those of installed packages, and ``"package.module:Name"``.

A name in a configuration, a setting, a study or a call is looked up here, whatever its kind. Packages declare their
names as entry points in the groups of :data:`GROUPS`, for example in their ``pyproject.toml``::

    [project.entry-points."circuitmem.calibrations"]
    mine = "my_package.calibration:Mine"

Nothing is imported before it is used: a broken or slow package affects only those who use it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from circuitmem.errors import CircuitmemError, ValidationError
from circuitmem.validation import did_you_mean

__all__ = [
    "GROUPS",
    "KINDS",
    "Entry",
    "check",
    "describe",
    "entries",
    "find",
    "is_built_in",
    "is_reference",
    "load",
    "names",
    "torch_room",
    "version_of",
]

GROUPS = {
    "devices": "circuitmem.devices",
    "cells": "circuitmem.cells",
    "mappings": "circuitmem.mappings",
    "calibrations": "circuitmem.calibrations",
    "rules": "circuitmem.update_rules",
    "optimisers": "circuitmem.optimisers",
    "datasets": "circuitmem.datasets",
    "engines": "circuitmem.engines",
    "methods": "circuitmem.methods",
    "steps": "circuitmem.steps",
}
"""Entry-point group of each kind."""
KINDS = tuple(GROUPS)
PACKAGE = "circuitmem"

_METHODS = (
    "raw",
    "calibration",
    "in_situ",
    "calibration_in_situ",
    "schr",
    "schr_device",
    "hardware_aware",
    "batch_norm",
    "defect_subtract",
    "compensation",
    "remapping",
    "best",
    "chip_in_the_loop",
)
_BUILT_IN: dict[str, dict[str, str]] = {
    "devices": {
        "two-pulse": "circuitmem.device:TwoPulse",
        "pulse-update": "circuitmem.device:PulseUpdate",
        "statistical": "circuitmem.device:Statistical",
        "step-table": "circuitmem.device:StepTable",
        "vteam": "circuitmem.device:VteamCells",
        "yakopcic": "circuitmem.device:YakopcicCells",
        "stanford-pku": "circuitmem.device:StanfordCells",
        "ion-drift": "circuitmem.device:IonDriftCells",
        "verilog-a": "circuitmem.device:VerilogACells",
    },
    "cells": {
        "linear": "circuitmem.config:LinearCell",
        "sinh": "circuitmem.config:SinhCell",
        "transistor": "circuitmem.config:TransistorCell",
        "selector": "circuitmem.config:SelectorCell",
    },
    "mappings": {
        "differential": "circuitmem.tile:PairMapping",
        "offset": "circuitmem.tile:OffsetMapping",
        "bit-slicing": "circuitmem.tile:BitSlicing",
    },
    "calibrations": {
        "none": "circuitmem.calibration:NoCalibration",
        "offset": "circuitmem.calibration:Offset",
        "affine": "circuitmem.calibration:Affine",
        "split-affine": "circuitmem.calibration:SplitAffine",
        "defect-subtract": "circuitmem.calibration:DefectSubtraction",
        "out-of-range": "circuitmem.calibration:OutOfRange",
        "global-scale": "circuitmem.calibration:GlobalScale",
        "conversion": "circuitmem.calibration:Conversion",
        "redundant-column": "circuitmem.calibration:RedundantColumns",
        "batch-norm": "circuitmem.calibration:BatchNorm",
    },
    "rules": {
        "two-pulse": "circuitmem.training:TwoPulseRule",
        "pulse-count": "circuitmem.training:PulseCount",
        "manhattan": "circuitmem.training:Manhattan",
        "threshold": "circuitmem.training:Threshold",
        "write-verify": "circuitmem.training:WriteVerify",
        "mixed-precision": "circuitmem.training:MixedPrecision",
        "tiki-taka": "circuitmem.training:TikiTaka",
        "chopped-tiki-taka": "circuitmem.training:ChoppedTikiTaka",
        "agad": "circuitmem.training:Agad",
    },
    "optimisers": {
        "sgd": "circuitmem.training:Sgd",
        "momentum": "circuitmem.training:Momentum",
        "rmsprop": "circuitmem.training:RmsProp",
        "adam": "circuitmem.training:Adam",
    },
    "datasets": {
        "bundled": "circuitmem.data:bundled_mnist",
        "digits": "circuitmem.data:bundled_mnist",
        "download": "circuitmem.data:full_mnist",
        "penguins": "circuitmem.data:penguins",
        "vowels": "circuitmem.data:vowels",
        "patches": "circuitmem.data:patches",
    },
    "engines": {
        "behavioral": "circuitmem.engine:BehavioralEngine",
        "ngspice": "circuitmem.engine:SpiceEngine",
        "vacask": "circuitmem.engine:VacaskEngine",
    },
    "methods": {name: f"circuitmem.training:METHODS.{name}" for name in _METHODS},
    "steps": {
        "inject-defects": "circuitmem.training.steps:inject",
        "find-defects": "circuitmem.training.steps:find_defects",
        "remap-columns": "circuitmem.training.steps:remap_columns",
        "remap-rows-and-columns": "circuitmem.training.steps:remap_rows_and_columns",
        "freeze-pairs": "circuitmem.training.steps:freeze_pairs",
        "use-partners": "circuitmem.training.steps:use_partners",
        "retrain": "circuitmem.training.steps:retrain_weights",
        "program": "circuitmem.training.steps:program_weights",
        "calibrate": "circuitmem.training.bring_up:calibrate_layers",
        "fine-tune": "circuitmem.training.in_the_loop:fine_tune",
        "train": "circuitmem.training:train_epoch",
    },
}
"""Where the built-in objects are. Tables list them in this order; nothing else may depend on it."""

_BASES = {
    "cells": "circuitmem.config:CellLaw",
    "mappings": "circuitmem.tile:WeightMapping",
    "devices": "circuitmem.device:Device",
    "calibrations": "circuitmem.calibration:Calibration",
    "rules": "circuitmem.training:UpdateRule",
    "optimisers": "circuitmem.training:Optimiser",
}
"""Base class that the classes of each kind must have."""
_TYPES = {"methods": "circuitmem.training:Recipe"}
"""Class of which the objects of other kinds must be instances."""


@dataclass(frozen=True)
class Entry:
    """A name, and what it stands for.

    Attributes
    ----------
    kind, name : str
        One of :data:`KINDS`, and the name within that kind.
    reference : str
        ``"package.module:Name"``; in ``Name`` a dot leads to an attribute or a key.
    package : str
        The installed package that declares it.
    """

    kind: str
    name: str
    reference: str
    package: str


def entries(kind: str) -> dict[str, list[Entry]]:
    """Return the entries of each known name of a kind: built-in names first, then those of packages, by name.

    A name with more than one entry is ambiguous: :func:`find` refuses it.
    """
    _built_in(kind)
    return {name: list(own) for name, own in _known(kind, _places()).items()}


@lru_cache(maxsize=64)
def _known(kind: str, places: tuple[tuple[str, int], ...]) -> dict[str, list[Entry]]:
    """Return the result of :func:`entries`, cached for as long as the folders in ``places`` do not change."""
    found = {name: [Entry(kind, name, where, PACKAGE)] for name, where in _BUILT_IN[kind].items()}
    for point in sorted(_points(places).select(group=GROUPS[kind]), key=lambda point: (point.name, point.value)):
        package = point.dist.name if point.dist is not None else point.value.partition(".")[0]
        entry = Entry(kind, point.name, point.value, package)
        own = found.setdefault(point.name, [])
        if entry not in own:  # the same package may be found twice on the path
            own.append(entry)
    return found


def names(kind: str) -> tuple[str, ...]:
    """Return the known names of a kind, built-in ones first; :func:`find` takes ``"package.module:Name"`` too."""
    return tuple(entries(kind))


def is_reference(name: str) -> bool:
    """Say whether a name has the form ``"package.module:Name"``."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")])


def is_built_in(kind: str, name: str) -> bool:
    """Say whether a name of a kind is built in."""
    return name in _built_in(kind)


def find(kind: str, name: str, parameter: str = "name") -> Any:
    """Return the object that a name of a kind refers to, imported.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    name : str
        A built-in name, the name of an installed package's entry point, or ``"package.module:Name"``.
    parameter : str
        The parameter in which the user gave the name, for messages.

    Raises
    ------
    ValidationError
        If the name is unknown, two packages declare it, the object cannot be imported, or it is not of the kind.
    """
    if is_reference(name):
        found = load(name, parameter)
    else:
        entry = _only(entries(kind), kind, name, parameter)
        found = load(entry.reference, parameter, entry)
    _check_base(kind, name, found, parameter)
    return found


def check(kind: str, name: str, parameter: str = "name") -> str:
    """Return the name if :func:`find` would find it; built-in names are not imported for this.

    Raises
    ------
    ValidationError
        As :func:`find` does.
    """
    if not is_built_in(kind, name):
        find(kind, name, parameter)
    return name


def describe(entry: Entry) -> str:
    """Return a description of an entry: the first line of its docstring, its ``title``, or why the import fails."""
    try:
        found = find(entry.kind, entry.name)
    except ValidationError as error:
        return error.rule
    own = getattr(found, "title", None)
    if isinstance(own, str):
        return own
    text = inspect.getdoc(found) or ""
    return text.partition("\n")[0]


def version_of(package: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def load(reference: str, parameter: str, entry: Entry | None = None) -> Any:
    """Import ``"package.module:Name"``; the current folder is searched last.

    Parameters
    ----------
    reference : str
        ``"package.module:Name"``.
    parameter : str
        The parameter in which the user gave the name, for messages.
    entry : Entry, optional
        The entry that the reference comes from, if there is one.

    Returns
    -------
    object
        The object with that name.

    Raises
    ------
    ValidationError
        If it cannot be imported; the message names the module, and the package of the entry.
    """
    module, _, attribute = reference.partition(":")
    shown = reference if entry is None else entry.name
    whose = "" if entry is None else f" of package {entry.package}"
    try:
        found: Any = _module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            rule = f"names what is not there: no module {error.name}{whose} is installed or on PYTHONPATH"
            raise ValidationError(parameter, rule, shown) from None
        raise _broken(parameter, module, whose, error, shown) from error
    except (Exception, SystemExit) as error:  # a third-party module may raise anything
        raise _broken(parameter, module, whose, error, shown) from error
    for part in attribute.split("."):
        try:
            found = found[part] if isinstance(found, Mapping) else getattr(found, part)
        except (AttributeError, KeyError):
            known = found if isinstance(found, Mapping) else _own_names(found)
            rule = f"names what is not there: module {module}{whose} has no {part}{did_you_mean(part, known)}"
            raise ValidationError(parameter, rule, shown) from None
    return found


def _own_names(found: Any) -> list[str]:
    """Return the public names of an object; of a module or package, those that are defined in it."""
    given = {name: each for name, each in vars(found).items() if not name.startswith("_")}
    if not inspect.ismodule(found):
        return list(given)
    own = f"{found.__name__}."
    return [
        name
        for name, each in given.items()
        if not inspect.ismodule(each)
        and (not (inspect.isroutine(each) or inspect.isclass(each)) or f"{each.__module__}.".startswith(own))
    ]


@lru_cache(maxsize=8)
def _points(places: tuple[tuple[str, int], ...]) -> Any:  # noqa: ARG001
    """Return the entry points of all packages in these folders; their type depends on the version of Python."""
    return metadata.entry_points()


def _places() -> tuple[tuple[str, int], ...]:
    """Return the folders of ``sys.path``, each with its time of modification [ns], or 0 if it has none."""
    found = []
    for place in sys.path:
        try:
            found.append((place, Path(place).stat().st_mtime_ns))
        except OSError:
            found.append((place, 0))
    return tuple(found)


def _built_in(kind: str) -> dict[str, str]:
    if kind not in _BUILT_IN:
        raise ValidationError("kind", f"must be one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}", kind)
    return _BUILT_IN[kind]


def _only(known: dict[str, list[Entry]], kind: str, name: str, parameter: str) -> Entry:
    """Return the one entry that has the name."""
    found = known.get(name, [])
    if not found:
        raise ValidationError(parameter, _unknown(kind, name, known), name)
    if len(found) > 1:
        owners = " and ".join(f"{entry.package} ({entry.reference})" for entry in found)
        raise ValidationError(parameter, f"must have one meaning, but is declared by {owners}", name)
    return found[0]


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    listed = list(known)
    return (
        f"must be one of {', '.join(listed)}, or package.module:Name (see circuitmem list {kind})"
        f"{did_you_mean(name, listed)}"
    )


def _module(name: str) -> Any:
    """Import a module, also from the current folder, which console scripts do not search."""
    here = str(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0] or here in sys.path or "" in sys.path:
            raise
    sys.path.append(here)  # permanently: the module may import neighbours later, and worker processes inherit it
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _broken(parameter: str, module: str, whose: str, error: BaseException, shown: str) -> ValidationError:
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ValidationError(parameter, f"names what cannot be imported: module {module}{whose}: {words}", shown)


def _check_base(kind: str, name: str, found: Any, parameter: str) -> None:
    """Raise :class:`ValidationError` unless an object has the base class or the type of its kind."""
    if kind in _BASES and not (isinstance(found, type) and issubclass(found, load(_BASES[kind], parameter))):
        raise ValidationError(parameter, f"must name a subclass of {_BASES[kind].replace(':', '.')}", name)
    if kind in _TYPES and not isinstance(found, load(_TYPES[kind], parameter)):
        raise ValidationError(parameter, f"must name a {_TYPES[kind].replace(':', '.')}", name)


_ROOM_OF_TORCH = "circuitmem.torch"
"""Imported only when a run needs it, because PyTorch is optional."""


def torch_room() -> Any:
    """Return the module :mod:`circuitmem.torch`, for a run whose network is a PyTorch model.

    Raises
    ------
    CircuitmemError
        If PyTorch is not installed.
    """
    try:
        return importlib.import_module(_ROOM_OF_TORCH)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "greenlet"):
            raise
        raise CircuitmemError("network.model needs PyTorch: pip install 'circuitmem[torch]'") from None
