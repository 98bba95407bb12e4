"""Run specifications from and to TOML files."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w

from circuitmem import registry
from circuitmem.config.base import Spec
from circuitmem.config.recipe import split_step
from circuitmem.config.run import RunSpec
from circuitmem.config.verilog_a import remember_verilog
from circuitmem.config.verilog_cells import VerilogACellSpec
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["load_run", "merge", "missing_packages", "needed_packages", "presets", "read_toml", "set_key", "to_toml"]

_NEEDS = "# needs "
"""Beginning of a comment that names a package."""


def presets() -> list[str]:
    """Return the names of the run files that come with the package."""
    folder = resources.files("circuitmem.config") / "presets"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_run(
    source: str | os.PathLike[str] | None = None, overrides: list[str] | None = None, *, own: bool = True
) -> RunSpec:
    """Read the specification of a run.

    Parameters
    ----------
    source : path or str, optional
        A TOML file or the name of a preset; the preset ``default`` when left out.
    overrides : list of str, optional
        ``"dotted.key=value"`` in TOML's syntax (bare words are taken as strings), applied last. A ``kind`` that differs
        from the file's clears the rest of its table.
    own : bool
        Whether the user names the source, and with it the Verilog-A of its devices; that of a run folder is not named.

    Returns
    -------
    RunSpec
        The file's values, the overrides over them; checked. A table that neither names is that of the default run. What
        a table of the file leaves out has the default of its key, which for a part of a chip is an ideal one. An
        override changes its own key and nothing else.

    Raises
    ------
    DataFileError
        If the file is missing or is not TOML.
    ValidationError
        If a key or a value breaks its rule.
    """
    values = read_toml("default" if source is None else os.fspath(source))
    # A kind decides which other keys there are, so it comes first, wherever it stands.
    for item in sorted(overrides or [], key=lambda item: not item.partition("=")[0].strip().endswith(".kind")):
        _override(values, item)
    spec = RunSpec(**values)
    if own and isinstance(spec.chip.device, VerilogACellSpec):
        remember_verilog(spec.chip.device.file, spec.chip.device.sha256)
    for kind, name, key in _named(spec):
        if len(registry.entries(kind).get(name, ())) > 1:  # a package declares a name that is there already
            registry.find(kind, name, key)
    return spec


def read_toml(source: str) -> dict[str, Any]:
    """Return the tables of a TOML file, or of the preset of this name; errors as in :func:`load_run`."""
    path = Path(source)
    if path.suffix != ".toml" and not path.exists():
        known = {name.lower(): name for name in presets()}  # Li2018 is known as li2018 too
        if source.lower() not in known:
            rule = f"is neither a file nor a preset ({', '.join(presets())}){did_you_mean(source, presets())}"
            raise DataFileError(source, rule)
        text = (resources.files("circuitmem.config") / "presets" / f"{known[source.lower()]}.toml").read_text("utf-8")
    else:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataFileError(source, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataFileError(source, f"is not TOML: {error}") from None


def _override(values: dict[str, Any], item: str) -> None:
    key, equals, text = item.partition("=")
    if not equals or not key.strip():
        raise ValidationError("--set", "must look like key=value", item)
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    set_key(values, key.strip(), value)


def set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested tables, in place.

    Parameters
    ----------
    values : dict
        Tables of a run as TOML has them; missing ones are those of the default run.
    key : str
        Names of tables and of the key, joined by dots.
    value : object
        Its new value.

    Raises
    ------
    ValidationError
        If the key leads through something that is not a table.
    """
    *tables, last = key.split(".")
    known: type[Spec] | Spec | None = RunSpec
    for table in tables:
        left_out = _left_out(known, table)
        known = type(left_out) if table in values and left_out is not None else left_out
        # A table that is left out is that of the default run: one key of it must not do away with the others.
        values = values.setdefault(table, {} if left_out is None else _declared(left_out))
        if not isinstance(values, dict):
            raise ValidationError(key, f"is not a key: {table} is a value, not a table")
    if last == "kind" and values.get("kind") != value:
        values.clear()  # the keys of another kind of thing
    values[last] = value


def _left_out(known: type[Spec] | Spec | None, name: str) -> Spec | None:
    """Return the table that a key stands for when it is left out of a table of some class, or of a default one."""
    if isinstance(known, type):
        field = known.model_fields.get(name)
        found = None if field is None or field.is_required() else field.get_default(call_default_factory=True)
    else:
        found = getattr(known, name, None)
    return found if isinstance(found, Spec) else None


def _declared(table: Spec) -> dict[str, Any]:
    """Return the keys of a default table that differ from the defaults of its class, and those declared with them."""
    try:
        plain = type(table)()
    except ValidationError:  # some keys have no default
        plain = None
    return {} if table == plain else table.model_dump(exclude_unset=True)


def merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables with those of ``changes`` merged into them; neither is changed."""
    merged = dict(values)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old if isinstance(old, Mapping) else {}, value) if isinstance(value, Mapping) else value
    return merged


def to_toml(spec: RunSpec) -> str:
    """Return the complete specification, defaults included, as TOML that :func:`load_run` reads back to the same.

    Comments at the top name the packages that provide what it uses, for :func:`missing_packages`.
    """
    notes = "".join(f"{_NEEDS}{package}\n" for package in needed_packages(spec))
    return notes + tomli_w.dumps(spec.model_dump(exclude_none=True))


def needed_packages(spec: RunSpec, *methods: str) -> list[str]:
    """Return the external packages, with versions, that provide what a run, or additional ``methods``, name."""
    named = [(kind, name) for kind, name, _ in _named(spec)] + [("methods", name) for name in methods]
    return sorted({_package(kind, name) for kind, name in named} - {""})


def missing_packages(path: Path) -> list[str]:
    """Return the packages, with their versions, that a file of :func:`to_toml` needs and that are not installed."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):  # whoever reads the whole file will report it
        return []
    needed = [line.removeprefix(_NEEDS) for line in lines if line.startswith(_NEEDS)]
    return [package for package in needed if registry.version_of(package.partition(" ")[0]) is None]


def _named(spec: RunSpec) -> list[tuple[str, str, str]]:
    """Return what a run names: for each thing its kind, its name, and the key that holds the name."""
    steps = [split_step(step)[0] for recipe in spec.recipes for step in recipe.steps]
    own = {recipe.name for recipe in spec.recipes}
    return [
        ("devices", spec.chip.device.kind, "chip.device.kind"),
        ("cells", spec.chip.tile.cell.kind, "chip.tile.cell.kind"),
        ("mappings", spec.chip.mapping.kind, "chip.mapping.kind"),
        *(("calibrations", name, "calibration.method") for name in spec.calibration.method),
        ("rules", spec.in_situ.rule, "in_situ.rule"),
        ("optimisers", spec.in_situ.optimiser, "in_situ.optimiser"),
        ("optimisers", spec.best.optimiser, "best.optimiser"),
        ("datasets", spec.data.source, "data.source"),
        ("engines", spec.engine, "engine"),
        *(("methods", name, "methods") for name in spec.methods if name not in own),
        *(("steps", name, "methods") for name in steps),
    ]


def _package(kind: str, name: str) -> str:
    """Return name and version of the package that provides something; empty if it is our own, or a module's."""
    found = registry.entries(kind).get(name, [])
    if len(found) != 1 or found[0].package == registry.PACKAGE:
        return ""
    return f"{found[0].package} {registry.version_of(found[0].package)}"
