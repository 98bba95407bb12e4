"""Whether a table was written for a declaration: what decides on points is compared; titles, figures and goals are not.

The number of repeats is not compared either: ``--repeats`` changes it, and a table may have some maps less.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from circuitmem.errors import DataFileError, ValidationError
from circuitmem.study.levels import axis_levels
from circuitmem.study.spec import Study

__all__ = ["check_owner", "check_table", "points_hash"]

AGAIN = "circuitmem study run writes it again; with --collect it computes nothing"


def points_hash(study: Study) -> str:
    """Return the SHA-256 of everything that decides on the points of a study, whatever its number of repeats."""
    spec = study.spec
    parts = [
        study.values,
        {name: list(axis_levels(axis)) for name, axis in spec.axes.items()},
        sorted(spec.methods),
        {name: [each.method, each.set] for name, each in spec.variants.items()},
        spec.model_dump(include={"first_seed", "points", "maps", "protocol"}, exclude_defaults=True),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def check_owner(study: Study, folder: Path, provenance: Mapping[str, Any]) -> None:
    """Refuse a folder that holds the table of another study; a study's own folder may have been renamed since.

    Raises
    ------
    ValidationError
        If the table is of another study.
    """
    other = provenance.get("study") or study.name
    if other != study.name and not folder.resolve().is_relative_to(study.folder.resolve()):
        rule = f"must be a folder without the table of another study: it holds that of {other}"
        raise ValidationError("--out", rule, str(folder))


def check_table(
    study: Study, path: Path, axes: Sequence[str], rows: Sequence[Mapping[str, Any]], provenance: Mapping[str, Any]
) -> None:
    """Refuse a table that was written for another declaration than a study now has.

    Tables of older versions do not say all that decided on their points: their axes, levels and methods are compared.

    Parameters
    ----------
    study : Study
        The declaration.
    path : path
        The table, in the folder of the results.
    axes : sequence of str
        Axes of the table.
    rows : sequence of dict
        Its rows.
    provenance : dict
        Its provenance.

    Raises
    ------
    ValidationError
        If it is the table of another study.
    DataFileError
        If the declaration has changed.
    """
    check_owner(study, path.parent, provenance)
    if provenance["quick"] != study.quick:
        form = "the quick form of the study: give --quick" if provenance["quick"] else "the study, not its quick form"
        raise DataFileError(path, f"was written for {form}")
    levels = {tuple(row[axis] for axis in axes) for row in rows}
    combinations = {tuple(each[axis] for axis in axes) for each in study.combinations() if each.keys() == set(axes)}
    pairs: list[tuple[str, set[Any], set[Any]]] = [
        ("axes", set(axes), set(study.spec.axes)),
        ("methods", set(provenance.get("methods") or study.spec.methods), set(study.spec.methods)),
        ("levels", levels, levels & combinations),
    ]
    for what, table, declared in pairs:
        if table != declared:
            raise DataFileError(path, f"was written for other {what} ({_difference(table, declared)}); {AGAIN}")
    if provenance.get("points_hash", "") not in ("", points_hash(study)):
        raise DataFileError(path, f"was written for another declaration of the points; {AGAIN}")


def _difference(table: set[Any], declared: set[Any]) -> str:
    """Return the first thing that only one of two sets has."""
    mine, other = (sorted(map(_words, each)) for each in (table - declared, declared - table))
    return f"with {mine[0]}" if mine else f"without {other[0]}"


def _words(each: Any) -> str:
    return ", ".join(map(str, each)) if isinstance(each, tuple) else str(each)
